WITH `a` AS (
SELECT x FROM t
)
SELECT count() FROM 'a'
