SELECT extract(year FROM n), t.n FROM (SELECT toDate('2020-01-01') AS n, 1 AS x) AS t ARRAY JOIN [1] AS year, [n] AS m WHERE n IS NOT DISTINCT FROM n
