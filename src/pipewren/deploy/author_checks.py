"""Whether the SQL of a project's files keeps to what it may use, before the engine runs any of it.

Nodes of all pipes, those that nothing reads too, and every way through their templates; the
definitions and FORWARD_QUERYs of data sources, whose expressions a CREATE TABLE runs. Only the
engine's parser is asked, which touches no file, no table and no other server.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipewren.deploy.few_at_once import AT_ONCE, run_few_at_once
from pipewren.engine.contract import Engine, Statement
from pipewren.errors import BadRequest, EngineError, ProjectErrors, ProjectMistake
from pipewren.project.ddl import table_ddl
from pipewren.project.model import Datasource, Project
from pipewren.sql.author_guard import Finding, find_forbidden, find_forbidden_in_table
from pipewren.sql.author_rules import AuthorRules, load_author_rules
from pipewren.sql.author_scan import find_assembled, scan_for_forbidden, scan_pieces
from pipewren.sql.parser import parse_to_read
from pipewren.sql.pipes import CompiledNode, CompiledPipe
from pipewren.sql.tokens import scan_tokens, unquote
from pipewren.sqltext import trusted_sql
from pipewren.template.paths import Paths

_FUNCTIONS = trusted_sql("SELECT name FROM system.functions")
# The text may be SQL all the same: it has no JSON form (UNSUPPORTED_METHOD, BAD_ARGUMENTS,
# NOT_IMPLEMENTED, LOGICAL_ERROR), is too deep or too big, or the engine is out of memory or was
# told to stop. Everything else is the parser's own refusal.
_NOT_CHECKABLE = frozenset({1, 36, 48, 49, 167, 168, 306, 241, 394})


@dataclass(slots=True)
class _Check:
    engine: Engine
    rules: AuthorRules
    slots: asyncio.Semaphore

    async def parse(self, text: str) -> dict[str, Any] | Finding | None:
        """The tree; None for what is no SQL, of which the checks that follow say why; a finding
        for what may be SQL and cannot be looked into."""
        async with self.slots:
            try:
                return await parse_to_read(self.engine, text)
            except BadRequest:
                return Finding("", "it is nested too deeply to be checked", "Split it into nodes")
            except EngineError as error:
                if error.engine_code in _NOT_CHECKABLE:
                    return Finding("", f"it cannot be checked: {error.message}")
                return None


async def find_author_mistakes(
    engine: Engine,
    project: Project,
    pipes: Mapping[str, CompiledPipe],
    *,
    only: Collection[str] | None = None,
) -> dict[str, list[ProjectMistake]]:
    """All that the SQL of the project may not use, by the name of the data source or pipe. `only`
    names the pipes and data sources to look at; None: all. To be called before anything is created
    or described."""
    rules = load_author_rules(engine.capabilities.version)
    there = await engine.run(Statement(_FUNCTIONS, "", "TSV"))
    rules = rules.with_functions_of(there.body.decode().split())
    check = _Check(engine, rules, asyncio.Semaphore(AT_ONCE))
    names: list[str] = []
    waiting: list[Callable[[], Awaitable[list[ProjectMistake]]]] = []
    for datasource in project.datasources.values():
        if only is None or datasource.name in only:
            names.append(datasource.name)
            waiting.append(functools.partial(_check_datasource, check, datasource))
    for pipe in pipes.values():
        if only is None or pipe.name in only:
            names += [pipe.name] * len(pipe.nodes)
            waiting += [
                functools.partial(_check_node, check, pipe, node) for node in pipe.nodes.values()
            ]
    found: dict[str, list[ProjectMistake]] = {}
    for name, mistakes in zip(names, await run_few_at_once(waiting), strict=True):
        if mistakes:
            found.setdefault(name, []).extend(mistakes)
    return found


async def refuse_author_mistakes(
    engine: Engine,
    project: Project,
    pipes: Mapping[str, CompiledPipe],
    *,
    only: Collection[str] | None = None,
) -> None:
    """Raises ProjectErrors with all of them, in order of the files."""
    found = await find_author_mistakes(engine, project, pipes, only=only)
    if found:
        raise ProjectErrors(in_file_order(found))


def in_file_order(found: Mapping[str, Sequence[ProjectMistake]]) -> list[ProjectMistake]:
    """All mistakes of all resources."""
    mistakes = [one for some in found.values() for one in some]
    return sorted(mistakes, key=lambda one: (one.file or "", one.line or 0))


async def _check_node(
    check: _Check, pipe: CompiledPipe, node: CompiledNode
) -> list[ProjectMistake]:
    if node.paths is None:
        findings = await _check_text(check, node.node.sql)
    else:
        findings = await _check_paths(check, node.paths)
    return [
        ProjectMistake(
            f'node "{node.name}" of pipe "{pipe.name}": {_say(one, "pipe")}',
            file=node.node.position.file,
            line=_line_of_node(node, one.name),
            hint=one.hint or None,
        )
        for one in dict.fromkeys(findings)
    ]


async def _check_text(check: _Check, text: str) -> list[Finding]:
    tree = await check.parse(text)
    if tree is None:
        return scan_for_forbidden(text, check.rules)
    return [tree] if isinstance(tree, Finding) else find_forbidden(tree, check.rules)


async def _check_paths(check: _Check, paths: Paths) -> list[Finding]:
    found = await asyncio.gather(*(_check_way(check, paths, text) for text in paths.texts))
    findings = [one for some in found for one in some]
    findings += find_assembled(paths.literals, check.rules)
    if not paths.is_complete:
        findings += scan_pieces(paths.literals, check.rules)
    return _each_name_once(findings)


async def _check_way(check: _Check, paths: Paths, text: str) -> list[Finding]:
    if not text.strip():
        return []  # prints nothing, as a template does whose branches need values
    for candidate in (text, paths.with_numbers(text)):
        tree = await check.parse(candidate)
        if isinstance(tree, Finding):
            return [tree]
        if tree is not None:
            return find_forbidden(
                tree, check.rules, is_open=lambda name: paths.mark_in(name) is not None
            )
    return scan_for_forbidden(text, check.rules)


def _each_name_once(findings: Iterable[Finding]) -> list[Finding]:
    """The first of each name's: ways tell the same in other words."""
    kept: dict[str, Finding] = {}
    for one in findings:
        kept.setdefault(one.name or one.reason, one)
    return list(kept.values())


