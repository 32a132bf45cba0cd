"""What a JWT names in vain: a pipe or data source that there is not, a fixed parameter that the
endpoint never reads. Neither is an error (tokens.md section 7), and both are mostly mistakes: a
`WHERE` that forgets the parameter shows everybody's rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipewren.access.rights import Caller
from pipewren.access.scopes import Resources
from pipewren.sql.pipes import CompiledPipe


def find_unused(
    caller: Caller, resources: Resources, pipes: Mapping[str, CompiledPipe]
) -> list[str]:
    """A sentence for each, in a steady order."""
    return sorted({*_of_pipes(caller, resources, pipes), *_of_datasources(caller, resources)})


def _of_pipes(
    caller: Caller, resources: Resources, pipes: Mapping[str, CompiledPipe]
) -> Iterator[str]:
    for resource, sets in caller.fixed.items():
        name = resources.pipe(resource)
        pipe = pipes.get(name) if name is not None else None
        if pipe is None:
            yield f"There is no pipe {_shown(resource)}: the scope gives nothing"
            continue
        read = {parameter.name for parameter in pipe.parameters}
        for fixed in sets:
            for parameter in fixed.keys() - read:
                yield (
                    f"The pipe {_shown(pipe.name)} never reads the fixed parameter "
                    f"{_shown(parameter)}: it has no effect"
                )


def _of_datasources(caller: Caller, resources: Resources) -> Iterator[str]:
    for resource in caller.datasources:
        if resources.datasource(resource) is None:
            yield f"There is no data source {_shown(resource)}: the scope gives nothing"


def _shown(text: str) -> str:
    return ascii(text[:100])
