"""`/docs`: the page's files and the policy that they are served under."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.api.conftest import Api

FILES = ["docs.js", "docs.css", "swagger-ui-bundle.js", "swagger-ui.css"]


async def test_the_page_asks_for_no_token_and_is_made_of_files_of_this_server(api: Api) -> None:
    page = await api.call("/docs", token=None)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert sorted(links) == sorted(["data:,", *(f"docs/{name}" for name in FILES)])
    assert "style=" not in page.text
    assert not re.search(r"<script(?![^>]*src=)", page.text)


async def test_a_final_slash_leads_to_the_page(api: Api) -> None:
    answer = await api.call("/docs/", token=None)
    assert (answer.status_code, answer.headers["location"]) == (308, "../docs")


@pytest.mark.parametrize("path", ["/docs", *(f"/docs/{name}" for name in FILES)])
async def test_the_policy_lets_nothing_in_from_elsewhere(api: Api, path: str) -> None:
    answer = await api.call(path, token=None)
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    policy = answer.headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "connect-src 'self'" in policy
    assert not any("unsafe" in part or "http" in part or "*" in part for part in policy)


def test_what_is_not_ours_is_noted_with_version_and_license() -> None:
    folder = files("pipewren.serve").joinpath("docs_assets")
    notice = folder.joinpath("NOTICE").read_text()
    assert re.search(r"swagger-ui-dist \d+\.\d+\.\d+, .*Apache-2.0", notice)
    version = re.search(r"swagger-ui-dist (\S+),", notice)
    assert version is not None
    assert version[1] in folder.joinpath("swagger-ui-bundle.js").read_text()
    for line in ("LICENSE.swagger-ui.txt", "swagger-ui-bundle.js.LICENSE.txt"):
        assert line in notice
        assert folder.joinpath(line).is_file()
