"""Collects the mistakes and warnings of a file while it is read, so that one reading reports all.

A reader wraps each independent step in `findings.catch()`; the step's first mistake ends the step
and not the reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pipewren.errors import DatafileError, ProjectErrors, ProjectMistake
from pipewren.project.model import Position, Warning

MAX_SHOWN_MISTAKES = 50
MAX_MISTAKES = 200  # per file: reading stops there, so that bad input is not read for ever


@dataclass(slots=True)
class Findings:
    """What was found in `file` (with what it includes)."""

    file: str
    mistakes: list[ProjectMistake] = field(default_factory=list)
    warnings: list[Warning] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Whether a reader may stop: there are more mistakes than are shown."""
        return len(self.mistakes) >= MAX_MISTAKES

    @contextmanager
    def catch(self) -> Iterator[None]:
        """Keep a DatafileError of the block as one more mistake."""
        try:
            yield
        except DatafileError as error:
            self.add(error)

    def add(self, error: DatafileError) -> None:
        self.mistakes.append(error.mistake)

    def warn(self, message: str, position: Position) -> None:
        self.warnings.append(Warning(message, position))

    def ordered_warnings(self) -> tuple[Warning, ...]:
        """The warnings by line."""
        return tuple(sorted(self.warnings, key=lambda one: (one.position.line, one.message)))

    def raise_mistakes(self) -> None:
        """Raise ProjectErrors when there is a mistake, in the order of the file's lines."""
        if self.mistakes:
            raise ProjectErrors(order_mistakes(self.mistakes, self.file))


def order_mistakes(mistakes: list[ProjectMistake], file: str) -> list[ProjectMistake]:
    """By line and column, those of included files last; at most MAX_SHOWN_MISTAKES, and then one
    that says that there are more."""
    ordered = sorted(
        dict.fromkeys(mistakes),
        key=lambda one: (one.file != file, one.file or "", one.line or 0, one.column or 0),
    )
    if len(ordered) <= MAX_SHOWN_MISTAKES:
        return ordered
    message = f"There are more mistakes in this file; the first {MAX_SHOWN_MISTAKES} are listed"
    return [*ordered[:MAX_SHOWN_MISTAKES], ProjectMistake(message, file=file)]
