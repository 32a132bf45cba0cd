WITH `a` AS (
SELECT x FROM t
), `b` AS (
SELECT x FROM u
)
SELECT count() FROM `a`, "b"
