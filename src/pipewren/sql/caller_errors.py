"""What is said of a caller's statement that does not run (query-api.md section 4).

What is found before the engine runs anything begins with `DB::Exception: `, as clients know it.
"""

from __future__ import annotations

import re

from pipewren.engine.error_codes import DATABASE_ACCESS_DENIED
from pipewren.errors import DOCS, BadRequest, EngineError, Forbidden, PipewrenError
from pipewren.sql.query_tree import Hindrance, Part

QUERY_API = f"{DOCS}/api-reference/query-api.html"
POST_SQL = f"{QUERY_API}#post--v0-sql"
PARAMETERS = f"{DOCS}/query/query-parameters.html"

_NO_TREE = "parseQueryToJSON"  # it names itself where it has no tree for a kind
_NAME_BEHIND = re.compile(r" \([A-Z_]+\)$")


def refused(reason: str) -> BadRequest:
    """A statement that is not accepted. `reason` is a sentence without its end."""
    return BadRequest(f"DB::Exception: {reason}", documentation=PARAMETERS)


def refuse_restricted(what: str) -> BadRequest:
    """`what` is as `function file`."""
    return refused(
        f"Usage of {what} is restricted. It is not among those that statements sent to this "
        "server may use (docs/query_api.md)"
    )


def refuse_kind(kind: str) -> BadRequest:
    """`kind` is the parser's name of what it is, as `InsertQuery`."""
    return refused(f"Only SELECT or DESCRIBE queries are supported. Got: {kind[:60]}")


def refuse_hindrance(hindrance: Hindrance) -> BadRequest:
    """What no list knows, or what is on one."""
    name = hindrance.name[:60]
    match hindrance.part:
        case Part.UNKNOWN_FUNCTION if hindrance.name == "tb_secret":
            return refused("Unknown function tb_secret. Usage: {{tb_secret('secret_name')}}")
        case Part.UNKNOWN_FUNCTION:
            return refused(f"Unknown function {name}. See docs/query_api.md for those there are")
        case Part.FUNCTION:
            return refuse_restricted(f"function {name}")
        case Part.TABLE_FUNCTION:
            return refuse_restricted(f"table function {name}")
        case Part.SETTINGS:
            return refuse_restricted(f"setting '{name}'")
    return refused(f"The statement is not accepted: {hindrance.reason}")


def syntax_error(error: EngineError, first_word: str = "") -> PipewrenError:
    """The parser's error. `first_word` is the statement's: some kinds have no tree."""
    message = error.message.removeprefix("[Error] ")
    if _NO_TREE in message:
        return refuse_kind(f"{first_word.capitalize()}Query")
    return refused(_NAME_BEHIND.sub("", message).removesuffix("."))


def query_error(error: EngineError) -> PipewrenError:
    """The engine's error while a caller's statement runs."""
    if error.engine_code == DATABASE_ACCESS_DENIED:
        # Statements run where no bare name is a table's (row_filters.NO_DATABASE).
        return Forbidden(
            "Resource not found: a name right of IN is neither a column or an alias, nor a table "
            "that the token may read",
            documentation=QUERY_API,
        )
    error.documentation = POST_SQL
    return error
