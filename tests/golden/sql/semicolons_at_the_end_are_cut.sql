WITH `a` AS (
SELECT x FROM t
), `b` AS (
SELECT x FROM a
)
SELECT sum(x) FROM b
