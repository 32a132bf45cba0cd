"""Makes JWTs, good and bad, and a keyring that knows their keys; for the tests beside it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from pipewren.access.caller import (
    Keyring,
    build_keyring,
)
from pipewren.storage.tokens import ADMIN_TOKEN, MEMBER_TOKEN, Scope, StoredToken

NOW = 1_790_000_000
WORKSPACE_ID, OTHER_ID = "0a" * 16, "0b" * 16
UUID = "0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a"
OTHER_UUID = UUID.replace("a", "b")
READ = {"type": "PIPES:READ", "resource": "top"}
ROWS = {"type": "DATASOURCES:READ", "resource": "visits"}


def admin(workspace_id: str, token_id: str, name: str = ADMIN_TOKEN) -> StoredToken:
    return StoredToken(token_id, workspace_id, name, "default", 1, frozenset({Scope("ADMIN")}))


TOKENS = (
    admin(WORKSPACE_ID, "1"),
    admin(OTHER_ID, "2"),
    admin(WORKSPACE_ID, "3", MEMBER_TOKEN),
)


def new_keyring(**given: str) -> Keyring:
    uuids = {WORKSPACE_ID: UUID, OTHER_ID: OTHER_UUID}
    return build_keyring(b"k" * 32, TOKENS, workspace_uuids=uuids, given=given)


KEY = new_keyring().jwt_keys[WORKSPACE_ID]
OTHER_KEY = new_keyring().jwt_keys[OTHER_ID]


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims with some changed, or left out where the change is `...`."""
    good = {"workspace_id": UUID, "name": "acme", "exp": NOW + 60, "scopes": [READ]}
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def signed(payload: Any, header: Any = None, key: bytes = KEY) -> str:
    """Signed by hand, so that nothing is put right. Bytes are taken as they are."""
    parts = []
    for part in ({"alg": "HS256", "typ": "JWT"} if header is None else header, payload):
        parts.append(encoded(part if isinstance(part, bytes) else json.dumps(part).encode()))
    text = b".".join(parts)
    return b".".join((text, encoded(hmac.digest(key, text, hashlib.sha256)))).decode()
