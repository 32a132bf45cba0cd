"""Deploys over HTTP, on a real server: what goes live, what is staged, what is refused."""

from __future__ import annotations

from pipewren.testing.serving import RunningServer, serving
from pipewren.testing.uploads import upload
from tests.e2e.deployments.conftest import (
    BY_KIND,
    EVENTS,
    PROJECT,
    answering,
    build,
    deploy,
    listed,
    rows_of,
)

EMPTY_LISTS: dict[str, list[str]] = {
    f"{change}_{kind}_names": []
    for change in ("new", "changed", "deleted")
    for kind in ("datasource", "pipe", "data_connector")
}


def test_a_workspace_begins_with_the_empty_deployment_0(server: RunningServer) -> None:
    assert listed(server) == [("0", "data_ready", True)]


def test_a_deploy_is_live_in_its_own_answer_and_the_one_before_ends(server: RunningServer) -> None:
    answer = deploy(server, PROJECT)
    assert answer["result"] == "success"
    deployment = answer["deployment"]
    assert (deployment["id"], deployment["status"], deployment["live"]) == ("1", "data_ready", True)
    assert deployment["new_datasource_names"] == ["events", "totals"]
    assert deployment["new_pipe_names"] == ["by_kind", "sums"]
    assert deployment["errors"] == []
    permission = {"resource_name": "by_kind", "resource_type": "pipe", "permission": "READ"}
    assert deployment["token_changes"] == [
        {
            "token_name": "dashboard",
            "change_type": "new",
            "permission_changes": {
                "added_permissions": [permission],
                "removed_permissions": [],
            },
        }
    ]
    assert rows_of(server, "by_kind") == []
    assert listed(server) == [("1", "data_ready", True)]
    assert server.get("/v1/deployments/0")[1]["deployment"]["status"] in ("deleting", "deleted")
    again = deploy(server, PROJECT)
    assert (again["result"], again["deployment"]["id"]) == ("no_changes", "1")


def test_a_build_tells_what_is_new_and_a_second_one_that_nothing_is(server: RunningServer) -> None:
    first = build(server, PROJECT)
    assert first["result"] == "success"
    assert first["build"]["new_pipe_names"] == ["by_kind", "sums"]
    second = build(server, PROJECT)["build"]
    assert {name: second[name] for name in EMPTY_LISTS} == EMPTY_LISTS
    less = {"datasources/events.datasource": EVENTS}
    assert build(server, less)["build"]["deleted_datasource_names"] == ["totals"]
    assert server.get("/v0/pipes/by_kind.json")[0] == 404


def test_all_mistakes_are_told_at_once_by_file_and_the_old_one_stays(server: RunningServer) -> None:
    deploy(server, PROJECT)
    broken = {
        **PROJECT,
        "endpoints/by_kind.pipe": BY_KIND.replace("totals", "nowhere"),
        "endpoints/second.pipe": "NODE one\nSQL >\n    SELECT nope FROM events\n\nTYPE endpoint\n",
    }
    for answer in (deploy(server, broken), build(server, broken)):
        assert answer["result"] == "failed"
        files = [error["filename"] for error in answer["errors"]]
        assert files == ["endpoints/by_kind.pipe", "endpoints/second.pipe"]
        assert "nowhere" in answer["errors"][0]["error"]
        assert "nope" in answer["errors"][1]["error"]
    syntax = deploy(server, {"a.pipe": "NODE x\nFOO bar\n", "b.datasource": "SCHEMA >\n    a Foo"})
    assert {error["filename"] for error in syntax["errors"]} == {"a.pipe", "b.datasource"}
    assert syntax["deployment"]["errors"] == syntax["errors"]
    both = deploy(server, {**broken, "endpoints/third.pipe": "NODE x\nSQL >\n    SELEKT 1\n"})
    assert [error["filename"] for error in both["errors"]] == [
        "endpoints/by_kind.pipe",
        "endpoints/second.pipe",
        "endpoints/third.pipe",
    ]
    assert rows_of(server, "by_kind") == []
    assert listed(server) == [("1", "data_ready", True)]
    states = [status for _, status, _ in listed(server, include_deleted="true")]
    assert states.count("failed") >= 3


