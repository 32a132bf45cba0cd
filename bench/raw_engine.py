"""The same final SQL on chDB directly, in a process of its own over a copy of the data.

    python bench/raw_engine.py DATA_PATH    then JSON lines on standard input:
    {"statements": [...], "database": "...", "threads": 4, "seconds": 3}

One answer a line: {"requests", "seconds", "p50_ms", "p99_ms"}. Threads have a connection each, with
the settings of Pipewren's pooled connections and no others, and take statements in turn.
"""

from __future__ import annotations

import json
import sys
import threading
import time

import chdb

SETTINGS = (
    "SET output_format_parallel_formatting = 0, max_threads = 1, log_queries = 0, "
    "session_timezone = 'UTC', max_memory_usage = 2000000000, max_execution_time = 10, "
    "max_result_rows = 10000, max_result_bytes = 8000000"
)


def measure(path: str, order: dict[str, object]) -> dict[str, float]:
    statements = order["statements"]
    threads, seconds = order["threads"], order["seconds"]
    assert isinstance(statements, list)
    assert isinstance(threads, int)
    assert isinstance(seconds, int | float)
    times: list[list[float]] = [[] for _ in range(threads)]
    start_line = threading.Barrier(threads + 1)

    def loop(number: int) -> None:
        connection = chdb._chdb.connect(path)
        connection.query(f"USE {order['database']}", "CSV")
        connection.query(SETTINGS, "CSV")
        clock = time.perf_counter
        mine = times[number].append
        at = number * 7919
        start_line.wait()
        end = clock() + seconds
        now = clock()
        while now < end:
            at += 1
            connection.query(statements[at % len(statements)], "JSON").bytes()
            after = clock()
            mine(after - now)
            now = after
        connection.close()

    workers = [threading.Thread(target=loop, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    start_line.wait()
    began = time.perf_counter()
    for worker in workers:
        worker.join()
    elapsed = time.perf_counter() - began
    every = sorted(value for part in times for value in part)
    return {
        "requests": len(every),
        "seconds": elapsed,
        "p50_ms": every[len(every) // 2] * 1e3,
        "p99_ms": every[min(len(every) - 1, int(len(every) * 0.99))] * 1e3,
    }


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(measure(sys.argv[1], json.loads(line))), flush=True)
