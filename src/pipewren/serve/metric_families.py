"""Every metric of `GET /metrics`, and how metrics are written (Prometheus' text exposition format
0.0.4). The page docs/reference/metrics.md is written from this list.

A label's values are few: statuses, lanes, routes' patterns, and the names of workspaces and
endpoints that exist. Nothing that a caller chooses freely becomes one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
# Seconds; the last bucket has what took longer.
BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LE = (*(f"{bound:g}" for bound in BOUNDS_S), "+Inf")
_LABEL_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


class Histogram:
    """How many of each duration, by `BOUNDS_S`; an upper bound counts to its bucket."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.total_s = 0.0

    def observe(self, duration_s: float) -> None:
        self.counts[bisect_left(BOUNDS_S, duration_s)] += 1
        self.total_s += duration_s

    def add(self, other: Histogram) -> None:
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.total_s += other.total_s


Value = int | float | Histogram
# Samples of one metric: the labels' values in the family's order, and what was counted.
Rows = Iterable[tuple[tuple[str, ...], Value]]


@dataclass(frozen=True, slots=True)
class Family:
    """`figure` is the engine's own figure that it shows (engine/figures.py), "" for others."""

    name: str
    type: str
    help: str
    labels: tuple[str, ...] = ()
    figure: str = ""


def _engine(type: str, figure: str, help: str) -> Family:
    suffix = "_total" if type == "counter" else ""
    return Family(f"pipewren_engine_{figure}{suffix}", type, help, figure=figure)


_ENDPOINT = ("workspace", "route", "pipe")
_ALL = (
    Family(
        "pipewren_http_requests_total",
        "counter",
        "Requests that are over. `pipe` is set for endpoints' calls, `workspace` for those, the "
        "Query API and events, once the token is known; status 499 is a client that hung up.",
        (*_ENDPOINT, "status"),
    ),
    Family(
        "pipewren_http_request_duration_seconds",
        "histogram",
        "From the request's head to the last byte of the answer, waiting included.",
        (*_ENDPOINT, "status_class"),
    ),
    Family(
        "pipewren_http_read_rows_total",
        "counter",
        "Rows that requests' statements scanned.",
        _ENDPOINT,
    ),
    Family(
        "pipewren_http_read_bytes_total",
        "counter",
        "Bytes that requests' statements scanned.",
        _ENDPOINT,
    ),
    Family(
        "pipewren_http_refusals_total",
        "counter",
        "Requests refused with 429, by the setting or the rate limit that refused them.",
        ("reason",),
    ),
    Family(
        "pipewren_bad_tokens_total",
        "counter",
        "Tokens that were none, and no expired or foreign ones of ours.",
    ),
    Family(
        "pipewren_admitted_requests",
        "gauge",
        "Requests that wait for the engine or run in it, large answers being drained included.",
    ),
    Family(
        "pipewren_admitted_requests_max",
        "gauge",
        "The setting max_waiting_requests, beyond which requests get 429.",
    ),
    Family(
        "pipewren_pool_workers",
        "gauge",
        "Connections by lane: busy, idle, or lost to a query that does not stop.",
        ("lane", "state"),
    ),
    Family(
        "pipewren_pool_waiting",
        "gauge",
        "Statements that wait for a connection, by lane.",
        ("lane",),
    ),
    Family("pipewren_query_kills_total", "counter", "KILL statements that stopped queries."),
    Family(
        "pipewren_engine_ready",
        "gauge",
        "1 while queries are answered; at 0 the process is about to be replaced.",
    ),
    Family(
        "pipewren_engine_writable",
        "gauge",
        "1 while rows and deploys are taken; 0 below the disk reserve and after a write that the "
        "disk refused.",
    ),
    Family(
        "pipewren_engine_figures_read",
        "gauge",
        "1 where ClickHouse told its own figures for this scrape; at 0 those metrics are missing.",
    ),
    _engine("gauge", "running_queries", "Statements that run in ClickHouse now."),
    _engine("counter", "selects", "SELECT statements, ours included."),
    _engine("counter", "inserts", "INSERT statements."),
    _engine("counter", "failed_queries", "Statements that ended with an error, killed ones too."),
    _engine("counter", "failed_inserts", "INSERT statements that ended with an error."),
    _engine("counter", "selected_rows", "Rows scanned."),
    _engine("counter", "selected_bytes", "Bytes scanned, uncompressed."),
    _engine("counter", "inserted_rows", "Rows inserted, by materialised views too."),
    _engine("counter", "inserted_bytes", "Bytes inserted, uncompressed."),
    _engine("counter", "failed_writes", "Writes that the disk refused: rows may be lost."),
    _engine("gauge", "running_merges", "Merges of parts that run now."),
    _engine("gauge", "running_mutations", "Mutations of parts that run now."),
    _engine("counter", "merges", "Merges begun."),
    _engine("counter", "merged_rows", "Rows that merges read."),
    _engine("gauge", "parts", "Active parts of all tables."),
    _engine(
        "gauge",
        "largest_partition_parts",
        "Active parts of the partition that has the most; from 3,000 inserts fail.",
    ),
    _engine("gauge", "table_rows", "Rows in all tables."),
    _engine("gauge", "table_bytes", "Bytes of all tables on disk, compressed."),
    _engine("gauge", "memory_bytes", "Memory that ClickHouse tracks."),
    _engine("gauge", "mark_cache_bytes", "Memory of the mark cache."),
    _engine("counter", "mark_cache_hits", "Look-ups that the mark cache answered."),
    _engine("counter", "mark_cache_misses", "Look-ups that it did not."),
    _engine("counter", "condition_cache_hits", "Look-ups that the condition cache answered."),
    _engine("counter", "condition_cache_misses", "Look-ups that it did not."),
    Family(
        "pipewren_events_rows_total",
        "counter",
        "Rows of requests to /v0/events, by data source: accepted, quarantined, or refused with "
        "their request (503) after they were read.",
        ("workspace", "datasource", "result"),
    ),
    Family(
        "pipewren_events_pending_rows",
        "gauge",
        "Rows that are acknowledged and in the event log, and not in their tables yet.",
    ),
    Family(
        "pipewren_events_lag_seconds",
        "gauge",
        "How long the oldest of them has waited.",
    ),
    Family(
        "pipewren_events_groups_total",
        "counter",
        "Groups of rows for a table: written, failed (each try that did), view_failed (in its "
        "table, and refused by a materialised view for good), set_aside (in a file).",
        ("result",),
    ),
    Family("pipewren_events_inserted_rows_total", "counter", "Rows that came to their tables."),
    Family(
        "pipewren_events_log_bytes",
        "gauge",
        "The event log on disk: at least what is not in its table yet.",
    ),
    Family(
        "pipewren_events_log_max_bytes",
        "gauge",
        "The setting max_event_log_bytes, beyond which events get 503.",
    ),
    Family(
        "pipewren_events_memory_bytes",
        "gauge",
        "Memory that is counted for bodies of events, three times their size.",
    ),
    Family(
        "pipewren_events_memory_max_bytes",
        "gauge",
        "The setting max_events_memory_bytes, beyond which events get 503.",
    ),
    Family(
        "pipewren_events_refusals_total",
        "counter",
        "Requests to /v0/events refused with 503, by the setting that refused them.",
        ("reason",),
    ),
    Family("pipewren_disk_free_bytes", "gauge", "Free bytes of the data directory's file system."),
    Family(
        "pipewren_disk_reserve_bytes",
        "gauge",
        "The setting disk_reserve_bytes, below which nothing is written.",
    ),
    Family("pipewren_spool_bytes", "gauge", "Answers that wait on disk for slow readers."),
    Family("pipewren_spool_max_bytes", "gauge", "The setting max_spool_bytes."),
    Family("pipewren_workspaces", "gauge", "Workspaces and branches."),
    Family(
        "pipewren_deployment_number",
        "gauge",
        "The number of the deployment that is live or staged.",
        ("workspace", "state"),
    ),
    Family(
        "pipewren_deploys_total",
        "counter",
        "Deploys through the API: `kind` is deploy, build or check; `result` is success, "
        "no_changes, failed (mistakes in the project) or error (refused, or our fault).",
        ("kind", "result"),
    ),
    Family("pipewren_jobs", "gauge", "Jobs that wait or work.", ("kind", "state")),
    Family("pipewren_jobs_ended_total", "counter", "Jobs that are over.", ("kind", "state")),
    Family(
        "pipewren_event_loop_lag_seconds",
        "histogram",
        "How late the event loop woke up, four times a second: what every request waits too.",
    ),
    Family(
        "pipewren_build_info",
        "gauge",
        "Always 1.",
        ("version", "engine", "engine_version", "python_version"),
    ),
    Family("process_start_time_seconds", "gauge", "When the server process started (Unix time)."),
    Family("process_cpu_seconds_total", "counter", "CPU time of the server process."),
    Family("process_resident_memory_bytes", "gauge", "Resident memory of the server process."),
    Family("process_virtual_memory_bytes", "gauge", "Address space of the server process."),
    Family("process_open_fds", "gauge", "Open file descriptors of the server process."),
    Family("process_max_fds", "gauge", "How many it may open."),
)
FAMILIES: Mapping[str, Family] = {family.name: family for family in _ALL}


