"""One document out of the many that a stream of chDB is.

Each chunk of a stream is a whole document in the statement's format, with head and tail
(engine-chdb.md section 1). A joiner keeps the first head, all rows, and writes the tail, so that a
caller gets what the engine would have written in one go, except for what a stream cannot know: the
number of rows before a LIMIT. A statement with totals is not streamed (`results.py`).
"""

from __future__ import annotations

import re
from typing import Protocol

from pipewren.engine.contract import Statistics
from pipewren.errors import EngineError

_JSON_ROWS_BEGIN = b'\n\t"data":\n\t[\n'
_JSON_ROWS_END = b'\n\t],\n\n\t"rows": '  # after it come numbers only
_CSV_HEAD = re.compile(rb'(?:"(?:[^"]|"")*",)*"(?:[^"]|"")*"\n')


class Joiner(Protocol):
    """Made for one answer. Chunks go in by order, and what comes out is sent as it is."""

    def join(self, chunk: bytes) -> bytes: ...

    def end(self, statistics: Statistics) -> bytes:
        """What is missing when the last chunk was joined; no chunk at all is an empty result."""
        ...


class LinesJoiner:
    """For formats without head and tail: NDJSON, CSV without names."""

    def join(self, chunk: bytes) -> bytes:
        return chunk

    def end(self, statistics: Statistics) -> bytes:
        return b""


class CsvJoiner:
    """CSVWithNames: every chunk begins with the header, of which a name may hold line breaks."""

    def __init__(self) -> None:
        self._head: bytes | None = None

    def join(self, chunk: bytes) -> bytes:
        if self._head is None:
            match = _CSV_HEAD.match(chunk)
            if match is None:
                raise _unreadable("CSVWithNames")
            self._head = match[0]
            return chunk
        if not chunk.startswith(self._head):
            raise _unreadable("CSVWithNames")
        return chunk[len(self._head) :]

    def end(self, statistics: Statistics) -> bytes:
        return b""


class JsonJoiner:
    """JSON: names and texts in it hold no raw line break, so its own lines are plain to find."""

    def __init__(self) -> None:
        self._has_head = False
        self._has_rows = False

    def join(self, chunk: bytes) -> bytes:
        begin = chunk.find(_JSON_ROWS_BEGIN)
        end = chunk.rfind(_JSON_ROWS_END)
        if begin < 0 or end < 0:
            raise _unreadable("JSON")
        begin += len(_JSON_ROWS_BEGIN)
        rows = chunk[begin:end]
        head = b""
        if not self._has_head:
            self._has_head = True
            head = chunk[:begin]
        if not rows:
            return head
        if self._has_rows:
            return b"".join((head, b",\n", rows))
        self._has_rows = True
        return head + rows

    def end(self, statistics: Statistics) -> bytes:
        if not self._has_head:
            raise _unreadable("JSON")
        return _JSON_ROWS_END + (
            b'%d,\n\n\t"statistics":\n\t{\n\t\t"elapsed": %.9f,\n\t\t"rows_read": %d,\n\t\t'
            b'"bytes_read": %d\n\t}\n}\n'
            % (
                statistics.result_rows,
                statistics.elapsed_s,
                statistics.rows_read,
                statistics.bytes_read,
            )
        )


def make_joiner(engine_format: str) -> Joiner | None:
    """None for a format that cannot be streamed: Parquet's bytes come at the end."""
    match engine_format:
        case "JSON":
            return JsonJoiner()
        case "CSVWithNames":
            return CsvJoiner()
        case "JSONEachRow" | "CSV":
            return LinesJoiner()
    return None


def _unreadable(format: str) -> EngineError:
    return EngineError(
        f"A chunk of the engine's stream is not in the format {format} as Pipewren knows it",
        engine_code=49,
        engine_name="LOGICAL_ERROR",
        status=500,
    )
