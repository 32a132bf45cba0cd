"""One render: what it may read, what it has used up, what it found out on the way."""

from __future__ import annotations

from collections.abc import Callable, Container
from datetime import datetime
from typing import Any, NoReturn

import msgspec

from pipewren.template.failures import failure
from pipewren.template.limits import TemplateLimits

# What `table(x)` may name: a set of names, or a function that returns the text to print for a
# name, or None for a name that may not be read. None: no check.
Tables = Container[str] | Callable[[str], str | None] | None


class _Everything(Container[str]):
    def __contains__(self, name: object) -> bool:
        return True


# For renders that are checked, and not run: a secret that is missing can be made later.
ANY_SECRET: Container[str] = _Everything()


class Run(msgspec.Struct):
    """The state of one render. `is_exhausted` says that a limit was reached, which no
    `{% except %}` may catch."""

    limits: TemplateLimits
    secrets: Container[str]
    now: datetime | None
    tables: Tables
    steps_left: int
    output_left: int  # characters
    is_validation: bool = False
    is_exhausted: bool = False
    ignores_missing_secrets: bool = False
    used_secrets: tuple[str, ...] = ()
    named_tables: tuple[str, ...] = ()
    held: tuple[Any, ...] = ()  # (value, those below): operands of chains that are not done
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


def tick(run: Run, printed: int) -> bool:
    """Count one turn of a loop that prints so many characters besides its values; True."""
    run.steps_left -= 1
    if run.steps_left < 0:
        exhaust(run, f"the template takes more than {run.limits.max_steps} steps")
    if printed:
        count_output(run, printed)
    return True


def count_output(run: Run, characters: int) -> None:
    run.output_left -= characters
    if run.output_left < 0:
        raise_too_long(run)


def raise_too_long(run: Run) -> NoReturn:
    exhaust(
        run,
        f"the template prints more than {run.limits.max_output_bytes} bytes: "
        "send fewer or shorter values",
    )
