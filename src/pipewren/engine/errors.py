"""ClickHouse's error texts made fit for callers.

The engine's text can hold query text with its values, absolute paths, versions, stack traces,
names of other people's tables and physical names (engine-chdb.md section 4). `translate_error`
keeps what a caller can act on. A value from the rows may remain ("Cannot parse string 'x'"):
callers under a row filter get `withhold_details` instead (engine-guard.md section 3).
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection
from dataclasses import dataclass

from pipewren.engine.error_codes import (
    ACCESS_DENIED,
    CANNOT_READ_ALL_DATA,
    MEMORY_LIMIT_EXCEEDED,
    NAME_BY_CODE,
    NOT_ENOUGH_SPACE,
    QUERY_WAS_CANCELLED,
    SYNTAX_ERROR,
    UNKNOWN,
    Fault,
    find_fault,
)
from pipewren.engine.error_codes import RESULT_TOO_LARGE as RESULT_TOO_LARGE
from pipewren.engine.hidden_values import hide_values
from pipewren.errors import EngineError, PipewrenError, TimedOut, Unavailable

_CODE = re.compile(r"Code: (\d+)")
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]+)\)")
_HEAD = re.compile(r"^(?:Streaming [a-z ]+ failed: )?(?:Code: \d+\. )?(?:DB::\w+: |std::\w+: )?")
_TAIL = re.compile(
    r":? *\(?(?:[Ww]hile (?:executing|processing|receiving|reading)\b|[Ii]n scope\b"
    r"|[Ii]n query\b(?!\.)|[Mm]aybe you meant\b|\(version |\(query_id\b"
    r"|\((?:in|while reading|from) (?:file|part|query)|,? ?Stack trace\b|\(official build)"
    r"|\.? *(?:There are only|[Aa]vailable|[Rr]equired) columns:",
)
_SYNTAX_PLACE = re.compile(
    r"^(?:(?P<why>[A-Z][^\n]{0,160}?)(?: \(can be [^)]*\))?: )?Syntax error(?P<where> \([^)]*\))?: "
    r"failed at position (?P<at>\d+)"
)
_SYNTAX_TOKEN = re.compile(
    r"\((?:end of query|[^\s()'`\"]{1,40}|[()])\)(?: \(line \d+, col \d+\))?"
)
_SYNTAX_LINE = re.compile(r"\) (\(line \d+, col \d+\)): ")
_SYNTAX_END = re.compile(
    r".*\. ?(Expected one of: .*|Expected .*|Unmatched parentheses.*|Unrecognized token.*)$",
    re.DOTALL,
)
_DATABASE = re.compile(r"(`?)\bw_[0-9a-z]+(?:_d\d+)?`?\.`?(\w+?)(?:__\d+)?(`?)(?!\w)")
_DATABASE_ALONE = re.compile(r" ?[`'\"]?\bw_[0-9a-f]+(?:_d\d+)?\b[`'\"]?")
_VERSIONED = re.compile(r"\b(\w+?)__\d+\b")
_UUID = re.compile(r" ?\(?\b([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b\)?")
_PATH = re.compile(r"(?<![\w/:])/(?P<root>[\w.\-+]+)(?:/[\w.\-+*%]+)+/?")
_QUOTED = re.compile(r"(?<!\w)'([\w.\-]+)'|`([^`]+)`")
_LITERAL = r"'(?:[^'\\]|\\.)*'"

# Where an error prints expressions, it prints the statement's values, maybe another's than the
# caller's: a secret, a filter.
_EXPRESSIONS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), put)
    for pattern, put in (
        (r"^Multiple expressions .* for alias", "Multiple expressions for alias"),
        (r" in JOIN ON expression \w+\(.*", " in JOIN ON"),
        (r"^(Too many temporary [\w -]*columns): .*(\. Maximum)", r"\1\2"),
        (r"( elements): .*", r"\1"),
        (r"^JOIN .* (ambiguous identifier)", r"JOIN: \1"),
        (r"^ARRAY JOIN .* requires expression .* with ", "ARRAY JOIN requires an expression with "),
        (r"^Lambda .* is not allowed", "A lambda is not allowed"),
        (r"(an alias of \w+?)__\d+\b", r"\1"),
        (r" in query(?=\.|$)", ""),
        (rf"{_LITERAL}_[A-Z]\w*", "'...'"),
        (r"\b__table\d+\.", ""),
    )
)
_QUERY_TEXT = re.compile(r"\.?(?: Actual:?| Got:?)?(?:^| )\(?SELECT (?!without\b).*", re.DOTALL)
_ILLEGAL_AGGREGATION = 184  # prints the call with its arguments
# A chain of views names the one that failed first.
_VIEW = re.compile(r"while pushing to view (?:`[^`]+`|\w+)\.(?:`([^`]+)`|(\w+))")
_NO_SPACE = "No space left on device"  # where the engine could not even make a file
_THROWN_BY_AUTHOR = 395  # `throwIf(x, 'text')`: the text is meant for the caller
_NAMING_CODES = frozenset({36, 57, 60, 81, 218, 291, 390, 482, 519})
# Their texts are dumps of the engine's structures, constants of the statement among them.
_WITHHELD_CODES = frozenset({49, 1000, 1001})
# Of names, types and numbers of arguments, and of limits: their texts hold no value of a row.
_OF_THE_STATEMENT = frozenset(
    {10, 16, 35, 36, 42, 43, 46, 47, 51, 53, 60, 62, 63, 80, 99, 125, 158, 164, 167, 168, 179, 184}
    | {207, 215, 241, 306, 307, 352, 386, 394, 396, 403, 420, 440, 456, 457, 497, 524, 561, 636}
)
_MAX_TEXT = 1500
_MAX_LOGGED = 4000


_log = logging.getLogger("pipewren.engine")


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
    """Take ClickHouse's text apart: the first code, its name, the first sentence.

    The name is the table's, since the text can be cut off (a NUL byte ends it) or hold other
    names, put there by a statement; of a code that the table does not know it is the last one.
    """
    code_match = _CODE.search(raw)
    code = int(code_match[1]) if code_match else UNKNOWN
    name = NAME_BY_CODE.get(code)
    if name is None:
        names = _NAME.findall(raw)
        name = names[-1] if names else NAME_BY_CODE[UNKNOWN]
    text = raw
    while (stripped := _HEAD.sub("", text, count=1)) != text:
        text = stripped
    text = text.split(f"({name})", 1)[0]
    place = _SYNTAX_PLACE.match(text) if code == SYNTAX_ERROR else None
    if place is not None:
        text = _shorten_syntax_error(text, place)
    elif tail := _TAIL.search(text):
        text = text[: tail.start()]
    return EngineText(code, name, text.strip().rstrip(".:, "))


def translate_error(
    raw: str, *, sql: str, scrubber: Scrubber, hidden: Collection[str] = ()
) -> PipewrenError:
    """The error to raise for the engine's text `raw`, which came of running `sql`; `hidden` are
    values that neither it nor the log may show.

    The message reads `[Error] <text>. (<NAME>)` (endpoints.md section 4). Time limits become
    `TimedOut`, a full disk `Unavailable`, everything else `EngineError` with the status of
    `error_codes.find_fault`.
    """
    error = read_error(raw)
    if error.code == NOT_ENOUGH_SPACE or _NO_SPACE in raw:
        return Unavailable(
            "The disk has no room left for what the statement writes. Free disk space, and try "
            "again."
        )
    fault = find_fault(error.code)
    text = error.text
    if fault is Fault.TIME:
        return make_timeout(None)
    if error.code == CANNOT_READ_ALL_DATA and " part " not in raw:
        fault = Fault.CALLER  # of a value that was made a state or a file of, not of a table
    if error.code == ACCESS_DENIED:
        text = "The statement does or reads something that it may not"
    elif error.code in _WITHHELD_CODES:
        text = "The engine failed on the statement"
    elif error.code == MEMORY_LIMIT_EXCEEDED and not text.startswith("Query "):
        fault = Fault.SERVER  # all queries' memory, not this one's: trying again can help
        text = "The server has no memory left for the query now. Try again later"
    else:
        text = hide_values(_hide(error, sql, scrubber), hidden)
    if len(text) > _MAX_TEXT:
        text = text[:_MAX_TEXT] + "..."
    if fault is Fault.SERVER and error.code != QUERY_WAS_CANCELLED:  # that was us
        # Callers are told little of it. Values do not belong into a log.
        shown = re.sub(_LITERAL, "'...'", raw)[:_MAX_LOGGED]
        _log.error("the engine failed: %s", hide_values(shown, hidden))
    return EngineError(
        f"[Error] {text or 'The statement failed'}. ({error.name})",
        engine_code=error.code,
        engine_name=error.name,
        status=fault.status,
        view=_read_view(raw),
    )


def make_timeout(limit_s: float | None) -> TimedOut:
    bound = "its time limit" if limit_s is None else f"its time limit of {limit_s:g} seconds"
    return TimedOut(
        f"[Error] The query ran over {bound} and was stopped. Read fewer rows, or raise the limit."
    )


def tells_no_value(error: EngineError) -> bool:
    """Whether the error is of the statement itself, found before any row was read, or of a
    limit."""
    return error.engine_code in _OF_THE_STATEMENT


def withhold_details(error: EngineError) -> EngineError:
    """The same error without anything that could tell of rows or tables behind a filter."""
    return EngineError(
        f"[Error] The statement failed. ({error.engine_name})",
        engine_code=error.engine_code,
        engine_name=error.engine_name,
        status=error.status,
    )


def _read_view(raw: str) -> str:
    match = _VIEW.search(raw)
    return match[1] or match[2] if match else ""


def _hide(error: EngineText, sql: str, scrubber: Scrubber) -> str:
    """Without paths, physical names, identifiers of tables, and text of the statement."""
    text = scrubber.hide_paths(error.text)
    text = _UUID.sub(lambda match: match[0] if match[1] in sql else "", text)
    for pattern, put in _EXPRESSIONS:
        text = pattern.sub(put, text)
    if error.code not in (_THROWN_BY_AUTHOR, SYNTAX_ERROR):
        text = _QUERY_TEXT.sub("", text)
    if error.code == _ILLEGAL_AGGREGATION:
        text = re.sub(_LITERAL, "'...'", text)
    text = _DATABASE.sub(r"\1\2\3", text)
    text = _DATABASE_ALONE.sub("", text)
    text = _VERSIONED.sub(lambda match: match[0] if match[0] in sql else match[1], text)
    if error.code in _NAMING_CODES:
        text = _hide_foreign_names(text, sql)
    return text


def _shorten_syntax_error(text: str, place: re.Match[str]) -> str:
    # After the place comes the rest of the statement, which may hold others' filters. So does the
    # token there: a quoted one is a value, or one that is not closed and goes to the end.
    rest = text[place.end() :].lstrip()
    if token := _SYNTAX_TOKEN.match(rest):
        at = token[0]
    else:
        line = _SYNTAX_LINE.search(rest)
        at = ("('...')" if rest[:2] in ("('", "(`", '("') else "") + (f" {line[1]}" if line else "")
    short = f"Syntax error{place['where'] or ''}: failed at position {place['at']} {at}".rstrip()
    if place["why"]:
        short += f". {place['why']}"
    if end := _SYNTAX_END.match(rest):
        expected = _TAIL.split(end[1], maxsplit=1)[0].strip().rstrip(".")
        if len(expected) > 200:
            expected = expected[:200].rsplit(",", 1)[0] + ", ..."
        short += f". {expected}"
    return short


def _hide_foreign_names(text: str, sql: str) -> str:
    """Keep a quoted name only where the statement itself spells it."""

    def keep(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return match[0] if name in sql else "'...'"

    return _QUOTED.sub(keep, text)
