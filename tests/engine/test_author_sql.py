"""What the SQL of a project's files may not do is refused before the engine runs any of it: nothing
of a file is read and no server is called (engine-guard.md sections 1 and 6, engine-compat.md)."""

from __future__ import annotations

import ctypes
import json
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipewren.deploy.author_checks import find_author_mistakes, refuse_author_mistakes
from pipewren.errors import ProjectErrors, ProjectMistake
from pipewren.project.assembly import parse_project
from pipewren.project.model import Project
from pipewren.sql.author_rules import OWN_FIRST, PASSES, REASONS, load_author_rules
from pipewren.sql.function_list import Access, load_functions
from pipewren.sql.graph import compile_pipes
from pipewren.sql.pipes import CompiledPipe

if TYPE_CHECKING:
    from pipewren.engine.embedded import EmbeddedEngine
    from tests.engine.conftest import BareChdb, Workspace

GOLDEN = Path(__file__).parents[1] / "golden" / "author_sql"
EVENTS = """SCHEMA >
    at DateTime,
    page String,
    n Int64,
    tags Array(String),
    m Map(String, String)

ENGINE MergeTree
ENGINE_SORTING_KEY at
"""
_IN_OPEN = 0x20


def cases(name: str) -> list[list[str]]:
    return [json.loads(line) for line in (GOLDEN / name).read_text(encoding="utf-8").splitlines()]


def lines(name: str) -> list[str]:
    text = (GOLDEN / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if not line.startswith("-- ")]


def literal(sql: str) -> str:
    return sql


def template(sql: str) -> str:
    return f"%\n{sql}"


def branch_not_taken(sql: str) -> str:
    sql = sql.replace("{x:", "{ x:")  # what a template would take for its own
    return f"%\n{{% if defined(never) %}}\n{sql}\n{{% else %}}\nSELECT 1\n{{% end %}}"


def one_pipe_each(
    statements: list[str], wrap: Callable[[str], str]
) -> tuple[Project, Mapping[str, CompiledPipe]]:
    """Pipes `p0`, `p1`, ... of one node each."""
    files = {"datasources/ev.datasource": EVENTS.encode()}
    for number, sql in enumerate(statements):
        body = wrap(sql).replace("\n", "\n    ")
        files[f"pipes/p{number}.pipe"] = f"NODE n\nSQL >\n    {body}\nTYPE endpoint\n".encode()
    project = parse_project(files)
    return project, compile_pipes(project)


@dataclass(slots=True)
class Canary:
    """A file and a port; `touched` tells who has opened the file or called the port since."""

    path: Path
    inotify: int
    server: socket.socket

    def fill(self, sql: str) -> str:
        port = str(self.server.getsockname()[1])
        sql = sql.replace("CANARY", str(self.path)).replace("PORT", port)
        return sql.replace("FOREIGN", "w_deadbeef1234")

    def touched(self) -> bool:
        called = opened = True
        try:
            self.server.accept()[0].close()
        except BlockingIOError:
            called = False
        try:
            os.read(self.inotify, 65536)
        except BlockingIOError:
            opened = False
        return called or opened


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Canary]:
    path = tmp_path / "canary.txt"
    path.write_text("CANARY-7731\n")
    libc = ctypes.CDLL(None, use_errno=True)
    inotify = libc.inotify_init1(os.O_NONBLOCK)
    assert inotify >= 0
    assert libc.inotify_add_watch(inotify, str(path).encode(), _IN_OPEN) >= 0
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield Canary(path, inotify, server)
    os.close(inotify)


def find_missed(
    expected: list[tuple[str, str]], found: Mapping[str, list[ProjectMistake]]
) -> list[str]:
    """The statements that are not refused for the reason."""
    return [
        f"{sql}: {[one.message for one in found.get(f'p{number}', [])]}"
        for number, (reason, sql) in enumerate(expected)
        if not any(re.search(reason, one.message) for one in found.get(f"p{number}", []))
    ]


