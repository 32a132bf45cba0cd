"""The Tokens API: what it takes and answers, and who may ask."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

import pytest

from pipewren.errors import BadRequest, Forbidden, NotFound
from pipewren.serve.callers import identify
from pipewren.storage.tokens import ADMIN_TOKEN, MEMBER_TOKEN, USER_TOKEN
from tests.api.conftest import WORKSPACE
from tests.api.tokens.conftest import Tokens

KEY = b"k" * 32
JSON = b"application/json"
FORM = b"application/x-www-form-urlencoded"
UNKNOWN = "Token has not enough permissions to get information about this token"


async def test_a_created_token_is_answered_whole_and_works_at_once(tokens: Tokens) -> None:
    token = await tokens.ask(
        "POST", "", {"name": "app_read", "scope": "PIPES:READ:top", "description": "of the app"}
    )
    assert token == {
        "id": token["id"],
        "token": token["token"],
        "name": "app_read",
        "description": "of the app",
        "scopes": [{"type": "PIPES:READ", "resource": "top", "filter": ""}],
        "origin": {"type": "C"},
        "host": "local",
        "is_internal": False,
    }
    caller = identify(token["token"], tokens.server, None)
    assert (caller.token_name, set(caller.pipes)) == ("app_read", {"top"})
    assert await tokens.ask("GET", "/app_read") == token
    assert await tokens.ask("GET", f"/{token['id']}") == token


@pytest.mark.parametrize(
    ("query", "body", "content_type"),
    [
        ({"name": "n", "scope": ["TOKENS", "PIPES:READ:top"], "origin": "C"}, b"", b""),
        (
            {},
            urlencode({"name": "n", "scope": ["TOKENS", "PIPES:READ:top"]}, doseq=True).encode(),
            FORM,
        ),
        ({"name": "other"}, {"name": "n", "scope": ["TOKENS", "PIPES:READ:top"]}, JSON),
        (
            {"name": "n"},
            {"scopes": [{"type": "TOKENS"}, {"type": "PIPES:READ", "resource": "top"}]},
            b"",
        ),
        ({"name": "n"}, {"scopes": ["TOKENS", "PIPE:READ:top"]}, b"text/plain;charset=UTF-8"),
    ],
)
async def test_query_form_and_json_say_the_same(
    tokens: Tokens, query: dict[str, Any], body: Any, content_type: bytes
) -> None:
    token = await tokens.ask("POST", "", query, body, content_type=content_type)
    assert token["name"] == "n"
    assert token["scopes"] == [
        {"type": "PIPES:READ", "resource": "top", "filter": ""},
        {"type": "TOKENS"},
    ]


async def test_a_token_in_the_form_authenticates(tokens: Tokens) -> None:
    form = urlencode({"name": "n", "token": tokens.value(ADMIN_TOKEN)}).encode()
    token = await tokens.ask("POST", "/", {}, form, content_type=FORM, token=None)
    assert token["scopes"] == []


@pytest.mark.parametrize(
    "scope",
    [
        *("ADMIN", "TOKENS", "WORKSPACE:READ_ALL", "WORKSPACE:DEPLOY", "ORG_DATASOURCES:READ"),
        *("DATASOURCES:CREATE", "DATASOURCES:APPEND:visits", "DATASOURCES:READ:visits"),
        *("DATASOURCES:READ:visits:page = 'a:b'", "DATASOURCES:DROP:visits", "PIPES:CREATE"),
        *("PIPES:DROP:top", "PIPES:READ:top", "PIPES:READ:top:page != ''"),
    ],
)
async def test_every_scope_is_taken_by_its_exact_name(tokens: Tokens, scope: str) -> None:
    token = await tokens.ask("POST", "", {"name": "n", "scope": scope})
    (shown,) = token["scopes"]
    written = ":".join(shown[key] for key in ("type", "resource", "filter") if shown.get(key))
    assert written == scope
    assert ("resource" in shown) == (scope.count(":") > 1)


async def test_a_resource_given_by_id_is_the_one_of_its_name(tokens: Tokens) -> None:
    deployment = tokens.server.deployments[WORKSPACE.id]
    scope = f"PIPES:READ:{deployment.pipe_ids['top']}"
    token = await tokens.ask("POST", "", {"name": "n", "scope": scope})
    assert token["scopes"] == [{"type": "PIPES:READ", "resource": "top", "filter": ""}]


async def test_a_token_may_have_two_filters_on_one_source(tokens: Tokens) -> None:
    scopes = ["DATASOURCES:READ:visits:a = 1", "DATASOURCES:READ:visits:b = 2"]
    token = await tokens.ask("POST", "", {"name": "n", "scope": scopes})
    assert [scope["filter"] for scope in token["scopes"]] == ["a = 1", "b = 2"]
    caller = identify(token["token"], tokens.server, None)
    assert caller.datasources == {"visits": ("a = 1", "b = 2")}


@pytest.mark.parametrize(
    ("query", "body", "text"),
    [
        ({}, b"", "name is missing"),
        ({"name": " "}, b"", "must be a text"),
        ({"name": "a/b"}, b"", "no /"),
        ({"name": "a\nb"}, b"", "control characters"),
        ({"name": "x" * 256}, b"", "at most 255"),
        ({"name": "6f0c2d4e-0000-4000-8000-000000000000"}, b"", "look like an id"),
        ({"name": "n", "scope": "PIPES:READ"}, b"", "needs the name of a pipe"),
        ({"name": "n", "scope": "PIPES:READ:nowhere"}, b"", "that there is not"),
        ({"name": "n", "scope": "PIPES:READ:visits"}, b"", "that there is not"),
        ({"name": "n", "scope": "DATASOURCES:READ:top"}, b"", "that there is not"),
        ({"name": "n", "scope": "ADMIN:top"}, b"", "Unknown scope"),
        ({"name": "n", "scope": "WORKSPACE:READ_ALL:top"}, b"", "takes no resource"),
        ({"name": "n", "scope": "DATASOURCES:APPEND:visits:a = 1"}, b"", "takes no filter"),
        ({"name": "n", "scope": "PIPES:READ:top: "}, b"", "filter on top is blank"),
        ({"name": "n", "scope": "ADMIN_USER"}, b"", "Unknown scope"),
        ({"name": "n", "scope": "USER"}, b"", "Unknown scope"),
        ({"name": "n", "scope": "pipes:read:top"}, b"", "Unknown scope"),
        ({"name": "n", "scope": "PIPES:WRITE:top"}, b"", "Unknown scope"),
        ({"name": "n"}, {"scope": 5}, "text or a list"),
        ({"name": "n"}, {"scopes": [5]}, "A scope is a text"),
        ({"name": "n"}, {"scopes": [{"type": "ADMIN", "resource": 1}]}, "A scope is a text"),
        ({"name": "n"}, {"scopes": [{"type": "ADMIN"}], "scope": "ADMIN"}, "either"),
        (
            {"name": "n"},
            {"scopes": [{"type": "PIPES:READ", "resource": "top", "fixed_params": {"a": 1}}]},
            "needs a JWT|need a JWT",
        ),
        ({"name": "n"}, {"limits": {"rps": 1}}, "no limits"),
        ({"name": "n", "scope": ["TOKENS"] * 1001}, b"", "parameters were sent|at most 1000"),
        ({"name": "n", "description": "x" * 2001}, b"", "at most 2000"),
        ({"name": "manager"}, b"", "already exists"),
        ({"name": ADMIN_TOKEN}, b"", "already exists"),
        ({"name": MEMBER_TOKEN}, b"", "already exists"),
    ],
)
async def test_what_cannot_be_made_is_400_and_changes_nothing(
    tokens: Tokens, query: dict[str, Any], body: Any, text: str
) -> None:
    before = await tokens.ask("GET", "")
    error = await tokens.refused("POST", "", query, body)
    assert isinstance(error, BadRequest)
    assert re.search(text, error.message)
    assert await tokens.ask("GET", "") == before


async def test_the_list_shows_default_api_and_datafile_tokens_but_not_the_accounts(
    tokens: Tokens,
) -> None:
    listed = (await tokens.ask("GET", "/"))["tokens"]
    assert {token["name"] for token in listed} == {
        *(ADMIN_TOKEN, MEMBER_TOKEN, "from_files", "manager", "nobody"),
    }
    assert all(tokens.opens(token["token"]) for token in listed)
    shown = {token["name"]: token["scopes"] for token in listed}
    assert shown[ADMIN_TOKEN] == [{"type": "ADMIN"}]
    assert shown[MEMBER_TOKEN] == [{"type": "ADMIN_USER"}]


async def test_an_update_replaces_all_scopes_and_keeps_value_and_id(tokens: Tokens) -> None:
    made = await tokens.ask("POST", "", {"name": "n", "scope": ["TOKENS", "PIPES:READ:top"]})
    body = urlencode({"scope": "PIPES:READ:needs", "name": "m"}).encode()
    changed = await tokens.ask("PUT", "/n", {}, body, content_type=FORM)
    assert changed["scopes"] == [{"type": "PIPES:READ", "resource": "needs", "filter": ""}]
    assert (changed["id"], changed["token"], changed["name"]) == (made["id"], made["token"], "m")
    caller = identify(made["token"], tokens.server, None)
    assert (set(caller.pipes), caller.token_name) == ({"needs"}, "m")
    assert not caller.manages_tokens
    described = await tokens.ask("PUT", f"/{made['id']}", {"description": "d"})
    assert (described["description"], described["scopes"]) == ("d", changed["scopes"])


async def test_a_refresh_ends_the_old_value_at_once_and_for_good(tokens: Tokens) -> None:
    made = await tokens.ask("POST", "", {"name": "n", "scope": "PIPES:READ:top"})
    new = await tokens.ask("POST", "/n/refresh")
    assert {**new, "token": ""} == {**made, "token": ""}
    assert tokens.opens(new["token"])
    assert not tokens.opens(made["token"])
    tokens.reopen()
    assert tokens.opens(new["token"])
    assert not tokens.opens(made["token"])


async def test_a_deleted_token_is_refused_at_once_and_for_good(tokens: Tokens) -> None:
    made = await tokens.ask("POST", "", {"name": "n"})
    assert await tokens.ask("DELETE", "/n") == {"ok": True}
    assert not tokens.opens(made["token"])
    tokens.reopen()
    assert not tokens.opens(made["token"])


async def test_the_admin_may_refresh_itself(tokens: Tokens) -> None:
    old = tokens.value(ADMIN_TOKEN)
    new = await tokens.ask("POST", "/workspace admin token/refresh")
    assert not tokens.opens(old)
    assert new["token"] == tokens.value(ADMIN_TOKEN)


@pytest.mark.parametrize("method_and_path", [("DELETE", "/x"), ("POST", "/x/refresh")])
async def test_what_there_is_not_is_404_where_it_would_be_changed(
    tokens: Tokens, method_and_path: tuple[str, str]
) -> None:
    assert isinstance(await tokens.refused(*method_and_path), NotFound)


async def test_what_there_is_not_is_403_where_it_is_asked_for(tokens: Tokens) -> None:
    error = await tokens.refused("GET", "/x")
    assert isinstance(error, Forbidden)
    assert UNKNOWN in error.message


async def test_an_update_without_a_change_or_to_a_taken_name_is_400(tokens: Tokens) -> None:
    assert isinstance(await tokens.refused("PUT", "/nobody"), BadRequest)
    assert isinstance(await tokens.refused("PUT", "/nobody", {"name": "manager"}), BadRequest)
    assert isinstance(await tokens.refused("PUT", "/missing", {"name": "m"}), NotFound)


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", "", {}),
        ("GET", "/manager", {}),
        ("POST", "", {"name": "n", "scope": "ADMIN"}),
        ("POST", "", {"name": "n", "expiration_time": "9999999999"}),
        ("PUT", "/nobody", {"scope": "ADMIN"}),
        ("POST", "/nobody/refresh", {}),
        ("DELETE", "/manager", {}),
    ],
)
@pytest.mark.parametrize("name", ["nobody", "from_files", USER_TOKEN])
async def test_without_the_scope_nothing_is_told_or_changed(
    tokens: Tokens, name: str, method: str, path: str, query: dict[str, str]
) -> None:
    before = await tokens.ask("GET", "")
    error = await tokens.refused(method, path, query, token=tokens.value(name))
    assert isinstance(error, Forbidden)
    assert "TOKENS or ADMIN" in error.message
    assert await tokens.ask("GET", "") == before


async def test_a_token_may_read_itself_and_nothing_else(tokens: Tokens) -> None:
    own = await tokens.ask("GET", "/nobody", token=tokens.value("nobody"))
    assert own["token"] == tokens.value("nobody")
    assert isinstance(
        await tokens.refused("GET", "/from_files", token=tokens.value("nobody")), Forbidden
    )


async def test_the_scope_tokens_manages_others_but_is_no_way_to_admin(tokens: Tokens) -> None:
    manager = tokens.value("manager")
    listed = (await tokens.ask("GET", "", token=manager))["tokens"]
    assert {token["name"] for token in listed} == {"from_files", "manager", "nobody"}
    assert (await tokens.ask("POST", "", {"name": "n", "scope": "TOKENS"}, token=manager))["token"]
    assert await tokens.ask("DELETE", "/n", token=manager) == {"ok": True}
    for request, kind in (
        (("GET", f"/{ADMIN_TOKEN}"), Forbidden),
        (("POST", f"/{ADMIN_TOKEN}/refresh"), NotFound),
        (("DELETE", f"/{MEMBER_TOKEN}"), NotFound),
        (("PUT", f"/{ADMIN_TOKEN}", {"description": "d"}), NotFound),
        (("POST", "", {"name": "a", "scope": "ADMIN"}), Forbidden),
        (("PUT", "/manager", {"scope": "ADMIN"}), Forbidden),
        (("PUT", "/nobody", {"scope": "ADMIN"}), Forbidden),
    ):
        assert isinstance(await tokens.refused(*request, token=manager), kind)


async def test_the_user_token_is_nowhere_in_the_api(tokens: Tokens) -> None:
    assert isinstance(await tokens.refused("GET", f"/{USER_TOKEN}"), Forbidden)
    assert isinstance(await tokens.refused("DELETE", f"/{USER_TOKEN}"), NotFound)


async def test_a_datafiles_token_is_refreshed_but_changed_in_its_file_only(tokens: Tokens) -> None:
    old = tokens.value("from_files")
    assert (await tokens.ask("POST", "/from_files/refresh"))["token"] != old
    described = await tokens.ask("PUT", "/from_files", {"description": "d"})
    assert described["description"] == "d"
    for request in (
        ("DELETE", "/from_files"),
        ("PUT", "/from_files", {"scope": "ADMIN"}),
        ("PUT", "/from_files", {"name": "m"}),
    ):
        error = await tokens.refused(*request)
        assert isinstance(error, Forbidden)
        assert "project's files" in error.message


async def test_the_name_and_scopes_of_a_default_token_stay(tokens: Tokens) -> None:
    for query in ({"name": "m"}, {"scope": "TOKENS"}):
        error = await tokens.refused("PUT", f"/{ADMIN_TOKEN}", query)
        assert isinstance(error, Forbidden)


async def test_a_value_given_by_setting_is_shown_and_outlives_the_setting(tokens: Tokens) -> None:
    given = "given-by-a-setting-of-32-bytes-or-more"
    tokens.reopen(admin_token=given)
    tokens.reopen()
    assert tokens.value(ADMIN_TOKEN) == given
    assert (await tokens.ask("GET", f"/{ADMIN_TOKEN}"))["token"] == given
    assert given in [one["token"] for one in (await tokens.ask("GET", ""))["tokens"]]


async def test_a_refreshed_value_of_a_setting_does_not_come_back_with_the_setting(
    tokens: Tokens,
) -> None:
    given = "given-by-a-setting-of-32-bytes-or-more"
    tokens.reopen(admin_token=given)
    refreshed = (await tokens.ask("POST", f"/{ADMIN_TOKEN}/refresh"))["token"]
    assert refreshed.startswith("p.")
    for reopened in ({}, {"admin_token": given}, {}, {"admin_token": given}):
        assert not tokens.opens(given)
        assert tokens.value(ADMIN_TOKEN) == refreshed
        tokens.reopen(**reopened)
    other = "another-value-of-the-setting-of-32-bytes"
    tokens.reopen(admin_token=other)
    assert tokens.value(ADMIN_TOKEN) == other
    assert not tokens.opens(refreshed)
    assert (await tokens.ask("POST", f"/{ADMIN_TOKEN}/refresh"))["token"] != refreshed


async def test_a_deleted_value_of_a_setting_does_not_come_back_with_the_setting(
    tokens: Tokens,
) -> None:
    given = "given-by-a-setting-of-32-bytes-or-more"
    tokens.reopen(admin_token=given)
    await tokens.ask("DELETE", f"/{ADMIN_TOKEN}")
    assert not tokens.opens(given)
    tokens.reopen(admin_token=given)
    assert not tokens.opens(given)
    assert tokens.value(ADMIN_TOKEN).startswith("p.")
