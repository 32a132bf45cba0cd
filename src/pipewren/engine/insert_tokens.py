"""The tokens of inserts that ClickHouse remembers, and forgetting those that a full disk broke.

A part that could not be written leaves its token behind: the next start sets the part aside as
broken, and the repetition of the insert would be dropped as a duplicate (measured), so its rows
would be lost. A table keeps its tokens in

    store/xxx/<uuid>/deduplication_logs/deduplication_log_<n>.txt

a line `1 <TAB> part <TAB> hash` each, in the order of the inserts. With `2` for the `1` the line
takes its hash back when the table is loaded; that one byte needs no room on a full disk.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pipewren.sqltext import Sql, quote_identifier, quote_literal, trusted_sql

_LOGS = "deduplication_logs/deduplication_log_*.txt"
_ADD, _DROP = b"1\t", b"2\t"
_BROKEN = "broken-on-start"
# PARTITION_FIRST_LAST_LEVEL and, after a mutation, its number; `_try1` where a name was taken.
_PART = re.compile(r"^(.+)_(\d+)_(\d+)_\d+(?:_\d+)?(?:_try\d+)?$")

Execute = Callable[[Sql], bytes]


@dataclass(frozen=True, slots=True)
class LostInserts:
    """`tokens` inserts into one table (one for each partition that an insert touched) that count
    as never made, since their rows could not be written."""

    database: str
    table: str
    tokens: int


@dataclass(frozen=True, slots=True)
class _Blocks:
    """What a part's name says: its partition and the numbers of its first and last block."""

    partition: str
    first: int
    last: int

    def holds(self, other: _Blocks) -> bool:
        return (
            self.partition == other.partition
            and self.first <= other.first
            and other.last <= self.last
        )


def mend_token_logs(data_dir: Path) -> list[Path]:
    """Cut off last lines that a full disk left incomplete, since the next record would be glued to
    such a line and be lost as well. To be called before the engine opens; returns the files.

    The part of such a line is whole, and its insert is as good as not made, since it will be
    repeated and not be known: the part is set aside.
    """
    mended = []
    for log in (data_dir / "engine").glob(f"store/*/*/{_LOGS}"):
        with log.open("rb+") as file:
            text = file.read()
            whole = text.rfind(b"\n") + 1
            if whole < len(text):
                part = _find_unrecorded(log.parents[1], text[:whole], text[whole:])
                if part is not None:
                    part.rename(part.parent / "detached" / f"ignored_{part.name}")
                file.truncate(whole)
                mended.append(log)
    return mended


def _find_unrecorded(table: Path, records: bytes, torn: bytes) -> Path | None:
    """The folder of the part that `torn` is the begin of a record of, if that is certain."""
    name, tab, _ = torn.removeprefix(_ADD).partition(b"\t")
    if not name or not torn.startswith(_ADD):
        return None
    recorded = {line.split(b"\t")[1] for line in records.splitlines() if line.count(b"\t") > 1}
    last = max((blocks.last for blocks in _read_names(map(bytes.decode, recorded))), default=0)
    found = []
    for folder in table.iterdir():
        own = folder.name.encode()
        if own == name if tab else own.startswith(name):
            found += [folder for blocks in _read_names([folder.name]) if blocks.first > last]
    return found[0] if len(found) == 1 else None


def forget_lost_inserts(execute: Execute) -> list[LostInserts]:
    """Make each table forget the tokens of its parts that were set aside as broken.

    `execute` answers in JSONCompactEachRow. To be called when the engine has opened and before
    anyone uses it: a table with lost inserts is detached for a moment. A token whose rows are in
    another part as well (a merge that went well) stays.
    """
    lost = []
    for database, table, name in _rows(
        execute,
        "SELECT database, table, groupArray(name) FROM system.detached_parts "
        f"WHERE reason = '{_BROKEN}' AND startsWith(database, 'w_') GROUP BY database, table",
    ):
        broken = set(_read_names(part.removeprefix(f"{_BROKEN}_") for part in name))
        folder, active = _read_table(execute, database, table)
        gone = {part for part in broken if not any(one.holds(part) for one in active)}
        lines = _find_lines(folder, gone)
        if lines:
            target = f"{quote_identifier(database)}.{quote_identifier(table)}"
            execute(trusted_sql(f"DETACH TABLE {target}"))
            try:
                _take_back(lines)
            finally:
                execute(trusted_sql(f"ATTACH TABLE {target}"))
            lost.append(LostInserts(database, table, len(lines)))
    return lost


def _read_table(execute: Execute, database: str, table: str) -> tuple[Path, set[_Blocks]]:
    """The folder of a table, and what its active parts hold."""
    base, name = quote_literal(database), quote_literal(table)
    [[folder]] = _rows(
        execute,
        f"SELECT data_paths[1] FROM system.tables WHERE database = {base} AND name = {name}",
    )
    parts = _rows(
        execute,
        f"SELECT name FROM system.parts WHERE database = {base} AND table = {name} AND active",
    )
    return Path(folder), set(_read_names(part for (part,) in parts))


def _find_lines(folder: Path, gone: Collection[_Blocks]) -> list[tuple[Path, int]]:
    """(file, place) of the lines that remember inserts of the parts `gone`."""
    found = []
    for log in sorted(folder.glob(_LOGS)):
        at = 0
        for line in log.read_bytes().splitlines(keepends=True):
            if line.startswith(_ADD):
                part = line.split(b"\t", 2)[1].decode("utf-8", "replace")
                if any(blocks in gone for blocks in _read_names([part])):
                    found.append((log, at))
            at += len(line)
    return found


def _take_back(lines: Iterable[tuple[Path, int]]) -> None:
    for log, at in lines:
        with log.open("rb+", buffering=0) as file:
            file.seek(at)
            file.write(_DROP)


def _read_names(names: Iterable[str]) -> Iterator[_Blocks]:
    for name in names:
        if match := _PART.match(name):
            yield _Blocks(match[1], int(match[2]), int(match[3]))


def _rows(execute: Execute, sql: str) -> list[list]:  # type: ignore[type-arg]
    return [msgspec.json.decode(line) for line in execute(trusted_sql(sql)).splitlines()]
