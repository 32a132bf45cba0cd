WITH `bottom` AS (
WITH `n` AS (
SELECT x FROM t
)
SELECT x FROM n WHERE x > 1
), `middle` AS (
WITH `n` AS (
SELECT x + 10 AS x FROM bottom
)
SELECT x FROM n
), `n` AS (
SELECT x FROM middle
)
SELECT sum(x) FROM n
