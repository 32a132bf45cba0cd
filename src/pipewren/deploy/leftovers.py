"""What a kill left behind, put right when the server starts and nothing is written yet."""

from __future__ import annotations

from pipewren.deploy.databases import drop_database
from pipewren.deploy.inventory import list_databases
from pipewren.deploy.live import finish_deletion, show_views
from pipewren.deploy.prepare import undo
from pipewren.deploy.target import DeployTarget
from pipewren.storage import deployments as stored
from pipewren.storage.deployments import ENDED, State

_INTERRUPTED = ({"filename": "", "error": "The server was stopped while it was deployed."},)


async def drop_leftovers(target: DeployTarget) -> None:
    """Afterwards the live deployment and a staged one are whole, and nothing else is there but
    tables with rows."""
    with target.store.begin() as connection:
        known = stored.list_deployments(connection, target.workspace.id)
    keep = set()
    for record in known:
        if record.state is State.DELETING:
            await finish_deletion(target, record)
        elif record.state in ENDED:
            continue
        elif record.is_live or record.state is State.DATA_READY:
            keep.add(record.database)
        else:
            await undo(target, record, _INTERRUPTED)
    for database in await list_databases(target.engine, f"{target.workspace.database}_d"):
        if database not in keep:
            await drop_database(target.engine, target.store, database)
    live = stored.find_live(known)
    await show_views(target, live.views if live is not None else {})
