"""What the server says while it runs: lines for people, or one JSON object a line.

A line is never more than one: control characters are escaped, since callers choose some of the
text, and a traceback's lines are indented. Tokens are in no line: whoever writes one names a token
by its name, and what looks like a value is masked here besides. See docs/logs.md.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from pipewren.serve.trace import Trace

LogFormat = Literal["human", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
Tell = Callable[[str], None]

# Attributes of a log record: what is told besides its message, and the names in it that the
# message tells already.
FIELDS = "fields"
TOLD = "told"
_AUDIT = "pipewren.audit"  # whose messages are JSON objects already (access/audit.py)
# Also what ends a line for some readers, and what turns text around (bidi controls).
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# A static token's value, a JWT, and whatever is sent as one.
_TOKENS = re.compile(
    r"\b(?:p\.)?eyJ[\w-]{6,}(?:\.[\w-]+){0,2}|((?i:\btoken)=)[^&\s\"']+|((?i:\bBearer) )[^\s\"']+"
)
_PREFIXES = (("error: ", logging.ERROR), ("warning: ", logging.WARNING))

_log = logging.getLogger("pipewren.start")


@dataclass(frozen=True, slots=True)
class LogOptions:
    """How to write, and from which level on."""

    format: LogFormat = "human"
    level: LogLevel = "info"


def open_logs(options: LogOptions, stream: TextIO | None = None) -> None:
    """Have all loggers write to `stream`, stderr by default, in place of what was set before.
    Libraries' lines count from WARNING on; `level` is for our own."""
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if options.format == "json" else HumanLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("pipewren").setLevel(options.level.upper())
    logging.captureWarnings(True)
    if options.format == "json":
        audit = logging.getLogger(_AUDIT)
        audit.handlers[:] = [handler]
        audit.propagate = False


def make_tell(options: LogOptions, write: Callable[[str], None]) -> Tell:
    """What tells of the start and the end, a line a call: by `write`, as it is, for people; else as
    a line of the log, whose level is in the line's first word (`warning: `)."""
    return _tell if options.format == "json" else write


def write_line(line: str) -> None:
    """To stderr, at once."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def with_fields(fields: Mapping[str, Any], *, told: Collection[str] = ()) -> dict[str, Any]:
    """`extra` of a logging call: what a line has besides its message. Lines for people leave out
    those that the message has `told`."""
    return {FIELDS: fields, TOLD: told}


def request_fields(request_id: str, trace: Trace | None) -> dict[str, Any]:
    """The same for a line about a request."""
    return with_fields(name_request(request_id, trace))


def name_request(request_id: str, trace: Trace | None) -> dict[str, Any]:
    """The fields that find a request again."""
    if trace is None:
        return {"request_id": request_id}
    return {"request_id": request_id, "trace_id": trace.trace_id, "span_id": trace.span_id}


def mask_tokens(text: str) -> str:
    """`text` with `***` for what looks like a token's value."""
    return _TOKENS.sub(lambda found: f"{found[1] or found[2] or ''}***", text)


def escape_controls(text: str) -> str:
    """`text` without what could end its line, or show it otherwise than it is."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


class JsonLines(logging.Formatter):
    """`{"time": ..., "level": ..., "logger": ..., "message": ...}` and the line's own fields; an
    exception's traceback under `exception`. ASCII only."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        line: dict[str, Any] = {
            "time": _time_of(record),
            "level": record.levelname,
            "logger": record.name,
            "message": mask_tokens(message),
        }
        if record.name == _AUDIT:
            fields = json.loads(message)
            line["message"] = fields.pop("audit")
        else:
            fields = getattr(record, FIELDS, {})
        for name, value in fields.items():
            line.setdefault(name, mask_tokens(value) if isinstance(value, str) else value)
        if record.exc_info:
            line.setdefault("exception", mask_tokens(self.formatException(record.exc_info)))
        return json.dumps(line, default=str)


class HumanLines(logging.Formatter):
    """`TIME LEVEL message name=value ...`; a traceback follows, indented."""

    def format(self, record: logging.LogRecord) -> str:
        parts = [_time_of(record), record.levelname, escape_controls(record.getMessage())]
        told = getattr(record, TOLD, ())
        for name, value in getattr(record, FIELDS, {}).items():
            if name not in told:
                parts.append(f"{name}={_show(value)}")
        text = mask_tokens(" ".join(parts))
        if record.exc_info:
            lines = self.formatException(record.exc_info).split("\n")
            text += "".join(f"\n    {mask_tokens(escape_controls(line))}" for line in lines)
        return text


class _Handler(logging.StreamHandler[TextIO]):
    """A closed terminal or a full disk under the log is no reason to stop serving."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError | ValueError):
            super().handleError(record)


def _tell(line: str) -> None:
    for prefix, level in _PREFIXES:
        if line.startswith(prefix):
            _log.log(level, "%s", line.removeprefix(prefix))
            return
    _log.info("%s", line)


def _show(value: object) -> str:
    if isinstance(value, str) and (not value or re.search(r"[^\w./:@+-]", value)):
        return escape_controls(json.dumps(value, ensure_ascii=False))
    return str(value)


def _time_of(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
