"""Routes that work on a statement's text and run nothing: `/v0/sql_format`, `/v0/sql_tables` and
`/v0/sql_replace` (query-api.md section 5).

They say nothing of the workspace, not even whether a table exists, so any static token will do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from pipewren.engine.contract import Statement
from pipewren.errors import BadRequest, EngineError
from pipewren.serve.answers import Answer, json_answer
from pipewren.serve.callers import identify
from pipewren.serve.route_request import RouteRequest, refuse_jwt
from pipewren.serve.server import Server
from pipewren.sql.caller_errors import (
    POST_SQL,
    refuse_hindrance,
    refuse_kind,
    refused,
    syntax_error,
)
from pipewren.sql.function_list import load_functions
from pipewren.sql.lifting import Tree
from pipewren.sql.parser import parse_to_read, write_same
from pipewren.sql.query_tree import Reading, TableUse, read_tree
from pipewren.sqltext import Sql

MAX_REPLACEMENTS = 1000
_FORMAT = Sql("SELECT formatQuery({q:String})")
_DESCRIBE = re.compile(r"\s*DESC(?:RIBE)?\s+(?:TABLE\s+)?", re.IGNORECASE)
_NAME = re.compile(r"\w+(?:\.\w+)?", re.ASCII)


async def format_query(request: RouteRequest, server: Server) -> Answer:
    """`GET /v0/sql_format?q=`: the statement as ClickHouse writes it, without comments.
    `with_clickhouse_format` changes nothing: there is no other form. A template (`%` first) is no
    SQL before it has values, and comes back as it was sent.

    Raises Forbidden, TooManyRequests, and BadRequest for what cannot be parsed.
    """
    workspace_id = _identify(request, server)
    query = _read_query(request, server)
    if query.lstrip().startswith("%"):
        return json_answer(200, {"q": query})
    statement = Statement(_FORMAT, "", format="RawBLOB", parameters=(("q", query),))
    with server.admission.slot(workspace_id):
        try:
            result = await server.engine.run(statement)
        except EngineError as error:
            raise syntax_error(error) from None
    return json_answer(200, {"q": result.body.decode(errors="replace")})


async def list_tables(request: RouteRequest, server: Server) -> Answer:
    """`POST /v0/sql_tables` with `q`: `[database, name]` of every table that the statement names,
    database "" where it names none; sorted, each once, no CTEs and no table functions.

    Without `raising` a text that cannot be read is answered as if it were a table's name, which is
    what clients expect. `is_copy` changes nothing. Raises Forbidden, TooManyRequests, and
    BadRequest for a text that cannot be read with `raising`.
    """
    workspace_id = _identify(request, server)
    query = _read_query(request, server)
    with server.admission.slot(workspace_id):
        try:
            reading = await _read_statement(query, server)
        except BadRequest:
            if request.flag("raising"):
                raise
            return json_answer(200, {"tables": [["", query]]})
    if request.flag("raising"):
        _require_readable(reading)
    tables = sorted({(use.database, use.name) for use in reading.uses})
    return json_answer(200, {"tables": tables})


async def replace_tables(request: RouteRequest, server: Server) -> Answer:
    """`POST /v0/sql_replace` with `q` and `replacements`, a JSON object from names of tables to the
    names that take their place, each `name` or `database.name`: the statement as ClickHouse writes
    it. Columns keep their table's old name, as its alias.

    Raises Forbidden, TooManyRequests, and BadRequest for what cannot be read, or written again.
    """
    workspace_id = _identify(request, server)
    query = _read_query(request, server)
    replacements = _read_replacements(request)
    with server.admission.slot(workspace_id):
        try:
            tree = await server.engine.parse(query)
        except EngineError as error:
            raise syntax_error(error) from None
        tail = _take_tail(tree)
        reading = _read_select(tree, server)
        _require_readable(reading)
        for use in reading.uses:
            new = replacements.get(f"{use.database}.{use.name}" if use.database else use.name)
            if new is not None:
                _replace(use, new, reading)
        tree |= tail
        return json_answer(200, {"query": await _write(tree, server)})


async def _write(tree: Tree, server: Server) -> str:
    """Raises BadRequest where the text would not be of the same statement."""
    try:
        text = await write_same(server.engine, tree)
    except EngineError:
        text = None
    if text is None:
        raise refused("The statement is changed by being written out: write it more plainly")
    return text


def _identify(request: RouteRequest, server: Server) -> str:
    """The id of the caller's workspace."""
    caller = identify(request.token, server, request.scope)
    refuse_jwt(caller)
    return caller.workspace_id


