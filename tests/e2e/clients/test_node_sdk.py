"""`@tinybirdco/sdk`: a project written in TypeScript, deployed and asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipewren.testing.clients import install_node_sdk
from pipewren.testing.serving import write_files

if TYPE_CHECKING:
    from tests.e2e.clients.conftest import Account

PROJECT = {
    "package.json": json.dumps({"name": "project", "private": True, "type": "module"}),
    "tinybird.config.json": json.dumps(
        {
            "include": ["project.ts"],
            "token": "${TINYBIRD_TOKEN}",
            "baseUrl": "${TINYBIRD_URL}",
            "devMode": "branch",
        }
    ),
    "project.ts": """
import { defineDatasource, defineEndpoint, engine, node, p, t } from "@tinybirdco/sdk";
export const visits = defineDatasource("visits", {
  schema: { page: t.string(), hits: t.uint32() },
  engine: engine.mergeTree({ sortingKey: ["page"] }),
});
export const greeting = defineEndpoint("greeting", {
  params: { name: p.string().optional("you") },
  nodes: [
    node({
      name: "endpoint",
      sql: "SELECT {{String(name, 'you')}} AS name, (SELECT count() FROM visits) AS visits",
    }),
  ],
  output: { name: t.string(), visits: t.uint64() },
});
""",
    "ask.mjs": """
import { createClient, createTinybirdApi } from "@tinybirdco/sdk";
const baseUrl = process.env.TINYBIRD_URL;
const client = createClient({ baseUrl, token: process.env.TINYBIRD_TOKEN });
const made = await client.tokens.createJWT({
  name: "visitor",
  expiresAt: new Date(Date.now() + 3600000),
  scopes: [{ type: "PIPES:READ", resource: "greeting", fixed_params: { name: "Ann" } }],
  limits: { rps: 10 },
});
const own = await createTinybirdApi({ baseUrl, token: process.env.TINYBIRD_TOKEN })
  .query("greeting", { name: "Bo" });
const visitor = await createTinybirdApi({ baseUrl, token: made.token })
  .query("greeting", { name: "Bo" });
const api = createTinybirdApi({ baseUrl, token: process.env.TINYBIRD_TOKEN });
const counted = await api.sql("SELECT name, visits + 1 AS next FROM greeting");
const refused = await api.sql("SELECT * FROM nowhere").catch((error) => error);
const told = [refused.statusCode, refused.message];
console.log(JSON.stringify([own.data, visitor.data, counted.data, told]));
""",
}


@pytest.mark.slow
@pytest.mark.needs("node")
@pytest.mark.needs("npm")
def test_a_project_written_in_typescript_is_deployed_and_asked(
    account: Account, tmp_path: Path
) -> None:
    folder = write_files(tmp_path / "project", PROJECT)
    modules = install_node_sdk() / "node_modules"
    (folder / "node_modules").symlink_to(modules)
    tinybird = modules / ".bin" / "tinybird"
    account.run(folder, "node", tinybird, "deploy", "--check")
    assert account.server.request("/v0/pipes/greeting.json", token=account.token).status == 404
    account.run(folder, "node", tinybird, "deploy")
    account.run(folder, "node", tinybird, "pull", "--output-dir", "pulled")
    assert "SCHEMA >" in (folder / "pulled" / "visits.datasource").read_text()
    answers = json.loads(account.run(folder, "node", "ask.mjs").splitlines()[-1])
    own, visitor, counted, told = answers
    assert own == [{"name": "Bo", "visits": 0}]
    assert visitor == [{"name": "Ann", "visits": 0}]
    assert counted == [{"name": "you", "next": 1}]  # no FORMAT is written, and JSON is read
    assert told == [403, "Resource 'nowhere' not found"]
