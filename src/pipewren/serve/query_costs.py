"""What the queries of usage records cost, where the engine keeps a query log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipewren.engine.contract import Engine, QueryCost, QuerySpan

NOTHING = QueryCost(0.0, 0)


class QueryCosts:
    """Without an engine nothing is known. The costs are those of the sources that were looked up
    last, which the recorder makes rows of before it looks up others."""

    def __init__(self, engine: Engine | None = None) -> None:
        self.engine = engine
        self._costs: Mapping[QuerySpan, QueryCost] = {}

    async def look_up(self, sources: Sequence[Any]) -> None:
        """Raises PipewrenError; the costs are not known then."""
        self._costs = {}
        spans = [span for source in sources for span in _spans(source)]
        if self.engine is not None and spans:
            self._costs = await self.engine.query_costs(spans)

    def of(self, span: QuerySpan | None) -> QueryCost | None:
        return None if span is None else self._costs.get(span)

    def of_all(self, spans: Sequence[QuerySpan]) -> QueryCost:
        """The CPU time of all of them and the most memory that one took; nothing where one is not
        known, since a part of the sum would tell what is wrong."""
        costs = [cost for span in spans if (cost := self._costs.get(span)) is not None]
        if not costs or len(costs) < len(spans):
            return NOTHING
        cpu_s = sum(cost.cpu_s for cost in costs)
        return QueryCost(cpu_s, max(cost.memory_bytes for cost in costs))


def _spans(source: Any) -> Sequence[QuerySpan]:
    """Of a request, and of an operation on a data source; other records have none."""
    inserts: Sequence[QuerySpan] = getattr(source, "inserts", ())
    span: QuerySpan | None = getattr(source, "span", None)
    return inserts if span is None else (span,)
