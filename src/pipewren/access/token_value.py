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
from pathlib import Path
from typing import NewType

from pipewren.storage.key_file import read_key_file
from pipewren.storage.tokens import StoredToken

TokenValue = NewType("TokenValue", str)

KEY_FILE = "token.key"


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
    return read_key_file(folder / KEY_FILE, given, if_removed="every token gets a new value then")


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
