-- One statement a line, with those settings that the reference takes (query-api.md section 3).
SELECT e.id, u.country FROM events AS e LEFT JOIN users AS u ON e.id = u.id WHERE e.id < 6 ORDER BY ALL SETTINGS join_use_nulls = 1
SELECT name, count() AS c FROM users GROUP BY ROLLUP(name) ORDER BY c DESC, name LIMIT 3 SETTINGS group_by_use_nulls = 1
SELECT sum(n), max(n) FROM events WHERE id > 1000 SETTINGS aggregate_functions_null_for_empty = 1
SELECT at, at64 FROM events WHERE id = 3 SETTINGS date_time_output_format = 'iso'
SELECT e.id, u.name FROM events AS e JOIN users AS u ON e.id = u.id ORDER BY e.id, u.version LIMIT 3 SETTINGS join_algorithm = 'full_sorting_merge'
SELECT e.id, u.name FROM events AS e LEFT JOIN users AS u ON e.id = u.id WHERE e.id < 3 ORDER BY ALL SETTINGS join_use_nulls = 1, date_time_output_format = 'simple'
