"""The value of a static token, computed and never stored (tokens.md section 2).

    p.<A>.<B>    A = base64url of {"u": workspace, "id": token, "host": "local"}
                 B = base64url of HMAC-SHA256(server key, A and the token's generation)

Refreshing a token raises its generation, which voids the old value. The key is a file outside the
store's database, or a setting.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path
from typing import NewType

from pipewren.errors import StartError
from pipewren.storage.tokens import StoredToken

TokenValue = NewType("TokenValue", str)

KEY_FILE = "token.key"
_KEY_BYTES = 32


def sign_token(key: bytes, token: StoredToken, *, workspace_uuid: str) -> TokenValue:
    """The text that a caller sends."""
    payload = _base64url(
        json.dumps(
            {"u": workspace_uuid, "id": token.id, "host": "local"}, separators=(",", ":")
        ).encode()
    )
    signed = f"{payload}.{token.generation}".encode()
    return TokenValue(f"p.{payload}.{_base64url(hmac.digest(key, signed, hashlib.sha256))}")


def read_key(folder: Path, given: str | None) -> bytes:
    """The server's key: `given` by setting, else the key file, made on the first start.

    Raises StartError when the file is readable by others, damaged, or cannot be written.
    """
    if given is not None:
        return hashlib.sha256(given.encode()).digest()
    path = folder / KEY_FILE
    try:
        return _read_key_file(path) if path.exists() else _make_key_file(path)
    except OSError as error:
        raise StartError(f"Cannot use the key file {path}: {error.strerror}") from None


def _read_key_file(path: Path) -> bytes:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise StartError(
            f"The key file {path} can be read by others (mode {mode:o}): run `chmod 600 {path}`"
        )
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise StartError(
            f"The key file {path} is damaged: {len(key)} bytes instead of {_KEY_BYTES}. Restore it "
            "from a backup, or remove it: every token gets a new value then."
        )
    return key


def _make_key_file(path: Path) -> bytes:
    key = secrets.token_bytes(_KEY_BYTES)
    # Written whole under another name first: a kill in the middle must not leave half a key.
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, key)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.rename(path)
    return key


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
