WITH `a` AS (
SELECT x FROM t
),
big AS (SELECT x FROM a WHERE x > 1), 10 AS k
SELECT x * k FROM big ORDER BY x
