-- One statement a line. A row filter takes the columns that are not in the table's definition away.
SELECT count() AS c, any(_sample_factor) AS f FROM events SAMPLE 0.5
SELECT _part IS NOT NULL, _partition_id, count() FROM users GROUP BY ALL
SELECT id, _part_index, _part_starting_offset + _part_offset AS o FROM events ORDER BY id LIMIT 3
