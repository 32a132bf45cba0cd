WITH `a` AS (
SELECT x FROM t WHERE x = 1
), `b` AS (
SELECT x FROM t WHERE x = 2
), `c` AS (
SELECT x FROM t WHERE x = 3
), `d` AS (
SELECT x FROM t WHERE x = 9
)
SELECT x FROM t WHERE x IN a OR x IN (b) OR in(x, c) OR x GLOBAL IN ((d)) ORDER BY x
