"""An endpoint's result as Prometheus reads it: the column contract, and the text (endpoints.md
section 3; Prometheus' exposition format 0.0.4).

ClickHouse's own `FORMAT Prometheus` is not used (26.9, tried). It groups neighbouring rows only and
so repeats HELP and TYPE, completes a histogram of several label sets by a bucket or a count that
belongs to none of them, refuses LowCardinality and Nullable columns, prints a Bool as `true` and a
fraction or `nan` as a timestamp, escapes no backslash in HELP, and checks neither names nor types.
Where it is right, this text is the same byte by byte.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from itertools import repeat
from operator import itemgetter
from typing import Any, NamedTuple, NoReturn

import msgspec

from pipewren.errors import BadRequest, EngineError
from pipewren.serve.samples import Metric, Sample, order_samples

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
ENGINE_FORMAT = "JSONCompactEachRowWithNamesAndTypes"
# Without it NaN and the infinities are null, as NULL is.
SETTINGS = (("output_format_json_quote_denormals", "1"),)
TYPES = ("counter", "gauge", "histogram", "summary", "untyped")

_WRAPPER = re.compile(r"(?:LowCardinality|Nullable)\((.*)\)", re.DOTALL)
_TEXT = re.compile(r"String|FixedString\(\d+\)|Enum(?:8|16)\(.*\)", re.DOTALL)
_NUMBER = re.compile(r"U?Int(?:8|16|32|64|128|256)|Float(?:32|64)|BFloat16|Bool|Decimal\(.*\)")
_LABELS = re.compile(
    r"Map\((?:String|LowCardinality\(String\)), (?:String|LowCardinality\(String\))\)"
)


class _Rule(NamedTuple):
    types: re.Pattern[str]
    wanted: str
    remedy: str
    cell: Any  # what msgspec reads a cell as


_CONTRACT: Mapping[str, _Rule] = {
    "name": _Rule(_TEXT, "a String", "write toString(...)", str | None),
    "value": _Rule(_NUMBER, "a number", "write toFloat64(...)", msgspec.Raw),
    "help": _Rule(_TEXT, "a String", "write toString(...)", str | None),
    "type": _Rule(
        _TEXT, f"a String, one of {', '.join(TYPES)} or empty", "write toString(...)", str | None
    ),
    "labels": _Rule(
        _LABELS,
        "a Map(String, String)",
        "write CAST(..., 'Map(String, String)')",
        dict[str, str],
    ),
    "timestamp": _Rule(
        _NUMBER,
        "a number, milliseconds since 1970",
        "write toUnixTimestamp64Milli(toDateTime64(..., 3))",
        msgspec.Raw,
    ),
}
_REQUIRED = ("name", "value")
_OPTIONAL: Mapping[str, Any] = {"help": None, "type": None, "labels": {}, "timestamp": b"null"}

# Rows become Python objects, at some ten times their size.
MAX_BODY_BYTES = 10_000_000

_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_HELP_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": " "})
_VALUE_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})
_SPECIAL: Mapping[bytes, str] = {
    b"true": "1",
    b"false": "0",
    b'"nan"': "NaN",
    b'"inf"': "+Inf",
    b'"-inf"': "-Inf",
}
_MAX_TIMESTAMP_MS = 2**63


def write_exposition(body: bytes) -> bytes:
    """The exposition of a whole result in `ENGINE_FORMAT`, made under `SETTINGS`.

    Metrics stand in the order in which their names appear first, with HELP and TYPE once; the rows
    of a metric in the result's order, those of histograms and summaries as `order_samples` has
    them. A result without rows is an empty text.

    Raises EngineError, code 36, naming the column, what it must be, and the row (from 1), and
    BadRequest for a body over `MAX_BODY_BYTES`.
    """
    if len(body) > MAX_BODY_BYTES:
        raise BadRequest(
            f"The result is larger than {MAX_BODY_BYTES:,} bytes, the most that the format "
            "prometheus takes: aggregate more, or add a LIMIT"
        )
    names, types, rows = _take_apart(body)
    check_columns(names, types)
    metrics: dict[str, Metric] = {}
    for row, sample in enumerate(_read_rows(names, rows), 1):
        _collect(metrics, row, sample)
    out: list[str] = []
    for name, metric in metrics.items():
        _write_metric(out, name, metric)
    return "".join(out).encode()


def _take_apart(body: bytes) -> tuple[list[str], list[str], bytes]:
    names, types, rows = body.split(b"\n", 2)
    return _decode(names, list[str]), _decode(types, list[str]), rows


def _decode(line: bytes, type: Any) -> Any:
    return msgspec.json.decode(line.decode("utf-8", "replace"), type=type)


def check_columns(names: Sequence[str], types: Sequence[str]) -> None:
    """Raises EngineError, code 36, naming each column that is missing, there twice or of another
    type than the contract has. LowCardinality and Nullable count as what they hold."""
    mistakes: list[str] = []
    seen: set[str] = set()
    for name, type in zip(names, types, strict=True):
        rule = _CONTRACT.get(name)
        if rule is None:
            continue
        if name in seen:
            mistakes.append(f"there are two columns `{name}`, keep one")
        seen.add(name)
        bare = type
        while (match := _WRAPPER.fullmatch(bare)) is not None:
            bare = match[1]
        if rule.types.fullmatch(bare) is None:
            mistakes.append(
                f"the column `{name}` is {type} and must be {rule.wanted}: {rule.remedy}"
            )
    for name in _REQUIRED:
        if name not in seen:
            mistakes.append(
                f"the column `{name}` is missing and must be {_CONTRACT[name].wanted}: select it, "
                f"the columns are {', '.join(names)}"
            )
    if mistakes:
        _refuse("; ".join(mistakes))


class _Row(NamedTuple):
    name: str | None
    value: bytes
    help: str | None
    type: str | None
    labels: dict[str, str]
    timestamp: bytes


@functools.lru_cache(maxsize=64)
def _decoder(names: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """Reads rows with these columns; what is none of the contract's is skipped."""
    cells = tuple(_CONTRACT[name].cell if name in _CONTRACT else msgspec.Raw for name in names)
    return msgspec.json.Decoder(tuple[cells])  # type: ignore[valid-type]


