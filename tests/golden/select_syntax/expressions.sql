-- One statement a line, over the tables of tables.sql.
SELECT 1 + 2 * 3 - 4 / 2, 7 % 3, 7 DIV 2, 7 MOD 4, -5, - -5, -(3), (1 + 2) * 3
SELECT 0xFF, 0b101, 1e3, 1.5e-3, .5, 5., 1_000_000, inf, -inf, nan, 18446744073709551615, -9223372036854775808
SELECT 18446744073709551616 AS big
SELECT -170141183460469231731687303715884105728 AS small, 1e308, 123456789.123456789, 0.1 + 0.2, 1e-300
SELECT 1 IS TRUE, NULL IS NOT TRUE, 0 IS FALSE, 1 IS NOT FALSE, NULL IS UNKNOWN, 1 IS NOT UNKNOWN
SELECT -0.0 AS minus_zero, 1 / -0.0 AS minus_inf
SELECT 1e20 AS large, -1e20 AS small, [1e20, 2.] AS list
SELECT 1e21 AS larger, 12345678901234567890.5 AS odd, 1e15, 1e17
SELECT 'it''s', 'tab\there', 'back\\slash', 'quote\'s', 'new\nline', 'null\0byte' = concat('null', char(0), 'byte'), 'ünïcödé', '日本語', '😀'
SELECT x'48656C6C6F', b'01000001', X'41', unhex('41'), hex('A')
SELECT '\x41\x42', '\u0041' = 'u0041', 'a' || 'b' || 'c'
SELECT $$a 'quoted' text$$, $tag$with $$ inside$tag$
SELECT NULL, NOT NULL, true, false, TRUE AND FALSE, 1 OR 0, NOT 1, xor(1, 1)
SELECT 1 = 1, 1 == 1, 1 != 2, 1 <> 2, 1 < 2, 1 <= 1, 2 > 1, 2 >= 2, 1 <=> NULL, NULL <=> NULL
SELECT 1 IS NULL, NULL IS NULL, 1 IS NOT NULL, NULL IS NOT DISTINCT FROM NULL, 1 IS DISTINCT FROM NULL
SELECT 5 BETWEEN 1 AND 10, 5 NOT BETWEEN 1 AND 3, 'b' BETWEEN 'a' AND 'c'
SELECT id BETWEEN 2 AND 4 AS inside, count() FROM events GROUP BY inside ORDER BY inside
SELECT 'hello' LIKE 'h%o', 'hello' LIKE '_ello', 'Hello' ILIKE 'hELLO', 'a%b' LIKE 'a\\%b', 'hello' NOT LIKE 'x%', 'HELLO' NOT ILIKE 'hell_'
SELECT 'hello' REGEXP '^h.*o$', match('hello', 'l+'), page REGEXP '[0-3]$' AS m FROM events WHERE id < 2 ORDER BY id
SELECT CASE WHEN n > 5 THEN 'high' WHEN n > 0 THEN 'mid' ELSE 'low' END AS level, count() FROM events GROUP BY level ORDER BY level
SELECT CASE tenant WHEN 'acme' THEN 1 WHEN 'globex' THEN 2 END AS code, count() FROM events GROUP BY code ORDER BY code
SELECT CASE WHEN 1 THEN 'a' END, CASE 5 WHEN 5 THEN 'five' ELSE 'other' END
SELECT n > 0 ? 'plus' : 'minus' AS sign, count() FROM events GROUP BY sign ORDER BY sign
SELECT if(n > 0, 1, 0), multiIf(n > 5, 'a', n > 0, 'b', 'c') FROM events ORDER BY id LIMIT 4
SELECT CAST(id AS String), CAST('12' AS UInt8), CAST(1.9, 'Int32'), CAST(NULL AS Nullable(Int8)), CAST([1, 2] AS Array(String)) FROM events WHERE id = 1
SELECT '12'::UInt8, 1::String, '2024-01-01'::Date, '1.25'::Decimal(10, 3), [1, 2]::Array(Float32), (1, 'a')::Tuple(n UInt8, s String), NULL::Nullable(String), -1::Int16
SELECT '2024-01-01 10:00:00'::DateTime('Europe/Berlin') AS t, toTypeName(t), '[1,2]'::Array(UInt8), '{"a":1}'::JSON AS j, j.a
SELECT accurateCastOrNull(300, 'UInt8'), accurateCastOrDefault('x', 'UInt8', 7::UInt8), toInt32OrZero('x')
SELECT DATE '2024-02-29', TIMESTAMP '2024-02-29 12:34:56', DATE '2024-01-31' + INTERVAL 1 MONTH
SELECT INTERVAL 3 DAY, INTERVAL '2 HOURS', INTERVAL 1 WEEK, toDate('2024-01-01') + INTERVAL 1 DAY + INTERVAL 2 MONTH, toDateTime('2024-01-01 00:00:00') - INTERVAL '90' MINUTE
SELECT toDateTime('2024-01-01 00:00:00') + INTERVAL 1 YEAR - INTERVAL 1 QUARTER + INTERVAL 10 SECOND, INTERVAL id DAY FROM events WHERE id = 3
SELECT toDateTime('2024-01-01 00:00:00') + (INTERVAL 1 DAY, INTERVAL 2 HOUR), INTERVAL '1 day 2 hours' + toDateTime('2024-01-01 00:00:00')
SELECT EXTRACT(YEAR FROM at), EXTRACT(MONTH FROM at), extract(day from at), EXTRACT(HOUR FROM at), EXTRACT(MINUTE FROM at), EXTRACT(SECOND FROM at) FROM events WHERE id = 3
SELECT extract('abc123', '[0-9]+'), extractAll('a1b22', '[0-9]+')
SELECT DATEADD(DAY, 3, toDate('2024-01-01')), DATE_ADD(MONTH, 1, toDate('2024-01-31')), DATE_SUB(YEAR, 1, toDate('2024-02-29')), DATE_ADD(toDate('2024-01-01'), INTERVAL 2 DAY)
SELECT timestampAdd(HOUR, 5, toDateTime('2024-01-01 00:00:00')), TIMESTAMPADD(MINUTE, 1, at), timestampSub(DAY, 1, at), timestamp_add(at, INTERVAL 1 HOUR), timestamp_sub(at, INTERVAL 1 DAY) FROM events WHERE id = 1
SELECT dateDiff('day', toDate('2024-01-01'), day), DATEDIFF(HOUR, toDateTime('2024-01-01 00:00:00'), at), date_diff('minute', at, at + 600), TIMESTAMPDIFF(SECOND, at, at + 5), DATE_DIFF('month', day, day + 100) FROM events WHERE id = 2
SELECT trim('  a '), TRIM(BOTH 'x' FROM 'xxaxx'), TRIM(LEADING ' ' FROM '  a'), TRIM(TRAILING 'z' FROM 'azz'), ltrim('  a'), rtrim('a  '), trimLeft(' b'), trimBoth(' c ')
SELECT position('hello', 'l'), POSITION('lo' IN 'hello'), position('hello', 'l', 4), locate('l', 'hello'), positionCaseInsensitive('HELLO', 'e'), positionUTF8('日本', '本')
SELECT substring('hello', 2, 3), SUBSTRING('hello' FROM 2), SUBSTRING('hello' FROM 2 FOR 2), substr('hello', -3), mid('hello', 1, 2), substringUTF8('日本語', 2, 1), left('hello', 2), right('hello', 2)
SELECT OVERLAY('abcdef' PLACING 'XY' FROM 3), OVERLAY('abcdef' PLACING 'X' FROM 2 FOR 3), overlay('abcdef', '__', 2)
SELECT id IN (1, 2, 3), id NOT IN (4), (id, n) IN ((1, -7), (2, -4)), 2 IN [1, 2], NULL IN (1), 1 IN (NULL, 1) FROM events WHERE id = 1
SELECT [1, 2, 3][2], (1, 'b').2, map('k', 5)['k'], tags[length(tags)] FROM events WHERE id = 3
SELECT arrayMap(x -> x + 1, [1, 2]), arrayMap((x, y) -> x * y, [1, 2], [3, 4]), arrayMap(lambda(tuple(z), z + 1), [1])
SELECT arrayFilter(x -> x > 1, sizes), arrayCount(x -> x = 'red', tags), arrayExists(x -> x = 0, sizes), arrayAll(x -> x < 10, sizes) FROM events WHERE id = 9
SELECT arrayMap(x -> (x, id), sizes), arrayMap(x -> arrayMap(y -> x + y, [10, 20]), sizes) FROM events WHERE id = 9
SELECT arraySort(x -> -x, [3, 1, 2]), arrayReverseSort([3, 1, 2]), arrayFold((acc, x) -> acc + x, [1, 2, 3], toInt64(0)), arrayReduce('max', [1, 5, 3])
SELECT arrayFirst(x -> x > 1, [1, 2, 3]), arrayFirstIndex(x -> x = 3, [1, 2, 3]), arrayLast(x -> x < 3, [1, 2, 3]), arraySum(x -> x * x, [1, 2, 3]), arrayMin(x -> -x, [1, 2]), arrayAvg([1, 2, 3])
SELECT mapApply((k, v) -> (k, upper(v)), attrs), mapFilter((k, v) -> k = 'size', attrs), mapUpdate(attrs, map('new', '1')) FROM events WHERE id = 1
SELECT plus(1, 2), minus(3, 1), multiply(2, 3), divide(6, 4), intDiv(7, 2), modulo(7, 3), negate(1), equals(1, 1), less(1, 2), and(1, 0, 1), or(0, 1), not(0)
SELECT tuple(1, 2) + (3, 4), (1, 2) = (1, 2), (1, 2) < (1, 3), -(1, 2), (1, 2) * 3
SELECT 1 AS a, a + 1 AS b, b * 2 AS c, (a + b) AS d, [a, b, c] AS e
SELECT ((1)), (1, 2), ((1, 2), 3), (SELECT 1, 2) AS pair
SELECT /* a comment */ 1 -- the rest of the line
SELECT 1 /* a /* nested */ one */ + 2
SELECT id FROM events WHERE id = /* which */ 3 # the rest
SELECT id FROM events WHERE id = 3 -- 'quoted' ; text
SELECT id AS "a b", id AS `c``d`, id AS "e""f", id `g` FROM events WHERE id = 1
SELECT id x, page y FROM events z WHERE z.id = 1
SELECT ifNull(referrer, 'none'), coalesce(referrer, NULL, 'x'), nullIf(n, -7), isNull(referrer), assumeNotNull(referrer), toNullable(1), IFNULL(NULL, 1) FROM events WHERE id IN (0, 1) ORDER BY id
SELECT isNotNull(born), born + 1, greatest(1, NULL), least(2, 1), country || '!' FROM users WHERE id = 4 AND version = 1
SELECT NULL IS NULL AND 1 = 1 OR 0 AS precedence, 1 + 1 = 2 AND NOT 0 AS more, 2 * 3 + 4 % 3 - 1 AS sum, 'a' || 'b' = 'ab' AS joined
SELECT `1` FROM (SELECT 5 AS `1`)
SELECT 'a' IN ('a', 'b') AND 3 NOT IN (SELECT 1) AS both
SELECT exists(SELECT 1), EXISTS(SELECT id FROM events WHERE id > 1000)
SELECT tupleElement((1, 'x') :: Tuple(a UInt8, b String), 'b'), ((1, 'x')::Tuple(a UInt8, b String)).a
SELECT id.1 FROM (SELECT (1, 2) AS id)
SELECT NOT id = 1 AS other, count() FROM events GROUP BY other ORDER BY other
SELECT 1 AS `table`, 2 AS `where`, 3 AS order_by
SELECT CEIL(1.2), CEILING(1.2), FLOOR(1.8), ROUND(1.25, 1), TRUNCATE(1.29, 1)
SELECT id FROM events WHERE (((tenant = 'acme' AND id > 3) OR (tenant = 'globex' AND id < 5))) AND NOT (kind = 'buy') ORDER BY id LIMIT 4
SELECT toString(id) || '-' || tenant AS k, concat(page, '?', toString(n)) AS u FROM events WHERE id = 2
SELECT number, number::String AS s, -number AS m, number = 1 ? 'one' : 'other' AS w FROM numbers(2) ORDER BY number
SELECT any(id) FROM events WHERE id = 7 GROUP BY ()
SELECT toDateTime('2024-01-01 00:00:00') AT TIME ZONE 'Europe/Berlin' AS there
SELECT EXTRACT(EPOCH FROM at), EXTRACT(DOW FROM at), EXTRACT(WEEK FROM at), EXTRACT(QUARTER FROM at), EXTRACT(DOY FROM at) FROM events WHERE id = 4
SELECT 'abc' LIKE 'a!%' ESCAPE '!', 'a%' LIKE 'a!%' ESCAPE '!'
SELECT CURRENT_TIMESTAMP() > toDateTime(0), CURRENT_DATE() = today(), toTypeName(CURRENT_DATE), LOCALTIMESTAMP() > toDateTime(0)
SELECT DATE(at), YEAR(at), MONTH(at), DAY(at), HOUR(at), LAST_DAY(at), WEEK(at), INSTR('abc', 'c'), POSITION('abc', 'b') FROM events WHERE id = 4
SELECT CAST(1 AS DOUBLE PRECISION), CAST('x' AS VARCHAR(5)), CAST(1 AS SIGNED), CAST(5 AS BIGINT), CAST('1' AS INT), CAST(1 AS BOOLEAN)
SELECT ['a', 'b'] || ['c'], 'x' NOT IN ('y'), NOT 'x' IN ('y'), (1, 2) || (3, 4)
SELECT '1' || 2 || NULL, 1::String || 'x', 7 DIV 2 AS d, -id AS m, - - id AS p FROM events WHERE id = 3
SELECT NOT(1), IF(1, 2, 3), true ? 1 : 2, 1 ? (2 ? 3 : 4) : 5
SELECT id::Float64 / 3 AS third, n::String::Int32 AS back, (id + 1)::UInt8 AS one FROM events WHERE id = 3
SELECT COUNT(*) AS c, Sum(n) AS s, MAX(n), Avg(n) FROM events
