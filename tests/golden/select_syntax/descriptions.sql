-- One statement a line, over the tables of tables.sql.
DESCRIBE events
DESC users
DESCRIBE TABLE totals
DESCRIBE (SELECT id, page, n + 1 AS m FROM events)
DESC (SELECT tenant, count() AS c FROM events GROUP BY tenant);
DESCRIBE (WITH u AS (SELECT id FROM users) SELECT * FROM u)
SHOW TABLES LIKE '%s'
SHOW TABLES LIKE 'u%s'
SHOW TABLES LIKE '%s' LIMIT 2
