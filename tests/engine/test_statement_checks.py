"""Statements are analysed by the engine at deploy: as calls would run them, with values made for
parameters, in branches that are not taken by default, and only where something has changed."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from pipewren.deploy.checks import check_statements, find_affected
from pipewren.deploy.deployment import Deployment, ResultColumn, make_deployment
from pipewren.errors import ProjectErrors
from pipewren.project.assembly import parse_project
from pipewren.project.ddl import table_ddl
from pipewren.sql.graph import compile_pipes
from pipewren.sqltext import trusted_sql
from pipewren.storage.deployments import State, StoredDeployment
from pipewren.storage.workspaces import Workspace as StoredWorkspace

if TYPE_CHECKING:
    from pipewren.engine.embedded import EmbeddedEngine

EVENTS = "SCHEMA >\n    at DateTime,\n    page String,\n    n Int64\nENGINE MergeTree\n"


@dataclass(slots=True)
class Checker:
    """A deployment's database with the table `ev`."""

    engine: EmbeddedEngine
    workspace: StoredWorkspace
    stored: StoredDeployment

    def deployment(self, **pipes: str) -> Deployment:
        """A pipe of one node for each; `%` in front makes a template of it, lines with `NODE` are
        a whole file."""
        files = {"datasources/ev.datasource": EVENTS.encode()}
        for name, sql in pipes.items():
            body = sql.replace("\n", "\n    ").replace("%", "%\n    ", 1)
            text = f"NODE n\nSQL >\n    {body}\nTYPE endpoint\n"
            files[f"pipes/{name}.pipe"] = (sql if sql.startswith("NODE") else text).encode()
        project = parse_project(files)
        return make_deployment(
            self.workspace,
            self.stored,
            project,
            compile_pipes(project),
            tables={},
            pipe_ids={name: f"t_{name}" for name in pipes},
        )

    async def columns(self, **pipes: str) -> Mapping[str, tuple[ResultColumn, ...] | None]:
        checked = await check_statements(self.engine, self.deployment(**pipes))
        return {name: checked.endpoints[name].columns for name in pipes}

    async def mistakes(self, **pipes: str) -> list[str]:
        with pytest.raises(ProjectErrors) as raised:
            await check_statements(self.engine, self.deployment(**pipes))
        return [one.message for one in raised.value.mistakes]


@pytest_asyncio.fixture(loop_scope="session")
async def checker(engine: EmbeddedEngine) -> AsyncIterator[Checker]:
    workspace = StoredWorkspace(uuid.uuid4().hex, "Checked", None)
    stored = StoredDeployment(1, workspace.id, 1, "", State.CREATING_SCHEMA, False, {}, "", "")
    made = Checker(engine, workspace, stored)
    await engine.execute(trusted_sql(f"CREATE DATABASE {stored.database} ENGINE = Atomic"))
    datasource = made.deployment().project.datasources["ev"]
    await engine.execute(table_ddl(datasource, database=stored.database, table="ev"))
    yield made
    await engine.execute(trusted_sql(f"DROP DATABASE {stored.database}"))


async def test_columns_are_those_of_a_call_without_parameters(checker: Checker) -> None:
    found = await checker.columns(
        a="SELECT page, n FROM ev",
        b="%SELECT page{% if defined(x) %}, n{% end %} FROM ev WHERE n > {{Int32(low, 1)}}",
    )
    assert found["a"] == (ResultColumn("page", "String"), ResultColumn("n", "Int64"))
    assert found["b"] == (ResultColumn("page", "String"),)


async def test_a_required_parameter_gets_a_plausible_value(checker: Checker) -> None:
    found = await checker.columns(
        a="%SELECT toDate({{Date(day)}}) AS d, {{Int32(k)}} AS k FROM ev",
        b="%SELECT {{column(c, 'page')}} FROM ev WHERE page IN {{Array(pages, 'String')}}",
        c="%SELECT {% if kind == 'p' %}page{% else %}{{ error('which kind?') }}{% end %} FROM ev "
        "WHERE page = {{String(kind)}}",
    )
    assert found["a"] == (ResultColumn("d", "Date"), ResultColumn("k", "Int32"))
    assert found["b"] == found["c"] == (ResultColumn("page", "String"),)


