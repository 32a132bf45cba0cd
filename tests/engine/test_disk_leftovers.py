"""What a full disk leaves in the data directory, and that the engine opens all the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipewren.engine.definitions import remove_broken_mutations
from pipewren.engine.insert_tokens import mend_token_logs
from pipewren.testing.small_disk import NotMounted, fill, mount_small_disk

if TYPE_CHECKING:
    from tests.engine.conftest import Program

MAKE = """
async def main():
    engine = await open_engine()
    await engine.execute(sql("CREATE DATABASE w_1 ENGINE = Atomic"))
    await engine.execute(sql(
        "CREATE TABLE w_1.t (id UInt32) ENGINE = MergeTree ORDER BY id PARTITION BY id % 2 "
        "SETTINGS non_replicated_deduplication_window = 1000"
    ))
    await engine.execute(sql("SYSTEM STOP MERGES"))
    for n in range(5):
        await engine.insert(Insert("w_1", "t", ("id",), "CSV", b"%d\\n%d" % (n, n + 1), str(n)))
    await engine.close()
asyncio.run(main())
"""
REPEAT = """
async def main():
    engine = await open_engine()
    query = sql("SELECT count(), sum(id) FROM t")
    before = await engine.run(Statement(query, "w_1", "JSONCompactEachRow"))
    for n in range(5):
        await engine.insert(Insert("w_1", "t", ("id",), "CSV", b"%d\\n%d" % (n, n + 1), str(n)))
    after = await engine.run(Statement(query, "w_1", "JSONCompactEachRow"))
    await engine.close()
    print(json.dumps([json.loads(before.body), json.loads(after.body)]))
asyncio.run(main())
"""
ALL = [10, sum(n + n + 1 for n in range(5))]


def parts(data_dir: Path) -> list[Path]:
    return sorted((data_dir / "engine").glob("store/*/*/[01]_*"))


def test_an_insert_whose_part_is_broken_is_made_when_it_is_repeated(program: Program) -> None:
    program.run(MAKE)
    lost = parts(program.data_dir)[3]
    for file in lost.iterdir():
        file.write_bytes(b"")
    before, after = json.loads(program.run(REPEAT)[-1])
    assert before[0] == ALL[0] - 1
    assert after == ALL
    # What was set aside stays for a person to look at, and is no reason to insert again.
    assert list(lost.parent.glob("detached/broken-on-start_*"))
    assert json.loads(program.run(REPEAT)[-1]) == [ALL, ALL]


def test_a_torn_record_of_a_token_takes_no_other_with_it(program: Program) -> None:
    program.run(MAKE)
    [log] = (program.data_dir / "engine").glob("store/*/*/deduplication_logs/*.txt")
    whole = log.read_bytes()
    log.write_bytes(whole + b"1\t0_99_99_0\t0_12")
    assert json.loads(program.run(REPEAT)[-1]) == [ALL, ALL]
    assert log.read_bytes() == whole


@pytest.mark.parametrize("kept", [8, 12, 40])
def test_a_part_whose_token_was_not_recorded_whole_is_not_in_twice(
    program: Program, kept: int
) -> None:
    program.run(MAKE)
    [log] = (program.data_dir / "engine").glob("store/*/*/deduplication_logs/*.txt")
    text = log.read_bytes()
    begin = text.rstrip().rfind(b"\n") + 1
    log.write_bytes(text[: begin + kept])
    assert text[begin : begin + kept].startswith(b"1\t")
    before, after = json.loads(program.run(REPEAT)[-1])
    assert before[0] == ALL[0] - 1
    assert after == ALL
    assert list(log.parents[1].glob("detached/ignored_*"))


def test_a_log_of_tokens_without_a_line_is_emptied(tmp_path: Path) -> None:
    log = tmp_path / "engine/store/abc/uuid/deduplication_logs/deduplication_log_1.txt"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"1\tall_1")
    assert mend_token_logs(tmp_path) == [log]
    assert log.read_bytes() == b""
    assert mend_token_logs(tmp_path) == []


@pytest.mark.parametrize("left", [0, 20, 60])
def test_a_mutation_that_was_cut_off_does_not_keep_the_engine_from_opening(
    program: Program, left: int
) -> None:
    program.run(MAKE)
    table = parts(program.data_dir)[0].parent
    text = b"format version: 1\ncreate time: 2026-12-01 02:29:28\ncommands: (DELETE WHERE id = 1)\n"
    (table / "mutation_90.txt").write_bytes(text[:left])
    assert json.loads(program.run(REPEAT)[-1]) == [ALL, ALL]
    assert not (table / "mutation_90.txt").exists()


def test_a_whole_mutation_stays(tmp_path: Path) -> None:
    file = tmp_path / "engine/store/abc/uuid/mutation_2.txt"
    file.parent.mkdir(parents=True)
    file.write_text("format version: 1\ncreate time: x\ncommands: (DELETE WHERE id = 1)\n")
    assert remove_broken_mutations(tmp_path) == []
    assert file.exists()


@pytest.fixture
def full_disk(
    tmp_path: Path, make_program: Callable[[Path], Program]
) -> Iterator[tuple[Program, Path]]:
    """An engine's directory on a disk without a free byte, and the file that takes it all."""
    try:
        with mount_small_disk(tmp_path / "small", 60) as folder:
            program = make_program(folder / "data")
            program.run(MAKE)
            filler = folder / "filler"
            fill(filler)
            yield program, filler
    except NotMounted as error:
        pytest.skip(str(error))


def test_an_engine_opens_on_a_disk_without_a_free_byte_and_writes_when_there_is_room(
    full_disk: tuple[Program, Path],
) -> None:
    program, filler = full_disk
    [line] = program.run(
        f"""
        async def main():
            engine = await open_engine()
            query = Statement(sql("SELECT count(), sum(id) FROM t"), "w_1", "JSONCompactEachRow")
            rows = Insert("w_1", "t", ("id",), "CSV", b"100", "new")
            before = json.loads((await engine.run(query)).body)
            refused = []
            for write in (engine.insert(rows), engine.execute(sql("TRUNCATE TABLE w_1.t"))):
                try:
                    await write
                except Unavailable as error:
                    refused.append(error.status)
            try:
                engine.require_room(100)
            except Unavailable as error:
                refused.append(error.status)
            health = engine.health()
            Path({str(filler)!r}).unlink()
            written = await engine.insert(rows)
            after = json.loads((await engine.run(query)).body)
            await engine.close()
            print(json.dumps(
                [before, refused, health.ready, health.writable, health.reason, written, after]
            ))
        asyncio.run(main())
        """
    )
    before, refused, ready, writable, reason, written, after = json.loads(line)
    assert before == ALL
    assert refused == [503, 503, 503]
    assert (ready, writable) == (True, False)
    assert "nearly full" in reason
    assert (written, after) == (1, [ALL[0] + 1, ALL[1] + 100])


def test_a_table_opens_however_many_of_its_parts_are_broken(program: Program) -> None:
    program.run(MAKE.replace("range(5)", "range(120)"))
    made = parts(program.data_dir)
    assert len(made) == 240  # ClickHouse's own limit is 100
    for part in made:
        for file in part.iterdir():
            file.write_bytes(b"")
    assert json.loads(program.run(REPEAT)[-1]) == [[0, 0], ALL]