def test_a_check_changes_nothing(server: RunningServer) -> None:
    answer = deploy(server, PROJECT, check="true")
    assert answer["result"] == "success"
    assert answer["deployment"]["new_pipe_names"] == ["by_kind", "sums"]
    assert server.get("/v0/pipes/by_kind.json")[0] == 404
    assert listed(server) == [("0", "data_ready", True)]
    failed = deploy(server, {"a.pipe": "NODE x\n"}, check="true")
    assert (failed["result"], bool(failed["deployment"]["errors"])) == ("failed", True)


def test_a_staged_deployment_answers_beside_the_live_one_until_it_is_promoted(
    server: RunningServer,
) -> None:
    deploy(server, {"a.pipe": answering(1)})
    staged = deploy(server, {"a.pipe": answering(2)}, auto_promote="false")["deployment"]
    assert (staged["status"], staged["live"]) == ("data_ready", False)
    assert listed(server) == [("1", "data_ready", True), ("2", "data_ready", False)]
    assert rows_of(server, "a") == [{"n": 1}]
    assert rows_of(server, "a", __tb__deployment="staging") == [{"n": 2}]
    content = server.request("/v0/pipes/a.pipe", {"__tb__deployment": "staging"}).body.decode()
    assert "SELECT 2" in content
    second = upload(server, "/v1/deploy", {"a.pipe": answering(3)}, {"auto_promote": "true"})
    assert (second.status, "promote or discard" in second.json()["error"]) == (409, True)
    promoted = server.request("/v1/deployments/2/set-live", method="POST")
    assert promoted.status == 200
    assert rows_of(server, "a") == [{"n": 2}]
    assert server.get("/v0/pipes/a.json", __tb__deployment="staging")[0] == 404
    assert server.request("/v1/deployments/1", method="DELETE").status == 200
    assert listed(server) == [("2", "data_ready", True)]


def test_a_discarded_deployment_leaves_nothing_and_a_live_one_cannot_be(
    server: RunningServer,
) -> None:
    deploy(server, {"a.pipe": answering(1)})
    deploy(server, {**PROJECT, "a.pipe": answering(2)}, auto_promote="false")
    gone = server.request("/v1/deployments/2", method="DELETE")
    assert gone.json()["deployment"]["status"] == "deleted"
    assert listed(server) == [("1", "data_ready", True)]
    assert server.get("/v0/pipes/a.json", __tb__deployment="staging")[0] == 404
    live = server.request("/v1/deployments/1", method="DELETE")
    assert (live.status, "is live" in live.json()["error"]) == (409, True)
    assert server.get("/v1/deployments/99")[0] == 404
    assert deploy(server, PROJECT)["result"] == "success"


def test_a_data_source_is_not_dropped_without_leave(server: RunningServer) -> None:
    deploy(server, PROJECT)
    less = {"datasources/events.datasource": EVENTS}
    refused = deploy(server, less)
    assert (refused["result"], len(refused["errors"])) == ("failed", 1)
    assert "totals would be deleted" in refused["errors"][0]["error"]
    assert rows_of(server, "by_kind") == []
    done = deploy(server, less, allow_destructive_operations="true")
    assert done["deployment"]["deleted_datasource_names"] == ["totals"]
    assert done["deployment"]["deleted_pipe_names"] == ["by_kind", "sums"]


