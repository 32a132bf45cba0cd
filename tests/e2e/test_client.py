"""The client against a real server: rows, a table and a stream."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipewren.client import AsyncClient, BadRequest, Client, Forbidden, NotFound
from pipewren.testing.serving import RunningServer, serving

VALUES = """
NODE endpoint
SQL >
    %
    SELECT
        toUInt8(number) AS n,
        toUInt64(18446744073709551615) AS big,
        CAST('12.30', 'Decimal(9, 2)') AS price,
        toNullable('ü') AS text,
        toDateTime64('2024-01-23 10:30:00.5', 3, 'UTC') AS at,
        {{Array(words, 'String', 'none')}} AS words,
        toDateTime({{DateTime(since, '2000-01-01 00:00:00')}}) AS since,
        {{Boolean(flag, 0)}} AS flag
    FROM numbers({{Int32(rows, 2)}})
    LIMIT {{Int32(limit, 1000000)}}
TYPE endpoint
"""

# Its answers are never large, so the server sends each as the engine wrote it: what it streams has
# no `rows_before_limit_at_least`.
SMALL = VALUES.replace("FROM numbers({{Int32(rows, 2)}})", "FROM numbers(5)")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    project = tmp_path_factory.mktemp("project")
    (project / "endpoints").mkdir()
    (project / "endpoints" / "given.pipe").write_text(VALUES)
    (project / "endpoints" / "small.pipe").write_text(SMALL)
    with serving(project, tmp_path_factory.mktemp("data")) as server:
        yield server


@pytest.fixture
def client(served: RunningServer) -> Iterator[Client]:
    with Client(served.base_url, served.token) as client:
        yield client


def test_an_endpoint_is_read_as_rows(client: Client) -> None:
    answer = client.query("small", {"limit": 3})
    assert [row["n"] for row in answer.data] == [0, 1, 2]
    assert answer.data[0]["big"] == 2**64 - 1
    assert (answer.meta[0].name, answer.meta[0].type) == ("n", "UInt8")
    assert answer.rows == 3
    assert answer.rows_before_limit_at_least is not None
    assert answer.rows_before_limit_at_least >= 3
    assert answer.statistics.rows_read >= 3


@pytest.mark.parametrize(
    "words", [["a", "b"], ["a,b", "c"], ["a,b"], [], ["it's"], ["x" * 5000, "ü&=+ #"]]
)
def test_a_list_arrives_as_it_was_given(client: Client, words: list[str]) -> None:
    (row,) = client.query("given", {"rows": 1, "words": words}).data
    assert row["words"] == words


@pytest.mark.parametrize("zone", [None, UTC, timezone(timedelta(hours=2))])
def test_other_values_arrive_as_they_were_given(client: Client, zone: timezone | None) -> None:
    since = datetime(2024, 1, 1, 10, 0, 0, tzinfo=zone)
    (row,) = client.query("given", {"rows": 1, "since": since, "flag": True, "words": None}).data
    in_utc = since if zone is None else since.astimezone(UTC)
    assert row["since"] == in_utc.strftime("%Y-%m-%d %H:%M:%S")
    assert row["flag"] == 1
    assert row["words"] == ["none"]
    (row,) = client.query("given", {"rows": 1, "flag": False}).data
    assert row["flag"] == 0


def test_an_endpoint_is_read_as_a_table(client: Client) -> None:
    table: Any = client.query_arrow("given", {"rows": 2, "words": ["a", "b"]})
    assert table.num_rows == 2
    assert str(table.schema.field("text").type) == "string"
    row = table.to_pylist()[1]
    assert (row["n"], row["big"], row["price"]) == (1, 2**64 - 1, Decimal("12.30"))
    assert (row["text"], row["words"]) == ("ü", ["a", "b"])
    assert row["at"].isoformat() == "2024-01-23T10:30:00.500000+00:00"


def test_an_empty_result_is_empty_in_each_form(client: Client) -> None:
    nothing = {"rows": 0}
    assert client.query("given", nothing).data == ()
    assert client.query_arrow("given", nothing).num_rows == 0
    assert list(client.stream("given", nothing)) == []


def test_a_large_answer_is_streamed_to_its_end(client: Client) -> None:
    with client.stream("given", {"rows": 200_000}) as rows:
        first = next(rows)
        count = 1 + sum(1 for _ in rows)
    assert first["text"] == "ü"
    assert count == 200_000


def test_a_stream_that_is_let_go_leaves_the_client_usable(client: Client) -> None:
    with client.stream("given", {"rows": 200_000}) as rows:
        next(rows)
    assert client.query("given", {"rows": 1}).rows == 1


def test_errors_are_typed_and_name_the_request(client: Client, served: RunningServer) -> None:
    with pytest.raises(NotFound, match="The pipe 'nowhere' does not exist") as missing:
        client.query("nowhere")
    assert missing.value.request_id
    with pytest.raises(BadRequest) as wrong:
        client.query("given", {"rows": "many"})
    assert (wrong.value.status, wrong.value.attempts) == (400, 1)
    with (
        Client(served.base_url, "p.wrong") as stranger,
        pytest.raises(Forbidden),
    ):
        stranger.query("given")


async def test_the_async_client_reads_the_same(served: RunningServer, client: Client) -> None:
    given = {"rows": 3, "words": ["a", "b"]}
    async with AsyncClient(served.base_url, served.token) as asynchronous:
        answer = await asynchronous.query("given", given)
        table: Any = await asynchronous.query_arrow("given", given)
        async with asynchronous.stream("given", given) as rows:
            streamed = [row async for row in rows]
    assert list(answer.data) == streamed == list(client.query("given", given).data)
    assert table.column("n").to_pylist() == [0, 1, 2]


def test_the_examples_of_the_docs_run(
    flights_server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page.partition("## Events")[0], re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, Any] = {"url": flights_server.base_url, "token": flights_server.token}
    for block in blocks:
        exec(block, names)
        assert capsys.readouterr().out
    assert names["answer"].rows == names["table"].num_rows == 3
