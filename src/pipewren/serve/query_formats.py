"""Which format a statement of the Query API is answered in (query-api.md section 2)."""

from __future__ import annotations

from pipewren.errors import Forbidden
from pipewren.serve.formats import NAMED, Format

# Values of `from` whose senders write no FORMAT and read JSON (pipes-api.md section 7).
_SDKS = frozenset({"python-sdk", "ts-sdk"})
_SHOWN_CHARACTERS = 100


def find_query_format(name: str | None, *, from_: str | None) -> Format:
    """The format of a statement's FORMAT clause, by its exact name. `name` is None without the
    clause: TSV then, or JSON where `from_`, the parameter `from`, names one of the official SDKs.

    Raises Forbidden naming the formats there are: 403 and not 400, as the reference answers.
    """
    if name is None:
        name = "JSON" if from_ in _SDKS else "TSV"
    format = NAMED.get(name)
    if format is None:
        raise Forbidden(
            f"invalid format {name[:_SHOWN_CHARACTERS]}, available ones: {', '.join(NAMED)}"
        )
    return format