async def _check_datasource(check: _Check, datasource: Datasource) -> list[ProjectMistake]:
    ddl = table_ddl(datasource, database="w", table=datasource.name)
    tree = await check.parse(ddl)
    if tree is None:
        findings = scan_for_forbidden(ddl, check.rules)
    elif isinstance(tree, Finding):
        findings = [tree]
    else:
        findings = find_forbidden_in_table(tree, check.rules)
    if datasource.forward_query:
        findings += await _check_text(check, datasource.forward_query)
    return [
        ProjectMistake(
            f'data source "{datasource.name}": {_say(one, "data source")}',
            file=datasource.position.file,
            line=_line_in(datasource.content.splitlines(), one.name) or datasource.position.line,
            hint=one.hint or None,
        )
        for one in dict.fromkeys(findings)
    ]


def _say(finding: Finding, kind: str) -> str:
    tells_what_it_does = finding.reason.startswith(("the ", "it reads", "it names", "@@"))
    return finding.reason + (f", which a {kind} may not" if tells_what_it_does else "")


def _line_of_node(node: CompiledNode, name: str) -> int:
    index = _line_in(node.node.sql.splitlines(), name)
    if index is None:
        return node.node.sql_line
    lines = node.node.sql_lines
    return lines[index - 1] if index <= len(lines) else node.node.sql_line + index - 1


def _line_in(lines: Sequence[str], name: str) -> int | None:
    """The first line, from 1, that has `name` as a word."""
    for number, line in enumerate(lines, 1):
        if name and any(
            token.is_name and unquote(token).lower() == name.lower() for token in scan_tokens(line)
        ):
            return number
    return None
