WITH `a` AS (
SELECT x FROM t
), `b` AS (
SELECT x FROM t
), `c` AS (
SELECT x FROM t
)
SELECT count() FROM (a CROSS JOIN u), b JOIN c AS d ON b.x = d.x
