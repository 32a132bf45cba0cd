WITH `a` AS (

    SELECT x FROM t WHERE s IN ['b','c']
)

    SELECT x FROM a -- it's
    WHERE x > toInt32('1') ORDER BY x
