"""Secrets in the store: sealed, bound to their place, and useless without the key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from pipewren.errors import StartError
from pipewren.storage.schema import secrets
from pipewren.storage.secrets import (
    KEY_FILE,
    SealBroken,
    count_secrets,
    create_secret,
    delete_secret,
    find_secret,
    list_secrets,
    open_secrets,
    seal,
    unseal,
    update_secret,
)
from pipewren.storage.store import Store, open_store
from pipewren.storage.workspaces import ensure_workspace

KEY = bytes(range(32))
GIVEN = "a setting of at least 32 characters"
VALUE = "the value\nwith 'quotes' and é"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path)
    yield opened
    opened.close()


def put(store: Store, key: bytes, workspace: str = "main", **values: str) -> str:
    with store.begin() as connection:
        workspace_id = ensure_workspace(connection, workspace).id
        for name, value in values.items():
            create_secret(connection, workspace_id, name, value, key=key, edited_by="token: 'a'")
    return workspace_id


def test_a_sealed_value_opens_with_the_key_in_its_place_only() -> None:
    sealed = seal(KEY, "w1", "name", VALUE)
    assert unseal(KEY, "w1", "name", sealed) == VALUE
    assert "value" not in sealed
    assert seal(KEY, "w1", "name", VALUE) != sealed
    for key, workspace, name in ((bytes(32), "w1", "name"), (KEY, "w2", "name"), (KEY, "w1", "n")):
        with pytest.raises(SealBroken):
            unseal(key, workspace, name, sealed)


@pytest.mark.parametrize("sealed", ["", "1:", "1:%%%", "plain text", "1:" + "A" * 64])
def test_what_was_not_sealed_does_not_open(sealed: str) -> None:
    with pytest.raises(SealBroken):
        unseal(KEY, "w1", "name", sealed)


def test_a_secret_is_found_changed_and_deleted(store: Store) -> None:
    workspace_id = put(store, KEY, b="2", a="1")
    with store.begin() as connection:
        assert [one.name for one in list_secrets(connection, workspace_id)] == ["a", "b"]
        assert count_secrets(connection, workspace_id) == 2
        before = find_secret(connection, workspace_id, "a")
        changed = update_secret(
            connection, workspace_id, "a", "new", key=KEY, edited_by="token: '" + "x" * 300
        )
        assert before is not None
        assert changed is not None
        assert changed.created_at == before.created_at
        assert changed.updated_at > before.updated_at
        assert len(changed.edited_by) == 255
        assert update_secret(connection, workspace_id, "c", "", key=KEY, edited_by="") is None
        assert delete_secret(connection, workspace_id, "a")
        assert not delete_secret(connection, workspace_id, "a")
        assert find_secret(connection, workspace_id, "a") is None


def test_each_workspace_has_its_own_values(store: Store, tmp_path: Path) -> None:
    key, empty = open_secrets(store, tmp_path, None)
    assert empty == {}
    one, other = put(store, key, "one", a="1"), put(store, key, "other", a="2", b="3")
    assert open_secrets(store, tmp_path, None) == (
        key,
        {one: {"a": "1"}, other: {"a": "2", "b": "3"}},
    )


def test_no_file_beside_the_key_tells_a_value(store: Store, tmp_path: Path) -> None:
    key, _ = open_secrets(store, tmp_path, None)
    put(store, key, name="needle in the store")
    store.close()
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert all(b"needle in" not in path.read_bytes() for path in tmp_path.iterdir())


def test_a_copy_of_the_store_without_its_key_does_not_start(store: Store, tmp_path: Path) -> None:
    key, _ = open_secrets(store, tmp_path, None)
    put(store, key, name=VALUE)
    (tmp_path / KEY_FILE).unlink()
    with pytest.raises(StartError, match=r"secrets\.key is missing, and the store has 1 secret"):
        open_secrets(store, tmp_path, None)
    assert not (tmp_path / KEY_FILE).exists()


def test_another_key_stops_the_start_and_tells_which_key_it_was(
    store: Store, tmp_path: Path
) -> None:
    key, _ = open_secrets(store, tmp_path, None)
    put(store, key, name=VALUE)
    with pytest.raises(StartError, match="'name' cannot be decrypted: the setting secrets_key"):
        open_secrets(store, tmp_path, GIVEN)
    (tmp_path / KEY_FILE).write_bytes(bytes(32))
    with pytest.raises(StartError, match="'name' cannot be decrypted: the key file"):
        open_secrets(store, tmp_path, None)


def test_a_value_moved_to_another_name_stops_the_start(store: Store, tmp_path: Path) -> None:
    put(store, open_secrets(store, tmp_path, None)[0], name=VALUE)
    with store.begin() as connection:
        connection.execute(update(secrets).values(name="other"))
    with pytest.raises(StartError, match="'other' cannot be decrypted"):
        open_secrets(store, tmp_path, None)


def test_a_key_given_by_setting_needs_no_file(store: Store, tmp_path: Path) -> None:
    key, _ = open_secrets(store, tmp_path, GIVEN)
    workspace_id = put(store, key, name=VALUE)
    assert open_secrets(store, tmp_path, GIVEN)[1] == {workspace_id: {"name": VALUE}}
    assert not (tmp_path / KEY_FILE).exists()
