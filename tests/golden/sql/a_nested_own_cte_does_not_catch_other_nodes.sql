WITH `b` AS (
SELECT max(x) AS x FROM t
)
SELECT * FROM (WITH `t_own` AS (SELECT 50 AS x) SELECT t.x AS p, b.x AS q FROM `t_own` AS t, b)
