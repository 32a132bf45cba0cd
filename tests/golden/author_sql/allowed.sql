-- One statement a line. `ev` is a data source: at DateTime, page String, n Int64, tags Array(String), m Map(String, String).
SELECT 1
SELECT * FROM ev
SELECT page, count() AS c FROM ev GROUP BY page ORDER BY c DESC LIMIT 10
SELECT toDate(at) AS day, uniqExact(page) FROM ev WHERE at >= now() - INTERVAL 7 DAY GROUP BY day ORDER BY day WITH FILL STEP 1
SELECT toStartOfInterval(at, INTERVAL 15 MINUTE) AS t, avg(n) FROM ev GROUP BY t
SELECT throwIf(count() > 1000000, 'too many') FROM ev
SELECT timestampAdd(DAY, 1, at), dateAdd(HOUR, 2, at), date_sub(DAY, 1, at), timestamp_sub(MONTH, 1, at) FROM ev
SELECT DATE_ADD(DAY, 1, at), addDays(at, 1), date_trunc('month', at), dateDiff('day', at, now()), age('day', at, now()) FROM ev
SELECT TIMESTAMPDIFF(DAY, at, now()), date_diff('hour', at, now()) FROM ev
SELECT EXTRACT(YEAR FROM at), toYear(at), formatDateTime(at, '%Y-%m'), at + INTERVAL 1 MONTH FROM ev
SELECT arrayJoin([1, 2, 3]) AS x
SELECT page, tag FROM ev ARRAY JOIN tags AS tag
SELECT page, tag FROM ev LEFT ARRAY JOIN tags AS tag, arrayEnumerate(tags) AS i
SELECT page, row_number() OVER (PARTITION BY page ORDER BY at) AS rn FROM ev
SELECT page, sum(n) OVER w AS s, lagInFrame(n, 1, 0) OVER w FROM ev WINDOW w AS (PARTITION BY page ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
SELECT page, rank() OVER (ORDER BY n), dense_rank() OVER (ORDER BY n), ntile(4) OVER (ORDER BY n), first_value(n) OVER (ORDER BY at) FROM ev
SELECT n FROM (SELECT 1 AS n) ORDER BY n WITH FILL FROM 0 TO 5 STEP 1
SELECT n, x FROM (SELECT 1 AS n, 5 AS x) ORDER BY n WITH FILL TO 4 INTERPOLATE (x AS x + 1)
WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r
WITH a AS (SELECT page FROM ev), b AS (SELECT page FROM a) SELECT count() FROM b
WITH (SELECT max(n) FROM ev) AS top SELECT page FROM ev WHERE n = top
WITH 5 AS five SELECT n + five FROM ev
WITH x -> x + 1 AS plus_one SELECT plus_one(n) FROM ev
SELECT * FROM numbers(10)
SELECT number FROM numbers(0, 100, 10) WHERE number % 2 = 0
SELECT * FROM generate_series(1, 10, 2)
SELECT * FROM generateSeries(1, 3)
SELECT * FROM values('a Int8, b String', (1, 'x'), (2, 'y'))
SELECT * FROM view(SELECT page, n FROM ev)
SELECT * FROM generateRandom('a Int8, b String', 1, 4) LIMIT 3
SELECT * FROM null('a Int8')
SELECT * FROM primes() LIMIT 3
SELECT quantile(0.9)(n), quantiles(0.5, 0.9, 0.99)(n), topK(3)(page), groupArray(5)(page), uniqUpTo(3)(page) FROM ev
SELECT quantileTDigestIf(0.5)(n, n > 1), windowFunnel(3600)(at, page = 'a', page = 'b'), sequenceMatch('(?1)(?2)')(at, page = 'a', page = 'b') FROM ev
SELECT countIf(n > 1), sumIf(n, page = 'a'), avgOrNull(n), argMax(page, n), anyLast(page), groupUniqArray(page) FROM ev
SELECT sumMerge(s), uniqMerge(u) FROM (SELECT sumState(n) AS s, uniqState(page) AS u FROM ev)
SELECT sumMap(map(page, n)), sumForEach([n]), countDistinct(page), count(DISTINCT page, n) FROM ev
SELECT groupArrayArray(tags), groupBitAnd(toUInt64(n)), simpleLinearRegression(n, n), histogram(5)(n) FROM ev
SELECT arrayMap(x -> x * 2, [1, 2]), arrayFilter((x, y) -> y > 1, [1, 2], [0, 2]), arrayFold((acc, x) -> acc + x, [1, 2], toInt64(0))
SELECT arrayMap(toString, [1, 2]), arrayMap(upper, tags), arraySum(length, tags), arrayMap(tuple -> tuple.1, [(1, 2)]) FROM ev
SELECT * APPLY(toString) FROM ev
SELECT COLUMNS('^n$') APPLY(sum) FROM ev
SELECT COLUMNS('n|at') APPLY(x -> toString(x)) FROM ev
SELECT * APPLY(quantile(0.5)) FROM (SELECT n FROM ev)
SELECT * EXCEPT (at) FROM ev
SELECT * EXCEPT (at, m) REPLACE (n + 1 AS n) FROM ev
SELECT e.* FROM ev AS e
SELECT a.page, b.n FROM ev AS a JOIN ev AS b ON a.page = b.page AND a.at < b.at
SELECT page FROM ev AS a ANY LEFT JOIN (SELECT page, max(n) AS top FROM ev GROUP BY page) AS b USING page
SELECT a.page FROM ev AS a ASOF JOIN ev AS b ON a.page = b.page AND a.at >= b.at
SELECT 1 FROM ev AS a, ev AS b WHERE a.page = b.page
SELECT page FROM ev CROSS JOIN (SELECT 1 AS one) AS o
SELECT page FROM ev UNION ALL SELECT 'x' UNION DISTINCT SELECT 'y'
SELECT page FROM ev INTERSECT SELECT page FROM ev
SELECT page FROM ev EXCEPT SELECT 'x'
(SELECT 1 AS a) UNION ALL (SELECT 2 AS a ORDER BY a)
SELECT page IN ('a', 'b'), n IN (SELECT n FROM ev), page IN (SELECT page FROM ev) FROM ev
SELECT (page, n) IN (('a', 1), ('b', 2)) FROM ev
SELECT page FROM ev WHERE n GLOBAL IN (SELECT n FROM ev)
SELECT EXISTS(SELECT 1 FROM ev)
SELECT page FROM ev WHERE n BETWEEN 1 AND 5 AND page LIKE 'a%' AND page NOT ILIKE '%z' AND match(page, '^a')
SELECT CASE WHEN n > 1 THEN 'big' WHEN n = 1 THEN 'one' ELSE 'small' END, CASE page WHEN 'a' THEN 1 ELSE 0 END FROM ev
SELECT n > 1 ? 'yes' : 'no', if(n = 1, 'a', 'b'), multiIf(n = 1, 'a', n = 2, 'b', 'c'), coalesce(NULL, page), ifNull(NULL, 1), nullIf(n, 1) FROM ev
SELECT CAST(n AS String), n::Float64, toInt32OrNull(page), toDecimal64(n, 2), accurateCastOrNull(page, 'Int8'), reinterpretAsString(n) FROM ev
SELECT m['a'], mapKeys(m), mapValues(m), mapContains(m, 'a'), mapFilter((k, v) -> k = 'a', m), tags[1], tags[-1], tuple(1, 'a').1 FROM ev
SELECT JSONExtractString('{"a":"b"}', 'a'), JSONExtractInt('{"a":1}', 'a'), JSON_VALUE('{"a":1}', '$.a'), simpleJSONExtractString('{"a":"b"}', 'a'), JSONExtract('{"a":[1]}', 'a', 'Array(Int8)')
SELECT substring(page, 1, 2), SUBSTRING(page FROM 1 FOR 2), trim(BOTH 'a' FROM page), position('a' IN page), replaceRegexpAll(page, 'a', 'b'), splitByChar(',', page), extractAll(page, 'a+'), concat(page, 'x'), page || 'y' FROM ev
SELECT domain('https://a.b/c'), path('https://a.b/c'), cutQueryString('https://a.b/?c'), extractURLParameter('https://a.b/?c=1', 'c'), lower(page), base64Encode(page), cityHash64(page), MD5(page), hex(SHA256(page)) FROM ev
SELECT levenshteinDistance(page, 'abc'), ngramDistance(page, 'abc'), jaroSimilarity(page, 'b'), editDistance(page, 'c') FROM ev
SELECT geoDistance(1, 2, 3, 4), greatCircleDistance(1, 2, 3, 4), geohashEncode(1., 2.), pointInPolygon((1, 1), [(0, 0), (2, 0), (2, 2)]), h3ToString(1), polygonsIntersectCartesian([[[(0., 0.), (0., 1.), (1., 1.)]]], [[[(0., 0.), (0., 1.), (1., 1.)]]])
SELECT rand() % 10, generateUUIDv4(), randomString(5), now64(3), today(), yesterday(), toUnixTimestamp(now())
SELECT toTypeName(n), version(), currentDatabase(), isNull(page), ignore(n), identity(n), materialize(1) FROM ev
SELECT user, database, version, file, url FROM (SELECT 'a' AS user, 'b' AS database, 1 AS version, 'c' AS file, 'd' AS url)
SELECT file, count() FROM (SELECT 'x' AS file) GROUP BY file HAVING file != '' ORDER BY file
SELECT u.file, merge.remote FROM (SELECT 'x' AS file) AS u, (SELECT 1 AS remote) AS merge
SELECT file.name, s3.path FROM (SELECT 1 AS name) AS file, (SELECT 2 AS path) AS s3
SELECT 'file(''/etc/passwd'')', 'system.tables', '@@x', '-- url(1)' /* file('x') */ -- system.tables
SELECT n AS system, system + 1 FROM ev
SELECT system.n FROM ev AS system
WITH system AS (SELECT n FROM ev) SELECT n FROM system
SELECT sleepEachRow(0) FROM numbers(1)
SELECT hasColumnInTable(currentDatabase(), 'ev', 'n')
SELECT page FROM ev LIMIT 3 OFFSET 1
SELECT page FROM ev ORDER BY n LIMIT 3 WITH TIES
SELECT page, n FROM ev LIMIT 2 BY page
SELECT DISTINCT ON (page) page, n FROM ev
SELECT page, sum(n) FROM ev GROUP BY ROLLUP(page)
SELECT page, sum(n), grouping(page) FROM ev GROUP BY GROUPING SETS ((page), ())
SELECT page, sum(n) FROM ev GROUP BY page WITH TOTALS
SELECT page, sum(n) FROM ev GROUP BY ALL ORDER BY ALL
SELECT page FROM ev PREWHERE n = 1 WHERE page != ''
SELECT page, sum(n) AS s FROM ev GROUP BY page HAVING s > 1 QUALIFY row_number() OVER (ORDER BY s) < 3
SELECT page FROM ev SETTINGS max_threads = 1, join_use_nulls = 1
SELECT * FROM (SELECT page FROM ev SETTINGS max_threads = 1)
SELECT untuple((1, 'a')), * FROM ev
SELECT bitAnd(1, 2), 1 + 2 * 3 % 4 - -5, 5 DIV 2, 5 MOD 2, NOT 1, 1 AND 0 OR 1 XOR 1, 1 IS NOT DISTINCT FROM 1
SELECT DATE '2024-01-01', TIMESTAMP '2024-01-01 00:00:00', INTERVAL '1' DAY, toIntervalHour(2), (1, 2) + (3, 4), [1, 2] || [3]
SELECT arrayReduce('uniq', [1, 2]), initializeAggregation('sum', 1), finalizeAggregation(initializeAggregation('sumState', 1)), formatReadableSize(1024), bar(1, 0, 10, 5)
SELECT dictGet('countries', 'name', toUInt64(1))
SELECT dictGetOrDefault(countries, 'name', toUInt64(1), 'none'), dictHas('countries', toUInt64(1))
SELECT joinGet('lookup', 'v', 'k'), joinGetOrNull(lookup, 'v', 'k')
SELECT * FROM format(JSONEachRow, 'a Int8', '{"a": 1}')
SELECT * FROM format(CSV, '1,2')
SELECT number FROM zeros(3) AS z, numbers(2)
SELECT * FROM tinybird.pipe_stats_rt
SELECT LEAST(1, 2), GREATEST(1, 2), IFNULL(1, 2), DATE_FORMAT(now(), '%Y'), toUnixTimestamp(now()), LENGTH('a'), UPPER('a'), CONCAT('a', 'b'), ROUND(1.5)
SELECT '\xff\xb4' = page, unhex('FF'), 'ü€' FROM ev
SELECT number, dummy FROM system.numbers, system.one LIMIT 3
