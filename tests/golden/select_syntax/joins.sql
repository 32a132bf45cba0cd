-- One statement a line, over the tables of tables.sql.
SELECT e.id, u.name FROM events AS e JOIN users AS u ON e.id = u.id ORDER BY e.id, u.version
SELECT e.id, u.name FROM events e INNER JOIN users u ON e.id = u.id AND u.version = 1 ORDER BY e.id LIMIT 4
SELECT id, name, page FROM events JOIN users USING (id) ORDER BY id, version LIMIT 5
SELECT id, name, page FROM events JOIN users USING id ORDER BY id, version LIMIT 5
SELECT e.id, u.name FROM events AS e LEFT JOIN users AS u ON e.id = u.id WHERE e.id < 4 ORDER BY e.id, u.version
SELECT e.id, u.id FROM events AS e RIGHT OUTER JOIN (SELECT id + 55 AS id FROM users) AS u ON e.id = u.id ORDER BY u.id, e.id
SELECT e.id, q.bid FROM events AS e FULL OUTER JOIN quotes AS q ON e.at = q.at ORDER BY e.id, q.bid LIMIT 8
SELECT u.id, u.country, e.page FROM users AS u ANY LEFT JOIN events AS e ON u.id = e.id ORDER BY u.id, u.version LIMIT 5
SELECT e.id, e.tenant FROM events AS e LEFT SEMI JOIN users AS u ON e.id = u.id ORDER BY e.id LIMIT 5
SELECT e.id, e.tenant FROM events AS e LEFT ANTI JOIN users AS u ON e.id = u.id ORDER BY e.id LIMIT 5
SELECT u.id FROM events AS e RIGHT SEMI JOIN users AS u ON e.id = u.id ORDER BY u.id, u.version LIMIT 5
SELECT u.id FROM events AS e RIGHT ANTI JOIN (SELECT id + 50 AS id FROM users) AS u ON e.id = u.id ORDER BY u.id LIMIT 5
SELECT e.id, e.at, q.at, q.bid FROM events AS e ASOF JOIN quotes AS q ON e.tenant = q.symbol AND e.at >= q.at ORDER BY e.id LIMIT 6
SELECT e.id, q.bid FROM events AS e ASOF LEFT JOIN quotes AS q ON e.tenant = q.symbol AND e.at < q.at ORDER BY e.id LIMIT 6
SELECT count() FROM events AS e ASOF JOIN (SELECT symbol AS tenant, at, bid FROM quotes) AS q USING (tenant, at)
SELECT count() FROM events CROSS JOIN users
SELECT e.id, u.id FROM events AS e, users AS u WHERE e.id = u.id AND u.version = 2 ORDER BY e.id
SELECT e.id, u.id, q.bid FROM events AS e JOIN users AS u ON e.id = u.id LEFT JOIN quotes AS q ON q.symbol = e.tenant AND q.at = e.at WHERE u.version = 1 ORDER BY e.id LIMIT 5
SELECT a.id, b.id, c.id FROM events AS a JOIN events AS b ON a.id = b.id + 1 JOIN events AS c ON b.id = c.id + 1 ORDER BY a.id LIMIT 3
SELECT count() FROM events AS a JOIN events AS b ON a.tenant = b.tenant AND a.id < b.id
SELECT count() FROM events AS e JOIN users AS u ON e.id = u.id OR e.n = u.id
SELECT count() FROM events AS e JOIN users AS u ON e.id = u.id AND e.tenant = 'acme' AND u.name LIKE '%1%'
SELECT e.*, u.name FROM events AS e JOIN users AS u ON e.id = u.id WHERE e.id = 6 ORDER BY u.version
SELECT u.* FROM events AS e JOIN users AS u ON e.id = u.id WHERE e.id = 6 ORDER BY u.version
SELECT * FROM users AS u JOIN (SELECT id, count() AS c FROM events GROUP BY id) AS e ON u.id = e.id ORDER BY u.id, version LIMIT 3
SELECT * FROM (SELECT id, page FROM events WHERE id < 3) AS a FULL JOIN (SELECT id, name FROM users WHERE id < 6 AND version = 1) AS b ON a.id = b.id ORDER BY a.id, b.id
SELECT * FROM (SELECT 1 AS a) JOIN (SELECT 1 AS b) ON a = b
SELECT id, name FROM events GLOBAL ANY LEFT JOIN users USING (id) ORDER BY id, name LIMIT 3
SELECT events.id, users.name FROM events LEFT JOIN users ON events.id = users.id AND users.version = 2 ORDER BY events.id LIMIT 7
SELECT u1.id FROM users AS u1 FINAL JOIN users AS u2 FINAL ON u1.id = u2.id WHERE u1.name = u2.name ORDER BY u1.id LIMIT 5
SELECT e.id, u.name FROM events AS e SAMPLE 1/2 JOIN users AS u FINAL ON e.id = u.id ORDER BY e.id
SELECT a, b FROM (SELECT number AS a FROM numbers(3)) AS l PASTE JOIN (SELECT number * 10 AS b FROM numbers(3)) AS r ORDER BY a
SELECT name, count() AS c FROM events AS e NATURAL JOIN users AS u GROUP BY name ORDER BY name LIMIT 4
SELECT id, tag FROM events ARRAY JOIN tags AS tag WHERE id < 5 ORDER BY id, tag
SELECT id, tags FROM events ARRAY JOIN tags WHERE id < 5 ORDER BY id, tags
SELECT id, tag, i FROM events LEFT ARRAY JOIN tags AS tag, arrayEnumerate(tags) AS i WHERE id < 4 ORDER BY id, i
SELECT id, tag, num FROM events ARRAY JOIN tags AS tag, arrayEnumerate(tags) AS num WHERE id IN (3, 4) ORDER BY id, num
SELECT id, items.name, items.qty FROM events ARRAY JOIN items WHERE id < 6 ORDER BY id, items.qty
SELECT id, i.name, i.qty FROM events ARRAY JOIN items AS i WHERE id < 6 ORDER BY id, i.qty
SELECT id, name, q FROM events ARRAY JOIN items.name AS name, items.qty AS q WHERE id < 6 ORDER BY ALL
SELECT id, x FROM events ARRAY JOIN [1, 2] AS x WHERE id < 2 ORDER BY id, x
SELECT id, arrayMap(x -> x * 2, sizes) AS s, one FROM events ARRAY JOIN s AS one WHERE id IN (3, 9) ORDER BY ALL
SELECT k, v, count() AS c FROM events ARRAY JOIN mapKeys(attrs) AS k, mapValues(attrs) AS v GROUP BY k, v ORDER BY k, v
SELECT e.id, tag, u.name FROM events AS e ARRAY JOIN tags AS tag JOIN users AS u ON e.id = u.id WHERE u.version = 1 AND e.id < 9 ORDER BY ALL
SELECT id, arrayJoin(tags) AS tag FROM events WHERE id = 4 ORDER BY tag
SELECT sum(arrayJoin(sizes)) FROM events
SELECT e.id FROM events AS e ALL INNER JOIN users AS u ON e.id = u.id ORDER BY e.id LIMIT 3
SELECT u.id FROM users AS u ANY INNER JOIN events AS e ON e.id = u.id ORDER BY u.id LIMIT 3
SELECT x.a FROM (SELECT 1 AS a) AS x LOCAL JOIN (SELECT 1 AS a) AS y USING a
SELECT n.number, m.number FROM numbers(3) AS n, numbers(2) AS m WHERE n.number = m.number ORDER BY 1
SELECT id, name, q.bid FROM events JOIN users USING (id) JOIN (SELECT symbol AS tenant, max(bid) AS bid FROM quotes GROUP BY symbol) AS q USING (tenant) WHERE version = 2 ORDER BY id
SELECT e.id, u.name FROM events AS e LEFT JOIN (SELECT * FROM users FINAL) AS u ON e.id = u.id WHERE u.name != '' ORDER BY e.id LIMIT 4
SELECT count() FROM events AS e JOIN users AS u ON e.id = u.id AND e.at > toDateTime('2024-01-31 00:00:00') AND u.balance > e.price
SELECT e.id FROM events AS e LEFT JOIN users AS u ON e.id = u.id AND u.country IS NULL WHERE u.version = 1 ORDER BY e.id
