"""Reads a `.datasource` file (datafiles.md section 3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from textwrap import dedent

from pipewren.project.connectors import check_connectors
from pipewren.project.directives import DATASOURCE, Fate
from pipewren.project.engines import read_engine
from pipewren.project.findings import Findings
from pipewren.project.fragments import scan
from pipewren.project.indexes import parse_indexes
from pipewren.project.lexer import Command, Include, read_commands
from pipewren.project.model import Column, Datasource, Index, Position, Tags, TokenGrant
from pipewren.project.names import describe_bad_name
from pipewren.project.schema import parse_schema
from pipewren.project.secrets import (
    Secrets,
    has_secret,
    mark_included,
    mark_secrets,
    reveal_secrets,
)
from pipewren.project.shared_directives import (
    fail,
    keep_once,
    read_description,
    read_fate,
    read_tags,
    read_token,
)
from pipewren.project.source import (
    Passage,
    fail_at,
    fail_file,
    passage_of_lines,
    read_source,
)

_ENGINE_FIELDS = {"engine": "name"}
_LISTED = re.compile(r"[,\s]+")


def parse_datasource(
    name: str,
    text: str,
    *,
    file: str,
    secrets: Mapping[str, str] | None = None,
    include: Include | None = None,
) -> Datasource:
    """The data source that `text` describes.

    A pure function of the text, also for uploaded files. `secrets` are the values that
    `tb_secret` finds; with None they are not known here, and `tb_secret` without a default stays
    as written. Raises ProjectErrors with all mistakes of the file.
    """
    findings = Findings(file)
    commands: dict[str, Command] = {}
    tokens: list[TokenGrant] = []
    revealed = Secrets(secrets)
    with findings.catch():
        if problem := describe_bad_name(name):
            raise fail_file(file, f"The data source's name is '{name}': {problem}")
    with findings.catch():
        source = mark_secrets(read_source(text, file=file), revealed, findings)
        include = mark_included(include, revealed, findings)
        for command in read_commands(source, DATASOURCE, findings, include):
            with findings.catch():
                if not read_fate(command, findings):
                    continue
                if command.directive.key == "token":
                    tokens.append(read_token(command, allows_append=True))
                    continue
                keep_once(commands, command, findings)
                commands[command.directive.key] = command
                _refuse_secret_in_sql(command)
    marked = {key for key, one in commands.items() if _has_secret_in_sql(one)}
    for key in marked - {"schema"}:
        del commands[key]
    columns: tuple[Column, ...] | None = None
    schema_text = ""
    if "schema" not in marked and not findings.is_full:
        columns, schema_text = _read_columns(commands.get("schema"), file, findings)
    engine = read_engine(_engine_commands(commands), columns, findings)
    indexes = _read_indexes(commands.get("indexes"), findings)
    if indexes and engine.name == "Null":
        findings.warn("INDEXES does nothing for Null", commands["indexes"].position)
    forward_query = _read_forward_query(commands.get("forward_query"), findings)
    shared_with = _read_shared_with(commands.get("shared_with"), findings)
    backfill = _read_backfill(commands.get("backfill"), findings)
    connectors = {key: one for key, one in commands.items() if one.directive.fate is Fate.CONNECTOR}
    check_connectors(connectors, findings)
    findings.raise_mistakes()
    return Datasource(
        name=name,
        columns=columns or (),
        position=Position(file, 1),
        content=text,
        schema_text=schema_text,
        engine=engine,
        description=reveal_secrets(read_description(commands["description"]), revealed)
        if "description" in commands
        else "",
        tokens=tuple(tokens),
        tags=read_tags(commands["tags"]) if "tags" in commands else Tags(),
        indexes=indexes,
        forward_query=forward_query,
        backfill=backfill,
        shared_with=shared_with,
        attributes={
            key: reveal_secrets(
                one.value.lower() if key == "import_format" else one.value, revealed
            )
            for key, one in connectors.items()
        },
        warnings=findings.ordered_warnings(),
    )


def _has_secret_in_sql(command: Command) -> bool:
    lines = command.block or (command.line,)
    return command.directive.is_sql and any(has_secret(line.text) for line in lines)


def _refuse_secret_in_sql(command: Command) -> None:
    if _has_secret_in_sql(command):
        raise fail(
            command,
            f"tb_secret cannot be used in {command.name}",
            hint="Secrets are for the settings of connectors: a table's definition is shown to "
            "everyone who may read it",
        )


def _read_columns(
    command: Command | None, file: str, findings: Findings
) -> tuple[tuple[Column, ...] | None, str]:
    """The columns (None when some could not be read) and the text they were read from."""
    before = len(findings.mistakes)
    columns: tuple[Column, ...] = ()
    passage: Passage | None = None
    with findings.catch():
        if command is None:
            hint = "Write SCHEMA >, and a line for each column: name Type"
            raise fail_file(file, "SCHEMA is mandatory", hint=hint)
        passage = passage_of_lines(command.block) if command.block else command.passage
        if not passage.text.strip():
            raise fail(command, "SCHEMA is mandatory", hint="Write a line for each column under it")
        columns = parse_schema(passage, findings)
        if not columns and len(findings.mistakes) == before:
            raise fail(command, "The SCHEMA has no column")
    text = dedent(passage.text).strip() if passage else ""
    return (columns if len(findings.mistakes) == before else None), text


def _engine_commands(commands: Mapping[str, Command]) -> dict[str, Command]:
    """The commands of the engine by field of TableEngine."""
    return {
        _ENGINE_FIELDS.get(key, key.removeprefix("engine_")): command
        for key, command in commands.items()
        if key.startswith("engine")
    }


def _read_indexes(command: Command | None, findings: Findings) -> tuple[Index, ...]:
    if command is None:
        return ()
    if command.block is None:
        hint = "Write INDEXES >, then one index a line"
        findings.add(fail(command, "INDEXES must be multiline", hint=hint))
        return ()
    return parse_indexes(command.block, findings)


def _read_forward_query(command: Command | None, findings: Findings) -> str | None:
    if command is None:
        return None
    if command.block is None:
        hint = "Use > to start a multiline SQL block"
        findings.add(fail(command, "SQL must be multiline", hint=hint))
        return None
    text = dedent("\n".join(line.text for line in command.block)).strip()
    if not text:
        findings.add(fail(command, "FORWARD_QUERY has no SQL", hint="Write SELECT and the columns"))
        return None
    with findings.catch():
        first = next(scan(passage_of_lines(command.block)), None)
        if first is None or not first.is_word("SELECT", "WITH"):
            message = "FORWARD_QUERY must be a SELECT of the new columns"
            raise fail_at(command.block[0], 1, message)
    return text


def _read_backfill(command: Command | None, findings: Findings) -> str | None:
    if command is None:
        return None
    with findings.catch():
        if command.value.lower() != "skip":
            raise fail(
                command,
                f"{command.value} is not an allowed value for BACKFILL. Use one of: {{'skip'}}",
            )
    return command.value.lower()


def _read_shared_with(command: Command | None, findings: Findings) -> tuple[str, ...]:
    if command is None:
        return ()
    text = (
        "\n".join(line.text for line in command.block)
        if command.block is not None
        else " ".join(word.value for word in command.words)
    )
    names = (name.strip("\"'") for name in _LISTED.split(text))
    found = tuple(dict.fromkeys(name for name in names if name))
    if not found:
        findings.add(fail(command, "Missing value after SHARED_WITH", hint="Name a workspace"))
    return found