def test_the_tokens_of_datafiles_come_keep_their_values_and_go(server: RunningServer) -> None:
    def dashboard() -> str | None:
        tokens = server.get("/v0/tokens")[1]["tokens"]
        return next((one["token"] for one in tokens if one["name"] == "dashboard"), None)

    deploy(server, PROJECT)
    token = dashboard()
    assert token is not None
    assert server.request("/v0/pipes/by_kind.json", token=token).status == 200
    build(server, {**PROJECT, "a.pipe": answering(1)})
    assert dashboard() == token
    assert server.request("/v0/pipes/a.json", token=token).status == 403
    without = {**PROJECT, "endpoints/by_kind.pipe": BY_KIND.replace("TOKEN dashboard READ", "")}
    build(server, without)
    assert dashboard() is None
    assert server.request("/v0/pipes/by_kind.json", token=token).status == 403


def test_deployments_and_what_is_staged_outlive_a_restart(own_server: RunningServer) -> None:
    deploy(own_server, {"a.pipe": answering(1)})
    deploy(own_server, {"a.pipe": answering(2)}, auto_promote="false")
    own_server.stop()
    with serving(own_server.project_dir, own_server.data_dir) as again:
        assert listed(again) == [("1", "data_ready", True), ("2", "data_ready", False)]
        assert rows_of(again, "a") == [{"n": 1}]
        assert rows_of(again, "a", __tb__deployment="staging") == [{"n": 2}]
        assert again.request("/v1/deployments/2/set-live", method="POST").status == 200
        assert rows_of(again, "a") == [{"n": 2}]


def test_what_is_no_project_is_refused_by_name(server: RunningServer) -> None:
    plain = server.request("/v1/deploy", method="POST", body=b"{}")
    assert (plain.status, "multipart/form-data" in plain.json()["error"]) == (400, True)
    outside = upload(server, "/v1/build", {"../../etc/x.pipe": answering(1)})
    assert (outside.status, "inside a project" in outside.json()["error"]) == (400, True)
    cut = server.request(
        "/v1/build",
        method="POST",
        headers={"Content-Type": "multipart/form-data; boundary=b"},
        body=b"--b\r\nContent-Disp",
    )
    assert cut.status == 400
    assert server.request("/v1/deploy", method="POST", token=None).status == 403
    params = {"name": "reader", "scope": "PIPES:READ:nothing"}
    deploy(server, {"nothing.pipe": answering(1)})
    reader = server.request("/v0/tokens", params, method="POST").json()["token"]
    assert upload(server, "/v1/deploy", PROJECT, token=reader).status == 403
    assert server.request("/v1/deployments", token=reader).status == 403


def test_a_token_line_with_the_name_of_a_token_of_the_api_is_told_and_changes_nothing(
    server: RunningServer,
) -> None:
    made = server.request(
        "/v0/tokens", {"name": "dashboard", "scope": "PIPES:CREATE"}, method="POST"
    )
    assert made.status == 200, made.body
    files = {
        **PROJECT,
        "endpoints/single.pipe": "TOKEN plain READ\nTOKEN 'user token' READ\n" + answering(1),
    }
    deployment = deploy(server, files)["deployment"]
    told = {(one["level"], one["resource"]): one["message"] for one in deployment["feedback"]}
    message = told["WARNING", "by_kind.pipe"]
    assert message.startswith("TOKEN dashboard READ has no effect")
    assert "made by the Tokens API" in message
    assert message.endswith("(line 2)")
    assert "one of the server's own" in told["WARNING", "single.pipe"]
    assert [one["token_name"] for one in deployment["token_changes"]] == ["plain"]
    kept = server.get("/v0/tokens/dashboard")[1]
    assert kept == made.json()
    assert server.request("/v0/pipes/by_kind.json", token=kept["token"]).status == 403
    assert server.request("/v0/tokens/dashboard", method="DELETE").status == 200
    answer = deploy(server, files)
    assert answer["result"] == "no_changes"
    assert [one["resource"] for one in answer["deployment"]["feedback"]] == ["single.pipe"]
    token = server.get("/v0/tokens/dashboard")[1]["token"]
    assert server.request("/v0/pipes/by_kind.json", token=token).status == 200
