"""The tables and aliases of a deployment, as statements: each data source's own, and beside it that
of its quarantine."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from pipewren.deploy.databases import EngineObject, create_object, new_uuid, remember_objects
from pipewren.deploy.inventory import list_tables
from pipewren.deploy.target import DeployTarget
from pipewren.errors import EngineError
from pipewren.project.ddl import table_ddl
from pipewren.project.model import Datasource, Project
from pipewren.project.quarantine import quarantine_name, quarantine_of
from pipewren.sqltext import Sql, quote_identifier, quote_literal
from pipewren.storage.deployments import StoredDeployment, TableVersion
from pipewren.storage.quarantine import quarantine_table


def physical_tables(tables: Mapping[str, TableVersion]) -> dict[str, str]:
    """The name of each data source and of each quarantine -> its physical table."""
    found: dict[str, str] = {}
    for name, version in tables.items():
        found[name] = version.table
        found[quarantine_name(name)] = quarantine_table(version)
    return found


def table_objects(
    project: Project, database: str, tables: Mapping[str, TableVersion], present: Collection[str]
) -> Iterator[EngineObject]:
    """Those of the tables that are not `present` in the workspace's `database`."""
    for name, version in tables.items():
        datasource = project.datasources[name]
        if version.table not in present:
            yield _table_object(datasource, database, version.table)
        if quarantine_table(version) not in present:
            yield _table_object(quarantine_of(datasource), database, quarantine_table(version))


def alias_objects(
    aliases: str, database: str, tables: Mapping[str, TableVersion]
) -> Iterator[EngineObject]:
    """The aliases in a deployment's database `aliases`."""
    for name, table in physical_tables(tables).items():
        alias = f"{quote_identifier(aliases)}.{quote_identifier(name)}"
        source = f"{quote_literal(database)}, {quote_literal(table)}"
        ddl = Sql(f"CREATE TABLE {alias} UUID '{new_uuid()}' ENGINE = Alias({source})")
        yield EngineObject(aliases, name, ddl)


async def add_quarantines(
    target: DeployTarget,
    record: StoredDeployment,
    project: Project,
    tables: Mapping[str, TableVersion],
) -> None:
    """Make the quarantines that a deployment does not have, with their aliases: it was made by a
    Pipewren that knew none. One that the engine refuses is told of and left out. Raises
    Unavailable."""
    database = target.workspace.database
    present = await list_tables(target.engine, database)
    aliases = await list_tables(target.engine, record.database)
    quarantines = {quarantine_table(version) for version in tables.values()}
    names = {quarantine_name(name) for name in tables}
    made = [
        one for one in table_objects(project, database, tables, present) if one.name in quarantines
    ]
    made += [
        one
        for one in alias_objects(record.database, database, tables)
        if one.name in names and one.name not in aliases
    ]
    remember_objects(target.store, made)
    for one in made:
        try:
            await create_object(target.engine, target.store, one)
        except EngineError as error:
            target.progress(f"warning: a quarantine cannot be made: {error.message}")


def _table_object(datasource: Datasource, database: str, table: str) -> EngineObject:
    ddl = table_ddl(datasource, database=database, table=table, uuid=new_uuid())
    return EngineObject(database, table, ddl)
