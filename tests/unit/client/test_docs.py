"""The page on the client is right: its events example runs, its tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import pipewren.client
from pipewren.client import ClientError

if TYPE_CHECKING:
    from tests.unit.client.conftest import FailingServer

PAGE = (Path(__file__).parents[3] / "docs" / "client.md").read_text()


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_example_for_events_runs(
    server: FailingServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers(200, {"successful_rows": 1, "quarantined_rows": 1})
    (block,) = re.findall(r"```python\n(.*?)```", section("Events"), re.DOTALL)
    exec(block, {"url": server.url, "token": "t"})
    assert capsys.readouterr().out == "1 stored, 1 in quarantine\n"


def test_every_error_is_on_the_page() -> None:
    public = {name: getattr(pipewren.client, name) for name in pipewren.client.__all__}
    errors = {
        name
        for name, value in public.items()
        if isinstance(value, type) and issubclass(value, ClientError)
    }
    assert errors == {ClientError.__name__} | set(
        re.findall(r"`([A-Z]\w+)`", section("Errors").partition("| error |")[2])
    ) - {"ValueError"}
