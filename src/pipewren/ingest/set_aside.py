"""Groups of rows that the engine refused for good: kept in files with the reason, for a person.

<data dir>/set_aside/TOKEN.json    workspace, table, columns, format, rows, reason, time (UTC)
<data dir>/set_aside/TOKEN.rows    the rows as they were to be inserted
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from pipewren.ingest.queues import Group, Key

FOLDER = "set_aside"


def set_aside(data_dir: Path, key: Key, group: Group, rows: bytes) -> Path:
    """Write a group's files and sync them. Raises OSError."""
    folder = data_dir / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    about: dict[str, Any] = {
        "workspace_id": key[0],
        "table": key[1],
        "columns": group.shape.columns,
        "format": group.shape.format,
        "count": group.rows,
        "reason": group.reason,
        "set_aside_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    _write(folder / f"{group.token}.rows", rows)
    path = folder / f"{group.token}.json"
    _write(path, msgspec.json.format(msgspec.json.encode(about)) + b"\n")
    return path


def is_set_aside(data_dir: Path, token: str) -> bool:
    """Whether a group's files are whole."""
    return (data_dir / FOLDER / f"{token}.json").exists()


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_name(f"{path.name}.new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
