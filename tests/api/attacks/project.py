"""The files and rows of the workspaces that are attacked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tests.api.attacks.evidence import Marks

# The columns that the statements of golden/author_sql and golden/row_filters name, in one table.
_EVENTS = """SCHEMA >
    `tenant` LowCardinality(String) `json:$.tenant`,
    `id` UInt32 `json:$.id`,
    `flag` UInt8 `json:$.flag`,
    `secret` String `json:$.secret`,
    `arr` Array(UInt8) `json:$.arr[:]`,
    `ts` DateTime `json:$.ts`,
    `at` DateTime `json:$.at`,
    `page` String `json:$.page`,
    `n` Int64 `json:$.n`,
    `tags` Array(String) `json:$.tags[:]`

ENGINE "{engine}"
ENGINE_SORTING_KEY "tenant, id"
"""
_VAULT = """SCHEMA >
    `id` UInt32 `json:$.id`,
    `page` String `json:$.page`,
    `s` String `json:$.s`,
    `n` UInt64 `json:$.n`

ENGINE "MergeTree"
ENGINE_SORTING_KEY "id"
"""
_VIP = """SCHEMA >
    `id` UInt32 `json:$.id`

ENGINE "MergeTree"
ENGINE_SORTING_KEY "id"
"""
DATASOURCES = {
    "datasources/ev.datasource": _EVENTS.format(engine="MergeTree"),
    "datasources/rep.datasource": _EVENTS.format(engine="ReplacingMergeTree"),
    "datasources/other.datasource": _EVENTS.format(engine="MergeTree"),
    "datasources/vault.datasource": _VAULT,
    "datasources/vip.datasource": _VIP,
}
FOREIGN = {
    "datasources/secret.datasource": _VAULT,
    "datasources/vault.datasource": _VAULT,
    "datasources/only_foreign.datasource": _VIP,
}
VAULT_ROWS, VISIBLE, HIDDEN = 7, 20, 40
_ALL = ("ev", "rep", "other", "vault", "vip")
_PIPES: Mapping[str, str] = {
    "health_probe": " UNION ALL ".join(
        f"SELECT '{name}' AS name, count() AS n, sum(cityHash64(*)) AS hash FROM {name}"
        for name in _ALL
    ),
    "count_probe": " UNION ALL ".join(f"SELECT count() AS n FROM {name}" for name in _ALL),
    # A value in every place where a template may put one.
    "p_text": "SELECT {{String(x, '-')}} AS x",
    "p_bare": "SELECT {% if defined(x) %}{{x}}{% else %}'-'{% end %} AS x",
    "p_where": "SELECT count() AS n FROM ev WHERE page = {{String(x, 'p1')}}",
    "p_like": "SELECT count() AS n FROM ev WHERE page LIKE {{String(x, 'p1')}}",
    "p_unescaped": "SELECT count() AS n FROM ev WHERE page LIKE "
    "{{sql_unescape(String(x, 'p'), '%')}}",
    "p_lambda": "SELECT arrayMap(t -> t || {{String(x, '!')}}, ['a']) AS x",
    "p_call": "SELECT upper({{String(x, 'a')}}) AS x",
    "p_cast": "SELECT toInt64OrZero({{String(x, '1')}}) AS x",
    "p_regex": "SELECT match('aaaaaaaaaaaaaaaaaaaaaaaa', {{String(x, 'a')}}) AS x",
    "p_comment": "SELECT 1 AS n -- {{String(x, '-')}}\n    , 2 AS m",
    "p_block": "SELECT 1 AS n /* {{String(x, '-')}} */, 2 AS m",
    "p_json_text": "SELECT {{JSON(x, '{\"k\": 1}')['k']}} AS x",
    "p_json_list": "SELECT {{JSON(x, '[1]')}} AS x",
    "p_int": "SELECT id FROM ev ORDER BY id LIMIT {{Int32(x, 1)}}",
    "p_bare_int": "SELECT id FROM ev ORDER BY id LIMIT {{Int(x, 1)}}",
    "p_offset": "SELECT id FROM ev ORDER BY id LIMIT 1 OFFSET {{Int32(x, 0) * 2}}",
    "p_unsigned": "SELECT {{UInt64(x, 1)}} AS x",
    "p_big": "SELECT {{Int256(x, 1)}} AS x",
    "p_float": "SELECT {{Float64(x, 1)}} AS x",
    "p_bool": "SELECT {{Boolean(x, 0)}} AS x",
    "p_date": "SELECT {{Date(x, '2024-01-01')}} AS x",
    "p_datetime": "SELECT {{DateTime(x, '2024-01-01 00:00:00')}} AS x",
    "p_datetime64": "SELECT {{DateTime64(x, '2024-01-01 00:00:00.000')}} AS x",
    "p_array": "SELECT count() AS n FROM ev WHERE page IN {{Array(x, 'String', 'p1')}}",
    "p_ints": "SELECT count() AS n FROM ev WHERE id IN {{Array(x, 'Int32', '1')}}",
    "p_odd_array": "SELECT {{Array(x, 'UUID', 'a')}} AS x",
    "p_split": "SELECT [{% for last, one in enumerate_with_last(split_to_array(x, 'a,b')) %}"
    "{{one}}{% if not last %}, {% end %}{% end %}] AS x",
    "p_column": "SELECT {{column(x, 'id')}} AS c FROM ev ORDER BY id LIMIT 1",
    "p_columns": "SELECT {{columns(x, 'id,n')}} FROM ev ORDER BY id LIMIT 1",
    "p_columns_of": "SELECT {{columns(x, 'id', 'max')}} FROM ev",
    "p_symbol": "SELECT 1 AS {{symbol(x)}}",
    "p_order": "SELECT id FROM ev ORDER BY {{column(x, 'id')}} LIMIT 1",
    "p_group": "SELECT count() AS n FROM ev GROUP BY {{column(x, 'tenant')}} ORDER BY n LIMIT 1",
    "p_table": "SELECT count() AS n FROM {{table(x)}}",
    "p_and": "SELECT count() AS n FROM ev WHERE 1 AND "
    "{{sql_and(page__in=Array(x, 'String', 'p1'), id__gte=Int32(y, 0))}}",
    "p_and_text": "SELECT count() AS n FROM ev WHERE {{sql_and(page=String(x, 'p1'))}}",
    "p_secret": "SELECT count() AS n FROM ev WHERE page = {{tb_secret('api_key')}} "
    "OR page = {{String(x, '-')}}",
    "p_secret_named": "SELECT count() AS n FROM ev WHERE page = {{tb_secret(x, 'none')}}",
    "p_error": "SELECT {% if defined(x) %}{{error(x)}}{% else %}1{% end %} AS n",
    "p_loop": "SELECT 0 {% for i in range(Int32(x, 1)) %}+ 1{% end %} AS n",
    "p_threads": "{{max_threads(x)}}\n    SELECT 1 AS n",
    "p_hint": "{{backend_hint(x)}}\n    SELECT 1 AS n",
    "p_two": "SELECT {{String(x, '-')}} AS x, {{String(y, '-')}} AS y",
    "p_tuple": "SELECT ({{String(x, '-')}}, 1).1 AS x",
    "p_map": "SELECT map({{String(x, 'k')}}, 1) AS x",
    "p_alias": "SELECT 1 AS `{{x}}`",
    "p_settings": "SELECT 1 AS n SETTINGS max_threads = {{Int(x, 1)}}",
    # What a token that reads pipes only may call.
    "vault_count": "SELECT count() AS n FROM vault",
    "vip_rows": "SELECT count() AS n FROM ev WHERE id IN vip",
    "vip_join": "SELECT count() AS n FROM ev JOIN vip USING id",
    "of_tenant": "SELECT id, tenant FROM ev WHERE tenant = {{String(tenant, 'nobody')}} "
    "ORDER BY id LIMIT 3",
    "over_tenant": "SELECT count() AS n FROM of_tenant",
    "listed": "SELECT id, tenant, secret, page FROM ev ORDER BY id LIMIT {{Int32(limit, 500)}}",
    "counted": "SELECT count() AS n, sum(flag) AS flags, max(id) AS most FROM ev",
    # What an author keeps back, by columns that a call may leave out, and behind a HAVING.
    "chosen": "SELECT {{columns(x, 'id,tenant')}} FROM ev",
    "grouped": "SELECT page, count() AS c FROM ev GROUP BY page HAVING c > 1",
    "divided": "SELECT max(intDiv(1, 1 - flag)) AS n FROM ev WHERE page != {{String(x, '')}}",
}
# Pipes and nodes that the outside must not see: no endpoint, and a node that is not the last.
_INSIDE = """NODE inner_rows
SQL >
    SELECT * FROM vault

