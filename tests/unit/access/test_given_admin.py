"""The admin token's value that a setting gives: kept encrypted, ended for good (docs/tokens.md)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from pipewren.access.caller import authenticate, change_keyring
from pipewren.access.startup import ADMIN_TOKEN, OpenedKeyring, open_keyring
from pipewren.errors import Forbidden, StartError
from pipewren.storage.schema import given_tokens
from pipewren.storage.store import Store, open_store
from pipewren.storage.tokens import delete_token, find_token, refresh_token
from pipewren.storage.workspaces import Workspace, ensure_workspace, remove_workspace

KEY = b"k" * 32
SECRETS_KEY = b"s" * 32
GIVEN = "given-by-a-setting-of-32-bytes-or-more"
OTHER = "another-value-of-the-setting-of-32-bytes"
NOW = 1_790_000_000.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path)
    yield opened
    opened.close()


def start(store: Store, *workspaces: str, **options: Any) -> tuple[OpenedKeyring, list[Workspace]]:
    with store.begin() as connection:
        found = [ensure_workspace(connection, name) for name in workspaces or ("main",)]
        opened = open_keyring(connection, KEY, found, **{"secrets_key": SECRETS_KEY, **options})
        return opened, found


def value(store: Store, *workspaces: str, of: int = 0, **options: Any) -> str | None:
    opened, found = start(store, *workspaces, **options)
    return opened.keyring.value_of(found[of].id, ADMIN_TOKEN)


def opens(opened: OpenedKeyring, text: str) -> bool:
    try:
        return authenticate(text, opened.keyring, NOW).is_admin
    except Forbidden:
        return False


def refresh(store: Store, workspace: Workspace, opened: OpenedKeyring) -> OpenedKeyring:
    with store.begin() as connection:
        token = find_token(connection, workspace.id, ADMIN_TOKEN)
        assert token is not None
        changed = refresh_token(connection, token)
    return OpenedKeyring(change_keyring(opened.keyring, changed=[changed]), False)


def test_a_given_value_opens_and_is_never_printed(store: Store) -> None:
    opened, _ = start(store, admin_token=GIVEN)
    assert opens(opened, GIVEN)
    assert not opened.admin_is_new
    assert not opened.notes
    assert GIVEN not in repr(opened)


def test_a_given_value_stays_without_the_setting(store: Store) -> None:
    for options in ({"admin_token": GIVEN}, {}, {"admin_token": GIVEN}, {}):
        opened, found = start(store, **options)
        assert opened.keyring.value_of(found[0].id, ADMIN_TOKEN) == GIVEN
        assert not opened.notes


def test_neither_a_given_value_nor_its_digest_stands_in_a_file(
    store: Store, tmp_path: Path
) -> None:
    start(store, admin_token=GIVEN)
    start(store)
    with store.begin() as connection:  # it is there, sealed
        assert connection.execute(select(given_tokens.c.value)).scalar_one().startswith("1:")
    store.close()
    digests = [hashlib.new(name, GIVEN.encode()) for name in ("md5", "sha1", "sha256", "sha512")]
    telling = [GIVEN.encode(), base64.b64encode(GIVEN.encode())]
    for digest in digests:
        telling += [digest.digest(), digest.hexdigest().encode()]
        telling.append(base64.b64encode(digest.digest()).rstrip(b"="))
    files = list(tmp_path.iterdir())
    assert files
    for path in files:
        content = path.read_bytes()
        assert not [one for one in telling if one in content], path


def test_a_refresh_ends_a_given_value_for_good(store: Store) -> None:
    opened, found = start(store, admin_token=GIVEN)
    refreshed = refresh(store, found[0], opened)
    new = refreshed.keyring.value_of(found[0].id, ADMIN_TOKEN)
    assert new is not None
    assert new.startswith("p.")
    assert not opens(refreshed, GIVEN)
    for options in ({}, {"admin_token": GIVEN}, {}):
        again, _ = start(store, **options)
        assert opens(again, new)
        assert not opens(again, GIVEN)
        told = "\n".join(again.notes)
        assert ("admin_token" in told) == bool(options)
        assert GIVEN not in told
        assert not again.admin_is_new


def test_another_value_of_the_setting_wins_over_what_there_was(store: Store) -> None:
    first = value(store)
    opened, _ = start(store, admin_token=GIVEN)
    assert opens(opened, GIVEN)
    assert "from now on" in opened.notes[0]
    opened, found = start(store, admin_token=OTHER)
    assert opens(opened, OTHER)
    assert not opens(opened, GIVEN)
    assert not opens(opened, first or "")
    refresh(store, found[0], opened)
    assert value(store, admin_token=GIVEN) == GIVEN  # given again, after another one


def test_a_deleted_token_does_not_come_back_with_its_given_value(store: Store) -> None:
    _, found = start(store, admin_token=GIVEN)
    with store.begin() as connection:
        token = find_token(connection, found[0].id, ADMIN_TOKEN)
        assert token is not None
        delete_token(connection, token)
    again, _ = start(store, admin_token=GIVEN)
    assert not opens(again, GIVEN)
    assert again.admin_is_new  # its value is shown this once, as any that the server makes
    assert "not taken" in again.notes[0]


def test_without_its_key_a_given_value_stops_the_start_until_it_is_given_again(
    store: Store,
) -> None:
    start(store, admin_token=GIVEN)
    with pytest.raises(StartError, match="cannot be decrypted") as raised:
        start(store, secrets_key=b"x" * 32)
    assert "secrets_key" in str(raised.value)
    assert GIVEN not in str(raised.value)
    opened, _ = start(store, secrets_key=b"x" * 32, admin_token=GIVEN)
    assert opens(opened, GIVEN)
    assert value(store, secrets_key=b"x" * 32) == GIVEN


def test_an_ended_value_needs_no_key(store: Store) -> None:
    opened, found = start(store, admin_token=GIVEN)
    refresh(store, found[0], opened)
    assert (value(store, secrets_key=b"x" * 32) or "").startswith("p.")


def test_a_kept_value_moved_to_another_generation_or_workspace_does_not_open(store: Store) -> None:
    opened, found = start(store, "main", "other", admin_token=GIVEN)
    refresh(store, found[0], opened)
    with store.begin() as connection:
        connection.execute(update(given_tokens).values(generation=2))
    with pytest.raises(StartError, match="the store was changed"):
        start(store)
    with store.begin() as connection:
        token = find_token(connection, found[1].id, ADMIN_TOKEN)
        assert token is not None
        row = connection.execute(select(given_tokens)).one()._asdict()
        moved = {**row, "workspace_id": found[1].id, "token_id": token.id, "generation": 1}
        connection.execute(insert(given_tokens).values(**moved))
    with pytest.raises(StartError, match="the store was changed"):
        start(store, "other")


def test_one_value_is_the_token_of_one_workspace(store: Store) -> None:
    start(store, "main", admin_token=GIVEN)
    both = ("other", "main")
    opened, found = start(store, *both, admin_token=GIVEN)
    assert authenticate(GIVEN, opened.keyring, NOW).workspace_id == found[0].id
    assert (value(store, *both, of=1) or "").startswith("p.")
    assert value(store, *both) == GIVEN


def test_a_given_value_goes_with_its_workspace(store: Store) -> None:
    _, found = start(store, admin_token=GIVEN)
    with store.begin() as connection:
        remove_workspace(connection, found[0])
        assert not connection.execute(select(given_tokens)).all()