@pytest.mark.parametrize("wrap", [literal, template, branch_not_taken])
async def test_what_reads_files_the_network_other_databases_or_the_server_is_refused(
    engine: EmbeddedEngine, canary: Canary, wrap: Callable[[str], str]
) -> None:
    expected = [(reason, canary.fill(sql)) for reason, sql in cases("refused.jsonl")]
    if wrap is not literal:
        expected = [(reason, sql.replace("{x:", "{ x:")) for reason, sql in expected]
    project, pipes = one_pipe_each([sql for _, sql in expected], wrap)
    found = await find_author_mistakes(engine, project, pipes)
    assert find_missed(expected, found) == []
    assert len(expected) > 200
    assert not canary.touched()


async def test_the_canaries_tell(bare_chdb: BareChdb, canary: Canary) -> None:
    assert not canary.touched()
    assert "7731" in str(bare_chdb.query(canary.fill("SELECT file('CANARY')")))
    assert canary.touched()
    assert not canary.touched()
    with socket.create_connection(canary.server.getsockname()):
        assert canary.touched()


async def test_a_template_is_refused_for_what_any_way_through_it_may_print(
    engine: EmbeddedEngine, canary: Canary
) -> None:
    expected = [(reason, canary.fill(sql)) for reason, sql in cases("refused_templates.jsonl")]
    project, pipes = one_pipe_each([sql for _, sql in expected], template)
    assert find_missed(expected, await find_author_mistakes(engine, project, pipes)) == []
    assert not canary.touched()


@pytest.mark.parametrize("wrap", [literal, template, branch_not_taken])
async def test_everything_else_passes(engine: EmbeddedEngine, wrap: Callable[[str], str]) -> None:
    project, pipes = one_pipe_each(lines("allowed.sql"), wrap)
    assert await find_author_mistakes(engine, project, pipes) == {}
    assert len(pipes) > 80


async def test_templates_of_the_everyday_pass(engine: EmbeddedEngine) -> None:
    project, pipes = one_pipe_each(lines("allowed_templates.sql"), template)
    assert await find_author_mistakes(engine, project, pipes) == {}


def datasource_with(kind: str, text: str) -> str:
    default = f" DEFAULT {text}" if kind == "DEFAULT" else ""
    made = f"SCHEMA >\n    at DateTime,\n    page String{default}\n\nENGINE MergeTree\n"
    if kind != "ENGINE_SORTING_KEY":
        made += "ENGINE_SORTING_KEY at\n"
    if kind.startswith("ENGINE"):
        made += f"{kind} {text}\n"
    elif kind != "DEFAULT":
        made += f"{kind} >\n    {text}\n"
    return made


@pytest.mark.parametrize(("kind", "reason", "text"), cases("refused_in_datafiles.jsonl"))
async def test_expressions_of_data_sources_are_refused_before_their_table_is_made(
    engine: EmbeddedEngine, canary: Canary, kind: str, reason: str, text: str
) -> None:
    content = datasource_with(kind, canary.fill(text))
    project = parse_project({"datasources/ev.datasource": content.encode()})
    found = (await find_author_mistakes(engine, project, {}))["ev"]
    assert any(reason in one.message for one in found)
    assert 'data source "ev"' in found[0].message
    assert found[0].file == "datasources/ev.datasource"
    assert not canary.touched()


async def test_data_sources_of_the_everyday_pass(engine: EmbeddedEngine) -> None:
    content = """SCHEMA >
    `at` DateTime DEFAULT now() CODEC(DoubleDelta, ZSTD(1)),
    `file` LowCardinality(String) DEFAULT lower('A'),
    `user` String DEFAULT upper(file),
    `tags` Array(String),
    `s` AggregateFunction(sum, Int64)

ENGINE AggregatingMergeTree
ENGINE_PARTITION_KEY toYYYYMM(at)
ENGINE_SORTING_KEY file, user, at
ENGINE_TTL at + toIntervalDay(90) DELETE WHERE file != 'x'
INDEXES >
    INDEX i file TYPE bloom_filter(0.01) GRANULARITY 1
    INDEX j lower(user) TYPE ngrambf_v1(3, 256, 2, 0) GRANULARITY 4

FORWARD_QUERY >
    SELECT at, file, toString(user) AS user, tags, s
"""
    project = parse_project({"datasources/ev.datasource": content.encode()})
    assert await find_author_mistakes(engine, project, {}) == {}


