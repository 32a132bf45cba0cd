-- One a line. Each would fail, answer otherwise or count otherwise if it met a hidden row.
SELECT count() FROM ev WHERE intDiv(1, 1 - flag) = 1
SELECT count() FROM ev WHERE toInt64(if(flag = 1, toString(flag) || 'zz', '1')) = 1
SELECT count() FROM ev WHERE toInt64(secret) >= 0
SELECT count() FROM ev WHERE toUInt8(secret) < 50
SELECT count() FROM ev WHERE throwIf(flag = 1, 'seen') = 0
SELECT count() FROM ev WHERE throwIf(tenant = 'b') = 0
SELECT count() FROM ev PREWHERE throwIf(tenant = 'b') = 0
SELECT count() FROM ev PREWHERE intDiv(1, 1 - flag) = 1 WHERE id > 5
SELECT count() FROM ev WHERE NOT ignore(intDiv(1, 1 - flag))
SELECT count() FROM ev WHERE id % 2 AND intDiv(1, 1 - flag) = 1
SELECT count() FROM ev WHERE tenant = 'a' AND intDiv(1, 1 - flag) = 1
SELECT count() FROM ev WHERE tenant = 'b' AND intDiv(1, 1 - flag) = 1
SELECT sum(toInt64(secret)) FROM ev
SELECT sum(intDiv(1, 1 - flag)) FROM ev
SELECT toInt64(secret) AS s FROM ev ORDER BY s, id LIMIT 3
SELECT secret, count() FROM ev GROUP BY secret ORDER BY toInt64(secret), secret
SELECT toInt64(secret) AS s, count() FROM ev GROUP BY s HAVING s < 10 ORDER BY s
SELECT count() FROM ev HAVING throwIf(sum(flag) > 0) = 0
SELECT id FROM ev QUALIFY row_number() OVER (ORDER BY toInt64(secret), id) < 4 ORDER BY id
SELECT max(row_number() OVER (ORDER BY intDiv(1, 1 - flag))) FROM ev
SELECT count() FROM ev AS l JOIN other AS r ON l.id = r.id AND toInt64(l.secret) >= 0
SELECT count() FROM other AS l JOIN ev AS r ON l.id = r.id AND intDiv(1, 1 - r.flag) = 1
SELECT count() FROM other AS l LEFT JOIN ev AS r ON l.id = r.id WHERE toInt64OrNull(r.secret) IS NULL
SELECT count() FROM ev AS l JOIN ev AS r USING (id) WHERE intDiv(1, 1 - r.flag) = 1
SELECT count() FROM other WHERE id IN (SELECT id FROM ev WHERE intDiv(1, 1 - flag) = 1)
SELECT count() FROM other WHERE (tenant, id, flag, secret, arr, ts) IN ev
SELECT count() FROM other WHERE (tenant, id, flag, secret, arr, ts) NOT IN (ev)
SELECT countIf(in((tenant, id, flag, secret, arr, ts), ev)) FROM other
SELECT (SELECT sum(toInt64(secret)) FROM ev) AS s
SELECT count() FROM other WHERE id < (SELECT max(intDiv(id, 1 - flag)) FROM ev)
SELECT count() FROM ev WHERE intDiv(1, 1 - flag) = 1 UNION ALL SELECT max(toInt64(secret)) FROM ev
SELECT c FROM ((SELECT count() AS c FROM ev) UNION ALL (SELECT sum(flag) FROM ev)) ORDER BY c
SELECT id FROM ev EXCEPT SELECT id FROM ev WHERE flag = 0
SELECT count() FROM (SELECT id FROM other INTERSECT SELECT id FROM ev)
WITH c AS (SELECT * FROM ev WHERE intDiv(1, 1 - flag) = 1) SELECT count() FROM c
WITH ev AS (SELECT id, flag FROM ev WHERE id > 3) SELECT count(), sum(flag) FROM ev
WITH RECURSIVE r AS (SELECT toUInt32(0) AS id UNION ALL SELECT ev.id FROM ev, r WHERE ev.id = r.id + 3 AND r.id < 12) SELECT count(), max(id) FROM r
SELECT count() FROM ev FINAL WHERE 0 UNION ALL SELECT count() FROM rep FINAL
SELECT count(), sum(toInt64(replaceOne(secret, '+', ''))) FROM rep FINAL
SELECT count(), countIf(endsWith(secret, '+')) FROM rep AS r FINAL WHERE intDiv(1, 1 - r.flag) = 1
SELECT count() FROM ev SAMPLE 1/2
SELECT count() FROM rep FINAL SAMPLE 1/4 OFFSET 1/2 WHERE intDiv(1, 1 - flag) = 1
SELECT count() FROM ev SAMPLE 0.1 WHERE toInt64(secret) >= 0
SELECT count() FROM view(SELECT * FROM ev WHERE intDiv(1, 1 - flag) = 1)
SELECT sum(arr[2]), count() FROM ev ARRAY JOIN arr AS x WHERE intDiv(6, x + 1 - 1) >= 0 OR x = 0
SELECT count() FROM ev LEFT ARRAY JOIN arr AS x WHERE x = 0
SELECT count() FROM ev ARRAY JOIN arr AS x PREWHERE throwIf(empty(arr)) = 0 WHERE x > 0
SELECT count() FROM ev AS e INNER JOIN other AS o ON e.id = o.id PREWHERE throwIf(e.flag) = 0
SELECT count() FROM ev AS e FULL JOIN other AS o ON e.id = o.id PREWHERE throwIf(e.flag) = 0
SELECT arrayMap(x -> (SELECT sum(flag) + count() FROM ev), [1, 2]) AS sums
SELECT 1 AS ev, sum(flag), count() FROM ev
SELECT ev.id, ev.* FROM ev ORDER BY ev.id LIMIT 2
SELECT count() FROM "ev", `other`
SELECT count() FROM 'ev'
FROM ev SELECT count(), uniqExact(secret), min(secret), max(secret)
SELECT count(), min(id), max(ts), any(tenant) FROM ev
SELECT topK(3)(tenant), groupUniqArray(tenant) FROM ev
SELECT tenant, count() FROM ev GROUP BY tenant WITH TOTALS
SELECT tenant, flag, count() FROM ev GROUP BY ROLLUP(tenant, flag) ORDER BY ALL
SELECT count() FROM ev WHERE id IN (SELECT id FROM ev AS ev WHERE throwIf(flag) = 0)
SELECT * EXCEPT (arr) APPLY(max) FROM ev
SELECT toStartOfHour(ts) AS t, sum(flag) FROM ev GROUP BY t ORDER BY t WITH FILL STEP 3600 LIMIT 3
SELECT a.n FROM (SELECT count() AS n FROM ev) AS a CROSS JOIN (SELECT sum(flag) FROM ev) AS b
SELECT id, any(secret) FROM ev GROUP BY id ORDER BY id LIMIT 2 OFFSET 5
SELECT id FROM ev ORDER BY id DESC LIMIT 1 BY flag LIMIT 5
(SELECT count() FROM ev) UNION DISTINCT (WITH x AS (SELECT * FROM ev) SELECT count() FROM x)
SELECT c FROM ((SELECT count() AS c FROM ev) UNION ALL (WITH ev AS (SELECT * FROM ev WHERE id < 9) SELECT count() FROM ev)) ORDER BY c
SELECT count() FROM ev WHERE dateDiff('day', ts, toDate('2024-01-01')) = 0 AND flag = 1
SELECT count(), sum(id) FROM ev WHERE toBool(if(tenant = 'b', 'zz', 'true'))
SELECT count(), sum(id) FROM ev WHERE bitShiftLeft(1, if(tenant = 'b', -1, 1)) >= 0
SELECT count(), sum(id) FROM ev WHERE mapFromArrays([1], if(tenant = 'b', [1, 2], [1])) != map()
SELECT count(), sum(id) FROM ev WHERE tupleElement((1, 2), 1) = 1 AND toUUID(if(tenant = 'b', toString(tenant), '00000000-0000-0000-0000-000000000000')) != toUUID('00000000-0000-0000-0000-000000000001')
SELECT count(), sum(id) FROM ev WHERE toBool(if(tenant = 'b', toString(tenant), 'true')) AND id % 2 = 0
SELECT count(), sum(id) FROM ev SAMPLE 1/2 WHERE toBool(if(tenant = 'b', 'zz', 'true'))
SELECT count(), sum(id) FROM ev PREWHERE toBool(if(tenant = 'b', 'zz', 'true'))
SELECT count(), sum(id) FROM rep FINAL WHERE toBool(if(tenant = 'b', 'zz', 'true'))
SELECT count(), sum(n) FROM (SELECT tenant, id + 1 AS n FROM ev) WHERE bitShiftLeft(1, if(tenant = 'b', -1, 1)) >= 0
SELECT count(), sum(l.id) FROM ev AS l JOIN other AS r ON l.id = r.id WHERE bitShiftLeft(1, if(l.tenant = 'b', -1, 1)) >= 0
SELECT count(), sum(l.id) FROM ev AS l JOIN other AS r ON l.id = r.id AND toBool(if(l.tenant = 'b', 'zz', 'true'))
SELECT count(), sum(id) FROM other WHERE id IN (SELECT id FROM ev WHERE toBool(if(tenant = 'b', 'zz', 'true')))
WITH c AS (SELECT * FROM ev WHERE bitShiftLeft(1, if(tenant = 'b', -1, 1)) >= 0) SELECT count(), sum(id) FROM c WHERE toBool(if(tenant = 'b', 'zz', 'true'))
SELECT count() FROM ev HAVING count() > 0 AND NOT ignore(any(toBool(if(tenant = 'b', 'zz', 'true'))))
SELECT count(), sum(id) FROM view(SELECT * FROM ev) WHERE toBool(if(tenant = 'b', 'zz', 'true'))
