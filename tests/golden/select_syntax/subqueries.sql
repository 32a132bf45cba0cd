-- One statement a line, over the tables of tables.sql.
WITH big AS (SELECT id, n FROM events WHERE n > 3) SELECT count(), max(id) FROM big
WITH a AS (SELECT id FROM events WHERE id < 10), b AS (SELECT id FROM a WHERE id > 5) SELECT * FROM b ORDER BY id
WITH a AS MATERIALIZED (SELECT tenant, count() AS c FROM events GROUP BY tenant) SELECT x.tenant, y.c FROM a AS x JOIN a AS y ON x.tenant = y.tenant ORDER BY x.tenant
WITH a (x, y) AS (SELECT id, page FROM events WHERE id < 3) SELECT y FROM a ORDER BY x
WITH 5 AS five, 'acme' AS who SELECT count() FROM events WHERE id > five AND tenant = who
WITH (SELECT max(n) FROM events) AS top SELECT id FROM events WHERE n = top ORDER BY id
WITH (SELECT (min(id), max(id)) FROM events) AS ends SELECT ends.1, ends.2
WITH x -> x * 2 + 1 AS f SELECT f(id) FROM events WHERE id < 3 ORDER BY id
WITH toDate('2024-01-31') AS start, start + 1 AS stop SELECT count() FROM events WHERE day BETWEEN start AND stop
WITH sum(n) AS total SELECT tenant, total FROM events GROUP BY tenant ORDER BY tenant
WITH events AS (SELECT id FROM events WHERE id < 4) SELECT count() FROM events
WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 6) SELECT n FROM r ORDER BY n
WITH RECURSIVE walk AS (SELECT id, 0 AS depth FROM events WHERE id = 3 UNION ALL SELECT e.id, depth + 1 FROM events AS e, walk AS w WHERE e.id = w.id * 2 AND depth < 4) SELECT * FROM walk ORDER BY depth
WITH RECURSIVE fib AS (SELECT toUInt64(0) AS a, toUInt64(1) AS b, 1 AS i UNION ALL SELECT b, a + b, i + 1 FROM fib WHERE i < 12) SELECT groupArray(a) FROM (SELECT a FROM fib ORDER BY i)
SELECT (SELECT max(id) FROM events) AS top, (SELECT count() FROM users) AS many
SELECT id, (SELECT avg(score) FROM events) AS mean FROM events WHERE score > mean ORDER BY id LIMIT 3
SELECT (SELECT groupArray(id) FROM (SELECT id FROM users WHERE version = 2 ORDER BY id)) AS ids
SELECT id FROM events WHERE id IN (SELECT id FROM users WHERE country = 'DE') ORDER BY id
SELECT id FROM events WHERE id NOT IN (SELECT id FROM users) ORDER BY id LIMIT 6
SELECT id FROM events WHERE id GLOBAL IN (SELECT id FROM users WHERE version = 2) ORDER BY id
SELECT id FROM events WHERE (id, tenant) IN (SELECT id, 'acme' FROM users) ORDER BY id
SELECT id FROM events WHERE (id, tenant) IN ((3, 'acme'), (4, 'globex'), (5, 'acme')) ORDER BY id
SELECT id FROM events WHERE tenant IN ('acme') AND kind IN ('buy', 'click') ORDER BY id
SELECT id FROM events WHERE tenant IN tuple('acme', 'globex') AND id < 5 ORDER BY id
SELECT id FROM events WHERE id IN [1, 2, 3] ORDER BY id
SELECT tenant IN ('acme') AS mine, count() FROM events GROUP BY mine ORDER BY mine
SELECT count() FROM events WHERE EXISTS (SELECT 1 FROM users WHERE name = 'user 1')
SELECT count() FROM events WHERE NOT EXISTS (SELECT 1 FROM users WHERE name = 'nobody')
SELECT id FROM events AS e WHERE EXISTS (SELECT 1 FROM users AS u WHERE u.id = e.id AND u.version = 2) ORDER BY id
SELECT e.id, (SELECT count() FROM users AS u WHERE u.id = e.id) AS c FROM events AS e WHERE e.id < 8 ORDER BY e.id
SELECT id FROM events WHERE n = ANY (SELECT id FROM users) ORDER BY id
SELECT id FROM events WHERE id > ALL (SELECT id FROM users) ORDER BY id LIMIT 3
SELECT id FROM events WHERE n <= ALL (SELECT id FROM users) AND id < 20 ORDER BY id
SELECT id FROM events WHERE n <> ALL (SELECT id FROM users) ORDER BY id LIMIT 3
SELECT id FROM events WHERE id = (SELECT min(id) FROM users WHERE name LIKE 'User%')
SELECT tenant, c FROM (SELECT tenant, count() AS c FROM events GROUP BY tenant) WHERE c > 19 ORDER BY tenant
SELECT max(c) FROM (SELECT page, count() AS c FROM (SELECT * FROM events WHERE flag) GROUP BY page)
SELECT count() FROM view(SELECT id FROM events WHERE id < 7)
SELECT * FROM numbers(3)
SELECT number FROM numbers(5, 3) ORDER BY number
SELECT number FROM numbers(0, 20, 6) ORDER BY number
SELECT count(), sum(number) FROM numbers_mt(1000)
SELECT * FROM generateSeries(1, 10, 4)
SELECT generate_series FROM generate_series(3, 5)
SELECT * FROM values('a UInt8, b String', (1, 'x'), (2, 'y')) ORDER BY a
SELECT * FROM values((1, 'x'), (2, 'y')) ORDER BY 1
SELECT * FROM VALUES('a Array(Int8)', [1, 2])
SELECT c1 * 2 FROM VALUES(1, 2, 3) ORDER BY 1
SELECT prime FROM primes(5)
SELECT e.id, v.label FROM events AS e JOIN values('kind String, label String', ('buy', 'Bought'), ('view', 'Seen')) AS v ON toString(e.kind) = v.kind WHERE e.id < 6 ORDER BY e.id
SELECT x FROM (SELECT 1 AS x UNION ALL SELECT (SELECT 2)) ORDER BY x
SELECT (SELECT tuple(1, 'a')).2 AS second
SELECT id FROM events WHERE id IN (WITH u AS (SELECT id FROM users WHERE id < 9) SELECT id FROM u) ORDER BY id
SELECT count() FROM (WITH u AS (SELECT id FROM users) SELECT * FROM u UNION ALL SELECT id FROM u)
WITH u AS (SELECT id FROM users) SELECT count() FROM events WHERE id IN u
WITH u AS (SELECT id FROM users) SELECT count() FROM events WHERE id NOT IN (u)
SELECT count() FROM events WHERE (id) IN (SELECT id FROM users) OR tenant = 'initech'
SELECT number, (SELECT count() FROM events WHERE id < number) AS below FROM numbers(4) ORDER BY number
SELECT count() FROM events WHERE (tenant, id) NOT IN (SELECT 'acme', id FROM users)
WITH 1 AS x, y AS (SELECT x + 1 AS z) SELECT z FROM y
WITH (x, y) -> x + y AS add2 SELECT add2(id, n) FROM events WHERE id = 2
SELECT id IN (SELECT id FROM users) AS known, count() FROM events GROUP BY known ORDER BY known
SELECT (SELECT id FROM users ORDER BY id LIMIT 1) = SOME (SELECT id FROM events) AS some
SELECT any(a) FROM (SELECT (SELECT any(page) FROM events WHERE id = 3) AS a)
SELECT id, x FROM (SELECT id, (SELECT max(n) FROM events) - n AS x FROM events) WHERE x = 0 ORDER BY id