NODE outer_rows
SQL >
    SELECT count() AS n FROM inner_rows

TYPE endpoint
"""
_KEPT_BACK = """NODE all_of_them
SQL >
    %
    SELECT {{columns(x, 'id,tenant')}} FROM ev

NODE of_one
SQL >
    SELECT * FROM all_of_them WHERE tenant = 'a'

TYPE endpoint
"""
PIPES = {
    f"endpoints/{name}.pipe": f"NODE endpoint\nSQL >\n    %\n    {sql}\nTYPE endpoint\n"
    for name, sql in _PIPES.items()
} | {
    "endpoints/two_nodes.pipe": _INSIDE,
    "endpoints/kept_back.pipe": _KEPT_BACK,
    "pipes/no_endpoint.pipe": "NODE only\nSQL >\n    SELECT * FROM vault\n",
}
FOREIGN_PROBE = {
    "endpoints/health_probe.pipe": "NODE endpoint\nSQL >\n    SELECT count() AS n, "
    "sum(cityHash64(*)) AS hash FROM secret\nTYPE endpoint\n"
}
READABLE_PIPES = (
    *("vault_count", "vip_rows", "vip_join", "of_tenant", "over_tenant", "counted", "divided"),
    *("two_nodes", "listed", "kept_back", "grouped"),
    *(name for name in _PIPES if name.startswith("p_")),
)


def event_rows(marks: Marks, *, hidden: bool) -> list[dict[str, Any]]:
    """Rows of tenant a, and those of tenant b, which a filter hides: each has the mark in every
    text, a flag, an empty array and numbers that no other row has."""
    rows: list[dict[str, Any]] = []
    for number in range(1, VISIBLE + 1):
        rows.append(
            {
                **{"tenant": "a", "id": number, "flag": 0, "secret": str(number)},
                **{"arr": [1, number % 7], "page": f"p{number % 3}", "n": number, "tags": ["x"]},
                **{"ts": f"2024-01-01 00:00:{number:02}", "at": f"2024-01-01 00:00:{number:02}"},
            }
        )
    for number in range(1000, 1000 + HIDDEN if hidden else 1000):
        text = f"{marks.row}-{number}"
        rows.append(
            {
                **{"tenant": "b", "id": number, "flag": 1, "secret": text, "arr": []},
                **{"page": text, "n": 770_000 + number, "tags": [text]},
                **{"ts": "2031-07-07 07:07:07", "at": "2031-07-07 07:07:07"},
            }
        )
    return rows


def vault_rows(mark: str) -> list[dict[str, Any]]:
    """Rows of which each text has the mark."""
    return [
        {"id": n, "page": mark, "s": f"{mark}-{n}", "n": 8_675_309_000 + n}
        for n in range(VAULT_ROWS)
    ]


def vip_rows() -> list[dict[str, Any]]:
    """Three ids of tenant a."""
    return [{"id": n} for n in (1, 2, 3)]


def to_ndjson(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """As `append` takes them."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
