"""The project that the Query API's tests ask, and its rows."""

from __future__ import annotations

from collections.abc import Mapping

_EVENTS = "id UInt32, tenant String, kind String, n Int64, day Date"
_SCHEMAS = {
    "events": _EVENTS,
    "users": "id UInt32, name String",
    "allowed": "tenant String",
    "vault": "id UInt32, secret String",
}
# One row is of a day that lies ahead.
ROWS = {
    "events": "(1, 'a', 'click', 10, '2024-01-01'), (2, 'a', 'view', 20, '2024-01-02'), "
    "(3, 'a', 'click', 30, '2024-01-03'), (4, 'b', 'click', 40, '2024-01-04'), "
    "(5, 'b', 'view', 50, '2024-01-05'), (6, 'b', 'buy', 60, '2149-01-01')",
    "users": "(1, 'Ann'), (2, 'Bo')",
    "allowed": "('a')",
    "vault": "(1, 'kept'), (2, 'hidden')",
}
FOREIGN_SCHEMAS = {"events": _EVENTS, "only_foreign": "id UInt32"}
FOREIGN_ROWS = {"events": "(99, 'f', 'foreign', 990, '2024-01-01')", "only_foreign": "(99)"}

# name -> nodes, the last one published; a text that begins with % is a template.
_ENDPOINTS: Mapping[str, Mapping[str, str]] = {
    "by_kind": {
        "counts": "SELECT kind, count() AS hits FROM events GROUP BY kind ORDER BY kind",
    },
    "of_tenant": {
        "rows": "% SELECT id, tenant, n FROM events WHERE tenant = {{String(tenant, 'b')}} "
        "AND n >= {{Int64(least, 0)}} ORDER BY id",
    },
    "just_of_tenant": {
        "rows": "% SELECT id, tenant FROM events WHERE tenant = {{String(tenant, 'b')}}",
    },
    "chosen": {"result": "% SELECT count() AS n FROM {{table(String(which, 'events'))}}"},
    "over_tenant": {
        "result": "SELECT count() AS hits, min(tenant) AS first FROM of_tenant",
    },
    "over_over": {"result": "SELECT hits + 0 AS hits, first FROM over_tenant"},
    "picked": {
        "result": "% SELECT id FROM events WHERE kind IN {{Array(kinds, 'String', 'buy')}} "
        "ORDER BY id",
    },
    "needs": {
        "result": "% {% if not defined(who) %}{{error('who is missing')}}{% end %} "
        "SELECT {{String(who)}} AS who, {{Int32(times, required=True)}} AS times",
    },
    "secretive": {
        "result": "% SELECT id FROM users WHERE name = {{tb_secret('user_name')}}",
    },
    "nullable": {
        "result": "SELECT e.id AS id, u.name AS name FROM events AS e LEFT JOIN users AS u "
        "ON e.id = u.id ORDER BY id SETTINGS join_use_nulls = 1",
    },
    "several": {
        "inner_rows": "SELECT id, secret FROM vault",
        "middle": "% SELECT id FROM inner_rows WHERE id >= {{Int32(from_id, 1)}}",
        "result": "SELECT count() AS n FROM middle",
    },
    "in_node": {
        "kinds": "SELECT 'click' AS kind",
        "result": "SELECT count() AS n FROM events WHERE kind IN kinds",
    },
    "in_source": {"result": "SELECT count() AS n FROM events WHERE tenant IN allowed"},
    "dated": {"result": "SELECT count() AS n FROM events WHERE day <= today"},
    "equal": {"result": "SELECT count() AS hits FROM events WHERE tenant = 'a' AND n < 25"},
    "mapped": {"result": "SELECT arrayMap(x -> x + 1, groupArray(id)) AS ids FROM users"},
    "screened": {
        "result": "SELECT e.id AS id FROM events AS e LEFT JOIN (SELECT id, 1 AS is_open FROM "
        "users) AS u ON e.id = u.id WHERE coalesce(u.is_open, 1) = 1 ORDER BY id",
    },
    "rolled": {
        "result": "SELECT ifNull(kind, 'all') AS k, count() AS hits FROM events "
        "GROUP BY ROLLUP(kind) ORDER BY k"
    },
    "most": {"result": "SELECT ifNull(max(n), -1) AS most FROM events WHERE id > 100"},
    "stamped": {"result": "SELECT toString(toDateTime('2024-01-01 00:00:00', 'UTC')) AS at"},
    # Its first SELECT reads the data source, and so does the next one's `a`.
    "growing": {
        "result": "WITH RECURSIVE events AS (SELECT * FROM events UNION ALL SELECT * FROM events "
        "WHERE 0) SELECT count() AS n FROM events",
    },
    "circular": {
        "result": "WITH events AS (SELECT * FROM a), a AS (SELECT * FROM events) "
        "SELECT count() AS n FROM events",
    },
    "divided": {"result": "SELECT toUInt8(secret) AS n FROM vault"},
}
_UNPUBLISHED = {
    "draft": {
        "first": "SELECT id FROM users",
        "last": "SELECT max(id) AS most FROM first",
    },
}


def make_files(schemas: Mapping[str, str] = _SCHEMAS) -> dict[str, str]:
    """Texts of datafiles by path; the pipes only with the schemas of this project."""
    files = {}
    for name, columns in schemas.items():
        lines = ",\n".join("    `{}` {}".format(*one.split(" ", 1)) for one in columns.split(", "))
        files[f"datasources/{name}.datasource"] = f"SCHEMA >\n{lines}\n"
    if schemas is _SCHEMAS:
        for name, nodes in _ENDPOINTS.items():
            files[f"endpoints/{name}.pipe"] = _write_pipe(nodes) + "TYPE endpoint\n"
        for name, nodes in _UNPUBLISHED.items():
            files[f"pipes/{name}.pipe"] = _write_pipe(nodes)
    return files


def _write_pipe(nodes: Mapping[str, str]) -> str:
    texts = []
    for name, sql in nodes.items():
        head, text = ("    %\n", sql[1:].strip()) if sql.startswith("%") else ("", sql)
        texts.append(f"NODE {name}\nSQL >\n{head}    {text}\n")
    return "\n".join(texts)
