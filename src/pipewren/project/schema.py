"""Reads the SCHEMA of a data source into columns (datafiles.md section 3, Column)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipewren.errors import DatafileError
from pipewren.project.column_types import read_type
from pipewren.project.findings import Findings
from pipewren.project.fragments import Kind, Token, refuse_invalid, scan, unquote_name, written
from pipewren.project.model import Column
from pipewren.project.source import Passage, fail_in, position_in

MAX_COLUMNS = 2_048  # limits.md section 3
_BLANK = re.compile(r"(?:\s+|--[^\n]*|/\*.*?\*/)*", re.DOTALL)
_NAME = re.compile(r"[^\s,`]+")
_BAD_IN_NAME = re.compile(r"[^\w.*<>+\-']")
_JSONPATH = re.compile(r"\$(?:\.[^\s.\[\]'`]+|\.?\['[^'`]+'\]|\[:\])*")
_REFUSED = {
    "MATERIALIZED": "MATERIALIZED columns are not supported",
    "ALIAS": "ALIAS columns are not supported",
    "EPHEMERAL": "EPHEMERAL columns are not supported",
    "TTL": "column TTL is not supported",
    "COMMENT": "column COMMENT is not supported",
}
_KEYWORDS = ("DEFAULT", "CODEC", "NULL", "NOT", *_REFUSED)
_HINTS = {
    "MATERIALIZED": "Use DEFAULT",
    "ALIAS": "Compute it in a node of a pipe",
    "TTL": "Use ENGINE_TTL, for whole rows",
    "COMMENT": "Use a comment: -- text",
}


@dataclass(slots=True)
class _Parts:
    """What stands behind a column's name, as far as it is read."""

    type: str = ""
    jsonpath: str | None = None
    default: str | None = None
    codec: str | None = None


def parse_schema(passage: Passage, findings: Findings) -> tuple[Column, ...]:
    """The columns; each one that cannot be read is a mistake, and the reading goes on behind the
    comma after it, as far as brackets and quotes are closed."""
    columns: list[Column] = []
    seen: set[str] = set()
    offset = _skip_blank(passage.text, 0)
    while offset < len(passage.text) and not findings.is_full:
        start = offset
        try:
            name, offset = _read_name(passage, start)
        except DatafileError as error:
            findings.add(error)
            behind = _behind_name(passage.text, start)
            if behind is None:
                break
            name, offset = "", behind
        tokens: list[Token] = []
        try:
            offset = _read_column(passage, offset, tokens)
        except DatafileError as error:
            findings.add(error)
            break  # a bracket or quote is open: where the next column begins cannot be told
        if name:
            with findings.catch():
                column = _make_column(passage, start, name, tokens)
                if name in seen:
                    raise fail_in(passage, start, f"Duplicate column '{name}'")
                seen.add(name)
                columns.append(column)
        offset = _skip_blank(passage.text, offset)
    with findings.catch():
        if len(columns) > MAX_COLUMNS:
            raise fail_in(
                passage, 0, f"The SCHEMA has {len(columns)} columns; at most {MAX_COLUMNS} go"
            )
    return tuple(columns)


def _skip_blank(text: str, offset: int) -> int:
    match = _BLANK.match(text, offset)
    return match.end() if match else offset


def _read_name(passage: Passage, start: int) -> tuple[str, int]:
    text = passage.text
    if text[start] == "`":
        end = text.find("`", start + 1)
        if end < 0 or "\n" in text[start:end]:
            raise fail_in(passage, start, "Expected closing backtick")
        name = text[start + 1 : end]
        if bad := re.search(r"\s|\\", name):
            raise fail_in(
                passage,
                start + 1 + bad.start(),
                f"Column name contains invalid character {bad[0]!r}",
                hint="A column's name has no blanks and no backslash, also not in backticks",
            )
        if name.startswith("json:") or not name:
            raise fail_in(passage, start, "Column name and either type or DEFAULT are required")
        return name, end + 1
    match = _NAME.match(text, start)
    if match is None:
        raise fail_in(passage, start, "Column name and either type or DEFAULT are required")
    name = match[0]
    if bad := _BAD_IN_NAME.search(name):
        raise fail_in(
            passage,
            start + bad.start(),
            f"Column name contains invalid character '{bad[0]}'",
            hint="Put the name in backticks: `name`",
        )
    if name.upper() == "INDEX":
        raise fail_in(
            passage,
            start,
            "Forbidden INDEX definition",
            hint="Put it in a block of its own: INDEXES >",
        )
    return name, match.end()


