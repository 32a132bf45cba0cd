"""The store survives restarts, and says what is wrong when it cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text

from pipewren.errors import StartError
from pipewren.sqltext import Sql
from pipewren.storage import store as store_module
from pipewren.storage.deployments import (
    State,
    TableVersion,
    add_table_version,
    ensure_pipe_ids,
    list_deployments,
    list_table_versions,
    prepare_deployment,
    read_files,
    set_live,
    set_state,
)
from pipewren.storage.fixtures import FixtureLoad, find_load, record_load
from pipewren.storage.objects import forget_object, list_objects, remember_object
from pipewren.storage.schema import metadata
from pipewren.storage.store import FILE_NAME, HEAD, open_store
from pipewren.storage.workspaces import ensure_workspace


def test_the_migrations_bring_about_the_tables_of_the_schema(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    engine = create_engine(f"sqlite:///{tmp_path / FILE_NAME}")
    inspector = inspect(engine)
    for table in metadata.sorted_tables:
        columns = {column["name"] for column in inspector.get_columns(table.name)}
        assert columns == {column.name for column in table.columns}
    assert {*inspector.get_table_names()} == {*metadata.tables, "alembic_version"}
    engine.dispose()


def test_the_newest_revision_is_the_one_the_code_names(tmp_path: Path) -> None:
    folder = Path(store_module.__file__).parent / "migrations" / "versions"
    assert max(path.name[:4] for path in folder.glob("[0-9]*.py")) == HEAD


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with store.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(StartError, match="written by a newer Pipewren"):
        open_store(tmp_path)


def test_a_file_that_is_no_database_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database" * 100)
    with pytest.raises(StartError, match=r"Cannot use the store .*store\.sqlite"):
        open_store(tmp_path)


def test_the_stores_file_is_private(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_going_live_is_one_pointer_and_undone_with_its_transaction(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with store.begin() as connection:
        workspace = ensure_workspace(connection, "main")
        first = prepare_deployment(
            connection, workspace.id, digest="a", files={"a.pipe": "NODE x"}, tables={"ev": 1}
        )
        set_live(connection, first)
        second = prepare_deployment(connection, workspace.id, digest="b", files={}, tables={})

    def states() -> dict[int, tuple[State, bool]]:
        with store.begin() as connection:
            found = list_deployments(connection, workspace.id)
        return {one.number: (one.state, one.is_live) for one in found}

    assert (first.database, second.database) == (
        f"w_{workspace.id}_d1",
        f"w_{workspace.id}_d2",
    )

    def go_live_and_fail() -> None:
        with store.begin() as connection:
            set_live(connection, second)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        go_live_and_fail()
    seed = (State.DELETING, False)
    assert states() == {
        0: seed,
        1: (State.DATA_READY, True),
        2: (State.CREATING_SCHEMA, False),
    }
    with store.begin() as connection:
        assert list_deployments(connection, workspace.id)[1].tables == {"ev": 1}
        assert read_files(connection, first.id) == {"a.pipe": "NODE x"}
        set_live(connection, second)
        assert ensure_workspace(connection, "main").live_deployment == second.id
        assert read_files(connection, first.id) == {}
    assert states() == {0: seed, 1: (State.DELETING, False), 2: (State.DATA_READY, True)}
    with store.begin() as connection:
        third = prepare_deployment(connection, workspace.id, digest="c", files={}, tables={})
        set_state(connection, third, State.FAILED, errors=({"error": "why"},))
        assert list_deployments(connection, workspace.id)[-1].errors == ({"error": "why"},)
    assert third.number == 3
    store.close()


def test_ids_of_pipes_and_versions_of_tables_are_kept(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    version = TableVersion("events", 1, "t_" + "0" * 32, "{}", "2026-01-31 12:34:56.123456")
    with store.begin() as connection:
        workspace = ensure_workspace(connection, "main")
        ids = ensure_pipe_ids(connection, workspace.id, ["top", "ping"])
        add_table_version(connection, workspace.id, version)
    store.close()
    store = open_store(tmp_path)
    with store.begin() as connection:
        assert ensure_workspace(connection, "main") == workspace
        again = ensure_pipe_ids(connection, workspace.id, ["ping", "new"])
        assert list_table_versions(connection, workspace.id) == [version]
    assert again["ping"] == ids["ping"]
    assert version.table == "events__1"
    assert all(len(id) == 34 and id.startswith("t_") for id in again.values())
    store.close()


def test_our_copy_of_the_ddl_follows_what_is_made_and_dropped(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with store.begin() as connection:
        remember_object(connection, "w_1", "", Sql("CREATE DATABASE w_1"))
        remember_object(connection, "w_1", "a", Sql("old"))
        remember_object(connection, "w_1", "a", Sql("CREATE TABLE a"))
        assert list_objects(connection) == {
            ("w_1", ""): "CREATE DATABASE w_1",
            ("w_1", "a"): "CREATE TABLE a",
        }
        forget_object(connection, "w_1", "a")
        assert list_objects(connection).keys() == {("w_1", "")}
        forget_object(connection, "w_1")
        assert not list_objects(connection)
    store.close()


def test_a_fixtures_load_is_recorded_per_table_and_path(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    begun = FixtureLoad("ev", 1, "fixtures/ev.csv", "abc", loaded=False)
    with store.begin() as connection:
        workspace = ensure_workspace(connection, "main")
        record_load(connection, workspace.id, begun)
        assert find_load(connection, workspace.id, "ev", 1, begun.path) == begun
        done = FixtureLoad("ev", 1, begun.path, "abc", loaded=True)
        record_load(connection, workspace.id, done)
        assert find_load(connection, workspace.id, "ev", 1, begun.path) == done
        assert find_load(connection, workspace.id, "ev", 2, begun.path) is None
    store.close()
