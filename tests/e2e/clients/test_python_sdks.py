"""`tinybird-sdk`, `verdin` and `tinybird-python-sdk`, each by a script of a user."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipewren.testing.clients import install_python_sdks
from pipewren.testing.serving import write_files
from pipewren.testing.tb_command import tb_environ

if TYPE_CHECKING:
    from tests.e2e.clients.conftest import Account

PROJECT = {
    "tinybird.config.json": json.dumps({"include": ["lib/*.py"], "token": "${TINYBIRD_TOKEN}"}),
    "lib/__init__.py": "",
    "lib/project.py": '''
import os
from tinybird_sdk import Tinybird, define_datasource, define_endpoint, engine, node, p, t

visits = define_datasource(
    "visits",
    {
        "schema": {"page": t.string(), "hits": t.uint32()},
        "engine": engine.merge_tree({"sorting_key": ["page"]}),
    },
)
top_pages = define_endpoint(
    "top_pages",
    {
        "params": {"limit": p.int32().optional(10)},
        "nodes": [
            node(
                {
                    "name": "endpoint",
                    "sql": """
                        SELECT page, sum(hits) AS hits FROM visits
                        GROUP BY page ORDER BY page LIMIT {{Int32(limit, 10)}}
                    """,
                }
            )
        ],
        "output": {"page": t.string(), "hits": t.uint64()},
    },
)
tinybird = Tinybird(
    {
        "datasources": {"visits": visits},
        "pipes": {"top_pages": top_pages},
        "base_url": os.environ["TINYBIRD_URL"],
    }
)
''',
}
ROWS = b'{"page": "/a", "hits": 3}\n{"page": "/b", "hits": 5}\n'

ASK_TYPED_CLIENT = """
import json
from lib.project import tinybird
answer = tinybird.top_pages.query({"limit": 1})
print(json.dumps(answer["data"]))
"""
ASK_API = """
import datetime, json, os
from tinybird_sdk import create_client, create_tinybird_api
config = {"base_url": os.environ["TINYBIRD_URL"], "token": os.environ["TINYBIRD_TOKEN"]}
scopes = [
    {"type": "PIPES:READ", "resource": "top_pages", "fixed_params": {"limit": 1}},
]
expires = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
made = create_client(config).tokens.create_jwt(
    {"name": "visitor", "expires_at": expires, "scopes": scopes}
)
visitor = create_tinybird_api({**config, "token": made["token"]})
rows = visitor.query("top_pages", {"limit": 10})["data"]
create_tinybird_api(config).truncate_datasource("visits")
left = create_tinybird_api(config).query("top_pages", {})["data"]
print(json.dumps([rows, left]))
"""
ASK_VERDIN = """
import json, os
from verdin import tinybird
client = tinybird.Client(os.environ["TINYBIRD_TOKEN"], os.environ["TINYBIRD_URL"])
answer = client.pipe("top_pages").query({"limit": "1"})
names = sorted(token["name"] for token in client.api.tokens.list().tokens)
pipes = [pipe["name"] for pipe in client.api.pipes.list().pipes]
client.api.variables.create("spoken", "softly")
variables = [one["name"] for one in client.api.variables.list().variables]
print(json.dumps([answer.data, names, pipes, variables]))
"""
ASK_ASYNC = """
import asyncio, json, os
from tb.a.api import AsyncAPI
from tb.api import API
async def main():
    async with AsyncAPI(os.environ["TINYBIRD_TOKEN"], os.environ["TINYBIRD_URL"]) as api:
        return await (await api.get("/pipes/top_pages.json", params={"limit": 1})).json()
api = API(os.environ["TINYBIRD_TOKEN"], os.environ["TINYBIRD_URL"])
blocking = api.get("/pipes/top_pages.json", params={"limit": 2}).json()
print(json.dumps([asyncio.run(main())["data"], blocking["data"]]))
"""
# No FORMAT is written, and JSON is read.
ASK_SQL = """
import json, os
from tinybird_sdk import create_tinybird_api
api = create_tinybird_api(
    {"base_url": os.environ["TINYBIRD_URL"], "token": os.environ["TINYBIRD_TOKEN"]}
)
rows = api.sql("SELECT page, hits FROM visits ORDER BY page")["data"]
of_pipe = api.sql("SELECT sum(hits) AS hits FROM top_pages;")
try:
    api.sql("SELECT * FROM nowhere")
except Exception as error:
    refused = [error.status_code, str(error)]
