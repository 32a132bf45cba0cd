"""The data directory: kept over restarts, locked, versioned, mended after a full disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipewren.engine import definitions
from pipewren.engine.config import find_unapplied, render_config, server_settings, table_settings
from pipewren.engine.options import EngineOptions
from pipewren.errors import StartError

if TYPE_CHECKING:
    from tests.engine.conftest import Program

WRITE = """
async def main():
    engine = await open_engine()
    uuid = "11111111-2222-4333-8444-555555555555"
    await engine.execute(sql("CREATE DATABASE w_1 ENGINE = Atomic"))
    await engine.execute(
        sql(f"CREATE TABLE w_1.t UUID '{uuid}' (id UInt32) ENGINE = MergeTree ORDER BY id")
    )
    await engine.insert(Insert("w_1", "t", ("id",), "CSV", b"1\\n2\\n", "a"))
    print(json.dumps(await engine.describe_objects("w_1")))
    await engine.close()
asyncio.run(main())
"""
READ = """
async def main():
    engine = await open_engine()
    answer = await engine.run(Statement(sql("SELECT sum(id) FROM t"), "w_1", "TSVRaw"))
    print(answer.body.decode(), end="")
    await engine.close()
asyncio.run(main())
"""
OPEN = """
async def main():
    try:
        await open_engine()
    except StartError as error:
        print(error)
asyncio.run(main())
"""


def test_rows_survive_a_restart(program: Program) -> None:
    program.run(WRITE)
    assert program.run(READ) == ["3"]
    assert program.run(READ) == ["3"]


def test_a_second_process_is_told_who_uses_the_directory(program: Program) -> None:
    holder = program.start(
        """
        async def main():
            await open_engine()
            print("open", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
            os._exit(0)
        asyncio.run(main())
        """
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == "open\n"
    (message,) = program.run(OPEN)
    assert f"{program.data_dir} is in use by another server (process {holder.pid})" in message
    assert "--data-dir" in message
    holder.communicate("go\n")
    program.run(WRITE)


def test_a_directory_that_cannot_be_written_is_a_clear_error(
    make_program: Callable[[Path], Program], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    (message,) = make_program(tmp_path / "file" / "data").run(OPEN)
    assert f"{tmp_path / 'file' / 'data'} cannot be written: Not a directory" in message
    assert "--data-dir" in message


def test_a_path_that_the_engine_cannot_open_is_refused(
    make_program: Callable[[Path], Program], tmp_path: Path
) -> None:
    (message,) = make_program(tmp_path / "a?b").run(OPEN)
    assert "has one of the characters" in message


def test_another_format_version_is_refused_and_left_alone(program: Program) -> None:
    program.run(WRITE)
    (program.data_dir / "format_version").write_text("2\n")
    (message,) = program.run(OPEN)
    assert "has format version 2, and this version of Pipewren reads version 1" in message
    (program.data_dir / "format_version").write_text("1\n")
    assert program.run(READ) == ["3"]


def test_a_definition_that_was_cut_off_is_named_and_written_again_from_our_copy(
    program: Program,
) -> None:
    (line,) = program.run(WRITE)
    copies = {("w_1", name): text for name, text in json.loads(line)}
    file = definitions.definition_file(program.data_dir, "w_1", "t")
    uuid = "11111111-2222-4333-8444-555555555555"
    assert uuid in file.read_text()
    file.write_text("")
    (message,) = program.run(OPEN)
    assert "the definition of w_1.t was cut off" in message
    assert definitions.restore_definitions(program.data_dir, copies) == [file]
    assert file.read_text().startswith(f"ATTACH TABLE _ UUID '{uuid}'")
    assert program.run(READ) == ["3"]


def test_a_cut_off_definition_without_a_copy_is_an_error_that_names_it(program: Program) -> None:
    program.run(WRITE)
    definitions.definition_file(program.data_dir, "w_1", "t").write_text("")
    with pytest.raises(StartError, match=r"w_1\.t .* no copy of it"):
        definitions.restore_definitions(program.data_dir, {})


def test_the_directory_and_its_secrets_are_for_its_owner_only(program: Program) -> None:
    program.run(WRITE)
    assert (program.data_dir / "lock").stat().st_mode & 0o077 == 0


def test_a_setting_that_the_server_did_not_take_is_found() -> None:
    assert find_unapplied({"a": 1, "b": 2, "c": 3}, {"a": "1", "b": "3"}) == [
        ("b", 2, "3"),
        ("c", 3, None),
    ]


def test_the_config_states_every_server_and_table_setting(tmp_path: Path) -> None:
    options = EngineOptions(tmp_path, fsync=True)
    text = render_config(options, tmp_path / "engine&.xml")
    for name, value in {**server_settings(options), **table_settings(options)}.items():
        assert f"<{name}>{value}</{name}>" in text
    assert "engine&amp;.xml" in text


def test_the_engine_takes_utc_from_nobody(program: Program) -> None:
    text = """
    async def main():
        engine = await open_engine()
        query = sql("SELECT toString(toDateTime(0)) AS t, timezone() AS z, toHour(now()) AS h")
        answer = await engine.run(Statement(query, "system", "JSONEachRow"))
        print(answer.body.decode(), end="")
        await engine.close()
    asyncio.run(main())
    """
    (line,) = program.run(text, TZ="America/New_York")
    assert json.loads(line)["t"] == "1970-01-01 00:00:00"
