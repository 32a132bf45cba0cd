"""The table engines a data source may have, and the checks of their keys (datafiles.md section 3).

What an expression means is for the engine to say at CREATE; here it must be whole and name the
columns that an engine needs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from pipewren.project.findings import Findings
from pipewren.project.fragments import (
    Kind,
    Token,
    check_whole,
    split_at_commas,
    unquote_name,
    written,
)
from pipewren.project.lexer import Command
from pipewren.project.model import Column, TableEngine
from pipewren.project.sorting_keys import check_sorting_key, no_sorting_key, refuse_empty_key
from pipewren.project.source import Passage, fail_in, passage_of_text


@dataclass(frozen=True, slots=True)
class EngineRule:
    """What an engine takes: `parameters` are fields of TableEngine that name columns."""

    name: str
    parameters: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    needs_sorting_key: bool = False
    is_stored: bool = True  # has keys, indexes and settings


SUPPORTED_ENGINES = (
    EngineRule("MergeTree"),
    EngineRule("ReplacingMergeTree", ("ver", "is_deleted"), needs_sorting_key=True),
    EngineRule("SummingMergeTree", ("columns",)),
    EngineRule("AggregatingMergeTree"),
    EngineRule("CollapsingMergeTree", ("sign",), ("sign",), needs_sorting_key=True),
    EngineRule(
        "VersionedCollapsingMergeTree",
        ("sign", "version"),
        ("sign", "version"),
        needs_sorting_key=True,
    ),
    EngineRule("Null", is_stored=False),
)
ENGINES: Mapping[str, EngineRule] = {rule.name: rule for rule in SUPPORTED_ENGINES}

MERGE_TREE = ENGINES["MergeTree"]
PARAMETERS = ("ver", "is_deleted", "sign", "version", "columns")

# These settings choose where a table's files lie: with them an author's file could place a table
# anywhere on the server's disks.
REFUSED_SETTINGS = frozenset(("disk", "storage_policy", "table_disk"))
_SETTING_NAME = re.compile(r"[A-Za-z_]\w*\Z")


def read_engine(
    given: Mapping[str, Command], columns: Sequence[Column] | None, findings: Findings
) -> TableEngine:
    """The engine of the directives `given` by field (`name`, `sorting_key`, ...). With `columns`
    None the schema could not be read, and checks that need it are left out."""
    rule = MERGE_TREE
    if "name" in given:
        with findings.catch():
            rule = _find_rule(given["name"].passage)
    values: dict[str, str] = {}
    for name, command in given.items():
        if name == "name":
            continue
        with findings.catch():
            passage = command.passage
            tokens = check_whole(passage)
            if not tokens:
                continue
            if (name in PARAMETERS and name not in rule.parameters) or not rule.is_stored:
                findings.warn(f"{command.name} does nothing for {rule.name}", command.position)
                continue
            if name == "settings":
                read_settings(passage)
            elif name in PARAMETERS and columns is not None:
                _check_columns(command, tokens, columns, several=name == "columns")
            values[name] = passage.text.strip()
    if columns is not None:
        _check_engine(rule, given, values, columns, findings)
    return TableEngine(name=rule.name, **values)


def read_settings(passage: Passage) -> dict[str, str]:
    """ENGINE_SETTINGS as values of a SETTINGS clause by name. Raises DatafileError for what is not
    `name = value` with a plain value, and for settings of where a table lies."""
    settings: dict[str, str] = {}
    for piece in split_at_commas(check_whole(passage)):
        if not piece:
            continue
        name = piece[0].text
        is_plain = (
            len(piece) >= 3
            and _SETTING_NAME.match(name) is not None
            and piece[1].text == "="
            and _is_plain_value(piece[2:])
        )
        if not is_plain:
            raise fail_in(
                passage,
                piece[0].start,
                f"`{written(passage, piece)}` is not a setting",
                hint="Write name = value, where the value is a number, true, false or a 'text'",
            )
        if name.lower() in REFUSED_SETTINGS:
            raise fail_in(
                passage,
                piece[0].start,
                f"The setting {name} is not allowed",
                hint="Where tables lie is chosen by the server",
            )
        settings[name] = written(passage, piece[2:]).replace("- ", "-")
    return settings


def _is_plain_value(tokens: Sequence[Token]) -> bool:
    if len(tokens) == 2 and tokens[0].text == "-":
        return tokens[1].kind is Kind.NUMBER
    return len(tokens) == 1 and (
        tokens[0].kind in (Kind.NUMBER, Kind.STRING) or tokens[0].text.lower() in ("true", "false")
    )


def _find_rule(passage: Passage) -> EngineRule:
    name = passage.text.strip()
    if name in ENGINES:
        return ENGINES[name]
    bare = name.partition("(")[0].strip()
    if not bare:
        raise fail_in(passage, 0, "Missing value after ENGINE", hint="Write ENGINE MergeTree")
    hint: str | None = None
    near = [one for one in ENGINES if one.lower() == bare.lower().removeprefix("replicated")]
    if bare in ENGINES:
        hint = f"Write ENGINE {bare}; its parameters have directives of their own, as ENGINE_VER"
    elif near := near or get_close_matches(bare, ENGINES, 1):
        hint = f"Did you mean {near[0]}?"
    raise fail_in(
        passage,
        0,
        f"Engine {bare} is not supported, supported engines include: {', '.join(ENGINES)}",
        hint=hint,
    )


def _check_columns(
    command: Command, tokens: Sequence[Token], columns: Sequence[Column], *, several: bool
) -> None:
    known = {column.name for column in columns}
    inner = tokens
    if several and tokens[0].text == "(" and tokens[-1].text == ")":
        inner = tokens[1:-1]
    names = [token for token in inner if token.text != ","]
    if not several and len(names) != 1:
        raise fail_in(command.passage, 0, f"{command.name} takes the name of one column")
    for token in names:
        name = unquote_name(token.text)
        if name not in known:
            near = get_close_matches(name, known, 1)
            raise fail_in(
                command.passage,
                token.start,
                f"{command.name} '{name}' is not a column of the SCHEMA",
                hint=f"Did you mean {near[0]}?" if near else None,
            )


def _check_engine(
    rule: EngineRule,
    given: Mapping[str, Command],
    values: Mapping[str, str],
    columns: Sequence[Column],
    findings: Findings,
) -> None:
    place = given.get("name")
    missing = [f"ENGINE_{name.upper()}" for name in rule.required if name not in given]
    if place is not None and missing:
        findings.add(
            fail_in(
                place.passage,
                0,
                f"{rule.name} is missing required parameters: {', '.join(missing)}",
                hint="Each of them names a column of the SCHEMA",
            )
        )
    if place is not None and "is_deleted" in values and "ver" not in given:
        findings.add(
            fail_in(given["is_deleted"].passage, 0, "ENGINE_IS_DELETED needs ENGINE_VER too")
        )
    if "sorting_key" in values:
        with findings.catch():
            check_sorting_key(given["sorting_key"].passage, values, columns)
    if rule.needs_sorting_key and place is not None:
        with findings.catch():
            if "sorting_key" not in given:
                raise no_sorting_key(place.passage, rule.name)
            refuse_empty_key(given["sorting_key"].passage, rule.name)


def read_settings_text(text: str) -> dict[str, str]:
    """The settings of a text that `read_settings` has passed."""
    return read_settings(passage_of_text(text))
