"""The directives that pipes and data sources share: TOKEN, TAGS, DESCRIPTION and the old ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from pipewren.errors import DatafileError
from pipewren.project.directives import Fate
from pipewren.project.findings import Findings
from pipewren.project.lexer import Command
from pipewren.project.model import Tags, TokenGrant
from pipewren.project.source import fail_at

_PERMISSIONS = ("READ", "APPEND")


def read_token(command: Command, *, allows_append: bool) -> TokenGrant:
    """`TOKEN name PERMISSION` (tokens.md section 5). Raises DatafileError."""
    words = command.words
    if len(words) < 2:
        raise fail(
            command,
            'TOKEN takes two params: token name and permission e.g TOKEN "read api token" READ',
        )
    if len(words) > 2:
        raise fail(
            command,
            f"Invalid number of arguments for TOKEN command: {len(words)}. Expected 2 arguments: "
            "token name and permission",
            hint="Put a name with blanks in quotes",
        )
    name, permission = words[0].value, words[1].value.upper()
    if not name.strip():
        raise fail(command, "The token's name is empty")
    if permission not in _PERMISSIONS:
        raise fail_at(
            command.line,
            words[1].column,
            f"Invalid permission: {permission}. Only READ and APPEND are supported",
        )
    if permission == "APPEND" and not allows_append:
        raise fail_at(
            command.line,
            words[1].column,
            f"Invalid permission APPEND for token {name}. Only READ is allowed for pipes",
        )
    return TokenGrant(name, cast(Literal["READ", "APPEND"], permission), command.position)


def read_tags(command: Command) -> Tags:
    """`TAGS a,b,key=value`."""
    names: list[str] = []
    values: list[tuple[str, str]] = []
    for item in command.value.split(","):
        key, equals, value = item.partition("=")
        if equals:
            values.append((key.strip(), value.strip()))
        elif key.strip():
            names.append(key.strip())
    return Tags(tuple(dict.fromkeys(names)), tuple(values))


def read_description(command: Command) -> str:
    """The block without outer blanks, its inner indentation kept; or the words of the line, which
    keep their quotes."""
    if command.block is None:
        return command.joined
    return "\n".join(line.text for line in command.block).strip()


def keep_once(seen: Mapping[str, Command], command: Command, findings: Findings) -> None:
    """Warn when a directive that counts once is given again: the last one counts."""
    if command.directive.key in seen:
        findings.warn(
            f"{command.name} is given more than once; the last one counts", command.position
        )


def read_fate(command: Command, findings: Findings) -> bool:
    """Whether a directive is to be read. Warns of ignored ones, raises DatafileError for refused
    ones."""
    if command.directive.fate is Fate.IGNORED:
        findings.warn(f"{command.name} has been deprecated and will be ignored.", command.position)
        return False
    if command.directive.fate is Fate.REFUSED:
        raise fail(
            command,
            f"{command.name} has been deprecated and is not supported any more.",
            hint="Take the line out",
        )
    return True


def fail(command: Command, message: str, *, hint: str | None = None) -> DatafileError:
    """The error of a mistake in `command`, to be raised."""
    return fail_at(command.line, command.column, message, hint=hint)
