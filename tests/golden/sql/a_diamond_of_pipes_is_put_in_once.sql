WITH `base` AS (
WITH `n` AS (
SELECT x FROM t
)
SELECT x FROM n
), `lft` AS (
WITH `n` AS (
SELECT x FROM base
)
SELECT max(x) AS x FROM n
), `rgt` AS (
WITH `n` AS (
SELECT -x AS x FROM base
)
SELECT max(x) AS x FROM n
)
SELECT lft.x, rgt.x FROM lft, rgt ORDER BY ALL
