WITH `a` AS (
SELECT x FROM t
), `b` AS (
SELECT max(x) AS x FROM a
),
`a_own` AS (SELECT x + 100 AS x FROM a) SELECT a.x, b.x FROM `a_own` AS `a`, b ORDER BY a.x
