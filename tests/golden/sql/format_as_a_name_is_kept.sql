WITH `a` AS (
SELECT x AS format, s AS settings FROM t
)
SELECT format, settings FROM a AS format WHERE format = 2
