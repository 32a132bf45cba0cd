"""The row readers of what is live: how rows of events become rows of tables."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field

import msgspec

from pipewren.deploy.deployment import Deployment
from pipewren.engine.contract import Engine, Statement
from pipewren.ingest.row_reader import RowReader, make_row_reader
from pipewren.project.model import Datasource
from pipewren.sqltext import Sql, quote_identifier


@dataclass(slots=True)
class RowReaders:
    """The row readers of the deployments that are live or staged, by data source: made when they
    are first needed."""

    _known: dict[tuple[str, bool], tuple[weakref.ref[Deployment], dict[str, RowReader]]] = field(
        default_factory=dict
    )

    async def find(
        self, deployment: Deployment, datasource: Datasource, engine: Engine, *, is_staged: bool
    ) -> RowReader:
        """Raises EngineError, Unavailable."""
        place = deployment.workspace.id, is_staged
        known = self._known.get(place)
        if known is None or known[0]() is not deployment:
            known = self._known[place] = weakref.ref(deployment), {}
        reader = known[1].get(datasource.name)
        if reader is None:
            types = None
            if not all(column.type for column in datasource.columns):
                types = await _describe(deployment, datasource, engine)
            reader = known[1][datasource.name] = make_row_reader(datasource, types)
        return reader


async def _describe(
    deployment: Deployment, datasource: Datasource, engine: Engine
) -> dict[str, str]:
    """Types by column: where a schema has only a DEFAULT, ClickHouse takes the type from it."""
    sql = Sql(f"DESCRIBE TABLE {quote_identifier(datasource.name)}")
    described = await engine.run(Statement(sql, deployment.database, "JSONCompactEachRow"))
    rows = msgspec.json.Decoder(list[str]).decode_lines(described.body)
    return {row[0]: row[1] for row in rows}
