"""Token values: stable, unforgeable, and nowhere in the store (tokens.md sections 2 and 8)."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipewren.access.authorize import authorize_endpoint
from pipewren.access.caller import MAX_TOKEN_BYTES, authenticate, caller_of
from pipewren.access.startup import ADMIN_TOKEN, OpenedKeyring, open_keyring
from pipewren.access.token_value import KEY_FILE, read_key, sign_token
from pipewren.errors import Forbidden, StartError
from pipewren.storage.store import FILE_NAME, Store, open_store
from pipewren.storage.tokens import (
    DEFAULT_NAMES,
    MEMBER_TOKEN,
    USER_TOKEN,
    Scope,
    StoredToken,
    list_tokens,
    merge_datafile_tokens,
)
from pipewren.storage.workspaces import Workspace, ensure_workspace

KEY = b"k" * 32
NOW = 1_790_000_000.0
READ = Scope("PIPES:READ", "top")
TOKEN = StoredToken("6f0c", "0a" * 16, "reader", "datafile", 1, frozenset({READ}))
UUID = "0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path)
    yield opened
    opened.close()


def opened(store: Store, **declared: set[Scope]) -> tuple[OpenedKeyring, Workspace]:
    with store.begin() as connection:
        workspace = ensure_workspace(connection, "main")
        if declared:
            merge_datafile_tokens(connection, workspace.id, declared)
        return open_keyring(connection, KEY, [workspace], secrets_key=KEY), workspace


def test_a_value_has_the_shape_that_clients_know() -> None:
    value = sign_token(KEY, TOKEN, workspace_uuid=UUID)
    kind, payload, _ = value.split(".")
    assert kind == "p"
    assert value.startswith("p.e")
    decoded = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert decoded == {"u": UUID, "id": "6f0c", "host": "local"}


def test_another_key_generation_or_token_gives_another_signature() -> None:
    value = sign_token(KEY, TOKEN, workspace_uuid=UUID)
    raised = StoredToken("6f0c", TOKEN.workspace_id, "reader", "datafile", 2, TOKEN.scopes)
    assert sign_token(KEY, raised, workspace_uuid=UUID) != value
    assert sign_token(b"x" * 32, TOKEN, workspace_uuid=UUID) != value
    assert sign_token(KEY, TOKEN, workspace_uuid=UUID) == value


def test_values_are_the_same_after_a_restart(store: Store) -> None:
    first, workspace = opened(store, reader={READ})
    second, _ = opened(store)
    for name in ("reader", ADMIN_TOKEN):
        value = first.keyring.value_of(workspace.id, name)
        assert value is not None
        assert second.keyring.value_of(workspace.id, name) == value
    assert first.admin_is_new
    assert not second.admin_is_new


def test_no_value_and_no_key_stands_in_the_stores_file(store: Store, tmp_path: Path) -> None:
    keyring, workspace = opened(store, reader={READ})
    value = keyring.keyring.value_of(workspace.id, "reader")
    assert value is not None
    for path in tmp_path.glob(f"{FILE_NAME}*"):
        content = path.read_bytes()
        assert value.rsplit(".", 1)[1].encode() not in content
        assert KEY not in content


def test_a_known_token_is_its_caller(store: Store) -> None:
    keyring, workspace = opened(store, reader={READ})
    value = keyring.keyring.value_of(workspace.id, "reader")
    caller = authenticate(value, keyring.keyring, NOW)
    assert (caller.token_name, caller.workspace_id) == ("reader", workspace.id)
    assert caller.pipes == {"top"}
    assert not caller.is_admin


@pytest.mark.parametrize("change", ["last", "first", "shorter", "longer", "case", "generation"])
def test_a_value_changed_anywhere_is_refused(store: Store, change: str) -> None:
    keyring, workspace = opened(store, reader={READ})
    value = keyring.keyring.value_of(workspace.id, "reader")
    assert value is not None
    changed = {
        "last": value[:-1] + ("A" if value[-1] != "A" else "B"),
        "first": "q" + value[1:],
        "shorter": value[:-1],
        "longer": value + "A",
        "case": value.swapcase(),
        "generation": value.rsplit(".", 1)[0] + ".",
    }[change]
    with pytest.raises(Forbidden, match="invalid authentication token"):
        authenticate(changed, keyring.keyring, NOW)


def test_no_token_is_refused_and_the_message_says_how_to_send_one(store: Store) -> None:
    keyring, _ = opened(store)
    for nothing in (None, ""):
        with pytest.raises(Forbidden, match="Authorization: Bearer"):
            authenticate(nothing, keyring.keyring, NOW)


def test_a_refused_token_is_not_echoed(store: Store) -> None:
    keyring, _ = opened(store)
    for secret in ("p.eySECRETSECRET.SIGNATURE", "another-secret-text"):
        with pytest.raises(Forbidden) as raised:
            authenticate(secret, keyring.keyring, NOW)
        assert "SECRET" not in str(raised.value)
        assert "another" not in str(raised.value)


def test_an_endless_or_undecodable_token_is_refused(store: Store) -> None:
    keyring, _ = opened(store)
    for token in ("x" * (MAX_TOKEN_BYTES + 1), "p.\udcff.x", "p.\ud800.x", "p.\x00.x"):
        with pytest.raises(Forbidden):
            authenticate(token, keyring.keyring, NOW)


def test_scopes_say_which_endpoints_may_be_called() -> None:
    def may(*scopes: Scope) -> bool:
        token = StoredToken("1", "w", "t", "api", 1, frozenset(scopes))
        try:
            authorize_endpoint(caller_of(token), "top", "t_1")
        except Forbidden as error:
            return "PIPES:READ:top" not in str(error)
        return True

    assert may(READ)
    assert may(Scope("PIPES:READ", "t_1"))
    assert may(Scope("ADMIN"))
    assert may(Scope("ADMIN_USER"))
    assert may(Scope("WORKSPACE:READ_ALL"))
    assert not may()
    assert not may(Scope("PIPES:READ", "other"))
    assert not may(Scope("PIPES:READ", "to"))
    assert not may(Scope("DATASOURCES:READ", "top"))
    assert not may(Scope("PIPES:CREATE"), Scope("TOKENS"), Scope("DATASOURCES:CREATE"))


def test_a_scope_with_a_filter_gives_no_right_where_the_filter_is_not_applied() -> None:
    token = StoredToken("1", "w", "t", "api", 1, frozenset({Scope("PIPES:READ", "top", "a = 1")}))
    with pytest.raises(Forbidden, match="only under a filter"):
        authorize_endpoint(caller_of(token), "top", "t_1")
    grant = authorize_endpoint(caller_of(token), "top", "t_1", tables={})
    assert grant.result_filters == ("a = 1",)


def test_scopes_of_one_name_in_many_files_are_merged_and_vanished_ones_removed(
    store: Store,
) -> None:
    other = Scope("DATASOURCES:READ", "events")
    _, workspace = opened(store, reader={READ, other}, gone={READ})
    with store.begin() as connection:
        before = {token.name: token for token in list_tokens(connection, workspace.id)}
        merge_datafile_tokens(connection, workspace.id, {"reader": {other}})
        after = {token.name: token for token in list_tokens(connection, workspace.id)}
    assert before["reader"].scopes == {READ, other}
    assert after["reader"].scopes == {other}
    assert after["reader"].id == before["reader"].id
    assert after.keys() == {"reader", *DEFAULT_NAMES}


def test_a_datafile_cannot_widen_or_take_over_the_admin_token(store: Store) -> None:
    _, workspace = opened(store)
    with store.begin() as connection:
        merge_datafile_tokens(connection, workspace.id, {ADMIN_TOKEN: {READ}})
        merge_datafile_tokens(connection, workspace.id, {})
        tokens = list_tokens(connection, workspace.id)
    assert {token.name: token.scopes for token in tokens}[ADMIN_TOKEN] == {Scope("ADMIN")}
    assert {token.origin for token in tokens} == {"default"}


def test_a_datafile_cannot_take_the_admin_tokens_name_before_it_is_made(store: Store) -> None:
    keyring, workspace = opened(store, **{ADMIN_TOKEN: {READ}})
    value = keyring.keyring.value_of(workspace.id, ADMIN_TOKEN)
    assert authenticate(value, keyring.keyring, NOW).is_admin


def test_a_new_workspace_has_the_three_default_tokens(store: Store) -> None:
    keyring, workspace = opened(store)
    rights = {
        name: authenticate(keyring.keyring.value_of(workspace.id, name), keyring.keyring, NOW)
        for name in DEFAULT_NAMES
    }
    assert rights[ADMIN_TOKEN].is_admin
    assert rights[MEMBER_TOKEN].is_admin
    user = rights[USER_TOKEN]
    assert (user.is_user, user.is_admin, user.reads_all, user.manages_tokens) == (
        *(True, False, False, False),
    )


def test_the_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    key = read_key(tmp_path, None)
    assert len(key) == 32
    assert read_key(tmp_path, None) == key
    assert os.stat(tmp_path / KEY_FILE).st_mode & 0o777 == 0o600


def test_a_key_file_that_others_can_read_stops_the_start(tmp_path: Path) -> None:
    read_key(tmp_path, None)
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(StartError, match="chmod 600"):
        read_key(tmp_path, None)


def test_a_damaged_key_file_stops_the_start(tmp_path: Path) -> None:
    read_key(tmp_path, None)
    (tmp_path / KEY_FILE).write_bytes(b"half")
    with pytest.raises(StartError, match="damaged: 4 bytes"):
        read_key(tmp_path, None)


def test_a_draft_left_by_a_kill_does_not_become_the_key(tmp_path: Path) -> None:
    (tmp_path / "token.new").write_bytes(b"half")
    assert len(read_key(tmp_path, None)) == 32
    assert not (tmp_path / "token.new").exists()
