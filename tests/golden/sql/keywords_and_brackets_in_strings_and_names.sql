WITH `a` AS (
SELECT x AS `from b; ( -- 'x`, 'a '' ) ; FROM zz --' AS "s "" ) WITH", 'it\'s (' AS q FROM t
)
SELECT `from b; ( -- 'x`, q FROM a ORDER BY 1 LIMIT 1
