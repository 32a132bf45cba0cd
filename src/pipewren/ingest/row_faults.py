"""Rows that do not fit, and the sentences that say why (data-apis.md section 2.3)."""

from __future__ import annotations

from typing import Literal

import msgspec

_MAX_SHOWN = 200  # of a value in a sentence; the whole text stands in the row's own column
MAX_VALUE_CHARACTERS = 1_000_000  # of a value that is kept: beyond it, the beginning


class Unfit(Exception):
    """Raised by checks of values; which value of which column is the caller's to say."""


class Unsure(Exception):
    """Only the engine can say whether it fits. `value` is what would be inserted, in JSON."""

    def __init__(self, value: bytes) -> None:
        super().__init__(value)
        self.value = value


class BadRow(msgspec.Struct, frozen=True):
    """`values` are the texts as received, one for each column of the data source: None for null
    and for a key that is not there. `columns` are those that do not fit, `reasons` say why, in
    the same order; a line that is no JSON object has a reason and no column."""

    values: tuple[str | None, ...]
    columns: tuple[str, ...]
    reasons: tuple[str, ...]


def value_reason(column: str, type: str, value: str) -> str:
    shown = value if len(value) <= _MAX_SHOWN else value[:_MAX_SHOWN] + "..."
    return f"value '{shown}' on column '{column}' is not {type}"


def missing_reason(column: str, type: str) -> str:
    return f"no value on column '{column}': {type} is not Nullable and has no DEFAULT"


def line_reason(line: bytes, problem: Literal["JSON", "object", "depth"], detail: str = "") -> str:
    """Of a line that gives no values: its text stands in the sentence, since in no column."""
    text = keep_text(line)
    if problem == "depth":
        return f"value '{text}' is nested too deeply"
    what = "a JSON object" if problem == "object" else "JSON"
    return f"value '{text}' is not {what}" + (f": {detail}" if detail else "")


def shown_text(raw: bytes) -> str | None:
    """A JSON value as the text to keep: of a string what it says, of all else as written."""
    if raw == b"null":
        return None
    if raw[:1] == b'"':
        try:
            return msgspec.json.decode(raw, type=str)[:MAX_VALUE_CHARACTERS]
        except msgspec.DecodeError:
            return keep_text(raw[1:-1])
    return keep_text(raw)


def keep_text(raw: bytes) -> str:
    """Bytes that may be no UTF-8, bounded."""
    return raw[: 4 * MAX_VALUE_CHARACTERS].decode("utf-8", "replace")[:MAX_VALUE_CHARACTERS]
