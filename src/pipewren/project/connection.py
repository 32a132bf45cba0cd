"""Reads a `.connection` file: its type and its settings, which later pieces act on."""

from __future__ import annotations

from collections.abc import Mapping

from pipewren.project.directives import CONNECTION
from pipewren.project.findings import Findings
from pipewren.project.lexer import Command, Include, read_commands
from pipewren.project.model import Connection, Position
from pipewren.project.names import describe_bad_name
from pipewren.project.secrets import Secrets, mark_included, mark_secrets, reveal_secrets
from pipewren.project.shared_directives import fail, keep_once, read_description, read_fate
from pipewren.project.source import fail_file, read_source


def parse_connection(
    name: str,
    text: str,
    *,
    file: str,
    secrets: Mapping[str, str] | None = None,
    include: Include | None = None,
) -> Connection:
    """The connection that `text` describes; `secrets` as for `parse_datasource`.

    The settings of no type are checked: which there are is not established. Raises ProjectErrors
    with all mistakes of the file.
    """
    findings = Findings(file)
    commands: dict[str, Command] = {}
    revealed = Secrets(secrets)
    with findings.catch():
        if problem := describe_bad_name(name):
            raise fail_file(file, f"The connection's name is '{name}': {problem}")
    with findings.catch():
        source = mark_secrets(read_source(text, file=file), revealed, findings)
        include = mark_included(include, revealed, findings)
        for command in read_commands(source, CONNECTION, findings, include):
            with findings.catch():
                if read_fate(command, findings):
                    keep_once(commands, command, findings)
                    commands[command.directive.key] = command
        if "type" not in commands and not findings.mistakes:
            hint = "Write TYPE kafka, or another type"
            raise fail_file(file, "A connection needs its TYPE", hint=hint)
        if "type" in commands and not commands["type"].value:
            raise fail(commands["type"], "Missing value after TYPE", hint="Write TYPE kafka")
    findings.raise_mistakes()
    kind = commands["type"]
    findings.warn("Connections are read and kept, and nothing connects by them yet", kind.position)
    return Connection(
        name=name,
        type=reveal_secrets(kind.value, revealed).lower(),
        settings={
            key: reveal_secrets(_setting(command), revealed)
            for key, command in commands.items()
            if key not in ("type", "description")
        },
        position=Position(file, 1),
        content=text,
        description=reveal_secrets(read_description(commands["description"]), revealed)
        if "description" in commands
        else "",
        warnings=findings.ordered_warnings(),
    )


def _setting(command: Command) -> str:
    if command.block is None:
        return command.value
    return "\n".join(line.text.strip() for line in command.block)
