WITH `a` AS (

    SELECT '\') ; -- \`\\' AS v
)
SELECT v FROM a
