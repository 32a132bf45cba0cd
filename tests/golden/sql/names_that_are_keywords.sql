WITH `final` AS (
SELECT x FROM t
), `values` AS (
SELECT x FROM `final`
)
SELECT sum(`values`.x) FROM `values`
