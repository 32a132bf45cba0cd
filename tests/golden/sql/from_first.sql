WITH `a` AS (
SELECT x FROM t
)
FROM a SELECT max(x)