async def test_all_mistakes_are_told_at_once_with_file_and_line(engine: EmbeddedEngine) -> None:
    pipe = """NODE a
SQL >
    SELECT page,
        hostName() AS host,
        file('/x') AS content
    FROM ev

NODE b
SQL >
    %
    SELECT 1
    {% if defined(x) %}
    FROM url('http://x')
    {% end %}
TYPE endpoint
"""
    project = parse_project(
        {
            "datasources/ev.datasource": datasource_with("DEFAULT", "fqdn()").encode(),
            "pipes/p.pipe": pipe.encode(),
        }
    )
    with pytest.raises(ProjectErrors) as raised:
        await refuse_author_mistakes(engine, project, compile_pipes(project))
    told = [(one.file, one.line, one.message) for one in raised.value.mistakes]
    assert told == [
        (
            "datasources/ev.datasource",
            3,
            'data source "ev": the function fqdn() tells of the server or changes its state, which '
            "a data source may not",
        ),
        (
            "pipes/p.pipe",
            4,
            'node "a" of pipe "p": the function hostName() tells of the server or changes its '
            "state, which a pipe may not",
        ),
        (
            "pipes/p.pipe",
            5,
            'node "a" of pipe "p": the function file() reads files of the server, which a pipe '
            "may not",
        ),
        (
            "pipes/p.pipe",
            13,
            'node "b" of pipe "p": the table function url() reaches other servers over the '
            "network, which a pipe may not",
        ),
    ]


async def test_what_is_nested_too_deeply_to_be_looked_into_is_refused(
    engine: EmbeddedEngine,
) -> None:
    deep = "SELECT " + "abs(" * 460 + "length(file('/x'))" + ")" * 460
    project, pipes = one_pipe_each([deep], literal)
    found = await find_author_mistakes(engine, project, pipes)
    assert re.search("too deep|cannot be checked|reads files", found["p0"][0].message)


async def test_every_function_of_the_engine_has_been_looked_at(workspace: Workspace) -> None:
    """One that a later ClickHouse adds must be put on the lists: its test is this one."""
    version = workspace.engine.capabilities.version
    rules, functions = load_author_rules(version), load_functions(version)
    found = (await workspace.query("SELECT name FROM system.functions", format="TSV")).decode()
    there = set(found.split())
    restricted = {name for name, one in functions.exact.items() if one.access is not Access.ANYONE}
    assert there - set(functions.exact) == set()
    assert restricted - set(rules.verdicts) == set()
    assert set(rules.verdicts) - there == set()
    assert {*rules.verdicts.values(), *rules.table_verdicts.values()} <= {
        *(PASSES, OWN_FIRST),
        *REASONS,
    }


def test_every_table_function_of_the_engine_has_been_looked_at(
    engine: EmbeddedEngine, bare_chdb: BareChdb
) -> None:
    rules = load_author_rules(engine.capabilities.version)
    found = bare_chdb.query("SELECT name FROM system.table_functions", "TSV")
    assert set(str(found).split()) == set(rules.table_verdicts)


async def test_a_function_that_nobody_has_looked_at_is_refused(engine: EmbeddedEngine) -> None:
    rules = load_author_rules(engine.capabilities.version)
    later = rules.with_functions_of([*rules.functions.exact, "readDisk"])
    assert later.is_unclassified("readDisk")
    assert later.is_unclassified("READDISKIf")
    assert not later.is_unclassified("exists")
    assert not rules.is_unclassified("readDisk")
