WITH `o` AS (
SELECT max(x) AS x FROM t
),
`t_own` AS (SELECT 50 AS x) SELECT t.x, o.x FROM `t_own` AS `t`, o
