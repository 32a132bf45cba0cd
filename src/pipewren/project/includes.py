"""`INCLUDE "part.incl" "key=value"` of a project's folder (datafiles.md section 2, Classic).

The file is looked for beside the one that includes it, then from the project's root; it never
lies outside of the root. Uploaded text has no folder, so INCLUDE is refused there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipewren.errors import DatafileError
from pipewren.project.lexer import Command
from pipewren.project.source import MAX_FILE_BYTES, Source, decode_text, fail_at, read_source

MAX_DEPTH = 8
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclass(slots=True)
class Includer:
    """Reads the files that one datafile includes. `taken_bytes` bounds what files that include
    files many times can grow to."""

    root: Path
    taken_bytes: int = field(default=0)

    def __call__(self, command: Command) -> Source:
        """The included file's source. Raises DatafileError at the INCLUDE."""
        if not command.words:
            raise _fail(command, "Missing file name after INCLUDE", 'Write INCLUDE "part.incl"')
        source = command.line.source
        chain = (*source.included_by, source.file)
        name = command.words[0].value
        path = self._find(command, name, Path(source.file).parent)
        file = path.relative_to(self.root).as_posix()
        if file in chain:
            raise _fail(
                command,
                f"INCLUDE goes in a circle: {' -> '.join((*chain, file))}",
                "Take one of these INCLUDE lines out",
            )
        if len(chain) > MAX_DEPTH:
            raise _fail(command, f"INCLUDE is nested deeper than {MAX_DEPTH} files", None)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise _fail(command, f"{name} cannot be read: {error.strerror}", None) from None
        text = fill_variables(decode_text(content, file=file), _read_variables(command))
        self.taken_bytes += len(text)
        if self.taken_bytes > MAX_FILE_BYTES:
            raise _fail(command, f"The included files have over {MAX_FILE_BYTES:,} bytes", None)
        return read_source(text, file=file, included_by=chain)

    def _find(self, command: Command, name: str, folder: Path) -> Path:
        tried = dict.fromkeys((self.root / folder / name, self.root / name))
        for candidate in tried:
            path = candidate.resolve()
            if not path.is_relative_to(self.root):
                raise _fail(
                    command,
                    f"{name} lies outside of the project",
                    "Included files must be inside the project's folder",
                )
            if path.is_file():
                return path
        raise _fail(
            command,
            f"Included file {name} not found",
            "The path is relative to the file with the INCLUDE, or to the project's folder",
        )


def fill_variables(text: str, values: Mapping[str, str]) -> str:
    """Replace `$key` and `${key}` of `values`; others stay, also those of the environment."""

    def value_of(match: re.Match[str]) -> str:
        return values.get(match[1] or match[2], match[0])

    return _VARIABLE.sub(value_of, text) if values else text


def _read_variables(command: Command) -> dict[str, str]:
    values: dict[str, str] = {}
    for word in command.words[1:]:
        key, equals, value = word.value.partition("=")
        if not equals or not key.strip().isidentifier():
            raise fail_at(
                command.line,
                word.column,
                f"{word.raw} is not a variable for INCLUDE",
                hint='Write "key=value"',
            )
        values[key.strip()] = value.strip().strip("\"'")
    return values


def _fail(command: Command, message: str, hint: str | None) -> DatafileError:
    return fail_at(command.line, command.column, message, hint=hint)