async def test_a_mistake_behind_a_required_parameter_is_told(checker: Checker) -> None:
    told = await checker.mistakes(
        a="%SELECT nosuch FROM ev WHERE page = {{String(p)}}",
        b="%SELECT count() FROM nowhere WHERE n = {{Int32(p)}}",
    )
    assert len(told) == 2
    assert "nosuch" in told[0]
    assert "nowhere" in told[1]


async def test_a_value_that_may_be_wrong_is_no_mistake(checker: Checker) -> None:
    await checker.columns(
        a="%SELECT {{column(c)}} FROM ev",
        b="%SELECT toDate(toDateTime({{String(d)}})) FROM ev",
        c="%SELECT count() FROM {{table(t)}}",
        d="%SELECT JSONExtract(page, {{String(k)}}, {{String(kind)}}) FROM ev",
    )


async def test_a_branch_that_is_not_taken_by_default_is_analysed(checker: Checker) -> None:
    told = await checker.mistakes(
        a="%SELECT page{% if defined(x) %}, nosuch{% end %} FROM ev",
        b="%SELECT {% if kind == 'day' %}toDate(at){% elif kind == 'bad' %}toDat(at){% else %}at"
        "{% end %} FROM ev WHERE {{String(kind, 'at')}} != ''",
        c="%SELECT page FROM ev {% if defined(y) %}WHERE n = {{Int32(y)}} AND upper(){% end %}",
    )
    assert ["nosuch" in told[0], "toDat" in told[1], "upper" in told[2]] == [True] * 3
    assert "seen in the statement of a call with kind=bad" in told[1]


async def test_branches_that_need_each_other_are_no_mistake(checker: Checker) -> None:
    await checker.columns(
        a="%SELECT {% if defined(x) %}page,{% end %} count() FROM ev "
        "{% if defined(y) %}GROUP BY page{% end %}",
        b="%{% if defined(x) %}SELECT page FROM ev{% else %}SELECT n FROM ev{% end %} "
        "{% if defined(y) %}UNION ALL SELECT at FROM ev{% end %}",
    )


async def test_what_is_refused_is_never_described(checker: Checker) -> None:
    """A statement that reads it neither, while others are still told."""
    told = await checker.mistakes(
        a="SELECT (SELECT throwIf(1, 'described')), file('/etc/hostname')",
        b="SELECT * FROM a",
        c="SELECT nosuch FROM ev",
    )
    assert len(told) == 2
    assert "file() reads files of the server" in told[0]
    assert "nosuch" in told[1]


async def test_a_node_is_not_blamed_for_one_that_it_reads(checker: Checker) -> None:
    told = await checker.mistakes(
        a="NODE x\nSQL >\n    SELECT nosuch FROM ev\nNODE y\nSQL >\n    SELECT * FROM x\n"
        "TYPE endpoint\n"
    )
    assert len(told) == 1
    assert 'node "x"' in told[0]


async def test_only_what_has_changed_is_checked(checker: Checker) -> None:
    deployment = checker.deployment(
        a="SELECT nosuch FROM ev", b="SELECT page FROM ev", c="SELECT * FROM b"
    )
    old = (ResultColumn("old", "String"),)
    known = {"a": old, "b": old, "c": old}
    checked = await check_statements(checker.engine, deployment, only=["b"], known=known)
    assert checked.endpoints["a"].columns == old
    assert checked.endpoints["b"].columns == (ResultColumn("page", "String"),)
    assert checked.endpoints["c"].columns == (ResultColumn("page", "String"),)
    nothing = await check_statements(checker.engine, deployment, only=[], known=known)
    assert nothing.endpoints["c"].columns == old


async def test_a_changed_data_source_concerns_all_that_read_it(checker: Checker) -> None:
    pipes = checker.deployment(
        a="SELECT 1",
        b="SELECT page FROM ev",
        c="SELECT * FROM b",
        d="%SELECT count() FROM {{table(t)}}",
        e="SELECT * FROM d",
    ).pipes
    assert find_affected(pipes, ["ev"]) == {"b", "c", "d", "e"}
    assert find_affected(pipes, ["a"]) == {"a", "d", "e"}
    assert find_affected(pipes, []) == set()