def _read_query(request: RouteRequest, server: Server) -> str:
    query = request.sent("q")
    if not query:
        raise BadRequest("The request body should contain a query", documentation=POST_SQL)
    most = server.settings.max_sql_bytes
    if len(query.encode("utf-8", "surrogatepass")) > most:
        raise BadRequest(
            f"The statement is larger than {most:,} bytes (max_sql_bytes): send a shorter one",
            documentation=POST_SQL,
        )
    if query.isspace():
        raise refused("Empty query")
    return query


def _read_replacements(request: RouteRequest) -> Mapping[str, str]:
    sent: Any = request.body.get("replacements", request.query.get("replacements"))
    if isinstance(sent, list) and sent:
        sent = sent[-1]
    try:
        read: Any = msgspec.json.decode(sent) if isinstance(sent, str) else sent
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        read = None
    if not isinstance(read, dict) or len(read) > MAX_REPLACEMENTS:
        raise BadRequest(
            "The parameter replacements must be a JSON object of at most "
            f"{MAX_REPLACEMENTS} names of tables"
        )
    for name, new in read.items():
        if not isinstance(new, str) or _NAME.fullmatch(new) is None:
            raise BadRequest(
                f"The replacement for '{name[:100]}' must be a table's name, as name or "
                "database.name"
            )
    return read


async def _read_statement(query: str, server: Server) -> Reading:
    """Raises BadRequest."""
    described = _DESCRIBE.match(query)
    if described is not None:  # the parser gives no tree of it
        query = "SELECT * FROM " + query[described.end() :]
    try:
        tree = await parse_to_read(server.engine, query)
    except EngineError as error:
        raise syntax_error(error) from None
    _take_tail(tree)
    return _read_select(tree, server)


def _take_tail(tree: Tree) -> Tree:
    """Take FORMAT and the SETTINGS behind it off; they name no table."""
    return {key: tree.pop(key) for key in ("format_ast", "settings_ast") if key in tree}


def _read_select(tree: Tree, server: Server) -> Reading:
    kind = tree.get("type")
    if kind != "SelectWithUnionQuery":
        raise refuse_kind(str(kind))
    functions = load_functions(server.engine.capabilities.version)
    return read_tree(tree, functions, takes_databases=True)


def _require_readable(reading: Reading) -> None:
    """Raises BadRequest where a part was not understood, in which a table may be named."""
    for hindrance in reading.hindrances:
        raise refuse_hindrance(hindrance)


def _replace(use: TableUse, new: str, reading: Reading) -> None:
    old = f"{use.database}.{use.name}" if use.database else use.name
    if new == old:
        return
    if new in reading.declared:
        raise refused(f"The statement gives the name '{new}' to something of its own")
    named: Tree = {"name": new}
    if "." in new:
        named["name_parts"] = new.split(".")
    if use.select is None:  # right of IN
        was = use.place[1]
        use.place[1] = {"type": "Identifier", **named}
    else:
        was = use.place["database_and_table_name"]
        use.place["database_and_table_name"] = {"type": "TableIdentifier", **named}
        use.place["database_and_table_name"]["alias"] = was.get("alias", use.name)
        return
    if "alias" in was:
        use.place[1]["alias"] = was["alias"]
