WITH `a` AS (
SELECT x FROM t
)
SELECT a.x, u.x FROM a LEFT JOIN u ON a.x = u.x WHERE a.x = 1
-- setting join_use_nulls = 1
-- max_threads 1
