"""How ingestion is doing: what the metrics show of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IngestionState:
    """`log_bytes` are on disk; `pending_rows` are acknowledged and not in their tables, the oldest
    of them for `oldest_age_s`. Groups and rows are counted since the start; a group that is tried
    again counts as failed each time. Those of which a view refused the rows for good
    (`groups_view_failed`) are in their tables; `refused` requests found no room in the log."""

    log_bytes: int
    log_max_bytes: int
    pending_rows: int
    oldest_age_s: float
    groups_written: int
    groups_failed: int
    groups_view_failed: int
    groups_set_aside: int
    rows_written: int
    refused: int
