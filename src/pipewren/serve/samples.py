"""The samples of one metric in the order of Prometheus' text, histograms and summaries completed
(endpoints.md section 3: `le`, `+Inf`, `sum`, `count`)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

# The label that makes a row a bucket or a quantile, by type, and what its line's name ends with.
_PARTS: Mapping[str, tuple[str, str]] = {
    "histogram": ("le", "_bucket"),
    "summary": ("quantile", ""),
}
_LAST_BUCKET = "+Inf"


class Sample(NamedTuple):
    """`row` counts from 1 in the result; `value` is its text; no timestamp is 0."""

    row: int
    labels: Mapping[str, str]
    value: str
    timestamp_ms: int


@dataclass(slots=True)
class Metric:
    """What rows of one name came to; `labels` are the labels' names met so far."""

    type: str = ""
    help: str = ""
    samples: list[Sample] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Series:
    """One histogram or summary: the rows that have the same other labels and time."""

    parts: list[tuple[float, Sample]] = field(default_factory=list)
    sums: list[Sample] = field(default_factory=list)
    counts: list[Sample] = field(default_factory=list)


def order_samples(metric: Metric) -> Iterable[tuple[str, Sample]]:
    """(what follows the metric's name, sample) of each line.

    A histogram's rows are buckets (label `le`), `sum` or `count`, a summary's quantiles, `sum` or
    `count`; the label goes where the suffix comes. By set of the other labels they become buckets
    in ascending order, sum, count. A missing `+Inf` bucket is the count, a missing count the `+Inf`
    bucket, since the format asks for both.

    Raises ValueError for a row that is none of these, and for a histogram with neither.
    """
    if metric.type not in _PARTS:
        return (("", sample) for sample in metric.samples)
    part, suffix = _PARTS[metric.type]
    gathered: dict[object, _Series] = {}
    for sample in metric.samples:
        _gather(gathered, sample, part)
    lines: list[tuple[str, Sample]] = []
    for series in gathered.values():
        if metric.type == "histogram":
            _complete(series)
        series.parts.sort(key=lambda one: one[0])
        lines += [(suffix, sample) for _, sample in series.parts]
        lines += [("_sum", sample) for sample in series.sums]
        lines += [("_count", sample) for sample in series.counts]
    return lines


def _gather(gathered: dict[object, _Series], sample: Sample, part: str) -> None:
    kinds = [kind for kind in (part, "sum", "count") if kind in sample.labels]
    if len(kinds) != 1:
        raise ValueError(
            f"row {sample.row} must have exactly one of the keys {part}, sum and count, and has "
            + (" and ".join(kinds) or "none of them")
        )
    rest = {label: value for label, value in sample.labels.items() if label != kinds[0]}
    key = (tuple(sorted(rest.items())), sample.timestamp_ms)
    series = gathered.get(key)
    if series is None:
        series = gathered[key] = _Series()
    if kinds[0] == "sum":
        series.sums.append(sample._replace(labels=rest))
    elif kinds[0] == "count":
        series.counts.append(sample._replace(labels=rest))
    else:
        bound = _read_bound(sample, part)
        if bound == math.inf:
            sample = sample._replace(labels={**sample.labels, part: _LAST_BUCKET})
        series.parts.append((bound, sample))


def _read_bound(sample: Sample, part: str) -> float:
    text = sample.labels[part]
    try:
        bound = math.nan if "_" in text else float(text)
    except ValueError:
        bound = math.nan
    if math.isnan(bound) or (part == "quantile" and not 0 <= bound <= 1):
        wanted = "a number or +Inf" if part == "le" else "a number from 0 to 1"
        raise ValueError(f"{part} is '{text[:60]}' in row {sample.row} and must be {wanted}")
    return bound


def _complete(series: _Series) -> None:
    last = next((sample for bound, sample in series.parts if bound == math.inf), None)
    if last is None and not series.counts:
        row = (series.sums or [series.parts[0][1]])[0].row
        raise ValueError(
            f"the histogram of row {row} has neither the bucket le=+Inf nor a count: add one"
        )
    if last is None:
        count = series.counts[0]
        bucket = count._replace(labels={**count.labels, "le": _LAST_BUCKET})
        series.parts.append((math.inf, bucket))
    elif not series.counts:
        rest = {label: value for label, value in last.labels.items() if label != "le"}
        series.counts.append(last._replace(labels=rest))
