-- One statement a line, over the tables of tables.sql.
SELECT id, row_number() OVER (ORDER BY id DESC) AS r FROM events ORDER BY id LIMIT 3
SELECT id, rank() OVER (ORDER BY n), dense_rank() OVER (ORDER BY n), percent_rank() OVER (ORDER BY n) FROM events ORDER BY id LIMIT 5
SELECT id, ntile(4) OVER (ORDER BY id), cume_dist() OVER (ORDER BY id) FROM events ORDER BY id LIMIT 5
SELECT id, sum(n) OVER (PARTITION BY tenant ORDER BY id) AS running FROM events ORDER BY id LIMIT 6
SELECT id, sum(n) OVER (PARTITION BY tenant ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS near FROM events ORDER BY id LIMIT 6
SELECT id, sum(n) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS s FROM events ORDER BY id LIMIT 4
SELECT id, sum(n) OVER (ORDER BY id ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS s FROM events ORDER BY id LIMIT 4
SELECT id, count() OVER (ORDER BY id RANGE BETWEEN 5 PRECEDING AND 5 FOLLOWING) AS c FROM events ORDER BY id LIMIT 8
SELECT id, max(n) OVER (ORDER BY id RANGE BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS m FROM events ORDER BY id LIMIT 5
SELECT id, avg(score) OVER (PARTITION BY kind) AS mean FROM events ORDER BY id LIMIT 4
SELECT id, count() OVER () AS everything FROM events ORDER BY id LIMIT 2
SELECT id, first_value(page) OVER w AS f, last_value(page) OVER w AS l, nth_value(page, 2) OVER w AS s FROM events WINDOW w AS (PARTITION BY tenant ORDER BY id) ORDER BY id LIMIT 7
SELECT id, lagInFrame(id, 1, 0) OVER w AS before, leadInFrame(id, 1, 0) OVER w AS after FROM events WINDOW w AS (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) ORDER BY id LIMIT 3
SELECT id, lag(id) OVER (ORDER BY id) AS before, lead(id, 2, 99) OVER (ORDER BY id) AS after FROM events ORDER BY id DESC LIMIT 3
SELECT id, sum(n) OVER w1 AS a, max(n) OVER w2 AS b FROM events WINDOW w1 AS (PARTITION BY tenant), w2 AS (w1 ORDER BY id) ORDER BY id LIMIT 5
SELECT id, sum(n) OVER (w ORDER BY id) AS a FROM events WINDOW w AS (PARTITION BY tenant) ORDER BY id LIMIT 5
SELECT tenant, sum(count()) OVER (ORDER BY tenant) AS running FROM events GROUP BY tenant ORDER BY tenant
SELECT id, groupArray(id) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS last FROM events ORDER BY id LIMIT 4
SELECT id, sumIf(n, flag) OVER (ORDER BY id) AS s FROM events ORDER BY id LIMIT 4
SELECT id, quantile(0.5)(score) OVER (PARTITION BY kind) AS q FROM events ORDER BY id LIMIT 3
SELECT id, exponentialTimeDecayedAvg(10)(score, id) OVER (ORDER BY id) AS e FROM events ORDER BY id LIMIT 3
SELECT id, nonNegativeDerivative(score, at) OVER (ORDER BY at ASC) AS d FROM events ORDER BY id LIMIT 3
SELECT id, any(page) IGNORE NULLS OVER (ORDER BY id) AS a, first_value(referrer) RESPECT NULLS OVER (ORDER BY id) AS f FROM events ORDER BY id LIMIT 3
SELECT id, sum(n) OVER (PARTITION BY tenant, kind ORDER BY day DESC, id ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING) AS s FROM events ORDER BY id LIMIT 5
SELECT tenant, page, c, rank() OVER (PARTITION BY tenant ORDER BY c DESC, page) AS place FROM (SELECT tenant, page, count() AS c FROM events GROUP BY tenant, page) ORDER BY tenant, place
SELECT id, sum(n) OVER w AS s FROM events WINDOW w AS () ORDER BY id LIMIT 2
SELECT id, sum(n) OVER (ORDER BY toUnixTimestamp(at) RANGE 86400 PRECEDING) AS s FROM events ORDER BY id LIMIT 3
SELECT tenant, kind, count() AS c, round(100 * c / sum(c) OVER (PARTITION BY tenant), 2) AS share FROM events GROUP BY tenant, kind ORDER BY tenant, kind
SELECT id, count() FILTER (WHERE flag) OVER (ORDER BY id) AS c FROM events ORDER BY id LIMIT 3
SELECT id, if(row_number() OVER (PARTITION BY tenant ORDER BY id) = 1, 'first', 'later') AS place FROM events ORDER BY id LIMIT 5
