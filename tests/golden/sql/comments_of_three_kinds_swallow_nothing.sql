WITH `a` AS (
SELECT x FROM t
), `b` AS (
SELECT x FROM a
), `c` AS (
SELECT x FROM b
), `d` AS (
SELECT x FROM c
)
SELECT sum(x) FROM d
