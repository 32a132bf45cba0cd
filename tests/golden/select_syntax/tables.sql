-- The tables that the statements here read, one statement a paragraph; {name} is `name__1` in the workspace's database.

CREATE TABLE {events} (id UInt32, tenant LowCardinality(String), at DateTime, at64 DateTime64(3), day Date, kind Enum8('view' = 1, 'click' = 2, 'buy' = 3), page String, referrer Nullable(String), price Decimal(10, 2), score Float64, n Int64, tags Array(String), sizes Array(UInt8), attrs Map(String, String), point Tuple(x Float64, y Float64), session UUID, ip IPv4, ip6 IPv6, payload JSON, items Nested(name String, qty UInt32), flag Bool) ENGINE = MergeTree ORDER BY (tenant, intHash32(id)) SAMPLE BY intHash32(id)

INSERT INTO {events} SELECT number AS id, ['acme', 'globex', 'initech'][number % 3 + 1], toDateTime('2024-01-30 22:00:00') + number * 5000, toDateTime64('2024-01-30 22:00:00.125', 3) + number * 61.5, toDate('2024-01-30') + intDiv(number, 16), ['view', 'view', 'click', 'view', 'buy'][number % 5 + 1], '/p/' || toString(number % 7), if(number % 4 = 0, NULL, 'https://site' || toString(number % 3) || '.example.com:8080/a/b?x=' || toString(number) || '#top'), toDecimal64(number, 2) * 1.25, number / 8 - 3, number * number % 17 - 8, arraySlice(['red', 'green', 'blue', 'red'], 1, number % 5), arrayMap(x -> toUInt8(x * (number % 4)), range(number % 6)), map('color', ['red', 'blue'][number % 2 + 1], 'size', toString(number % 3)), (number % 10, number % 9), toUUID('61f0c404-5cb3-11e7-907b-' || leftPad(lower(hex(number)), 12, '0')), toIPv4('10.0.' || toString(number % 3) || '.' || toString(number)), toIPv6('2001:db8::' || lower(hex(number))), '{"a": ' || toString(number % 4) || ', "b": {"c": "v' || toString(number % 3) || '"}, "list": [1, ' || toString(number) || ']}', arrayMap(x -> 'item' || toString(x), range(number % 3)), arrayMap(x -> toUInt32(x + number), range(number % 3)), number % 2 FROM numbers(60)

CREATE TABLE {users} (id UInt32, name String, country LowCardinality(Nullable(String)), born Nullable(Date32), balance Decimal(18, 4), version UInt32) ENGINE = ReplacingMergeTree(version) ORDER BY id

INSERT INTO {users} SELECT number * 2, 'user ' || toString(number), ['DE', 'FR', NULL][number % 3 + 1], if(number % 5 = 0, NULL, toDate32('1950-06-15') + number * 1000), number * 10.5, 1 FROM numbers(20)

INSERT INTO {users} SELECT number * 2, 'User ' || toString(number), ['DE', 'ES', NULL][number % 3 + 1], toDate32('1950-06-15') + number * 1000, number * 11, 2 FROM numbers(0, 20, 3)

CREATE TABLE {totals} (page String, hits AggregateFunction(sum, Int64), visitors AggregateFunction(uniqExact, UInt32), middle AggregateFunction(quantiles(0.5, 0.9), Float64), top SimpleAggregateFunction(max, Float64)) ENGINE = AggregatingMergeTree ORDER BY page

INSERT INTO {totals} SELECT '/p/' || toString(number % 7) AS page, sumState(toInt64(number)), uniqExactState(toUInt32(number % 20)), quantilesState(0.5, 0.9)(toFloat64(number)), max(number) FROM numbers(60) GROUP BY page

CREATE TABLE {quotes} (symbol String, at DateTime, bid Float64) ENGINE = MergeTree ORDER BY (symbol, at)

INSERT INTO {quotes} SELECT ['acme', 'globex'][number % 2 + 1], toDateTime('2024-01-30 20:00:00') + number * 9000, number / 4 + 100 FROM numbers(30)
