"""What a pipe's own condition hides is told by no error of the SQL around it."""

from __future__ import annotations

import pytest

from tests.engine.queries.conftest import Served, reads


@pytest.mark.parametrize("pipe", ["of_tenant", "just_of_tenant"])
async def test_no_error_tells_of_rows_that_a_fixed_parameter_hides(
    served: Served, pipe: str
) -> None:
    """Not even of functions without short circuit, over no other column than the pipe's WHERE."""
    token = served.sign(reads(pipe, tenant="a"))
    for probe in (
        "toBool(if(tenant = 'b', 'zz', 'true'))",
        "bitShiftLeft(1, if(tenant = 'b', -1, 1)) >= 0",
        "mapFromArrays([1], if(tenant = 'b', [1, 2], [1])) != map()",
        "intDiv(1, tenant = 'a') = 1",
        "toBool(if(id > 3, 'zz', 'true'))",
    ):
        for text in (
            f"SELECT count(), sum(id) FROM {pipe} WHERE {probe}",
            f"SELECT count(), sum(i) FROM (SELECT *, id AS i FROM {pipe}) WHERE {probe}",
            f"SELECT count(), sum(id) FROM {pipe} AS o JOIN {pipe} AS p USING id WHERE {probe}",
            f"WITH c AS (SELECT * FROM {pipe}) SELECT count(), sum(id) FROM c WHERE {probe}",
        ):
            assert await served.rows(text, token) == [[3, 6]], text
        over = f"SELECT count() AS rows, sum(id) AS ids FROM _ WHERE {probe} FORMAT JSON"
        answer = await served.call(f"{pipe}.json", over, token, tenant="b")
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"] == [{"rows": 3, "ids": 6}]
