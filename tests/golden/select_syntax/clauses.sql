-- One statement a line, over the tables of tables.sql.
SELECT 1
SELECT 1 AS one, 'two' AS two, NULL AS three, true AS four
SELECT * FROM users ORDER BY id, version
SELECT id, name FROM users FINAL ORDER BY id
SELECT count() FROM events
SELECT DISTINCT tenant FROM events ORDER BY tenant
SELECT DISTINCT ON (tenant) tenant, id FROM events ORDER BY tenant, id
SELECT DISTINCT ON (tenant, kind) tenant, kind, page FROM events ORDER BY tenant, kind, id
SELECT ALL tenant FROM events ORDER BY id LIMIT 3
SELECT id FROM events WHERE n > 0 AND NOT (flag OR id < 10) ORDER BY id
SELECT id FROM events PREWHERE tenant = 'acme' WHERE n > 3 ORDER BY id
SELECT id, page FROM events PREWHERE id < 9 ORDER BY id DESC
SELECT count(), sum(id) FROM events SAMPLE 1/2
SELECT count() FROM events SAMPLE 0.3
SELECT count() FROM events SAMPLE 1/4 OFFSET 1/2 WHERE id > 3
SELECT tenant, count() FROM events GROUP BY tenant ORDER BY tenant
SELECT tenant, kind, count() AS c FROM events GROUP BY 1, 2 ORDER BY 1, 2
SELECT tenant, kind, count() AS c FROM events GROUP BY ALL ORDER BY ALL
SELECT tenant, count() AS c FROM events GROUP BY tenant WITH TOTALS ORDER BY tenant
SELECT tenant, kind, count() AS c FROM events GROUP BY tenant, kind WITH ROLLUP ORDER BY tenant, kind, c
SELECT tenant, kind, count() AS c FROM events GROUP BY ROLLUP(tenant, kind) ORDER BY tenant, kind, c
SELECT tenant, kind, count() AS c FROM events GROUP BY CUBE(tenant, kind) ORDER BY tenant, kind, c
SELECT tenant, kind, count() AS c FROM events GROUP BY tenant, kind WITH CUBE WITH TOTALS ORDER BY tenant, kind, c
SELECT tenant, kind, count() AS c, grouping(tenant) AS g FROM events GROUP BY GROUPING SETS ((tenant), (kind), ()) ORDER BY ALL
SELECT tenant, flag, count() AS c, GROUPING(tenant, flag) AS g FROM events GROUP BY GROUPING SETS ((tenant, flag), (tenant)) ORDER BY ALL
SELECT page, sum(n) AS s FROM events GROUP BY page HAVING s > 0 AND count() > 3 ORDER BY s DESC, page
SELECT count() AS c FROM events HAVING c > 10
SELECT id, row_number() OVER (PARTITION BY tenant ORDER BY id) AS r FROM events QUALIFY r <= 2 ORDER BY id
SELECT id, name FROM users ORDER BY born DESC NULLS LAST, id, version LIMIT 5
SELECT id FROM users ORDER BY country ASC NULLS FIRST, id DESC LIMIT 4
SELECT name FROM users ORDER BY name COLLATE 'en', id LIMIT 5
SELECT id FROM events ORDER BY id LIMIT 5, 3
SELECT id FROM events ORDER BY id LIMIT 3 OFFSET 5
SELECT id FROM events ORDER BY id OFFSET 57
SELECT id FROM events ORDER BY id OFFSET 2 ROWS FETCH NEXT 3 ROWS ONLY
SELECT id FROM events ORDER BY id OFFSET 1 ROW FETCH FIRST 2 ROWS ONLY
SELECT n FROM events ORDER BY n LIMIT 3 WITH TIES
SELECT n FROM events ORDER BY n FETCH FIRST 3 ROWS WITH TIES
SELECT tenant, id FROM events ORDER BY tenant, id LIMIT 2 BY tenant
SELECT tenant, id FROM events ORDER BY tenant, id LIMIT 1, 2 BY tenant
SELECT tenant, id FROM events ORDER BY tenant, id LIMIT 2 OFFSET 1 BY tenant LIMIT 5
SELECT id FROM events ORDER BY id DESC LIMIT -3
SELECT id FROM events ORDER BY id LIMIT 0.1
SELECT id FROM events ORDER BY n % 3, -id LIMIT 7
SELECT tenant, max(id) FROM events GROUP BY tenant ORDER BY max(id)
SELECT id * 2 AS twice, twice + 1 AS more FROM events WHERE twice > 100 ORDER BY more
SELECT e.id, e.page FROM events AS e WHERE e.id IN (3, 5, 7) ORDER BY e.id
SELECT events.id FROM events WHERE events.tenant = 'acme' ORDER BY events.id LIMIT 2
SELECT `id`, "page" FROM `events` WHERE `events`.`id` = 4
FROM events SELECT id, page WHERE id < 3 ORDER BY id
FROM users AS u FINAL SELECT u.name WHERE u.id < 6 ORDER BY u.id
SELECT *
SELECT 1 WHERE 0
SELECT id FROM events WHERE id = 1;
SELECT id FROM (SELECT id FROM events) WHERE id = 2
SELECT x FROM (SELECT id FROM events WHERE id < 3) AS t(x) ORDER BY x
SELECT a, b FROM (SELECT id, page FROM events WHERE id < 3) AS t (a, b) ORDER BY a
SELECT toDate(at) AS d, count() AS c FROM events GROUP BY d ORDER BY d WITH FILL
SELECT id FROM events WHERE id % 20 = 0 ORDER BY id WITH FILL FROM 0 TO 60 STEP 10
SELECT day, count() AS c FROM events GROUP BY day ORDER BY day WITH FILL FROM toDate('2024-01-28') TO toDate('2024-02-05') STEP INTERVAL 1 DAY
SELECT id, page FROM events WHERE id IN (1, 4) ORDER BY id WITH FILL TO 7 INTERPOLATE (page)
SELECT id, n AS m FROM events WHERE id IN (1, 4) ORDER BY id WITH FILL TO 7 INTERPOLATE (m AS m + 1)
SELECT toStartOfHour(at) AS h, count() AS c FROM events WHERE id < 4 GROUP BY h ORDER BY h WITH FILL STEP toIntervalHour(1) STALENESS INTERVAL 2 HOUR
SELECT id FROM events WHERE id < 5 ORDER BY id DESC WITH FILL STEP -1
SELECT max(id) AS m FROM events UNION ALL SELECT id FROM users ORDER BY id LIMIT 1
SELECT id FROM (SELECT id FROM events UNION ALL SELECT id FROM users) ORDER BY id LIMIT 12
SELECT tenant FROM (SELECT tenant FROM events UNION DISTINCT SELECT 'other') ORDER BY tenant
SELECT count() FROM (SELECT id FROM events EXCEPT SELECT id FROM users)
SELECT id FROM events WHERE id = 4 INTERSECT SELECT id FROM users WHERE id = 4
SELECT id FROM (SELECT id FROM events INTERSECT DISTINCT SELECT id FROM users) ORDER BY id
SELECT id FROM (SELECT id FROM events EXCEPT DISTINCT SELECT id FROM users) ORDER BY id LIMIT 5
SELECT * FROM ((SELECT 1 AS a) UNION ALL (SELECT 2 AS a UNION ALL SELECT 3)) ORDER BY a
(SELECT 1 AS a)
(SELECT id FROM events ORDER BY id LIMIT 1) UNION ALL (SELECT id FROM users ORDER BY id LIMIT 1)
((SELECT 3 AS x) EXCEPT (SELECT 4)) UNION ALL (SELECT 3)
SELECT id FROM events WHERE tenant = 'acme' ORDER BY id LIMIT 1 FORMAT JSONCompact
SELECT tenant, id FROM events ORDER BY id LIMIT 2 BY ALL LIMIT 3
SELECT count() FROM (SELECT tenant FROM events INTERSECT ALL SELECT tenant FROM events WHERE id < 10)
SELECT count() FROM (SELECT tenant FROM events EXCEPT ALL SELECT tenant FROM events WHERE id < 10)
SELECT id FROM events ORDER BY id LIMIT 1 + 1 OFFSET 5 - 2
SELECT id FROM events ORDER BY id LIMIT -2 OFFSET -1
SELECT id FROM events ORDER BY id LIMIT 0.05 OFFSET 0.5
SELECT tenant, count() AS c FROM events GROUP BY tenant WITH ROLLUP WITH TOTALS ORDER BY tenant, c
SELECT tenant, kind, sum(n) AS s FROM events GROUP BY tenant, kind WITH ROLLUP HAVING GROUPING(kind) = 0 ORDER BY tenant, kind
SELECT id, page FROM events WHERE id < 4 ORDER BY ALL DESC
SELECT count() FROM users FINAL WHERE name LIKE 'User%'
SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS t(a, b) ORDER BY a
