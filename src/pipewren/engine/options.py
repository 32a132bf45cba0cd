"""What the embedded engine is opened with, and what follows from the machine where 0 is given."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from pipewren.engine.contract import Limits


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Options of one engine. 0 for a count or a memory bound means: derive it from the machine.

    `light_limits` and `heavy_limits` are the profiles of the pooled connections: a statement with
    exactly these limits and no settings is the cheap case, others take a connection of their own
    profile. `max_server_memory_bytes` is ClickHouse's own bound; a few functions ignore it, so the
    process needs an address-space limit too (docs/engine.md gives the figures).
    """

    data_dir: Path
    light_connections: int = 0  # 0: two per core
    heavy_connections: int = 1
    light_limits: Limits = field(default_factory=Limits)
    heavy_limits: Limits | None = None  # None: light_limits on heavy_threads
    heavy_threads: int = 0  # 0: all cores
    max_server_memory_bytes: int = 0  # 0: 60 % of the machine's memory
    max_write_memory_bytes: int = 0  # 0: half of the server's bound; DDL, inserts, INSERT SELECT
    max_query_bytes: int = 262_144
    disk_reserve_bytes: int = 1_000_000_000
    fsync: bool = False
    query_log: bool = False  # for `query_costs`; docs/engine.md has what it takes
    mark_cache_bytes: int = 268_435_456  # ClickHouse's default of 5 GB is no bound on a laptop
    background_threads: int = 2
    profiles_per_worker: int = 4  # connections that a worker keeps beside its pooled one
    stuck_after_s: float = 5.0  # a query that ignores KILL this long has lost its connection
    max_wait_s: float = 10.0  # for a reader's connection; 0: no limit
    close_timeout_s: float = 5.0


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine_memory_bytes() -> int:
    """The machine's memory, or the container's where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    bound = Path("/sys/fs/cgroup/memory.max")
    if bound.is_file() and (text := bound.read_text().strip()).isdigit():
        return min(total, int(text))
    return total


def light_connections(options: EngineOptions) -> int:
    """Two per core: throughput is flat beyond, latency is not (engine-chdb.md section 2)."""
    return options.light_connections or 2 * count_cores()


def heavy_limits(options: EngineOptions) -> Limits:
    if options.heavy_limits is not None:
        return options.heavy_limits
    return replace(options.light_limits, max_threads=options.heavy_threads or count_cores())


def server_memory_bytes(options: EngineOptions) -> int:
    return options.max_server_memory_bytes or int(machine_memory_bytes() * 0.6)


def write_memory_bytes(options: EngineOptions) -> int:
    return options.max_write_memory_bytes or server_memory_bytes(options) // 2
