"""The same rows inserted by chDB directly, in a process of its own.

    python bench/raw_inserts.py DATA_PATH    then JSON lines on standard input:
    {"file", "ddl", "columns", "rows": 1000000, "batch": 100000}

`file` holds rows as JSONEachRow, flat, taken in turn. The answer is one line, {"seconds"}: of
`send_insert` alone, into a table that is made anew; the batches are put together before.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import chdb


def insert(connection: Any, order: dict[str, Any]) -> float:
    connection.query("DROP TABLE IF EXISTS raw.rows SYNC", "CSV")
    connection.query(f"CREATE TABLE raw.rows {order['ddl']}", "CSV")
    lines = Path(order["file"]).read_bytes().splitlines(keepends=True)
    endless = itertools.cycle(lines)
    size = int(order["batch"])
    numbers = range(int(order["rows"]) // size)
    batches = [b"".join(itertools.islice(endless, size)) for _ in numbers]
    began = time.perf_counter()
    for batch in batches:
        handle = connection.send_insert(
            f"INSERT INTO raw.rows ({', '.join(order['columns'])})", "JSONEachRow"
        )
        connection.insert_append(handle, batch)
        connection.insert_done(handle)
    seconds = time.perf_counter() - began
    (count,) = json.loads(
        connection.query("SELECT count() FROM raw.rows", "JSONCompactEachRow").bytes()
    )
    if int(count) != len(batches) * size:
        raise SystemExit(f"{count} rows were inserted instead of {len(batches) * size}")
    return seconds


if __name__ == "__main__":
    connected = chdb._chdb.connect(sys.argv[1])
    connected.query("CREATE DATABASE IF NOT EXISTS raw ENGINE = Atomic", "CSV")
    for line in sys.stdin:
        print(json.dumps({"seconds": insert(connected, json.loads(line))}), flush=True)
