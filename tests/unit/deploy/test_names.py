"""Callers see the names of their own files, never physical ones."""

from pipewren.deploy.names import logical_names

WORKSPACE = "w_" + "0a" * 16


def test_an_alias_is_named_by_its_data_source() -> None:
    assert logical_names(f"Table {WORKSPACE}_d12.events is gone") == "Table events is gone"


def test_a_physical_table_loses_its_version() -> None:
    assert logical_names(f"Table {WORKSPACE}.events__3 is gone") == "Table events is gone"


def test_a_version_like_ending_of_an_alias_is_the_authors_own() -> None:
    assert logical_names(f"{WORKSPACE}_d1.top__v1 {WORKSPACE}_d1.top__1") == "top__v1 top__1"


def test_backquoted_names_are_replaced_whole() -> None:
    assert logical_names(f"`{WORKSPACE}`.`events__3`") == "events"


def test_a_database_alone_is_called_the_workspace() -> None:
    assert logical_names(f"Database {WORKSPACE} not found") == "Database the workspace not found"


def test_other_text_is_left_as_it_is() -> None:
    assert logical_names("w_1.events in w_abc") == "w_1.events in w_abc"
