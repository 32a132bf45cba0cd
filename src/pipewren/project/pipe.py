"""Reads a `.pipe` file (datafiles.md section 2). What its SQL means is for higher layers."""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import dedent

from pipewren.project.directives import PIPE
from pipewren.project.findings import Findings
from pipewren.project.lexer import INDENT_HINT, Command, Include, read_commands
from pipewren.project.model import Node, NodeType, Pipe, Position, Tags, TokenGrant
from pipewren.project.names import describe_bad_name
from pipewren.project.nodes import check_node, read_node_type
from pipewren.project.shared_directives import (
    fail,
    keep_once,
    read_description,
    read_fate,
    read_tags,
    read_token,
)
from pipewren.project.source import fail_file, fail_in, passage_of_lines, read_source

_TAGS = (("{{", "}}"), ("{%", "%}"))


@dataclass(slots=True)
class _Draft:
    """What is read so far of a node, or of the pipe before its first node (`name` is None then).
    `commands` are its directives by key, the last of each."""

    name: Command | None = None
    tokens: list[TokenGrant] = field(default_factory=list)
    commands: dict[str, Command] = field(default_factory=dict)


def parse_pipe(name: str, text: str, *, file: str, include: Include | None = None) -> Pipe:
    """The pipe that `text` describes.

    A pure function of the text, also for uploaded files: `include` is given for a project's folder
    only, and INCLUDE is refused without it. Raises ProjectErrors with all mistakes of the file.
    """
    findings = Findings(file)
    drafts = [_Draft()]
    tokens: list[TokenGrant] = []
    with findings.catch():
        if problem := describe_bad_name(name):
            raise fail_file(file, f"The pipe's name is '{name}': {problem}")
    with findings.catch():
        for command in read_commands(read_source(text, file=file), PIPE, findings, include):
            with findings.catch():
                if read_fate(command, findings):
                    _read_command(command, drafts, tokens, findings)
        if len(drafts) == 1 and not findings.mistakes:
            raise fail_file(
                file,
                "Pipe data file must have at least one node",
                hint="Write NODE name, then SQL > and the SELECT in indented lines",
            )
    nodes = _make_nodes(drafts[1:], findings)
    _check_outputs(drafts[1:], nodes, findings)
    findings.raise_mistakes()
    head = drafts[0].commands
    return Pipe(
        name=name,
        nodes=tuple(node for node in nodes if node is not None),
        position=Position(file, 1),
        content=text,
        description=read_description(head["description"]) if "description" in head else "",
        tokens=tuple(tokens),
        tags=read_tags(head["tags"]) if "tags" in head else Tags(),
        warnings=findings.ordered_warnings(),
    )


def _read_command(
    command: Command, drafts: list[_Draft], tokens: list[TokenGrant], findings: Findings
) -> None:
    key = command.directive.key
    draft = drafts[-1]
    if key == "token":
        tokens.append(read_token(command, allows_append=False))
        return
    if key == "node":
        drafts.append(_Draft(command))  # also when its name is bad: what follows belongs to it
        if not command.value:
            raise fail(command, "Missing node name for pipe creation after the NODE label")
        return
    if draft.name is None and key not in ("description", "tags"):
        label = "SQL" if key == "sql" else command.name.lower()
        raise fail(
            command,
            f"{label} must be called after a NODE command",
            hint="Write NODE name on a line before it",
        )
    if key not in ("sql", "description", "tags") and not command.value:
        raise fail(command, f"Missing value after {command.name}", hint=INDENT_HINT)
    if key == "tags" and not command.words:
        raise fail(command, "Missing value after TAGS", hint=INDENT_HINT)
    keep_once(draft.commands, command, findings)
    draft.commands[key] = command


def _make_nodes(drafts: list[_Draft], findings: Findings) -> list[Node | None]:
    nodes: list[Node | None] = []
    seen: set[str] = set()
    for draft in drafts:
        node: Node | None = None
        if draft.name is not None and draft.name.value and not findings.is_full:
            with findings.catch():
                name = draft.name.value
                if problem := describe_bad_name(name):
                    raise fail(draft.name, f"The node's name is '{name}': {problem}")
                if name in seen:
                    raise fail(
                        draft.name,
                        f"Duplicate node name '{name}'",
                        hint="Each node of a pipe has a name of its own",
                    )
                seen.add(name)
            with findings.catch():
                node = _make_node(draft.name, draft, findings)
        nodes.append(node)
    return nodes


def _make_node(name: Command, draft: _Draft, findings: Findings) -> Node:
    commands = draft.commands
    attributes = {
        key: command
        for key, command in commands.items()
        if key not in ("type", "sql", "description", "tags")
    }
    node_type = NodeType.STANDARD
    with findings.catch():
        if "type" in commands:
            node_type = read_node_type(name.value, commands["type"])
        check_node(name, node_type, attributes, findings)
    if "sql" not in commands:
        raise fail(
            name,
            f"Node '{name.value}' has no SQL",
            hint="Write SQL > under it, and the SELECT in indented lines",
        )
    sql, is_template, lines = _read_sql(commands["sql"])
    return Node(
        name=name.value,
        sql=sql,
        is_template=is_template,
        type=node_type,
        position=name.position,
        sql_line=lines[0],
        sql_lines=lines,
        description=read_description(commands["description"]) if "description" in commands else "",
        tags=read_tags(commands["tags"]) if "tags" in commands else Tags(),
        attributes={key: command.value for key, command in attributes.items()},
    )


def _read_sql(command: Command) -> tuple[str, bool, tuple[int, ...]]:
    """The text, whether it is a template, and the file's line of each of its lines."""
    block = command.block
    if block is None:
        raise fail(command, "SQL must be multiline", hint="Use > to start a multiline SQL block")
    text = "\n".join(line.text for line in block)
    lines = tuple(line.number for line in block)
    stripped = text.strip()
    if stripped.startswith("%") and stripped != "%":
        return stripped[1:], True, lines
    if not stripped or stripped == "%":
        raise fail(
            command,
            "Missing sql query for pipe creation after the SQL label",
            hint="Put the SELECT in the indented lines that follow `SQL >`",
        )
    for opener, closer in _TAGS:
        start = text.find(opener)
        if start < 0 or text.find(closer, start) < 0:
            continue
        raise fail_in(
            passage_of_lines(block),
            start,
            "In order to make a query dynamic, it is necessary to start the query with a % "
            "character.",
            hint="Put a line with only % before the SELECT",
        )
    return dedent(text).rstrip(), False, lines


def _check_outputs(drafts: list[_Draft], nodes: list[Node | None], findings: Findings) -> None:
    outputs = [
        draft
        for draft, node in zip(drafts, nodes, strict=True)
        if node is not None and node.type is not NodeType.STANDARD
    ]
    for draft in outputs[1:]:
        findings.add(
            fail(
                draft.commands["type"],
                "Multiple non-standard nodes in pipe. There can only be one",
                hint="Put the other one in a pipe of its own",
            )
        )
