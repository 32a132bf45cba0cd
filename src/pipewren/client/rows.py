"""An endpoint's JSON answer as a record (endpoints.md section 3)."""

from __future__ import annotations

from typing import Any

import msgspec

from pipewren.client.exchange import Target, fetch, unreadable
from pipewren.client.parameters import Parameters
from pipewren.client.requests import endpoint_request
from pipewren.client.retries import with_retries
from pipewren.client.steps import Steps


class Column(msgspec.Struct, frozen=True):
    """`type` is the engine's own text, such as `Nullable(DateTime64(6))`."""

    name: str
    type: str


class Statistics(msgspec.Struct, frozen=True):
    """What the query cost: seconds in the engine, and what it read."""

    elapsed_s: float = msgspec.field(name="elapsed")
    rows_read: int
    bytes_read: int


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """An answer: `data` has one dict per row, in order, by column name.

    Integers are exact, whatever their size. Dates, times and UUIDs are text as ClickHouse prints
    them; Decimals have become floats (`query_arrow` keeps them). `rows` is the length of `data`;
    `rows_before_limit_at_least` is there for a query with a LIMIT, `totals` for WITH TOTALS, both
    only where the server had the whole result before it answered.
    """

    data: tuple[dict[str, Any], ...]
    meta: tuple[Column, ...]
    rows: int
    statistics: Statistics
    rows_before_limit_at_least: int | None = None
    totals: dict[str, Any] | None = None


def query_rows(target: Target, pipe: str, parameters: Parameters) -> Steps[Rows]:
    """Raises UnreadableAnswer for a body that is not an endpoint's JSON."""
    request = endpoint_request(target.base_url, pipe, "json", parameters)
    answer = yield from with_retries(
        lambda: fetch(target, request), target.policy, target.clock, label=request.label
    )
    try:
        return msgspec.json.decode(answer.body, type=Rows)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        why = f"it is not an endpoint's JSON: {error}"
    raise unreadable(target, request, answer.head, why)
