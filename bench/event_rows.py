"""What `bench.events` sends: rows of about 140 bytes with a nested path, an array and a DEFAULT."""

from __future__ import annotations

import json
import random

from pipewren.testing.serving import RunningServer

COLUMNS = {
    "ts": ("DateTime64(3)", "$.ts"),
    "user_id": ("UInt64", "$.user.id"),
    "country": ("LowCardinality(String)", "$.user.country"),
    "event": ("LowCardinality(String)", "$.event"),
    "tags": ("Array(String)", "$.tags[:]"),
    "amount": ("Float64", "$.amount"),
    "source": ("LowCardinality(String)", "$.source"),
}
DEFAULTS = {"source": "DEFAULT 'web'"}
SORTING_KEY, PARTITION_KEY = "user_id, ts", "toYYYYMM(ts)"
LOOK_UP = """NODE endpoint
SQL >
    %
    SELECT ts, country, event, amount FROM reads WHERE user_id = {{UInt64(user, 1)}} LIMIT 10

TYPE endpoint
"""


def make_project() -> dict[str, str]:
    schema = ",\n".join(
        f"    `{name}` {type} `json:{path}` {DEFAULTS.get(name, '')}".rstrip()
        for name, (type, path) in COLUMNS.items()
    )
    datasource = (
        f'SCHEMA >\n{schema}\n\nENGINE "MergeTree"\nENGINE_SORTING_KEY "{SORTING_KEY}"\n'
        f'ENGINE_PARTITION_KEY "{PARTITION_KEY}"\n'
    )
    names = ("bulk", "faulty", "small", "reads")
    files = {f"datasources/{name}.datasource": datasource for name in names}
    return {**files, "endpoints/look_up.pipe": LOOK_UP}


def raw_ddl() -> str:
    columns = ", ".join(
        f"{name} {type} {DEFAULTS.get(name, '')}" for name, (type, _) in COLUMNS.items()
    )
    return f"({columns}) ENGINE = MergeTree ORDER BY ({SORTING_KEY}) PARTITION BY {PARTITION_KEY}"


def make_rows(number: int) -> list[dict[str, object]]:
    """Half of them leave `source` to its default."""
    choose = random.Random(1)
    rows: list[dict[str, object]] = []
    for at in range(number):
        second = at % 86_400
        row: dict[str, object] = {
            "ts": f"2024-01-{1 + at % 28:02}T{second // 3600:02}:{second // 60 % 60:02}:"
            f"{second % 60:02}.{choose.randrange(1000):03}Z",
            "user": {
                "id": 100_000_000 + choose.randrange(900_000_000),
                "country": choose.choice(("DE", "FR", "ES", "IT", "US", "JP")),
            },
            "event": choose.choice(("click", "view", "purchase", "sign_up")),
            "tags": choose.sample(("alpha", "beta", "gamma", "delta"), choose.randrange(5)),
            "amount": round(choose.random() * 100, 4),
        }
        if at % 2:
            row["source"] = choose.choice(("app", "mail"))
        rows.append(row)
    return rows


def encode(row: dict[str, object]) -> bytes:
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"


def flatten(row: dict[str, object]) -> bytes:
    user = row["user"]
    assert isinstance(user, dict)
    flat = {"ts": row["ts"], "user_id": user["id"], "country": user["country"]}
    return encode(flat | {name: value for name, value in row.items() if name not in ("ts", "user")})


def make_bodies(
    rows: list[dict[str, object]], per_request: int, *, bad_every: int = 0
) -> list[bytes]:
    """With `bad_every` one row in so many has a text for a number."""
    lines = [
        encode({**row, "amount": "a lot"} if bad_every and at % bad_every == 0 else row)
        for at, row in enumerate(rows)
    ]
    starts = range(0, len(lines), per_request)
    return [b"".join(lines[start : start + per_request]) for start in starts]


def look_up(server: RunningServer, row: dict[str, object]) -> bytes:
    user = row["user"]
    assert isinstance(user, dict)
    return (
        f"GET /v0/pipes/look_up.json?user={user['id']} HTTP/1.1\r\nHost: h\r\n"
        f"Authorization: Bearer {server.token}\r\n\r\n"
    ).encode()
