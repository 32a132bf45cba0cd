WITH `o` AS (
WITH `n` AS (
SELECT x FROM t
)
SELECT x FROM n WHERE x < 3
)
SELECT sum(x) FROM o