def _behind_name(text: str, start: int) -> int | None:
    """Where to go on behind a bad name; None when that cannot be told."""
    if text[start] == "`":
        end = text.find("`", start + 1)
        return None if end < 0 else end + 1
    match = _NAME.match(text, start)
    return match.end() if match else start


def _read_column(passage: Passage, offset: int, tokens: list[Token]) -> int:
    """Add the tokens up to the comma that ends the column; returns the offset behind it."""
    for token in scan(passage, offset):
        if token.kind is Kind.MARK and token.text == "," and token.depth == 0:
            return token.end
        tokens.append(token)
    return len(passage.text)


def _make_column(passage: Passage, start: int, name: str, tokens: Sequence[Token]) -> Column:
    refuse_invalid(passage, tokens)
    parts = _Parts()
    index = 0
    while index < len(tokens):
        token = tokens[index]
        if _is_jsonpath(token):
            if parts.jsonpath is not None:
                raise fail_in(
                    passage,
                    token.start,
                    f"Column '{name}' has two JSON paths",
                    hint="Is a comma missing?",
                )
            parts.jsonpath = _read_jsonpath(passage, token)
            index += 1
        elif token.is_word("DEFAULT"):
            if parts.codec is not None:
                raise fail_in(passage, token.start, "Unexpected DEFAULT after CODEC")
            taken = _take(tokens, index + 1, until=("CODEC", *_REFUSED, "DEFAULT"))
            if not taken:
                raise fail_in(passage, token.start, "Missing mandatory value for DEFAULT")
            parts.default = written(passage, taken)
            index += 1 + len(taken)
        elif token.is_word("CODEC"):
            codec = _take_brackets(tokens, index + 1)
            if len(codec) < 3:
                raise fail_in(passage, token.start, "Missing mandatory value for CODEC")
            parts.codec = written(passage, codec[1:-1])
            index += 1 + len(codec)
        elif token.is_word("NULL"):
            raise _null(passage, token, "NULL")
        elif token.is_word("NOT") and index + 1 < len(tokens) and tokens[index + 1].is_word("NULL"):
            raise _null(passage, token, "NOT NULL")
        elif token.is_word(*_REFUSED):
            word = token.text.upper()
            raise fail_in(passage, token.start, _REFUSED[word], hint=_HINTS.get(word))
        elif parts.type or parts.default is not None or parts.codec is not None:
            raise fail_in(
                passage,
                token.start,
                f"Error parsing column '{name}': unexpected {token.text}",
                hint="Is a comma missing before it?",
            )
        else:
            taken = _take(tokens, index, until=_KEYWORDS)
            parts.type = read_type(passage, taken)
            index += len(taken)
    return _finish(passage, start, name, parts)


def _finish(passage: Passage, start: int, name: str, parts: _Parts) -> Column:
    if not parts.type and parts.default is None:
        raise fail_in(passage, start, "Column name and either type or DEFAULT are required")
    column = Column(
        name=name,
        type=parts.type,
        position=position_in(passage, start),
        jsonpath=parts.jsonpath,
        default=parts.default,
        codec=parts.codec,
    )
    if column.is_nullable and (column.default or "").upper() == "NULL":
        return Column(name, column.type, column.position, column.jsonpath, None, column.codec)
    return column


def _take(tokens: Sequence[Token], start: int, *, until: tuple[str, ...]) -> Sequence[Token]:
    end = start
    while end < len(tokens) and not (tokens[end].is_word(*until) or _is_jsonpath(tokens[end])):
        end += 1
    return tokens[start:end]


def _take_brackets(tokens: Sequence[Token], start: int) -> Sequence[Token]:
    if start >= len(tokens) or tokens[start].text != "(":
        return ()
    for end in range(start + 1, len(tokens)):
        if tokens[end].text == ")" and tokens[end].depth == tokens[start].depth:
            return tokens[start : end + 1]
    return ()


def _is_jsonpath(token: Token) -> bool:
    return token.kind is Kind.QUOTED and token.text.startswith("`json:")


def _read_jsonpath(passage: Passage, token: Token) -> str:
    path = unquote_name(token.text).removeprefix("json:").strip()
    if not _JSONPATH.fullmatch(path):
        raise fail_in(
            passage,
            token.start,
            f"Invalid JSON path `{path}`",
            hint="A path is like $.a, $.a.b, $.a[:], $.a[:].b, or $ for the whole row",
        )
    return path


def _null(passage: Passage, token: Token, syntax: str) -> DatafileError:
    hint = "Use the type Nullable(...)" if syntax == "NULL" else "Types take no NULL by default"
    return fail_in(passage, token.start, f"{syntax} column syntax not supported", hint=hint)
