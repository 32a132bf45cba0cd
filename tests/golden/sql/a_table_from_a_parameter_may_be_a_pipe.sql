WITH `o` AS (
WITH `n` AS (
SELECT x FROM t
)
SELECT x FROM n
)

    SELECT max(x) FROM o
