"""What `tb` shows and changes of a workspace: endpoints, rows, tokens, secrets, jobs."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipewren.testing.serving import write_files
from pipewren.testing.tb_command import Tb

if TYPE_CHECKING:
    from tests.e2e.clients.conftest import Account

HITS = {
    "datasources/hits.datasource": """
SCHEMA >
    `page` String `json:$.page`,
    `seconds` UInt32 `json:$.seconds`
ENGINE_SORTING_KEY "page"
""",
    "endpoints/pages.pipe": """
TOKEN pages_reader READ
NODE endpoint
SQL >
    %
    SELECT page, sum(seconds) AS seconds FROM hits
    WHERE page != {{String(but, 'none')}}
    GROUP BY page ORDER BY page
TYPE endpoint
""",
    "endpoints/greeting.pipe": """
NODE endpoint
SQL >
    %
    SELECT 'well met' AS answer WHERE {{tb_secret('greeting')}} = 'hello'
TYPE endpoint
""",
}


@pytest.fixture
def tb(account: Account, open_tb: Callable[..., Tb], tmp_path: Path) -> Tb:
    folder = write_files(tmp_path / "project", HITS)
    tb = open_tb(account.server, folder, token=account.token, user_token=account.user_token)
    assert "✓ Secret 'greeting' set" in tb("secret", "set", "greeting", "hello")
    tb("deploy")
    return tb


def test_endpoints_are_listed_called_and_their_urls_work(tb: Tb) -> None:
    assert "pages" in tb("endpoint", "ls")
    url = tb("endpoint", "url", "pages").split()[-1]
    with urllib.request.urlopen(url) as answer:
        assert json.loads(answer.read())["data"] == []
    token = tb("endpoint", "token", "pages").split()[-1]
    assert token.startswith("p.")
    assert f"token={token}" in url
    assert "well met" in tb("endpoint", "data", "greeting")
    listed = tb("pipe", "ls")
    assert "greeting" in listed
    assert "endpoint" in listed


@pytest.mark.slow
def test_rows_are_appended_replaced_and_truncated(tb: Tb, tmp_path: Path) -> None:
    def pages(*arguments: str) -> list[str]:
        shown = tb("endpoint", "data", "pages", *arguments, "--format", "csv")
        return [line for line in shown.splitlines()[1:] if line]

    rows = tmp_path / "rows.ndjson"
    rows.write_text('{"page": "/a", "seconds": 3}\n{"page": "/b", "seconds": 4}\n')
    assert "✓ Rows appended!" in tb("datasource", "append", "hits", str(rows))
    assert pages() == ['"/a",3', '"/b",4']
    event = '{"page": "/c", "seconds": 1}'
    assert "✓ 1 row appended!" in tb("datasource", "append", "hits", "--events", event)
    assert pages("--but", "/a") == ['"/b",4', '"/c",1']
    comma = tmp_path / "rows.csv"
    comma.write_text("page,seconds\n/d,9\n")
    tb("datasource", "replace", "hits", str(comma))
    assert pages() == ['"/d",9']
    assert "import" in tb("job", "ls")
    tb("datasource", "truncate", "hits", "--yes")
    assert pages() == []
    assert "hits" in tb("datasource", "ls")


def test_tokens_are_made_read_refreshed_and_removed(tb: Tb, account: Account) -> None:
    made = tb("token", "create", "static", "own", "--scope", "PIPES:READ", "--resource", "pages")
    assert "generated successfully" in made
    assert "PIPES:READ" in tb("token", "scopes", "own")
    before = _value_of(tb("token", "ls"), "own")
    assert account.server.request("/v0/pipes/pages.json", token=before).status == 200
    tb("token", "refresh", "own", "--yes")
    after = _value_of(tb("token", "ls"), "own")
    assert after != before
    assert account.server.request("/v0/pipes/pages.json", token=before).status == 403
    tb("token", "rm", "own", "--yes")
    assert account.server.request("/v0/pipes/pages.json", token=after).status == 403
    assert "pages_reader" in tb("token", "ls")


def test_a_jwt_opens_what_it_names_only(tb: Tb, account: Account) -> None:
    scope = ("--scope", "PIPES:READ", "--resource", "pages", "--fixed-params", "but=/a")
    made = tb("token", "create", "jwt", "visitor", "--ttl", "1h", *scope)
    jwt = re.search(r"eyJ[\w.\-]+", made)
    assert jwt is not None
    assert account.server.request("/v0/pipes/pages.json", token=jwt[0]).status == 200
    assert account.server.request("/v0/pipes/greeting.json", token=jwt[0]).status == 403


def test_secrets_are_listed_without_values_and_removed(tb: Tb) -> None:
    tb("secret", "set", "second", "unspoken")
    listed = tb("secret", "ls")
    assert "second" in listed
    assert "unspoken" not in listed
    assert "deleted" in tb("secret", "rm", "second")
    assert "second" not in tb("secret", "ls")


def test_a_materialised_view_is_listed_with_its_target(
    account: Account, open_tb: Callable[..., Tb], web_analytics: Path
) -> None:
    tb = open_tb(account.server, web_analytics, token=account.token)
    tb("deploy")
    listed = tb("materialization", "ls")
    assert "pages_by_day_mv" in listed
    assert re.search(r"\bpages_by_day\b", listed)
    assert tb("copy", "ls").count("page") == 0
    assert "Connections" in tb("connection", "ls")


def _value_of(listed: str, name: str) -> str:
    """The value that `tb token ls` shows below a name."""
    found = re.search(rf"name: {name}\s+token: (\S+)", listed)
    assert found is not None, listed
    return found[1]
