"""What a token may see of a data source, and do with it."""

from __future__ import annotations

import pytest

from pipewren.access.datasource_rights import may_append, may_count, may_replace, may_see
from pipewren.access.rights import caller_of
from pipewren.storage.deployments import TableVersion
from pipewren.storage.tokens import Scope, StoredToken

TABLE = TableVersion("visits", 1, "t_1", "{}")


@pytest.mark.parametrize(
    ("scopes", "sees", "counts", "appends", "replaces"),
    [
        ([Scope("ADMIN")], True, True, True, True),
        ([Scope("DATASOURCES:CREATE")], True, True, True, True),
        ([Scope("WORKSPACE:READ_ALL")], True, True, False, False),
        ([Scope("DATASOURCES:APPEND", "visits")], True, True, True, False),
        ([Scope("DATASOURCES:APPEND", "t_1")], True, True, True, False),
        ([Scope("DATASOURCES:READ", "visits")], True, True, False, False),
        ([Scope("DATASOURCES:READ", "t_1", "tenant = 1")], True, False, False, False),
        (
            [Scope("DATASOURCES:READ", "visits", "a"), Scope("DATASOURCES:READ", "t_1")],
            *(True, True, False, False),
        ),
        ([Scope("DATASOURCES:APPEND", "other")], False, True, False, False),
        ([Scope("PIPES:READ", "visits"), Scope("TOKENS")], False, True, False, False),
    ],
)
def test_scopes_give_just_these_rights(
    scopes: list[Scope], sees: bool, counts: bool, appends: bool, replaces: bool
) -> None:
    caller = caller_of(StoredToken("id", "w", "token", "api", 1, frozenset(scopes)))
    found = (may_see(caller, TABLE), may_append(caller, TABLE), may_replace(caller))
    assert found == (sees, appends, replaces)
    assert may_count(caller, TABLE) is counts
