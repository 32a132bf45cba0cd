"""`/docs` in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Request, expect, sync_playwright

from pipewren.testing.serving import RunningServer

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.slow]


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox"],  # chromium refuses its sandbox to root
        )
        yield browser.new_page()
        browser.close()


def test_a_person_gives_a_token_and_calls_an_endpoint(
    flights_server: RunningServer, page: Page
) -> None:
    requests: list[Request] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{flights_server.base_url}/docs/")
    page.get_by_label("Token").fill(flights_server.token)
    page.get_by_role("button", name="Show endpoints").click()
    expect(page.get_by_role("status")).to_have_text("The token reads 13 endpoints.")
    endpoint = page.locator("#operations-aircraft-aircraft")
    endpoint.locator(".opblock-summary").click()
    expect(endpoint.get_by_placeholder("tailnum")).to_have_value("N14228")
    endpoint.get_by_role("button", name="Execute").click()
    answer = endpoint.locator(".live-responses-table")
    expect(answer.locator("tbody .response-col_status").first).to_contain_text("200")
    expect(answer).to_contain_text('"tailnum": "N14228"')

    assert complaints == []  # nothing broke, and the policy refused nothing
    called = [one for one in requests if "/v0/" in one.url]
    assert len(called) == 2
    for request in called:
        assert request.headers["authorization"] == f"Bearer {flights_server.token}"
    for request in requests:
        assert request.url.startswith((flights_server.base_url, "data:"))
        assert flights_server.token not in request.url
    assert flights_server.token not in page.url


def test_a_wrong_token_is_said_to_be_wrong(flights_server: RunningServer, page: Page) -> None:
    page.goto(f"{flights_server.base_url}/docs")
    page.get_by_label("Token").fill("p.eyJ.wrong")
    page.get_by_label("Token").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("invalid authentication token")
    expect(page.locator(".opblock")).to_have_count(0)
