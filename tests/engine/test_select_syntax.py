"""ClickHouse's everyday SELECT syntax gives over the Query API what it gives on the bare engine.

`tests/golden/select_syntax` has the statements, several hundred of the kind that ClickHouse's
documentation shows. Expected is what an unguarded connection of the same engine answers, with the
settings that docs/engine.md names. Three tokens ask: one that reads all, one of these data
sources (each by itself), and one with a row filter that every row meets.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx2
import pytest
import pytest_asyncio

from pipewren.access.caller import build_keyring
from pipewren.deploy.deployment import Deployment, make_deployment
from pipewren.engine.contract import Lane, Limits, Statement
from pipewren.engine.embedded import EmbeddedEngine
from pipewren.engine.options import EngineOptions
from pipewren.engine.profile import Profile, make_reader_profile, set_statement
from pipewren.project.assembly import parse_project
from pipewren.serve.admission import Admission
from pipewren.serve.app import App
from pipewren.serve.filtered_calls import filters_of
from pipewren.serve.server import Server
from pipewren.serve.spool import SpoolRoom
from pipewren.settings import Settings
from pipewren.sql.pipes import CompiledStatement
from pipewren.sqltext import Sql
from pipewren.storage.deployments import State, StoredDeployment, TableVersion
from pipewren.storage.store import open_store
from pipewren.storage.tokens import Scope, StoredToken
from pipewren.storage.workspaces import Workspace as StoredWorkspace

if TYPE_CHECKING:
    from tests.engine.conftest import BareChdb

GOLDEN = Path(__file__).parents[1] / "golden" / "select_syntax"
# Every row meets its filter; no filter is a constant, which the engine would take away.
FILTERS = {
    "events": "id >= 0 AND tenant != ''",
    "users": "version > 0",
    "totals": "page LIKE '/p/%'",
    "quotes": "symbol IN ('acme', 'globex')",
}
ADMIN, READER, FILTERED = "admin's value", "reader's value", "filtered reader's value"
CREATED_AT = "2026-01-31 12:34:56.123456"
SPECIAL = ("descriptions", "settings", "virtual_columns")


def statements(name: str) -> list[str]:
    """Those of one file: a line each, JSON strings in a `.jsonl`."""
    lines = (GOLDEN / name).read_text(encoding="utf-8").splitlines()
    if name.endswith(".jsonl"):
        return [json.loads(line) for line in lines]
    return [line for line in lines if not line.startswith("-- ")]


FILES = sorted(file.name for file in GOLDEN.iterdir() if file.stem not in ("tables", *SPECIAL))


def with_format(sql: str) -> str:
    """`sql` with FORMAT JSONCompact at its end, behind a comment on its last line."""
    if "FORMAT JSONCompact" in sql:
        return sql
    return f"{sql.rstrip().rstrip(';')}\nFORMAT JSONCompact"


@dataclass(slots=True)
class Served:
    """The application, its deployment, and a connection that nothing guards."""

    engine: EmbeddedEngine
    server: Server
    deployment: Deployment
    client: httpx2.AsyncClient
    bare: Any
    expected: dict[str, Any] = field(default_factory=dict)

    async def ask(self, sql: str, token: str) -> httpx2.Response:
        """The Query API's answer to a text in the body."""
        return await self.client.post(
            "/v0/sql",
            content=sql.encode(),
            headers={b"Authorization": b"Bearer " + token.encode(), b"Content-Type": b"text/plain"},
        )

    def answer_bare(self, sql: str) -> Any:
        """Names, types, rows and totals, from the bare engine."""
        if sql not in self.expected:
            body = self.bare.query(sql, "JSONCompact").bytes()
            self.expected[sql] = read_answer(body)
        return self.expected[sql]

    async def find_differences(self, sqls: list[str], token: str) -> list[str]:
        """Of those statements that answer otherwise than on the bare engine, what differs."""
        found = []
        for sql in sqls:
            expected = self.answer_bare(sql)
            answer = await self.ask(with_format(sql), token)
            if answer.status_code != 200:
                found.append(f"{sql}: {answer.status_code} {answer.text[:300]}")
            elif read_answer(answer.content) != expected:
                found.append(f"{sql}: {answer.text[:300]} instead of {expected}")
        return found


def read_answer(body: bytes) -> dict[str, Any]:
    """What must be equal of a JSONCompact document."""
    document = json.loads(body)
    return {key: document.get(key) for key in ("meta", "data", "totals", "rows")}


async def _fill(engine: EmbeddedEngine, database: str) -> dict[str, str]:
    """Make the tables; the text of a datafile for each, by its path."""
    text = (GOLDEN / "tables.sql").read_text(encoding="utf-8")
    for statement in text.split("\n\n")[1:]:
        await engine.execute(Sql(re.sub(r"\{(\w+)\}", r"\1__1", statement)), database=database)
    files = {}
    for name in FILTERS:
        describe = Statement(Sql(f"DESCRIBE TABLE {name}__1"), database, format="JSONCompact")
        columns = json.loads((await engine.run(describe)).body)["data"]
        schema = ",\n".join(f"    `{column[0]}` {column[1]}" for column in columns)
        files[f"datasources/{name}.datasource"] = f"SCHEMA >\n{schema}\n"
    return files


def _make_tokens(workspace_id: str) -> dict[str, tuple[StoredToken, str]]:
    whole = frozenset(Scope("DATASOURCES:READ", name) for name in FILTERS)
    narrowed = frozenset(Scope("DATASOURCES:READ", name, text) for name, text in FILTERS.items())
    rights = {
        "admin": (frozenset({Scope("ADMIN")}), ADMIN),
        "reader": (whole, READER),
        "filtered": (narrowed, FILTERED),
    }
    return {
        name: (StoredToken(name, workspace_id, name, "api", 1, scopes), value)
        for name, (scopes, value) in rights.items()
    }


