"""What was found of a statement holds for one deployment and the same rights, and no longer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from pipewren.access.caller import change_keyring
from pipewren.deploy.deployment import Deployment
from pipewren.serve.filtered_calls import learned_of
from pipewren.serve.request_record import RequestRecord
from pipewren.sql.recent import Recent
from pipewren.storage.tokens import Scope, StoredToken
from tests.engine.queries import project
from tests.engine.queries.conftest import (
    TOKENS,
    Served,
    check_not_found,
    deploy,
    read_lines,
    read_scope,
    reads,
)

BY_KIND = "endpoints/by_kind.pipe"
SQL = "SELECT hits FROM by_kind WHERE kind = 'click'"


@pytest.fixture
def restored(served: Served) -> Iterator[Served]:
    """Deployments and tokens are as before, afterwards."""
    server = served.server
    deployments, keyring = server.deployments, server.keyring
    yield served
    server.deployments, server.keyring = deployments, keyring


def go_live(served: Served, files: Mapping[str, str]) -> Deployment:
    """Have another deployment of the same tables answer."""
    workspace = served.deployment.workspace
    made = deploy(workspace, files)
    served.server.deployments = {**served.server.deployments, workspace.id: made}
    return made


def give_scopes(served: Served, name: str, *scopes: str) -> None:
    """Change a token of TOKENS."""
    assert name in TOKENS
    workspace_id = served.deployment.workspace.id
    made: frozenset[Scope] = frozenset(map(read_scope, scopes))
    token = StoredToken(name, workspace_id, name, "api", 1, made)
    served.server.keyring = change_keyring(served.server.keyring, changed=[token])


async def test_a_deploy_changes_what_a_known_text_means(restored: Served) -> None:
    q = "SELECT hits FROM _ WHERE kind = 'click'"
    assert await restored.rows(SQL) == [[3]]
    assert (await restored.call("by_kind.csv", q)).text == '"hits"\n3\n'
    files = project.make_files()
    files[BY_KIND] = files[BY_KIND].replace("count()", "toUInt64(sum(n))")
    go_live(restored, files)
    for token in ("admin", "pipes"):
        assert await restored.rows(SQL, token) == [[80]]
        assert (await restored.call("by_kind.csv", q, token)).text == '"hits"\n80\n'


async def test_a_pipe_that_a_deploy_takes_away_is_not_there_any_more(restored: Served) -> None:
    assert await restored.rows(SQL, "pipes") == [[3]]
    files = project.make_files()
    files["endpoints/of_kind.pipe"] = files.pop(BY_KIND)
    go_live(restored, files)
    check_not_found(await restored.ask(SQL, "pipes"), "by_kind")
    check_not_found(await restored.ask(SQL), "by_kind")
    assert await restored.rows(SQL.replace("by_kind", "of_kind")) == [[3]]


async def test_a_name_may_become_that_of_a_pipe(restored: Served) -> None:
    sql = "SELECT count() FROM allowed"
    assert await restored.rows(sql) == [[1]]
    assert await restored.rows("SELECT 'x' IN allowed") == [[0]]
    files = {BY_KIND: project.make_files()[BY_KIND]}
    files["datasources/events.datasource"] = project.make_files()["datasources/events.datasource"]
    files["endpoints/allowed.pipe"] = "NODE n\nSQL >\n    SELECT 'x' AS tenant\nTYPE endpoint\n"
    go_live(restored, files)
    assert await restored.rows(sql) == [[1]]
    assert await restored.rows("SELECT 'x' IN allowed") == [[1]]
    check_not_found(await restored.ask("SELECT * FROM users"), "users")


async def test_a_staged_deployment_answers_who_asks_for_it(restored: Served) -> None:
    files = project.make_files()
    files[BY_KIND] = files[BY_KIND].replace("count()", "toUInt64(sum(n))")
    workspace = restored.deployment.workspace
    restored.server.staged[workspace.id] = deploy(workspace, files)
    try:
        for _ in range(2):
            assert await restored.rows(SQL, "pipes") == [[3]]
            staged = {"__tb__deployment": "staging"}
            assert await restored.rows(SQL, "pipes", **staged) == [[80]]
            answer = await restored.call("by_kind.csv", SQL, "pipes", **staged)
            assert answer.text == '"hits"\n80\n'
    finally:
        del restored.server.staged[workspace.id]
    assert (await restored.ask(SQL, __tb__deployment="staging")).status_code == 404


async def test_a_token_whose_scopes_change_reads_what_it_may_now(restored: Served) -> None:
    sql, name = "SELECT count() FROM events", "reader"
    assert await restored.rows(sql, name) == [[6]]
    give_scopes(restored, name, "DATASOURCES:READ:events:tenant = 'a'")
    assert await restored.rows(sql, name) == [[3]]
    give_scopes(restored, name, "DATASOURCES:READ:events:tenant = 'b' AND n > 40")
    assert await restored.rows(sql, name) == [[2]]
    give_scopes(restored, name, "DATASOURCES:READ:users")
    check_not_found(await restored.ask(sql, name), "events")
    give_scopes(restored, name, "WORKSPACE:READ_ALL")
    assert await restored.rows(sql, name) == [[6]]
    assert await restored.rows("SELECT count() FROM vault", name) == [[2]]
    give_scopes(restored, name, "PIPES:READ:by_kind")
    check_not_found(await restored.ask("SELECT count() FROM vault", name), "vault")
    assert await restored.rows(SQL, name) == [[3]]


async def test_a_secret_that_changes_acts_at_once(restored: Served) -> None:
    server, workspace_id = restored.server, restored.deployment.workspace.id
    secrets = server.secrets[workspace_id]
    assert await restored.rows("SELECT id FROM secretive", "pipes") == [[2]]
    try:
        server.secrets[workspace_id] = {**secrets, "user_name": "Ann"}
        assert await restored.rows("SELECT id FROM secretive", "pipes") == [[1]]
    finally:
        server.secrets[workspace_id] = secrets


async def test_values_and_other_parts_of_a_request_are_not_remembered(served: Served) -> None:
    sql = "SELECT min(tenant) FROM of_tenant"
    for tenant in ("a", "b", "none", "a"):
        found = await served.rows(sql, "pipes", tenant=tenant)
        assert found == [[tenant if tenant != "none" else ""]]
    template = "% SELECT count() FROM {{table(name)}}"
    for name, count in (("users", 2), ("events", 6), ("by_kind", 3)):
        assert await served.rows(template, name=name) == [[count]]
    for pipeline, rows in (("by_kind", 3), ("several", 1), ("by_kind", 3)):
        assert await served.rows("SELECT count() FROM _", pipeline=pipeline) == [[rows]]
    check_not_found(await served.ask("SELECT count() FROM _"), "_")
    answer = await served.call("several.csv", "SELECT count() AS n FROM _")
    assert answer.text == '"n"\n1\n'


async def test_lists_of_any_length_keep_all_their_values_inside_a_pipe(served: Served) -> None:
    """Texts that differ in the length of a list are one to row filters, and not to a table."""
    expected = {
        ("buy",): [6],
        ("view", "click"): [1, 2, 3, 4, 5],
        ("none",): [],
        ("click", "buy", "view"): [1, 2, 3, 4, 5, 6],
        ("buy", "none", "none"): [6],
    }
    fixed = {kinds: served.sign(reads("picked", kinds=",".join(kinds))) for kinds in expected}
    for order in (list(expected), list(reversed(expected))):
        for kinds in order:
            ids = [[number] for number in expected[kinds]]
            sent = {"kinds": list(kinds)}
            answer = await served.send("/v0/pipes/picked.json", token="pipes", params=sent)
            assert [list(row.values()) for row in answer.json()["data"]] == ids
            assert await served.rows("SELECT id FROM picked", "pipes", **sent) == ids
            answer = await served.call("picked.ndjson", "SELECT id FROM _", "pipes", **sent)
            assert [list(row.values()) for row in read_lines(answer)] == ids
            rows = await served.rows("SELECT id FROM picked", fixed[kinds], kinds=["buy", "view"])
            assert rows == ids


async def test_many_different_texts_and_rights_are_answered(served: Served) -> None:
    """More than are remembered of a deployment."""
    learned = learned_of(served.deployment, served.server)
    smaller = replace(learned, statements=type(learned.statements)(8))
    served.server.learned[served.deployment.workspace.id] = smaller
    try:
        for number in [*range(20), *range(20)]:
            sql = f"SELECT count() + {number} FROM events"
            assert await served.rows(sql, "filtered") == [[3 + number]]
            assert await served.rows(sql, "admin") == [[6 + number]]
    finally:
        del served.server.learned[served.deployment.workspace.id]  # the next request makes it


async def test_a_text_that_a_template_has_made_long_is_not_remembered(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand of them would be hundreds of megabytes."""
    kept: list[str] = []
    monkeypatch.setattr(Recent, "keep", lambda _, key, value: kept.append(key[0]))
    bound = served.server.settings.max_sql_bytes
    for size in (10, bound):
        answer = await served.ask("% SELECT length({{String(x)}})", x="x" * size)
        assert answer.text == f"{size}\n"
    assert kept == [" SELECT length('xxxxxxxxxx')"]


async def test_half_of_the_light_lane_is_left_to_endpoints(served: Served) -> None:
    """Of a text that is new nobody knows how slow it is."""
    server = served.server
    records: list[RequestRecord] = []
    server.observers.append(records.append)
    try:
        await served.rows("SELECT 1 AS one")
        server.light_queries += 1000
        await served.rows("SELECT 1 AS one")
        await served.call("by_kind.json", "SELECT count() FROM _")
        await served.send("/v0/pipes/by_kind.json")
    finally:
        server.observers.remove(records.append)
        server.light_queries -= 1000
    lanes = [record.connection.partition("-")[0] for record in records]
    assert lanes == ["light", "heavy", "heavy", "light"]
    assert server.light_queries == 0
