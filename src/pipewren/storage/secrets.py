"""Secrets in the store: names and encrypted values (data-apis.md section 5).

A value is sealed by AES-256-GCM under a key that is not in the store, and bound to its workspace
and name: a copy of the store opens nothing, and a value moved to another row does not open.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, select, update

from pipewren.errors import StartError
from pipewren.storage.key_file import read_key_file
from pipewren.storage.schema import secrets
from pipewren.storage.store import FILE_NAME, Store, now_text

KEY_FILE = "secrets.key"
_FORMAT = "1:"  # of a sealed value: this, then base64 of nonce, ciphertext and tag
_NONCE_BYTES = 12
_MAX_EDITOR = 255  # the column's width


class SealBroken(Exception):
    """A value that the key does not open."""


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """All of a secret but its value. Times are those of the store (`now_text`)."""

    name: str
    type: str
    created_at: str
    updated_at: str
    edited_by: str


def open_secrets(
    store: Store, folder: Path, given: str | None
) -> tuple[bytes, dict[str, Mapping[str, str]]]:
    """The key, `given` by setting or of the file in `folder`, and the values of all secrets: by
    workspace id, then by name. Workspaces without secrets are not in it.

    Raises StartError when the key file cannot be used, is missing although there are secrets, or
    is not the key that they were sealed by.
    """
    path = folder / KEY_FILE
    with store.begin() as connection:
        rows = connection.execute(select(secrets)).all()
    if rows and given is None and not path.exists():
        raise StartError(
            f"The key file {path} is missing, and the store has {len(rows)} secrets that only it "
            "opens: put the file back from a backup, or give the setting secrets_key if they were "
            f"made with that. {_give_up(folder)}"
        )
    key = read_secrets_key(folder, given)
    values: dict[str, dict[str, str]] = {}
    for row in rows:
        try:
            value = unseal(key, row.workspace_id, row.name, row.value)
        except SealBroken:
            used = "the setting secrets_key" if given is not None else f"the key file {path}"
            raise StartError(
                f"The secret '{row.name}' cannot be decrypted: {used} is not the key that it was "
                "encrypted with, or the store was changed. Give the key that was in use before "
                f"(the setting secrets_key, or the file {path} without that setting). "
                + _give_up(folder)
            ) from None
        values.setdefault(row.workspace_id, {})[row.name] = value
    return key, dict(values)


def read_secrets_key(folder: Path, given: str | None) -> bytes:
    """The key alone. Raises StartError when the key file cannot be used."""
    return read_key_file(folder / KEY_FILE, given, if_removed="all secrets must be made again then")


def _give_up(folder: Path) -> str:
    return (
        "If the key is lost for good, so are the values: remove them with "
        f"`sqlite3 {folder / FILE_NAME} 'DELETE FROM secrets'`, and make the secrets again."
    )


def list_secrets(connection: Connection, workspace_id: str) -> list[StoredSecret]:
    """All secrets of a workspace, in order of their names."""
    own = select(secrets).where(secrets.c.workspace_id == workspace_id)
    return [_read(row) for row in connection.execute(own.order_by(secrets.c.name))]


def find_secret(connection: Connection, workspace_id: str, name: str) -> StoredSecret | None:
    row = connection.execute(select(secrets).where(_is(workspace_id, name))).one_or_none()
    return None if row is None else _read(row)


def count_secrets(connection: Connection, workspace_id: str) -> int:
    query = select(func.count()).select_from(secrets).where(secrets.c.workspace_id == workspace_id)
    return connection.execute(query).scalar_one()


def create_secret(
    connection: Connection, workspace_id: str, name: str, value: str, *, key: bytes, edited_by: str
) -> StoredSecret:
    """The caller has checked that the name is free."""
    now = now_text()
    made = StoredSecret(name, "secret", now, now, edited_by[:_MAX_EDITOR])
    connection.execute(
        insert(secrets).values(
            workspace_id=workspace_id,
            name=name,
            type=made.type,
            value=seal(key, workspace_id, name, value),
            created_at=made.created_at,
            updated_at=made.updated_at,
            edited_by=made.edited_by,
        )
    )
    return made


def update_secret(
    connection: Connection, workspace_id: str, name: str, value: str, *, key: bytes, edited_by: str
) -> StoredSecret | None:
    """Give a secret another value; None where there is none of that name."""
    connection.execute(
        update(secrets)
        .where(_is(workspace_id, name))
        .values(
            value=seal(key, workspace_id, name, value),
            updated_at=now_text(),
            edited_by=edited_by[:_MAX_EDITOR],
        )
    )
    return find_secret(connection, workspace_id, name)


def delete_secret(connection: Connection, workspace_id: str, name: str) -> bool:
    """Whether there was one."""
    result = connection.execute(delete(secrets).where(_is(workspace_id, name)))
    return result.rowcount > 0


def seal(key: bytes, workspace_id: str, name: str, value: str) -> str:
    """The text that is stored. Sealing the same value again gives another text."""
    nonce = os.urandom(_NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, value.encode(), _bound_to(workspace_id, name))
    return _FORMAT + base64.b64encode(nonce + sealed).decode()


def unseal(key: bytes, workspace_id: str, name: str, sealed: str) -> str:
    """The value. Raises SealBroken for another key, workspace or name, and for a changed text."""
    try:
        raw = base64.b64decode(sealed.removeprefix(_FORMAT), validate=True)
        nonce, rest = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:]
        return AESGCM(key).decrypt(nonce, rest, _bound_to(workspace_id, name)).decode()
    except (InvalidTag, binascii.Error, ValueError):
        raise SealBroken(name) from None


def _bound_to(workspace_id: str, name: str) -> bytes:
    return f"{_FORMAT}{workspace_id}\0{name}".encode()  # neither holds a NUL


def _is(workspace_id: str, name: str) -> ColumnElement[bool]:
    return and_(secrets.c.workspace_id == workspace_id, secrets.c.name == name)


def _read(row: Row[tuple[object, ...]]) -> StoredSecret:
    return StoredSecret(row.name, row.type, row.created_at, row.updated_at, row.edited_by)
