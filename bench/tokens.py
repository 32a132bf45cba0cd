"""What a token costs on the request path: from its text to the `Caller` and the `Grant`.

    python -m bench.tokens

Timed is `serve.callers.identify` with `authorize_endpoint`, as an endpoint's call runs them, over
a keyring of 10,000 static tokens; a JWT with fixed parameters and a filter, seen before and new,
and one with a wrong signature. Printed are medians of interleaved rounds in microseconds, and
beside them what is allowed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from types import SimpleNamespace
from typing import Any, cast

from pipewren.access.authorize import authorize_endpoint
from pipewren.access.caller import build_keyring, find_caller
from pipewren.access.grants import fix_values
from pipewren.access.jwt import JwtCache, sign_jwt
from pipewren.serve.callers import identify
from pipewren.serve.server import Server
from pipewren.storage.deployments import TableVersion
from pipewren.storage.tokens import ADMIN_TOKEN, Scope, StoredToken

ROUNDS, CALLS, TOKENS = 15, 2000, 10_000
WORKSPACE, UUID = "0a" * 16, "0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a"
TABLES = {"visits": TableVersion("visits", 1, "t_5", "")}


def main() -> None:
    read = frozenset({Scope("PIPES:READ", "top"), Scope("DATASOURCES:READ", "visits")})
    admin = StoredToken("admin", WORKSPACE, ADMIN_TOKEN, "default", 1, frozenset({Scope("ADMIN")}))
    readers = [
        StoredToken(f"id{number}", WORKSPACE, f"reader{number}", "api", 1, read)
        for number in range(TOKENS)
    ]
    keyring = build_keyring(
        b"k" * 32, [admin, *readers], workspace_uuids={WORKSPACE: UUID}, given={}
    )
    static = str(keyring.value_of(WORKSPACE, "reader7"))
    claims = {
        "workspace_id": UUID,
        "name": "acme",
        "exp": int(time.time()) + 3600,
        "scopes": [
            {"type": "PIPES:READ", "resource": "top", "fixed_params": {"tenant": "acme"}},
            {"type": "DATASOURCES:READ", "resource": "visits", "filter": "tenant = 'acme'"},
        ],
        "limits": {"rps": 10},
    }
    token = sign_jwt(claims, keyring.jwt_keys[WORKSPACE])
    server = cast(Server, SimpleNamespace(keyring=keyring, deployments={}))
    sent = {"tenant": "other", "limit": "3"}

    def call(text: str) -> None:
        grant = authorize_endpoint(identify(text, server, None), "top", "t_1", tables=TABLES)
        fix_values(sent, grant.fixed)

    def new_jwt() -> None:
        fresh = replace(keyring, jwts=JwtCache())
        find_caller(token, fresh, time.time())

    def forged() -> None:
        find_caller(token[:-4] + "AAAA", keyring, time.time())

    cases: dict[str, tuple[Callable[[], Any], str]] = {
        "static token": (lambda: call(static), "10"),
        "JWT seen before": (lambda: call(token), "15"),
        "JWT never seen": (new_jwt, ""),
        "JWT with a wrong signature": (forged, ""),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, (run, _allowed) in cases.items():
            began = perf_counter()
            for _ in range(CALLS):
                run()
            times[name].append((perf_counter() - began) / CALLS * 1e6)
    print(f"{'':28}{'us':>8}{'at most':>9}   (token of {len(token)} bytes)")
    for name, (_, allowed) in cases.items():
        print(f"{name:28}{statistics.median(times[name]):8.1f}{allowed:>9}")


if __name__ == "__main__":
    main()
