"""One render: what it may read, what it has used up, what it found out on the way."""

from __future__ import annotations

from collections.abc import Callable, Container
from datetime import datetime
from typing import NoReturn

import msgspec

from pipewren.errors import TemplateError
from pipewren.template.failures import failure
from pipewren.template.limits import TemplateLimits

# What `table(x)` may name: a set of names, or a function that returns the text to print for a
# name, or None for a name that may not be read. None: no check.
Tables = Container[str] | Callable[[str], str | None] | None
_MAX_PIECES = 64


class Run(msgspec.Struct):
    """The state of one render. `is_exhausted` says that a limit was reached, which no
    `{% except %}` may catch."""

    limits: TemplateLimits
    secrets: Container[str]
    now: datetime | None
    tables: Tables
    required: tuple[str, ...]
    steps_left: int
    is_exhausted: bool = False
    ignores_missing_secrets: bool = False
    used_secrets: tuple[str, ...] = ()
    max_threads: int | None = None
    cache_ttl_s: int | None = None
    activated: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()
    backend_hint: str | None = None


def exhaust(run: Run, message: str) -> NoReturn:
    """End the render for good."""
    run.is_exhausted = True
    raise failure(message)


def charge(run: Run, size: int) -> None:
    """Count the work on `size` characters or items."""
    run.steps_left -= 1 + (size >> 6)
    if run.steps_left < 0:
        exhaust(run, f"the template takes more than {run.limits.max_steps} steps")


def step(run: Run, pieces: list[str]) -> None:
    """Count one turn of a loop, and what has been printed so far."""
    run.steps_left -= 1
    if run.steps_left < 0:
        exhaust(run, f"the template takes more than {run.limits.max_steps} steps")
    if len(pieces) > _MAX_PIECES:
        tally(run, pieces)


def tally(run: Run, pieces: list[str]) -> None:
    """Join what has been printed, and stop when it is too much."""
    text = "".join(pieces)
    if len(text) > run.limits.max_output_bytes:
        raise_too_long(run)
    pieces[:] = (text,)


def raise_too_long(run: Run) -> NoReturn:
    exhaust(
        run,
        f"the template prints more than {run.limits.max_output_bytes} bytes: "
        "send fewer or shorter values",
    )


def is_limit(run: Run, error: BaseException) -> bool:
    return run.is_exhausted and isinstance(error, TemplateError)
