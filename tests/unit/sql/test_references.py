"""Which names a text reads as tables, and which it does not."""

from __future__ import annotations

import pytest

from pipewren.sql.references import find_references
from pipewren.sql.tokens import match_brackets, scan_tokens


def names_read(text: str) -> list[str]:
    tokens = scan_tokens(text)
    found = find_references(tokens, match_brackets(tokens))
    return sorted({one.name for one in found.names if one.owner is None})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("SELECT 1", ""),
        ("SELECT * FROM a", "a"),
        ("select * from a", "a"),
        ("SELECT * FROM A", "A"),
        ("SELECT * FROM `a`", "a"),
        ('SELECT * FROM "a b"', "a b"),
        ("SELECT * FROM 'a'", "a"),
        ("FROM a SELECT x", "a"),
        ("SELECT * FROM a AS b, c d, `e` `f`", "a c e"),
        ("SELECT * FROM a FINAL, b SAMPLE 1/10 OFFSET 1/2, c", "a b c"),
        ("SELECT * FROM a LEFT JOIN b ON a.x = b.x, c", "a b c"),
        ("SELECT * FROM a ANY LEFT JOIN b USING x, y JOIN c USING (z, q)", "a b c"),
        ("SELECT * FROM a GLOBAL ASOF JOIN b ON a.x >= b.x", "a b"),
        ("SELECT * FROM (a, b)", "a b"),
        ("SELECT * FROM ((a JOIN b ON 1) CROSS JOIN (c JOIN d ON 1))", "a b c d"),
        ("SELECT * FROM ((SELECT * FROM a) UNION ALL (SELECT * FROM b))", "a b"),
        ("SELECT * FROM (FROM a SELECT x)", "a"),
        ("SELECT x FROM a UNION ALL SELECT y FROM b", "a b"),
        ("SELECT x FROM a EXCEPT SELECT y FROM b INTERSECT SELECT z FROM c", "a b c"),
        ("SELECT (SELECT max(x) FROM a), f((SELECT x FROM b)) FROM c", "a b c"),
        ("SELECT * FROM numbers((SELECT max(x) FROM a))", "a"),
        ("SELECT * FROM view(SELECT * FROM a)", "a"),
        ("SELECT x IN a, y NOT IN (b), z GLOBAL IN ((c)) FROM d", "a b c d"),
        ("SELECT in(x, a), notIn(y, `b`), globalIn(z, c), nullIn(q, d)", "a b c d"),
        ("SELECT arrayMap(v -> v IN a, w)", "a"),
        ("SELECT * FROM a WHERE EXISTS (SELECT 1 FROM b)", "a b"),
        ("SELECT * FROM a |> JOIN b USING x", "a b"),
        ("SELECT * FROM/* (no */a -- , b\n, c", "a c"),
        ("SELECT * FROM a ARRAY JOIN b AS c, d", "a"),
        ("SELECT * FROM a LEFT ARRAY JOIN b JOIN c ON 1, d", "a c d"),
        # not tables
        ("SELECT * FROM db.a, `db`.b, numbers(5)", ""),
        ("SELECT a, a.b, 'FROM c', \"FROM d\" FROM e", "e"),
        ("SELECT extract(year FROM a), trim(BOTH 'x' FROM b), substring(c FROM 2)", ""),
        ("SELECT position('x' IN a), POSITION(b IN c) FROM d", "d"),
        ("SELECT a IS DISTINCT FROM b, c IS NOT DISTINCT FROM d", ""),
        ("SELECT x IN (a, b), y IN [c], z IN tuple(d), q IN (e.f), r IN g.h", ""),
        ("SELECT x AS `from`, a FROM b ORDER BY c, d LIMIT 1 BY e, f", "b"),
        ("SELECT * EXCEPT (a), * REPLACE (b AS c) FROM d", "d"),
        ("SELECT sum(x) OVER w FROM a WINDOW w AS (PARTITION BY b ORDER BY c), v AS (w)", "a"),
        ("SELECT t.join, t.from, t.in FROM t", "t"),
        # own names
        ("WITH a AS (SELECT 1) SELECT * FROM a, b", "b"),
        ("WITH a AS (SELECT * FROM a) SELECT * FROM a", "a"),
        ("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a", ""),
        ("WITH a AS (SELECT 1) SELECT * FROM (SELECT * FROM a WHERE x IN a)", ""),
        ("SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a), a", "a"),
        ("WITH a AS (SELECT 1) SELECT * FROM a UNION ALL SELECT * FROM a", ""),
        ("WITH a AS (SELECT 1) SELECT 1 UNION ALL WITH b AS (SELECT 2) SELECT * FROM a, b", "a"),
        ("WITH a AS (SELECT 1) SELECT 1 UNION ALL SELECT * FROM (SELECT * FROM a)", ""),
        ("WITH RECURSIVE a AS (SELECT 1 UNION ALL SELECT x FROM a) SELECT * FROM a", ""),
        ("WITH a AS MATERIALIZED (SELECT 1), b (x) AS (SELECT 1) SELECT * FROM a, b", ""),
        ("WITH (1, 2) AS a SELECT x IN a, y IN b FROM a", "a b"),
        ("WITH x -> x + 1 AS f, 5 AS k SELECT f(k) FROM k", "k"),
        ("WITH recursive AS (SELECT 1) SELECT * FROM recursive", ""),
        ("SELECT count() FROM a GROUP BY x WITH TOTALS ORDER BY x WITH FILL", "a"),
    ],
)
def test_the_names_that_a_text_reads_are_found(text: str, names: str) -> None:
    expected = ["a b"] if names == "a b" and '"a b"' in text else names.split()
    assert names_read(text) == sorted(expected)


def test_a_reference_knows_whether_an_alias_follows() -> None:
    tokens = scan_tokens("SELECT * FROM a, b AS c, d e, f FINAL, g `h`")
    found = find_references(tokens, match_brackets(tokens)).names
    assert {one.name: one.has_alias for one in found} == {
        "a": False,
        "b": True,
        "d": True,
        "f": False,
        "g": True,
    }
