-- One template a line, over the data source of allowed.sql.
SELECT page, count() FROM ev WHERE 1 {% if defined(a) %}AND page = {{String(a)}}{% end %} GROUP BY page LIMIT {{Int32(n, 10)}} OFFSET {{Int32(p, 0) * 10}}
SELECT {{columns(c, 'page,n')}} FROM ev ORDER BY {{column(o, 'page')}} DESC
SELECT {{symbol(c)}} AS {{symbol(d)}} FROM ev GROUP BY {{symbol(c)}}
SELECT count() FROM {{table(t)}}
SELECT page FROM ev WHERE page IN {{Array(pages, 'String')}} AND n IN ({{Array(ns, 'Int32')}})
SELECT toStartOfInterval(at, INTERVAL {{Int32(step, 5)}} MINUTE) FROM ev
SELECT {% if kind == 'a' %}sum{% else %}avg{% end %}(n) FROM ev
SELECT {% if kind == 'a' %}sum{% else %}count{% end %}If(n, n > 1) FROM ev
SELECT page FROM ev SAMPLE {{Float32(s, 0.1)}}
SELECT CAST(n AS Decimal(10, {{Int32(scale, 2)}})) FROM ev
SELECT {% for c in ['page', 'n'] %}max({{symbol(c)}}), {% end %} 1 FROM ev
SELECT quantile({{Float32(qq, 0.5)}})(n) FROM ev {% if defined(a) %}WHERE {{sql_and(page__in=Array(pages, 'String', 'a'))}}{% end %}
SELECT page FROM ev {% if defined(a) %}WHERE page = {{String(a)}}{% end %} {% if defined(b) %}ORDER BY page{% end %} {% if defined(c) %}LIMIT 1{% end %} {% if defined(d) %}OFFSET 1{% end %} {% if defined(e) %} SETTINGS max_threads = 1{% end %} {% if defined(f) %} , join_use_nulls = 1{% end %}
SELECT file, user FROM (SELECT page AS file, page AS user FROM ev) WHERE file != {{String(f, '')}} {% if defined(a) %}AND user = {{String(a)}}{% end %}
SELECT arrayMap(x -> x || {{String(a, 'x')}}, tags) FROM ev
{% set x = 3 %} SELECT {{x}} {% if not defined(qq) %}, throwIf(n = 1, 'no') FROM ev{% end %}
{% if not defined(qq) %}{{ error('q is missing') }}{% end %} SELECT {{String(qq)}}
