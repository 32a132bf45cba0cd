"""The row readers of what is live: how rows of events become rows of tables."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field

from pipewren.deploy.deployment import Deployment
from pipewren.ingest.row_reader import RowReader, make_row_reader
from pipewren.project.model import Datasource


@dataclass(slots=True)
class RowReaders:
    """The row readers of the deployments that are live or staged, by data source: made when they
    are first needed."""

    _known: dict[tuple[str, bool], tuple[weakref.ref[Deployment], dict[str, RowReader]]] = field(
        default_factory=dict
    )

    def find(self, deployment: Deployment, datasource: Datasource, *, is_staged: bool) -> RowReader:
        place = deployment.workspace.id, is_staged
        known = self._known.get(place)
        if known is None or known[0]() is not deployment:
            known = self._known[place] = weakref.ref(deployment), {}
        reader = known[1].get(datasource.name)
        if reader is None:
            reader = known[1][datasource.name] = make_row_reader(datasource)
        return reader