print(json.dumps([rows, of_pipe["data"], of_pipe["meta"], refused]))
"""
ASK_VERDIN_SQL = """
import io, json, os
from verdin import tinybird
from verdin.query import OutputFormat
client = tinybird.Client(os.environ["TINYBIRD_TOKEN"], os.environ["TINYBIRD_URL"])
of_json = client.sql("SELECT page FROM visits ORDER BY page").json()
csv = client.sql("SELECT page FROM visits ORDER BY page", format=OutputFormat.CSV).get().text
query = client.api.query.query
over = query("SELECT sum(hits) AS hits FROM _", pipeline="top_pages")
one = query("SELECT * FROM top_pages", parameters={"limit": "1"}, format="JSONEachRow")
template = query("% SELECT {{Int32(n)}} AS n", parameters={"n": "7"}, format="CSVWithNames")
counted = "SELECT count() AS n FROM visits WHERE page != '{}'"
long = query(counted.format("x" * (8192 - len(counted + " FORMAT JSON"))))  # sent as a form
tsv = query("SELECT page, hits FROM visits ORDER BY page", format="TSVWithNames")
parquet = query("SELECT page FROM visits", format="Parquet")
pretty = query("SELECT 1 AS n", format="PrettyCompact")
pipe = client.pipe("top_pages")
count = pipe.sql("SELECT count() AS n FROM _")
pages = [page.data for page in pipe.pages(page_size=1)]
print(json.dumps([
    of_json.data, csv, over.data, one.data, template.data, long.data, tsv.data,
    parquet.content[:4].decode(), pretty.text, count.data, pages,
]))
"""
ASK_ASYNC_SQL = """
import asyncio, json, os
from tb.a.api import AsyncAPI
from tb.api import API
async def main():
    async with AsyncAPI(os.environ["TINYBIRD_TOKEN"], os.environ["TINYBIRD_URL"]) as api:
        params = {"q": "SELECT max(hits) AS most FROM visits FORMAT JSON"}
        return await (await api.get("/sql", params=params)).json()
api = API(os.environ["TINYBIRD_TOKEN"], os.environ["TINYBIRD_URL"])
posted = api.post("/sql", data={"q": "SELECT min(hits) AS least FROM visits FORMAT JSON"}).json()
bare = api.post("/sql", data="SELECT page, hits FROM visits ORDER BY page").text
print(json.dumps([asyncio.run(main())["data"], posted["data"], bare]))
"""


def _sdk(account: Account, folder: Path, *arguments: str) -> str:
    python = install_python_sdks()
    (folder / "home").mkdir(exist_ok=True)
    environ = {
        **tb_environ(account.server, folder / "home", token=account.token),
        "PATH": f"{python.parent}:/usr/bin:/bin",
    }
    return account.run(folder, python, *arguments, **environ)


def _ask(account: Account, folder: Path, script: str) -> Any:
    return json.loads(_sdk(account, folder, "-c", script).splitlines()[-1])


@pytest.mark.slow
def test_a_project_written_in_python_is_deployed_and_asked(
    account: Account, tmp_path: Path
) -> None:
    folder = write_files(tmp_path / "project", PROJECT)
    deploy = ("-m", "tinybird_sdk.cli.index", "deploy")
    _sdk(account, folder, *deploy, "--check")
    assert account.server.request("/v0/pipes/top_pages.json", token=account.token).status == 404
    _sdk(account, folder, *deploy)
    _append(account)
    assert _ask(account, folder, ASK_TYPED_CLIENT) == [{"page": "/a", "hits": 3}]
    rows, left = _ask(account, folder, ASK_API)
    assert rows == [{"page": "/a", "hits": 3}]
    assert left == []
    _append(account)
    data, names, pipes, variables = _ask(account, folder, ASK_VERDIN)
    assert data == [{"page": "/a", "hits": 3}]
    assert "workspace admin token" in names
    assert pipes == ["top_pages"]
    assert variables == ["spoken"]
    _ask_sql(account, folder)
    one, two = _ask(account, folder, ASK_ASYNC)
    assert one == [{"page": "/a", "hits": 3}]
    assert two == [{"page": "/a", "hits": 3}, {"page": "/b", "hits": 5}]


def _ask_sql(account: Account, folder: Path) -> None:
    """Statements over `/a` with 3 hits and `/b` with 5."""
    rows = [{"page": "/a", "hits": 3}, {"page": "/b", "hits": 5}]
    own, of_pipe, meta, refused = _ask(account, folder, ASK_SQL)
    assert own == rows
    assert of_pipe == [{"hits": 8}]
    assert meta == [{"name": "hits", "type": "UInt64"}]
    assert refused[0] == 403
    assert "Resource 'nowhere' not found" in refused[1]
    answers = _ask(account, folder, ASK_VERDIN_SQL)
    of_json, csv, over, one, template, long, tsv, parquet, pretty, count, pages = answers
    assert of_json == [{"page": "/a"}, {"page": "/b"}]
    assert csv == '"/a"\n"/b"\n'
    assert over == [{"hits": 8}]
    assert one == [rows[0]]
    assert template == [{"n": "7"}]
    assert long == [{"n": 2}]
    assert tsv == [{"page": "/a", "hits": "3"}, {"page": "/b", "hits": "5"}]
    assert parquet == "PAR1"
    assert "1. │ 1 │" in pretty
    assert count == [{"n": 2}]
    assert pages == [[rows[0]], [rows[1]]]
    most, least, bare = _ask(account, folder, ASK_ASYNC_SQL)
    assert most == [{"most": 5}]
    assert least == [{"least": 3}]
    assert bare == "/a\t3\n/b\t5\n"


def _append(account: Account) -> None:
    """By the route that `tb` uses; the SDKs' own are those of later pieces."""
    taken = account.server.request(
        "/v1/datasources/visits/append",
        {"format": "ndjson"},
        method="POST",
        token=account.token,
        headers={"Content-Type": "application/x-ndjson"},
        body=ROWS,
    )
    assert taken.status == 200, taken.body
    job = f"/v0/jobs/{taken.json()['id']}"
    while account.server.request(job, token=account.token).json()["status"] in (
        "waiting",
        "working",
    ):
        pass
