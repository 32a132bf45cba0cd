"""The query log: what queries and inserts cost, each its own, and nothing else of them is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipewren.engine import query_log
from pipewren.engine.config import render_config
from pipewren.engine.contract import Limits, QueryCost, QuerySpan
from pipewren.engine.options import EngineOptions
from pipewren.engine.profile import make_reader_profile
from pipewren.engine.query_log import SpanClock, match_costs
from pipewren.errors import EngineError

if TYPE_CHECKING:
    from tests.engine.conftest import Program

SECRET = "a-value-that-nobody-may-find"
BURNS = "SELECT sum(length(SHA256(toString(number)))) AS n FROM numbers(1500000)"
HEAD = f"""
import uuid
from pipewren.engine.query_log import inserts_noted
SECRET = {SECRET!r}
BURNS = {BURNS!r}
def of(text, **changes):
    return Statement(sql(text), "", **{{"format": "TSV"}} | changes)
async def span_of(statement):
    return (await engine.run(statement)).statistics.span
async def error_span(statement):
    try:
        await engine.run(statement)
    except PipewrenError as error:
        return error.span
async def tell(spans):
    costs = await engine.query_costs([span for span in spans.values() if span is not None])
    known = {{key: costs.get(span) for key, span in spans.items()}}
    print(json.dumps({{k: c and [c.cpu_s, c.memory_bytes] for k, c in known.items()}}))
async def main():
    global engine
    engine = await open_engine(query_log=LOGS, light_connections=4)
    await work()
    await engine.close()
LOGS = True
"""
TAIL = "\nasyncio.run(main())\n"


def run(program: Program, work: str) -> Any:
    """What a program with an engine that keeps a query log printed last, decoded."""
    return json.loads(program.run(HEAD + work + TAIL)[-1])


def test_queries_streams_failures_and_inserts_have_their_cpu_time_and_memory(
    program: Program,
) -> None:
    costs = run(
        program,
        """
async def work():
    spans = {"burns": await span_of(of(BURNS))}
    spans["idles"] = await span_of(of("SELECT sleep(0.3)"))
    spans["has a parameter"] = await span_of(
        of(BURNS.replace("1500000", "{n: UInt64}"), parameters=(("n", "1500000"),))
    )
    stream = engine.stream(of("SELECT SHA256(toString(number)) FROM numbers(1500000)",
        lane=Lane.HEAVY, limits=Limits(max_result_rows=0, max_result_bytes=0)))
    async for _ in stream:
        pass
    spans["streams"] = stream.statistics.span
    spans["fails"] = await error_span(of(BURNS.replace("AS n", "+ throwIf(count() > 0)")))
    spans["is late"] = await error_span(of(BURNS.replace("1500000", "3000000000"),
        limits=Limits(max_execution_time_s=0.3)))
    spans["cannot be read"] = await error_span(of("SELECT nothing"))
    await engine.execute(sql("CREATE DATABASE w_1 ENGINE = Atomic"))
    await engine.execute(sql("CREATE TABLE w_1.t (a String) ENGINE = MergeTree ORDER BY a"))
    rows = b'{"a": "xxxxxxxxxxxxx"}\\n' * 600_000
    with inserts_noted() as inserts:
        await engine.insert(Insert("w_1", "t", ("a",), "JSONEachRow", rows, "1"))
    (spans["inserts"],) = inserts
    assert engine.capabilities.knows_cpu_time
    await tell(spans)
""",
    )
    for name in ("burns", "has a parameter", "streams", "fails", "is late", "inserts"):
        cpu_s, memory_bytes = costs[name]
        assert cpu_s > 0.02, name
        assert memory_bytes > 1000, name
    assert costs["idles"][0] < 0.02
    assert costs["cannot be read"] is None or costs["cannot be read"][0] < 0.02


def test_queries_beside_each_other_have_each_their_own_cost(program: Program) -> None:
    costs = run(
        program,
        """
async def work():
    kinds = ["burns", "idles"] * 24
    spans = await asyncio.gather(
        *(span_of(of(BURNS if kind == "burns" else "SELECT sleep(0.02)")) for kind in kinds)
    )
    assert len({span.connection for span in spans}) > 1
    await tell({f"{kind} {number}": spans[number] for number, kind in enumerate(kinds)})
""",
    )
    assert len(costs) == 48
    assert None not in costs.values()
    for name, (cpu_s, _) in costs.items():
        assert (cpu_s > 0.03) == name.startswith("burns"), (name, cpu_s)


def test_nothing_of_a_statement_is_kept(program: Program) -> None:
    found = run(
        program,
        """
async def work():
    import chdb
    await engine.execute(sql("CREATE DATABASE w_1 ENGINE = Atomic"))
    await engine.execute(sql("CREATE TABLE w_1.t (a UInt8) ENGINE = MergeTree ORDER BY a"))
    spans = [
        await span_of(of(f"SELECT '{SECRET}'")),
        await span_of(of("SELECT {s: String}", parameters=(("s", SECRET),))),
        await error_span(of(f"SELECT throwIf(1, '{SECRET}')")),
        await error_span(of(f"SELECT nothing, '{SECRET}'")),
        await error_span(of("SELECT throwIf(1, {s: String})", parameters=(("s", SECRET),))),
    ]
    try:
        body = f'{{"a": "{SECRET}"}}'.encode()
        await engine.insert(Insert("w_1", "t", ("a",), "JSONEachRow", body, "1"))
    except PipewrenError:
        pass
    costs = await engine.query_costs([span for span in spans if span is not None])
    raw = chdb.connect(engine.connection_string)
    rows = lambda text: raw.query(text, "JSONCompactColumns").bytes().decode()
    logs = json.loads(
        rows("SELECT name FROM system.tables WHERE database = 'system' AND name LIKE '%\\\\_log'")
    )[0]
    texts = [rows(f"SELECT * FROM system.{name}") for name in [*logs, "query_costs"]]
    answer = {
        "logs": sorted(logs),
        "costs": len(costs),
        "rows": json.loads(rows("SELECT count() FROM system.query_log"))[0],
        "has secret": SECRET in "".join(texts),
    }
    raw.close()
    print(json.dumps(answer))
