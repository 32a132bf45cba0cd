"""ClickHouse's error texts made fit for callers.

The engine's text can hold query text with its values, absolute paths, versions, stack traces,
names of other people's tables and physical names (engine-chdb.md section 4). `translate_error`
keeps what a caller can act on. A value from the rows may remain ("Cannot parse string 'x'"):
callers under a row filter get `withhold_details` instead (engine-guard.md section 3).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipewren.errors import EngineError, PipewrenError, TimedOut

RESULT_TOO_LARGE = 396  # TOO_MANY_ROWS_OR_BYTES: max_result_rows and max_result_bytes
UNKNOWN = (1002, "UNKNOWN_EXCEPTION")

# limits.md section 1: 400 is what the caller can fix, 500 the engine's faults, 408 time. ClickHouse
# has some 700 codes, nearly all of them about the statement, so that 400 is the default.
STATUS_BY_CODE: Mapping[int, int] = {
    **dict.fromkeys((159, 160), 408),  # TIMEOUT_EXCEEDED TOO_SLOW
    **dict.fromkeys(  # reading and writing files
        (23, 24, 33, 40, 74, 75, 76, 77, 79, 83, 84, 87, 88, 91, 107, 172, 204, 214, 226, 227, 228),
        500,
    ),
    **dict.fromkeys((230, 231, 232, 233, 235, 246, 271, 294, 400, 458, 466, 504, 566), 500),
    **dict.fromkeys((586, 641, 662, 740, 1015), 500),
    **dict.fromkeys((49, 173, 236, 242, 243, 252, 269, 298, 299, 410, 411, 425, 439), 500),
    **dict.fromkeys((202, 473, 668, 677, 692, 695, 696, 722, 733, 734, 738, 741, 745), 500),
    **dict.fromkeys((774, 776, 1000, 1001, 1002), 500),
}

_CODE = re.compile(r"Code: (\d+)")
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]+)\)")
_HEAD = re.compile(r"^(?:Streaming [a-z ]+ failed: )?(?:Code: \d+\. )?(?:DB::\w+: |std::\w+: )?")
_TAIL = re.compile(
    r":? *\(?(?:[Ww]hile (?:executing|processing|receiving|reading)\b|[Ii]n scope\b|[Ii]n query\b"
    r"|[Mm]aybe you meant\b|\(version |\(query_id\b|\((?:in|while reading|from) (?:file|part|query)"
    r"|,? ?Stack trace\b|\(official build)",
)
_SYNTAX_PLACE = re.compile(
    r"^(Syntax error(?: \([^)]*\))?: failed at position \d+ "
    r"\((?:end of query|'(?:[^'\\]|\\.){0,40}'|[^\s()]{1,40}|.)\)(?: \(line \d+, col \d+\))?)",
    re.DOTALL,
)
_SYNTAX_END = re.compile(
    r"\. ?(Expected one of: .*|Expected .*|Unmatched parentheses.*|Unrecognized token.*)$",
    re.DOTALL,
)
_DATABASE = re.compile(r"`?\bw_[0-9a-z]+(?:_d\d+)?`?\.(`?)(\w+?)(?:__\d+)?(`?)(?!\w)")
_DATABASE_ALONE = re.compile(r" ?[`'\"]?\bw_[0-9a-f]+(?:_d\d+)?\b[`'\"]?")
_UUID = re.compile(r" ?\(?\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b\)?")
_PATH = re.compile(r"(?<![\w/:])/(?P<root>[\w.\-+]+)(?:/[\w.\-+*%]+)+/?")
_QUOTED = re.compile(r"'([^']+)'|`([^`]+)`")
_NAMING_CODES = frozenset({36, 57, 60, 81, 218, 390, 482, 519})
_MAX_TEXT = 1500


@dataclass(frozen=True, slots=True)
class Scrubber:
    """What must not be shown: the data directory and paths below the host's real root folders."""

    data_dir: str
    roots: frozenset[str]

    def hide_paths(self, text: str) -> str:
        text = re.sub(re.escape(self.data_dir) + r"[\w./\-+*%]*", "<path>", text)
        return _PATH.sub(
            lambda match: "<path>" if match["root"] in self.roots else match[0],
            text,
        )


