-- One statement a line, over the tables of tables.sql.
SELECT count(), count(*), count(referrer), COUNT(DISTINCT tenant), count(DISTINCT tenant, kind), countIf(flag) FROM events
SELECT sum(n), avg(n), min(n), max(n), any(tenant), anyLast(tenant), sumIf(n, flag), avgIf(score, id > 10), SUM(n) FROM events
SELECT uniq(page), uniqExact(page), uniqCombined(page), uniqCombined(14)(page), uniqHLL12(page), uniqUpTo(5)(page) FROM events
SELECT quantile(0.9)(score), quantiles(0.25, 0.5, 0.75)(score), quantileExact(0.5)(n), quantileTDigest(0.5)(score), quantileDeterministic(0.5)(score, id), median(n) FROM events
SELECT quantileExactWeighted(0.5)(n, id), quantileTiming(0.9)(id), quantilesExact(0.1, 0.9)(id), medianExact(n), quantileBFloat16(0.5)(score), quantileExactLow(0.5)(n), quantileInterpolatedWeighted(0.5)(n, id) FROM events
SELECT groupArray(id), groupArray(3)(id), groupUniqArray(2)(tenant) != [] FROM (SELECT id, tenant FROM events WHERE id < 6 ORDER BY id)
SELECT arraySort(groupUniqArray(tenant)), groupArraySorted(3)(id), groupArrayMovingSum(2)(id), groupArrayInsertAt('-', 4)(page, id), groupArrayLast(2)(id) FROM (SELECT * FROM events WHERE id < 4 ORDER BY id)
SELECT argMin(page, id), argMax(page, n), argMax((page, id), id), argMinIf(page, id, flag) FROM events
SELECT topK(2)(kind), topKWeighted(1)(tenant, id), approx_top_k(2)(kind) FROM events
SELECT stddevPop(n), stddevSamp(n), varPop(n), varSamp(n), covarPop(n, score), corr(n, score), STDDEV_POP(n), VAR_SAMP(n), kurtPop(n), skewSamp(n) FROM events
SELECT sumMap(['a', 'b'], [1, 2]), sumMap(map(kind, n)), minMap(map(kind, n)), maxMap(map(kind, n)) FROM events
SELECT sumMapFiltered([1, 2])([1, 2, 3], [10, 20, 30]), sumWithOverflow(n), sumKahan(score), deltaSum(n) FROM (SELECT * FROM events ORDER BY id)
SELECT groupBitAnd(toUInt64(id)), groupBitOr(toUInt64(id)), groupBitXor(toUInt64(id)), bitmapCardinality(groupBitmapState(id)), groupBitmap(id) FROM events
SELECT arraySort(sumForEach(sizes)), sumArray(sizes), avgArray(sizes), maxArrayOrNull(sizes), groupArrayArray(tags) != [], uniqArray(tags), countArray(tags) FROM events
SELECT sumMerge(s), uniqMerge(u), avgMerge(a) FROM (SELECT tenant, sumState(n) AS s, uniqState(page) AS u, avgState(score) AS a FROM events GROUP BY tenant)
SELECT tenant, finalizeAggregation(sumState(n)) AS s, finalizeAggregation(quantileState(0.5)(score)) AS q FROM events GROUP BY tenant ORDER BY tenant
SELECT sumIfMerge(s), finalizeAggregation(sumMergeState(t)) FROM (SELECT sumIfState(n, flag) AS s, sumState(n) AS t FROM events GROUP BY tenant)
SELECT sumOrNull(n), sumOrDefault(n), avgOrNullIf(n, id > 1000), countOrNullIf(1, 0), minOrDefault(n) FROM events WHERE id > 1000
SELECT sumDistinct(n), uniqIf(page, flag), groupArraySortedIf(2)(id, flag), sum(DISTINCT n), avg(DISTINCT id % 3), groupUniqArrayIf(tenant, id = 1) FROM events
SELECT count() FILTER (WHERE flag), sum(n) FILTER (WHERE n > 0) FROM events
SELECT sumResample(0, 60, 20)(n, id), countResample(0, 30, 10)(id, id) FROM events
SELECT sumSimpleState(n), maxSimpleState(score), toTypeName(sumSimpleState(n)) FROM events
SELECT sumMap(attrs.keys, arrayMap(x -> 1, attrs.keys)), sumArgMax(n, id), sumArgMin(n, id) FROM events
SELECT windowFunnel(100000)(at, kind = 'view', kind = 'click', kind = 'buy') AS level FROM events
SELECT tenant, retention(id < 10, id < 20, flag) AS r FROM events GROUP BY tenant ORDER BY tenant
SELECT sequenceMatch('(?1).*(?2)')(at, kind = 'view', kind = 'buy'), sequenceCount('(?1)(?2)')(at, kind = 'view', kind = 'click') FROM events
SELECT histogram(3)(id), simpleLinearRegression(id, score), entropy(kind), cramersV(kind, tenant), rankCorr(id, n), mannWhitneyUTest('two-sided')(score, flag) FROM (SELECT * FROM events ORDER BY id)
SELECT minIf(id, tenant = 'globex'), first_value(id), last_value(id), any_value(1), anyHeavy(kind), singleValueOrNull(1), boundingRatio(id, score) FROM (SELECT * FROM events ORDER BY id)
SELECT any(page) RESPECT NULLS, first_value(referrer) IGNORE NULLS, anyLast(referrer) IGNORE NULLS FROM (SELECT * FROM events ORDER BY id)
SELECT tenant, sum(n) AS s, s / count() AS mean, round(100 * s / (SELECT sum(n) FROM events), 1) AS share FROM events GROUP BY tenant ORDER BY s DESC, tenant
SELECT toStartOfDay(at) AS d, kind, count() AS c, uniq(tenant) AS t FROM events GROUP BY d, kind HAVING c > 1 ORDER BY d, kind
SELECT intDiv(id, 20) AS bucket, groupArray((id, page))[1].2 AS f, max(length(tags)) FROM events GROUP BY bucket ORDER BY bucket
SELECT count(), min(id), max(at) FROM events WHERE tenant != 'nobody'
SELECT groupConcat(page, ', '), groupConcat(',')(id), string_agg(toString(id), '-') FROM (SELECT * FROM events WHERE id < 3 ORDER BY id)
SELECT avgWeighted(n, id), exponentialMovingAverage(5)(score, id), intervalLengthSum(id, toUInt32(id + 2)), maxIntersections(id, toUInt32(id + 3)), largestTriangleThreeBuckets(3)(id, score) FROM (SELECT * FROM events ORDER BY id)
SELECT BIT_AND(id), BIT_OR(id), groupArrayIntersect(tags), groupArraySample(2, 1)(id) != [], studentTTest(score, flag) FROM events
SELECT contingency(kind, tenant), theilsU(kind, tenant), categoricalInformationValue(flag, flag), sparkbar(5)(id, toUInt64(id)) FROM events
SELECT arrayReduce('quantiles(0.5, 0.9)', [1, 2, 3, 4]), arrayReduceInRanges('sum', [(1, 2), (2, 2)], [1, 2, 3]), arrayReduce('sumIf', [1, 2], [1, 0])
SELECT sum(id) AS id_sum, id_sum + 1 FROM events GROUP BY tenant WITH TOTALS HAVING id_sum > 570 ORDER BY id_sum
SELECT max(tuple(n, id)), min((tenant, id)), sumMap(map('k', toUInt64(n > 0))) FROM events