""",
    )
    assert found["logs"] == ["query_log", "user_query_log"]  # the second reads the first
    assert found["costs"] >= 3
    assert (found["rows"], found["has secret"]) == ([0], False)
    files = [file for file in program.data_dir.rglob("*") if file.is_file()]
    assert files
    assert [file for file in files if SECRET.encode() in file.read_bytes()] == []
    assert [file for file in files if "query_" in str(file)] == []


def test_the_costs_that_are_kept_are_bounded(program: Program) -> None:
    kept = run(
        program,
        """
async def work():
    many = "INSERT INTO system.query_costs SELECT 'x', 0, 0, 0, 0 FROM numbers(15000)"
    for _ in range(5):
        await engine.execute(sql(many))
    spans = {"after": await span_of(of(BURNS))}
    await tell(spans)
    answer = await engine.run(of("SELECT count() FROM system.query_costs"))
    print(json.dumps([int(answer.body)]))
""",
    )
    assert kept[0] <= 20_000


def test_an_engine_opens_again_with_a_log_and_without(program: Program) -> None:
    work = """
async def work():
    await tell({"burns": await span_of(of(BURNS))})
"""
    assert run(program, work)["burns"][0] > 0.02
    assert run(program, work)["burns"][0] > 0.02
    assert run(program, "LOGS = False\n" + work) == {"burns": None}
    assert run(program, work)["burns"][0] > 0.02


@pytest.mark.parametrize("name", ["log_queries", "log_queries_cut_to_length", "log_query_settings"])
def test_a_statement_cannot_change_what_is_logged(name: str) -> None:
    with pytest.raises(EngineError, match="cannot be changed"):
        make_reader_profile(Limits(), ((name, "0"),), EngineOptions(Path(), query_log=True))


def log_of(*rows: tuple[str, int, int, int, int]) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows)


A = QuerySpan("light-1-1", 1000, 2000)


def test_a_query_is_known_by_its_connection_and_the_time_that_it_ran_in() -> None:
    later, other = QuerySpan("light-1-1", 2000, 3000), QuerySpan("light-2-1", 1500, 2500)
    log = log_of(
        ("light-1-1", 2000, 2999, 30, 3),
        ("light-1-1", 1000, 1990, 10, 1),
        ("light-2-1", 1510, 2500, 20, 2),
        ("light-3-1", 1100, 1900, 99, 9),
    )
    assert match_costs([A, later, other], log) == {
        other: QueryCost(0.00002, 2),
        later: QueryCost(0.00003, 3),
    }, "the first span has two queries that began in it"
    assert match_costs([A], log_of(("light-1-1", 1000, 2000, 10, 1))) == {A: QueryCost(0.00001, 1)}


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [("light-2-1", 1100, 1900, 5, 5)],  # another connection's
        [("light-1-1", 999, 1900, 5, 5)],  # began before
        [("light-1-1", 1100, 2001, 5, 5)],  # ended after
        [("light-1-1", 1100, 1200, 5, 5), ("light-1-1", 1300, 1400, 5, 5)],  # which one?
    ],
)
def test_nothing_is_told_where_it_is_not_certain(
    rows: list[tuple[str, int, int, int, int]],
) -> None:
    assert match_costs([A], log_of(*rows)) == {}


def test_a_query_in_two_spans_is_of_neither() -> None:
    twin = QuerySpan("light-1-1", 1050, 2000)
    assert match_costs([A, twin], log_of(("light-1-1", 1100, 1900, 5, 5))) == {}


def test_there_is_no_span_while_a_clock_that_was_set_back_catches_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wall_us, steady_s = 5_000_000, 100.0
    monkeypatch.setattr(query_log, "time_ns", lambda: wall_us * 1000)
    monkeypatch.setattr(query_log, "perf_counter", lambda: steady_s)
    clock = SpanClock("light-1-1")
    assert clock.end() is None
    clock.begin()
    wall_us += 300
    steady_s += 0.0003
    assert clock.end() == QuerySpan("light-1-1", 5_000_000, 5_000_300)
    wall_us -= 1_000_000
    clock.begin()
    wall_us += 300
    assert clock.end() is None
    wall_us += 1_000_000
    clock.begin()
    wall_us -= 500_000  # while it runs
    steady_s += 2.0
    span = clock.end()
    assert span is not None
    assert span.ended_us == span.began_us + 2_000_000
    clock.begin()
    assert clock.end() is None


def test_the_log_is_in_the_configuration_only_where_it_is_asked_for(tmp_path: Path) -> None:
    for is_asked in (False, True):
        options = EngineOptions(tmp_path, query_log=is_asked)
        assert ("query_log" in render_config(options, tmp_path / "x")) == is_asked
