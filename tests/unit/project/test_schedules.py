"""Cron expressions of five fields."""

from __future__ import annotations

import pytest

from pipewren.project.schedules import describe_bad_schedule


@pytest.mark.parametrize(
    "text",
    [
        "@on-demand",
        "* * * * *",
        "*/5 0-6,12 1,15 JAN-mar MON",
        "0 0 29 2 *",
        "0 0 31 1,2 *",
        "59 23 31 12 7",
        "0 0 ? * SUN-SAT",
        "0 0 L * *",
        "0 0 * * 5#2",
        "0 0 * * FRI-0",
        "5/15 * * * *",
        "0 0 31 2 MON",
    ],
)
def test_what_cron_knows_is_accepted(text: str) -> None:
    assert describe_bad_schedule(text) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "`` has 0"),
        ("* * * *", "`* * * *` has 4"),
        ("0 * * * * *", "has 6"),
        ("@hourly", "has 1"),
        ("60 * * * *", "`60` is not allowed in the field minute: it takes 0 to 59"),
        ("* 24 * * *", "field hour: it takes 0 to 23"),
        ("* * 0 * *", "field day of month: it takes 1 to 31"),
        ("* * * 13 *", "field month: it takes 1 to 12"),
        ("* * * * 8", "field day of week: it takes 0 to 7"),
        ("* * * FOO *", "`FOO` is not allowed in the field month"),
        ("10-5 * * * *", "`10-5` in the field minute runs backwards"),
        ("*/0 * * * *", "`*/0` in the field minute has a bad step"),
        ("*/x * * * *", "has a bad step"),
        ("1,,2 * * * *", "`` is not allowed in the field minute"),
        ("٣ * * * *", "is not allowed in the field minute"),
        ("0 0 30 2 *", "day 30 never comes in the months of `0 0 30 2 *`"),
        ("0 0 31 4,6 *", "day 31 never comes"),
    ],
)
def test_what_is_wrong_is_said(text: str, problem: str) -> None:
    assert problem in (describe_bad_schedule(text) or "")
