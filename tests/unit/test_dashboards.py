"""docs/grafana: the dashboard and the alert rules name nothing that is not in the metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipewren.serve.metric_families import FAMILIES, Family

GRAFANA = Path(__file__).parents[2] / "docs" / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "pipewren.json").read_text())
ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((GRAFANA / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
OF_PANELS = [target["expr"] for panel in PANELS for target in panel["targets"]]
OF_ALERTS = [rule["expr"] for rule in ALERTS]
EXPRESSIONS = [
    *OF_PANELS,
    *OF_ALERTS,
    *(one["expr"] for one in DASHBOARD["annotations"]["list"]),
    *(one["definition"] for one in DASHBOARD["templating"]["list"] if "definition" in one),
]
SCRAPED = {"job", "instance"}  # labels that Prometheus adds
_METRIC = re.compile(r"\b((?:pipewren|process)_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"(?:[^"\\]|\\.)*"')
_GROUPED = re.compile(r"\bby\s*\(([^)]*)\)")


def find_family(name: str) -> Family | None:
    """The metric that a sample's name belongs to."""
    for suffix in ("_bucket", "_sum", "_count"):
        family = FAMILIES.get(name.removesuffix(suffix))
        if name.endswith(suffix) and family is not None and family.type == "histogram":
            return family
    family = FAMILIES.get(name)
    return None if family is None or family.type == "histogram" else family


def labels_of(expression: str) -> set[str]:
    found: set[str] = set(SCRAPED)
    for name, _ in _METRIC.findall(expression):
        family = find_family(name)
        assert family is not None, f"{name} is no metric: {expression}"
        found |= {*family.labels, *(("le",) if family.type == "histogram" else ())}
    return found


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_names_metrics_and_labels_that_exist(expression: str) -> None:
    known = labels_of(expression)
    for name, matchers in _METRIC.findall(expression):
        family = find_family(name)
        assert family is not None
        used = set(_MATCHER.findall(matchers))
        assert _MATCHER.sub("", matchers).strip(" ,\n") == "", expression
        assert used <= {*family.labels, *SCRAPED}, expression
    for labels in _GROUPED.findall(expression):
        assert {label.strip() for label in labels.split(",")} <= known, expression
    assert expression.count("(") == expression.count(")")


def test_a_counter_is_never_shown_as_it_is_and_a_gauge_never_as_a_rate() -> None:
    for expression in (*OF_PANELS, *OF_ALERTS):
        for name, _ in _METRIC.findall(expression):
            family = find_family(name)
            assert family is not None
            inside = rf"(?:rate|increase)\(\s*{name}\b"
            if name != "pipewren_engine_failed_writes_total":  # one is too many, for ever
                is_rate = re.search(inside, expression) is not None
                assert is_rate is (family.type != "gauge"), expression


def test_the_dashboard_is_whole() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in PANELS)
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$(\w+)", " ".join(EXPRESSIONS))) - {"__rate_interval"}
    assert used <= variables


def test_legends_and_alerts_texts_name_labels_that_their_expressions_keep() -> None:
    texts = [
        (target["expr"], re.findall(r"{{\s*(\w+)\s*}}", target["legendFormat"]))
        for panel in PANELS
        for target in panel["targets"]
    ]
    texts += [
        (rule["expr"], re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        for rule in ALERTS
    ]
    assert any(labels for _, labels in texts)
    for expression, labels in texts:
        grouped = _GROUPED.findall(expression)
        kept = {one.strip() for one in grouped[0].split(",")} if grouped else SCRAPED
        assert set(labels) <= kept, expression


def test_every_alert_says_what_happened_and_what_to_look_at() -> None:
    names = [rule["alert"] for rule in ALERTS]
    assert len(names) == len(set(names))
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_the_dashboard_shows_nearly_every_metric() -> None:
    shown = {name for expression in EXPRESSIONS for name, _ in _METRIC.findall(expression)}
    families = {family.name for name in shown if (family := find_family(name)) is not None}
    assert set(FAMILIES) - families == {
        "pipewren_build_info",
        "pipewren_engine_merges_total",
        "pipewren_engine_ready",
        "pipewren_engine_table_rows",
        "pipewren_spool_max_bytes",
        "pipewren_workspaces",
        "process_virtual_memory_bytes",
    }
