WITH `b` AS (
SELECT max(x) AS x FROM t
),
`t_own` AS (SELECT x FROM t WHERE x < 2) SELECT t.x, q.x FROM `t_own` AS `t`, b AS q WHERE t.x IN `t_own`
