"""What a new branch gets of its main workspace: the live files, and of each table the newest
partition."""

from __future__ import annotations

from pipewren.engine.contract import Engine, Statement
from pipewren.errors import NotFound, PipewrenError
from pipewren.serve.account import USER_EMAIL
from pipewren.serve.deploying import DeployOrder, deploy_files
from pipewren.serve.server import Server
from pipewren.sqltext import Sql, quote_identifier, quote_literal
from pipewren.storage.deployments import read_files
from pipewren.storage.secrets import create_secret
from pipewren.storage.workspaces import Workspace


async def fill_branch(server: Server, main_id: str, branch: Workspace, *, with_rows: bool) -> None:
    """Give the branch main's secrets, deploy main's live files into it, then copy rows. Raises
    NotFound where main was deleted meanwhile, Conflict, EngineError, and PipewrenError with the
    mistakes of files that cannot be deployed there."""
    main = server.deployments.get(main_id)
    if main is None:
        raise NotFound("The workspace that the branch is of was deleted")
    with server.store.begin() as connection:
        files = read_files(connection, main.stored.id)
    _copy_secrets(server, main_id, branch)
    if not files:
        return
    if branch.id not in server.deployments:
        raise NotFound(f"The branch {branch.name} was deleted")
    sent = {path: text.encode() for path, text in files.items()}
    outcome = await deploy_files(server, branch.id, sent, DeployOrder())
    if outcome.errors:
        raise PipewrenError("; ".join(str(note.get("error", "")) for note in outcome.errors))
    target = server.deployments.get(branch.id)
    if target is None or not with_rows:
        return
    for name, source in main.tables.items():
        copy = target.tables.get(name)
        if copy is not None:
            await copy_last_partition(
                server.engine,
                (main.workspace.database, source.table),
                (branch.database, copy.table),
            )


def _copy_secrets(server: Server, main_id: str, branch: Workspace) -> None:
    """Without them, files that name them could not be deployed. Nobody reads a value back."""
    values = server.secrets.get(main_id)
    if not values or branch.id not in server.deployments:
        return
    with server.store.begin() as connection:
        for name, value in values.items():
            create_secret(
                connection, branch.id, name, value, key=server.secrets_key, edited_by=USER_EMAIL
            )
    server.secrets[branch.id] = dict(values)


async def copy_last_partition(
    engine: Engine, source: tuple[str, str], target: tuple[str, str]
) -> None:
    """Copy the newest partition of a table to another one of the same definition; both are
    (database, table). Parts are linked, not read, so that no materialised view takes the rows a
    second time: what is in the view's own table is copied with that. Raises EngineError."""
    partition = await _last_partition(engine, *source)
    if partition is None:
        return
    to, origin = (".".join(map(quote_identifier, pair)) for pair in (target, source))
    await engine.execute(
        Sql(f"ALTER TABLE {to} ATTACH PARTITION ID {quote_literal(partition)} FROM {origin}")
    )


async def _last_partition(engine: Engine, database: str, table: str) -> str | None:
    """The id of the newest one: by the times in it where its key has any, else by the id itself."""
    sql = Sql(
        "SELECT partition_id FROM system.parts WHERE active AND "
        f"database = {quote_literal(database)} AND table = {quote_literal(table)} "
        "GROUP BY partition_id "
        "ORDER BY max(max_time) DESC, max(max_date) DESC, partition_id DESC LIMIT 1"
    )
    result = await engine.run(Statement(sql, "system", format="TSVRaw"))
    return result.body.decode().rstrip("\n") or None
