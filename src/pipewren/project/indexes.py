"""Reads the lines of INDEXES (datafiles.md section 3, Indexes)."""

from __future__ import annotations

import re

from pipewren.errors import DatafileError
from pipewren.project.findings import Findings
from pipewren.project.fragments import Kind, Token, refuse_invalid, scan, unquote_name, written
from pipewren.project.model import Index
from pipewren.project.source import Line, Passage, fail_in, passage_in_line, position_in

USAGE = "Usage: `[INDEX] name expr TYPE type_full GRANULARITY granularity`"
_LEADING_WORD = re.compile(r"INDEX\s+", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_]\w*\Z")


def parse_indexes(lines: tuple[Line, ...], findings: Findings) -> tuple[Index, ...]:
    """The indexes of a block; each line that cannot be read is a mistake."""
    indexes: dict[str, Index] = {}
    for line in lines:
        text = line.text.strip()
        if text.startswith("--"):
            continue
        if findings.is_full:
            break
        column = len(line.text) - len(line.text.lstrip()) + 1
        with findings.catch():
            index = parse_index(passage_in_line(line, column, text))
            if index.name in indexes:
                raise fail_in(
                    passage_in_line(line, column, text), 0, f"Duplicate index '{index.name}'"
                )
            indexes[index.name] = index
    return tuple(indexes.values())


def parse_index(passage: Passage) -> Index:
    """One index. Raises DatafileError with the usage as hint."""
    # Only the whole word INDEX is taken off: a name may begin with these letters.
    leading = _LEADING_WORD.match(passage.text)
    tokens = list(scan(passage, leading.end() if leading else 0))
    refuse_invalid(passage, tokens)
    if tokens and tokens[-1].text == "," and tokens[-1].kind is Kind.MARK:
        tokens.pop()
    types = [index for index, token in enumerate(tokens) if token.is_word("TYPE")]
    if len(types) != 1 or types[0] < 2:
        raise _invalid(passage, tokens[0] if tokens else None)
    name = unquote_name(tokens[0].text)
    if tokens[0].kind not in (Kind.WORD, Kind.QUOTED) or not _NAME.match(name):
        raise _invalid(passage, tokens[0])
    expression = tokens[1 : types[0]]
    behind = tokens[types[0] + 1 :]
    granularity: int | None = None
    places = [index for index, token in enumerate(behind) if token.is_word("GRANULARITY")]
    if places:
        granularity = _read_granularity(passage, behind, places[0])
        behind = behind[: places[0]]
    is_call = len(behind) > 2 and behind[1].text == "(" and behind[-1].text == ")"
    if not behind or behind[0].kind is not Kind.WORD or (len(behind) > 1 and not is_call):
        raise _invalid(passage, behind[0] if behind else tokens[types[0]])
    if any(token.depth == 0 and token.text == ")" for token in behind[1:-1]):
        raise _invalid(passage, behind[0])
    return Index(
        name=name,
        expression=written(passage, expression),
        type=written(passage, behind).replace(" (", "(", 1),
        granularity=granularity,
        position=position_in(passage, tokens[0].start),
    )


def _read_granularity(passage: Passage, tokens: list[Token], place: int) -> int:
    rest = tokens[place + 1 :]
    if len(rest) != 1 or not rest[0].text.isdecimal() or int(rest[0].text) < 1:
        raise _invalid(passage, rest[0] if rest else tokens[place])
    return int(rest[0].text)


def _invalid(passage: Passage, token: Token | None) -> DatafileError:
    return fail_in(passage, token.start if token else 0, "Invalid INDEX syntax", hint=USAGE)
