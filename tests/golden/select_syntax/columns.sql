-- One statement a line, over the tables of tables.sql.
SELECT * EXCEPT (payload, ip, ip6) FROM events WHERE id = 3
SELECT * EXCEPT payload FROM events WHERE id = 3
SELECT * EXCEPT STRICT (payload, ip) FROM events WHERE id = 3
SELECT * EXCEPT ('a.*') FROM users WHERE id = 4 ORDER BY version
SELECT * REPLACE (id + 100 AS id) FROM users WHERE id = 102
SELECT * REPLACE STRICT (upper(name) AS name) FROM users WHERE id = 2
SELECT * EXCEPT (born) REPLACE (balance * 2 AS balance) APPLY (toString) FROM users WHERE id = 2
SELECT * APPLY (toTypeName) FROM users WHERE id = 2
SELECT COLUMNS('^(id|n)$') APPLY (sum) FROM events
SELECT COLUMNS('score|price') APPLY (max) APPLY (x -> round(x, 1)) FROM events
SELECT COLUMNS(id, n) APPLY (avg) FROM events
SELECT COLUMNS('n$') FROM events WHERE id = 5
SELECT e.COLUMNS('^(id|page)$') FROM events AS e WHERE e.id = 5
SELECT e.COLUMNS(id, page) FROM events AS e WHERE e.id = 5
SELECT e.* EXCEPT (payload, attrs, point) FROM events AS e WHERE id = 8
SELECT users.* FROM users WHERE id = 8
SELECT COLUMNS('id|score') APPLY (quantile(0.9)) FROM events
SELECT COLUMNS('^(score|n)$') APPLY (quantiles(0.25, 0.75)) FROM events
SELECT * APPLY (x -> toString(x) || '!') FROM (SELECT id, page FROM events WHERE id = 1)
SELECT COLUMNS('id') + COLUMNS('^n$') FROM (SELECT id, n FROM events WHERE id = 4)
SELECT tuple(COLUMNS('^(id|page)$')) FROM events WHERE id = 4
SELECT untuple((1, 'a', [2]))
SELECT untuple(point) FROM events WHERE id = 4
SELECT point.x, point.y, point.1, tupleElement(point, 'y') FROM events WHERE id = 4
SELECT attrs['color'], attrs.keys, mapValues(attrs), mapContains(attrs, 'size') FROM events WHERE id = 4
SELECT tags[1], tags[-1], sizes.size0, tags.size0 FROM events WHERE id = 4
SELECT items.name, items.qty[1] FROM events WHERE id = 5
SELECT payload.a, payload.b.c, payload.list FROM events WHERE id < 4 ORDER BY id
SELECT payload.a::Int64 AS a, payload.b.c::String AS c, count() FROM events GROUP BY a, c ORDER BY a, c
SELECT payload.a.:Int64 AS a, payload.^b AS b FROM events WHERE id = 6
SELECT toJSONString(payload), JSONAllPaths(payload), JSONAllPathsWithTypes(payload) FROM events WHERE id = 6
SELECT getSubcolumn(payload, 'b.c'), dynamicType(payload.a) FROM events WHERE id = 6
SELECT session, ip, ip6, kind, flag, price, at64 FROM events WHERE id IN (0, 31) ORDER BY id
SELECT referrer.null, referrer IS NULL, count() FROM events GROUP BY 1, 2 ORDER BY 1
SELECT id, kind FROM events WHERE kind = 'buy' AND kind != 2 ORDER BY id LIMIT 2
SELECT CAST(kind, 'Int8') AS k, kind::String, toInt8(kind) FROM events WHERE id = 4
SELECT id FROM events WHERE session = '61f0c404-5cb3-11e7-907b-00000000000a'
SELECT id FROM events WHERE ip = '10.0.1.10' OR ip6 = toIPv6('2001:db8::b') ORDER BY id
SELECT id FROM events WHERE ip BETWEEN toIPv4('10.0.0.0') AND toIPv4('10.0.0.255') ORDER BY id LIMIT 3
SELECT id FROM events WHERE price = 12.5 OR price > toDecimal64(73, 2) ORDER BY id
SELECT id FROM events WHERE at64 >= '2024-01-30 22:50:00.000' AND at64 < toDateTime64('2024-01-30 22:55:00', 3) ORDER BY id
SELECT id FROM events WHERE day = '2024-01-31' AND toHour(at) = 23 ORDER BY id
SELECT id FROM events WHERE at > '2024-02-02 00:00:00' AND flag ORDER BY id LIMIT 3
SELECT page, sumMerge(hits) AS h, uniqExactMerge(visitors) AS v, quantilesMerge(0.5, 0.9)(middle) AS q, max(top) FROM totals GROUP BY page ORDER BY page
SELECT page, finalizeAggregation(hits), finalizeAggregation(visitors) FROM totals FINAL ORDER BY page
SELECT sumMergeIf(hits, page != '/p/0'), uniqExactMerge(visitors) FROM totals
SELECT toTypeName(hits), toTypeName(top) FROM totals LIMIT 1
SELECT name AS `full name`, balance AS "b" FROM users WHERE `full name` = 'user 3'
SELECT id AS "select", page AS `from` FROM events WHERE "select" = 3
SELECT e.point.x, e.attrs['size'], e.items.name FROM events AS e WHERE e.id = 7
SELECT events.payload.b.c, events.tags[1] FROM events WHERE events.id = 8
SELECT (id, page) AS pair, pair.1, pair.2 FROM events WHERE id = 7
SELECT tuple(id AS a, page AS b) AS t FROM events WHERE id = 7
SELECT (1,), tuple('a'), [1, 2, 3], [], array(1, NULL), map('a', 1, 'b', 2)
SELECT map('a', [1, 2])['a'][2], [[1, 2], [3]][2][1], (1, (2, 3)).2.1, [(1, 'a'), (2, 'b')].2
SELECT payload['a'], payload.list[1] FROM events WHERE id = 3
SELECT tuple(1, 2).*, a.* FROM (SELECT (3, 4)::Tuple(x UInt8, y UInt8) AS a)
SELECT events.* EXCEPT (payload, ip, ip6, session, point) FROM events WHERE id = 2
SELECT COLUMNS('^(id|page|n)$') EXCEPT (page) FROM events WHERE id = 2
SELECT * EXCEPT (payload, name) REPLACE (id + 1 AS id) FROM (SELECT id, page AS name, payload, n FROM events WHERE id = 2)
SELECT * APPLY sum, COLUMNS('id') APPLY max FROM (SELECT id, n FROM events)
SELECT point, point = (3, 3), tupleElement(point, 1) AS x FROM events WHERE id = 3
SELECT any_respect_nulls(referrer), any(referrer) FROM (SELECT * FROM events ORDER BY id)
SELECT (payload).a, (point).x FROM events WHERE id = 4
SELECT a.1.2, a.1.1 FROM (SELECT ((1, 2), 3) AS a)