def _make_server(
    engine: EmbeddedEngine, deployment: Deployment, folder: Path, limits: Limits
) -> Server:
    workspace = deployment.workspace
    tokens = _make_tokens(workspace.id)
    defaults: dict[str, Any] = {}
    return Server(
        settings=Settings(**defaults),
        engine=engine,
        store=open_store(folder),
        keyring=build_keyring(
            b"key",
            [token for token, _ in tokens.values()],
            workspace_uuids={workspace.id: workspace.uuid},
            given={name: value for name, (_, value) in tokens.items()},
        ),
        deployments={workspace.id: deployment},
        admission=Admission(2),
        limits={Lane.LIGHT: limits, Lane.HEAVY: Limits(max_threads=2)},
        spool_room=SpoolRoom(folder / "spool", 10_000_000, 0),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(
    engine: EmbeddedEngine, bare_chdb: BareChdb, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Served]:
    folder = tmp_path_factory.mktemp("select_syntax")
    stored_workspace = StoredWorkspace(uuid.uuid4().hex, "syntax", None)
    store = f"w_{stored_workspace.id}"
    aliases = f"{store}_d1"
    for database in (store, aliases):
        await engine.execute(Sql(f"CREATE DATABASE {database} ENGINE = Atomic"))
    files = await _fill(engine, store)
    for name in FILTERS:
        alias = Sql(f"CREATE TABLE {name} ENGINE = Alias('{store}', '{name}__1')")
        await engine.execute(alias, database=aliases)
    project = parse_project({path: text.encode() for path, text in files.items()})
    stored = StoredDeployment(
        *(1, stored_workspace.id, 1, "", State.DATA_READY, True),
        *(dict.fromkeys(FILTERS, 1), CREATED_AT, CREATED_AT),
    )
    tables = {name: TableVersion(name, 1, f"t_{name}", "") for name in FILTERS}
    deployment = make_deployment(stored_workspace, stored, project, {}, tables=tables, pipe_ids={})
    limits = Limits(max_memory_bytes=1_000_000_000)
    server = _make_server(engine, deployment, folder, limits)
    app = App(_no_lifespan)
    app.server = server
    transport = httpx2.ASGITransport(app=cast(Any, app), raise_app_exceptions=False)
    profile = make_reader_profile(limits, (), EngineOptions(Path()))
    free = Profile(tuple(one for one in profile.settings if one[0] != "readonly"))
    bare = bare_chdb.connect()
    bare.query(set_statement(free, "bare"))
    bare.query(f"USE {aliases}")
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield Served(engine, server, deployment, client, bare)
    server.store.close()
    bare.query("USE system")
    for database in (aliases, store):
        await engine.execute(Sql(f"DROP DATABASE {database}"))


async def _no_lifespan(app: App, receive: Any, send: Any) -> None:
    raise AssertionError("no lifespan in these tests")


def _all_statements() -> Iterator[str]:
    for name in FILES:
        yield from statements(name)


def test_there_are_many_statements_and_none_twice() -> None:
    found = list(_all_statements())
    assert len(found) == len(set(found)) > 450


async def test_the_bare_engine_answers_each_statement_twice_the_same(served: Served) -> None:
    """Else a difference would prove nothing."""
    for sql in _all_statements():
        first = served.answer_bare(sql)
        assert read_answer(served.bare.query(sql, "JSONCompact").bytes()) == first, sql
        assert first["data"] or sql == "SELECT 1 WHERE 0", sql


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("token", [ADMIN, READER, FILTERED])
async def test_a_statement_answers_as_on_the_bare_engine(
    served: Served, token: str, file: str
) -> None:
    assert await served.find_differences(statements(file), token) == []


@pytest.mark.parametrize("token", [ADMIN, READER, FILTERED])
async def test_settings_at_the_end_do_what_they_do_on_the_bare_engine(
    served: Served, token: str
) -> None:
    assert await served.find_differences(statements("settings.sql"), token) == []


@pytest.mark.parametrize("token", [ADMIN, READER, FILTERED])
async def test_descriptions_are_those_of_the_bare_engine(served: Served, token: str) -> None:
    assert await served.find_differences(statements("descriptions.sql"), token) == []


async def test_virtual_columns_are_read_where_no_row_filter_acts(served: Served) -> None:
    sqls = statements("virtual_columns.sql")
    assert await served.find_differences(sqls, ADMIN) == []
    assert await served.find_differences(sqls, READER) == []
    for sql in sqls:
        assert (await served.ask(with_format(sql), FILTERED)).status_code == 400, sql


@pytest.mark.parametrize("file", FILES)
async def test_an_endpoints_statement_answers_the_same_under_a_filter_that_all_rows_meet(
    served: Served, file: str
) -> None:
    filters = filters_of(served.deployment, served.server)
    conditions = {name: [condition] for name, condition in FILTERS.items()}
    for sql in statements(file):
        if "FORMAT" in sql:
            continue  # no endpoint has one
        text = Sql(sql.rstrip().rstrip(";"))
        made = await filters.apply(CompiledStatement(text), conditions)
        statement = Statement(made.statement.sql, made.database, format="JSONCompact")
        answer = (await served.engine.run(statement)).body
        assert read_answer(answer) == served.answer_bare(sql), made.statement.sql
