WITH `o` AS (
WITH `n` AS (
SELECT 1 AS x
), `m` AS (
SELECT x FROM n
)
SELECT x FROM m
), `n` AS (
SELECT 99 AS x
)
SELECT o.x, n.x FROM o, n