def _read_rows(names: Sequence[str], rows: bytes) -> Iterator[_Row]:
    decoder = _decoder(tuple(names))
    try:
        decoded = decoder.decode_lines(rows)
    except (UnicodeDecodeError, msgspec.DecodeError):  # bytes that are no UTF-8 are replaced
        decoded = decoder.decode_lines(rows.decode("utf-8", "replace"))
    columns: list[Iterable[Any]] = []
    for name in _Row._fields:
        if name in names:
            columns.append(map(itemgetter(names.index(name)), decoded))
        else:
            columns.append(repeat(_OPTIONAL[name], len(decoded)))
    return map(_Row._make, zip(*columns, strict=True))


def _collect(metrics: dict[str, Metric], number: int, row: _Row) -> None:
    name = row.name
    if name is None:
        _refuse(f"the column `name` is NULL in row {number} and must be a metric's name")
    name = name.rstrip("\0")  # a FixedString
    metric = metrics.get(name)
    if metric is None:
        if _METRIC_NAME.fullmatch(name) is None:
            _refuse(
                f"the column `name` is {_show(name)} in row {number} and must be a metric's name: "
                "letters, digits, _ and : only, no digit first"
            )
        metric = metrics[name] = Metric()
    if row.help and not metric.help:
        metric.help = row.help
    if row.type:
        type = row.type.rstrip("\0")
        if type not in TYPES and type:
            _refuse(
                f"the column `type` is {_show(type)} in row {number} and must be one of "
                f"{', '.join(TYPES)} or empty"
            )
        if metric.type and type != metric.type:
            _refuse(
                f"the column `type` is {_show(type)} in row {number} and was {_show(metric.type)} "
                f"before: it must be the same in all rows of {name}"
            )
        metric.type = type
    for label in row.labels:
        if label not in metric.labels:
            _check_label(label, number)
            metric.labels.add(label)
    metric.samples.append(
        Sample(number, row.labels, _read_value(row.value, number), _read_timestamp(row, number))
    )


def _check_label(label: str, number: int) -> None:
    if _LABEL_NAME.fullmatch(label) is None or label.startswith("__"):
        _refuse(
            f"the column `labels` has the key {_show(label)} in row {number}, and a key must be a "
            "label's name: letters, digits and _ only, no digit and no __ first"
        )


def _read_value(raw: bytes, number: int) -> str:
    text = bytes(raw)
    if text == b"null":
        _refuse(
            f"the column `value` is NULL in row {number} and must be a number: leave the row out"
        )
    # Quoted numbers come of `output_format_json_quote_64bit_integers` and its like.
    return _SPECIAL.get(text) or text.strip(b'"').decode()


def _read_timestamp(row: _Row, number: int) -> int:
    """Whole milliseconds; 0, which stands for none as it does in ClickHouse."""
    if row.timestamp == b"null":
        return 0
    text = _SPECIAL.get(bytes(row.timestamp)) or bytes(row.timestamp).strip(b'"').decode()
    if text == "null":
        return 0
    try:
        if text.isdigit() and len(text) < 19:
            return int(text)
        milliseconds = int(Decimal(text).to_integral_value(ROUND_FLOOR))
    except (InvalidOperation, ValueError, OverflowError):
        milliseconds = _MAX_TIMESTAMP_MS
    if not -_MAX_TIMESTAMP_MS <= milliseconds < _MAX_TIMESTAMP_MS:
        _refuse(
            f"the column `timestamp` is {text} in row {number} and must be milliseconds since "
            "1970, in 64 bits"
        )
    return milliseconds


def _write_metric(out: list[str], name: str, metric: Metric) -> None:
    if metric.help:
        out.append(f"# HELP {name} {metric.help.translate(_HELP_ESCAPES)}\n")
    if metric.type:
        out.append(f"# TYPE {name} {metric.type}\n")
    try:
        lines = order_samples(metric)
    except ValueError as error:
        _refuse(f"the column `labels` does not fit {name}, a {metric.type}: {error}")
    for suffix, sample in lines:
        labels = sample.labels
        pairs = ""
        if labels:
            pairs = ",".join(
                [f'{label}="{labels[label].translate(_VALUE_ESCAPES)}"' for label in sorted(labels)]
            )
            pairs = "{" + pairs + "}"
        time = f" {sample.timestamp_ms}" if sample.timestamp_ms else ""
        out.append(f"{name}{suffix}{pairs} {sample.value}{time}\n")
    out.append("\n")


def _show(text: str) -> str:
    return "'" + (text if len(text) <= 60 else text[:60] + "...") + "'"


def _refuse(mistake: str) -> NoReturn:
    raise EngineError(
        f"[Error] The result does not fit the format prometheus: {mistake}. (BAD_ARGUMENTS)",
        engine_code=36,
        engine_name="BAD_ARGUMENTS",
        status=400,
    )