def write_families(collected: Mapping[str, Rows]) -> bytes:
    """The text of what was collected, by families' names, in the order of `FAMILIES`. Raises
    KeyError for a name that is none of them."""
    out: list[str] = []
    for name in sorted(collected, key=list(FAMILIES).index):
        family = FAMILIES[name]
        out.append(f"# HELP {name} {family.help}\n# TYPE {name} {family.type}\n")
        for values, value in collected[name]:
            pairs = [
                f'{label}="{text.translate(_LABEL_ESCAPES)}"'
                for label, text in zip(family.labels, values, strict=True)
            ]
            _write_sample(out, name, pairs, value)
    return "".join(out).encode()


def _write_sample(out: list[str], name: str, pairs: list[str], value: Value) -> None:
    labels = "{" + ",".join(pairs) + "}" if pairs else ""
    if not isinstance(value, Histogram):
        out.append(f"{name}{labels} {value}\n")
        return
    head = f"{name}_bucket{{" + "".join(f"{pair}," for pair in pairs)
    cumulated = list(accumulate(value.counts))
    out += [f'{head}le="{le}"}} {count}\n' for le, count in zip(_LE, cumulated, strict=True)]
    out.append(f"{name}_sum{labels} {value.total_s}\n{name}_count{labels} {cumulated[-1]}\n")


def render_page() -> str:
    """docs/reference/metrics.md."""
    lines = [
        "# Metrics\n",
        "What `GET /metrics` shows; how to switch it on stands in [metrics](../metrics.md). "
        "Counters begin at 0 when the server process starts. Histograms have the buckets "
        f"{', '.join(_LE[:-1])} seconds.\n",
        "| metric | type | labels | |",
        "|---|---|---|---|",
    ]
    for family in _ALL:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        lines.append(f"| `{family.name}` | {family.type} | {labels} | {family.help} |")
    return "\n".join(lines) + "\n"
