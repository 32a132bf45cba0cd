"""What is counted of requests, and the text that it becomes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from pipewren.engine.contract import Statistics
from pipewren.errors import Unavailable
from pipewren.serve.metric_families import (
    BOUNDS_S,
    FAMILIES,
    Histogram,
    Rows,
    render_page,
    write_families,
)
from pipewren.serve.metrics import OTHER, EngineFigures, Metrics
from pipewren.serve.request_record import ENDPOINT_ROUTE, RequestRecord
from pipewren.testing.engine import ScriptedEngine


def request(name: str = "top", *, took_s: float = 0.002, **fields: Any) -> RequestRecord:
    given = {"workspace_id": "w", "route": ENDPOINT_ROUTE, "status": 200, "name": name, **fields}
    return RequestRecord("id", {}, 0.0, 10.0, 10.0 + took_s, **given)


def parse(collected: dict[str, Rows]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(write_families(collected).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_requests_of_one_key_are_counted_together_with_what_they_read() -> None:
    metrics = Metrics()
    for took_s in (0.001, 0.0011, 100.0):
        record = request(took_s=took_s)
        record.statistics = Statistics(0.1, rows_read=5, bytes_read=50)
        metrics.observe(record)
    metrics.observe(request(status=404))
    found = dict(metrics.series())
    assert set(found) == {("w", ENDPOINT_ROUTE, "top", status) for status in (200, 404)}
    series = found["w", ENDPOINT_ROUTE, "top", 200]
    assert series.counts == [1, 1, *[0] * (len(BOUNDS_S) - 2), 1]
    assert (series.rows, series.bytes) == (15, 150)
    assert series.total_s == pytest.approx(100.0021)
    assert found["w", ENDPOINT_ROUTE, "top", 404].rows == 0


def test_beyond_the_bound_requests_count_by_route_and_class_of_status_only() -> None:
    metrics = Metrics(max_series=3)
    for number in range(50):
        for status in (200, 400 + number):
            metrics.observe(request(f"pipe{number}", status=status, workspace_id=f"w{number}"))
    keys = [key for key, _ in metrics.series()]
    assert keys[3:] == [("", ENDPOINT_ROUTE, OTHER, status) for status in (400, 200)]
    assert sum(sum(series.counts) for _, series in metrics.series()) == 100


def test_what_is_gone_is_forgotten() -> None:
    metrics = Metrics()
    metrics.observe(request("stays"))
    metrics.observe(request("goes"))
    metrics.forget(lambda key: key[2] == "goes")
    assert [key[2] for key, _ in metrics.series()] == ["stays"]


@given(st.lists(st.floats(0, 1000), max_size=30))
def test_a_histogram_reads_as_it_was_observed(durations: list[float]) -> None:
    histogram, half = Histogram(), Histogram()
    for number, duration_s in enumerate(durations):
        (half if number % 2 else histogram).observe(duration_s)
    histogram.add(half)
    read = parse({"pipewren_event_loop_lag_seconds": [((), histogram)]})
    for bound in (*BOUNDS_S, float("inf")):
        le = "+Inf" if bound == float("inf") else f"{bound:g}"
        counted = read["pipewren_event_loop_lag_seconds_bucket", (("le", le),)]
        assert counted == sum(duration_s <= bound for duration_s in durations)
    assert read["pipewren_event_loop_lag_seconds_count", ()] == len(durations)
    assert read["pipewren_event_loop_lag_seconds_sum", ()] == pytest.approx(sum(durations))


# Neither half of a surrogate pair, nor what the parser of the test takes for the end of a line.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\x85\u2028\u2029"))


@given(TEXTS)
def test_any_text_is_a_label_and_cannot_break_out_of_it(text: str) -> None:
    rows: Rows = [((text, "live"), 7)]
    written = write_families({"pipewren_deployment_number": rows}).decode()
    assert written.count("\n") == 3
    read = parse({"pipewren_deployment_number": rows})
    assert read == {("pipewren_deployment_number", (("state", "live"), ("workspace", text))): 7.0}


def test_an_unknown_metric_or_a_wrong_number_of_labels_is_an_error() -> None:
    with pytest.raises(ValueError):
        write_families({"pipewren_deployment_number": [(("only one",), 1)]})
    with pytest.raises((KeyError, ValueError)):
        write_families({"pipewren_unheard_of": []})


def test_every_metric_has_a_name_a_type_and_a_unit_as_prometheus_wants_them() -> None:
    for family in FAMILIES.values():
        assert family.type in ("counter", "gauge", "histogram")
        assert (family.type == "counter") is family.name.endswith("_total"), family.name
        if family.type == "histogram":
            assert family.name.endswith("_seconds")
        assert family.help.endswith(".")
        assert "\n" not in family.help
        assert "\\" not in family.help
        assert f"| `{family.name}` | {family.type} |" in render_page()


async def test_the_engine_is_asked_once_for_all_who_ask_within_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 100.0
    monkeypatch.setattr("pipewren.serve.metrics.monotonic", lambda: now_s)
    engine, figures = ScriptedEngine(), EngineFigures()
    all_read = await asyncio.gather(*(figures.read(engine) for _ in range(5)))
    assert all(read == engine.counted for read in all_read)
    now_s = 100.99
    await figures.read(engine)
    assert engine.figures_read == 1
    now_s = 101.0
    await figures.read(engine)
    assert engine.figures_read == 2


async def test_an_engine_that_tells_no_figures_is_none_and_is_asked_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 5.0
    monkeypatch.setattr("pipewren.serve.metrics.monotonic", lambda: now_s)
    engine, figures = ScriptedEngine(counted=Unavailable("It is stopping")), EngineFigures()
    assert await figures.read(engine) is None
    engine.counted = {"parts": 3}
    now_s = 6.0
    assert await figures.read(engine) == {"parts": 3}


async def test_the_lag_of_the_event_loop_is_observed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipewren.serve.metrics.LAG_PAUSE_S", 0.0)
    metrics = Metrics()
    watching = asyncio.create_task(metrics.watch_loop())
    while sum(metrics.loop_lag.counts) < 3:
        await asyncio.sleep(0)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert metrics.loop_lag.total_s >= 0