def make_scrubber(data_dir: str) -> Scrubber:
    return Scrubber(data_dir, frozenset(os.listdir("/")) | {"proc", "etc", "tmp", "store"})


@dataclass(frozen=True, slots=True)
class EngineText:
    """An engine error taken apart: `text` is without code, name and what follows `In scope`."""

    code: int
    name: str
    text: str


def read_error(raw: str) -> EngineText:
    """Take ClickHouse's text apart: the first code, the last symbolic name, the first sentence."""
    code_match = _CODE.search(raw)
    names = _NAME.findall(raw)
    code = int(code_match[1]) if code_match else UNKNOWN[0]
    name = names[-1] if names and code_match else UNKNOWN[1]
    text = raw
    while (stripped := _HEAD.sub("", text, count=1)) != text:
        text = stripped
    if name in names:
        text = text.split(f"({name})", 1)[0]
    if code == 62:
        text = _shorten_syntax_error(text)
    elif tail := _TAIL.search(text):
        text = text[: tail.start()]
    return EngineText(code, name, text.strip().rstrip(".:, "))


def translate_error(raw: str, *, sql: str, scrubber: Scrubber) -> PipewrenError:
    """The error to raise for the engine's text `raw`, which came of running `sql`.

    The message reads `[Error] <text>. (<NAME>)` (endpoints.md section 4). Time limits become
    `TimedOut`, everything else `EngineError` with the status of `STATUS_BY_CODE`.
    """
    error = read_error(raw)
    text = _UUID.sub("", scrubber.hide_paths(error.text))
    text = _DATABASE.sub(r"\1\2\3", text)
    text = _DATABASE_ALONE.sub("", text)
    if error.code in _NAMING_CODES:
        text = _hide_foreign_names(text, sql)
    if error.code == 497:
        text = "The statement reads something that it may not read"
    status = STATUS_BY_CODE.get(error.code, 400)
    if error.code == 241 and "(total)" in raw:
        status = 500  # the server's memory, not the query's: trying again can help
    if status == 408:
        return make_timeout(None)
    if len(text) > _MAX_TEXT:
        text = text[:_MAX_TEXT] + "..."
    return EngineError(
        f"[Error] {text or 'The statement failed'}. ({error.name})",
        engine_code=error.code,
        engine_name=error.name,
        status=status,
    )


def make_timeout(limit_s: float | None) -> TimedOut:
    bound = "its time limit" if limit_s is None else f"its time limit of {limit_s:g} seconds"
    return TimedOut(
        f"[Error] The query ran over {bound} and was stopped. Read fewer rows, or raise the limit."
    )


def withhold_details(error: EngineError) -> EngineError:
    """The same error without anything that could tell of rows or tables behind a filter."""
    return EngineError(
        f"[Error] The statement failed. ({error.engine_name})",
        engine_code=error.engine_code,
        engine_name=error.engine_name,
        status=error.status,
    )


def _shorten_syntax_error(text: str) -> str:
    # After the place comes the rest of the statement, which may hold others' filters.
    place = _SYNTAX_PLACE.match(text)
    if place is None:
        return text.split(":", 1)[0] if text.startswith("Syntax error") else text
    end = _SYNTAX_END.search(text)
    if end is None:
        return place[1]
    expected = end[1].strip().rstrip(".")
    if len(expected) > 200:
        expected = expected[:200].rsplit(",", 1)[0] + ", ..."
    return f"{place[1]}. {expected}"


def _hide_foreign_names(text: str, sql: str) -> str:
    """Keep a quoted name only where the statement itself spells it."""

    def keep(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return match[0] if name in sql else "'...'"

    return _QUOTED.sub(keep, text)
