"""ClickHouse's definition files: finding broken ones before it opens, and writing them again.

One empty `.sql` file (what a full disk leaves of a CREATE or ALTER) stops the whole directory from
opening (engine-chdb.md section 0.6). In an Atomic database the file of an object is
`metadata/<database> -> store/xxx/<uuid>/<object>.sql`, holding the CREATE statement with ATTACH for
CREATE and `_` for the name; `metadata/<database>.sql` is the database's own. The UUID in the
statement is what ties a table to its rows, so a copy without it cannot be put back.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from pipewren.errors import StartError
from pipewren.sqltext import Sql, quote_literal, trusted_sql

_CREATE = re.compile(
    r"^\s*CREATE (?P<kind>TABLE|VIEW|MATERIALIZED VIEW|DICTIONARY|DATABASE) "
    r"(?:(?:`(?:[^`\\]|\\.)+`|\w+)\.)?(?:`(?:[^`\\]|\\.)+`|\w+) "
    r"(?P<uuid>UUID '[0-9a-f-]{36}')\s*(?P<rest>.*)$",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class BrokenDefinition:
    """A definition file that ClickHouse could not read; `object` is "" for the database's own."""

    database: str
    object: str
    path: Path


class BrokenDefinitions(StartError):
    """The directory has broken definition files; `restore_definitions` may write them again."""

    def __init__(self, message: str, *, broken: tuple[BrokenDefinition, ...]) -> None:
        super().__init__(message)
        self.broken = broken


def describe_objects_query(database: str) -> Sql:
    """(name, CREATE statement with its UUID) of all objects; the database's own name is "".

    The UUIDs stand in it because the admin connection shows them (profile.py).
    """
    name = quote_literal(database)
    # No alias `name` in the first arm: ClickHouse's WHERE would read it for the column.
    return trusted_sql(
        "SELECT '', concat('CREATE DATABASE ', name, ' UUID \\'', toString(uuid), "
        "'\\' ENGINE = ', engine) "
        f"FROM system.databases WHERE name = {name} "
        "UNION ALL SELECT name, create_table_query "
        f"FROM system.tables WHERE database = {name}"
    )


def find_broken_definitions(data_dir: Path) -> list[BrokenDefinition]:
    """Definition files that are empty or cut off before `ATTACH`; to be called before opening."""
    metadata = data_dir / "engine" / "metadata"
    broken: list[BrokenDefinition] = []
    if not metadata.is_dir():
        return broken
    for entry in sorted(metadata.iterdir()):
        if entry.suffix == ".sql":
            if _is_broken(entry):
                broken.append(BrokenDefinition(unquote(entry.stem), "", entry))
        elif entry.is_dir():
            broken.extend(
                BrokenDefinition(unquote(entry.name), unquote(file.stem), file)
                for file in sorted(entry.glob("*.sql"))
                if _is_broken(file)
            )
    return broken


def require_definitions(data_dir: Path) -> None:
    """Raise BrokenDefinitions naming each broken file, since the engine would name none."""
    broken = find_broken_definitions(data_dir)
    if broken:
        names = ", ".join(
            f"{item.database}.{item.object}" if item.object else f"database {item.database}"
            for item in broken
        )
        raise BrokenDefinitions(
            f"The data directory {data_dir} does not open: the definition of {names} was cut off, "
            "most likely by a full disk. Restore the file from a copy of its CREATE statement.",
            broken=tuple(broken),
        )


def remove_broken_mutations(data_dir: Path) -> list[Path]:
    """Remove mutations (ALTER TABLE ... UPDATE or DELETE) whose file a full disk cut off: they keep
    the directory from opening, and had failed for whoever asked for them."""
    removed = []
    for file in (data_dir / "engine").glob("store/*/*/mutation_*.txt"):
        text = file.read_bytes()
        whole = text.startswith(b"format version: ") and b"\ncommands: " in text
        if not (whole and text.endswith(b"\n")):
            file.unlink()
            removed.append(file)
    return removed


def restore_definitions(data_dir: Path, definitions: Mapping[tuple[str, str], str]) -> list[Path]:
    """Write every broken definition again from `definitions` (database, object) -> statement.

    The statements are those of `describe_objects`, UUID included; the database's own has object
    "". To be called before the engine opens. Returns the files written. Raises StartError for a
    broken definition that `definitions` does not have or whose text is not such a statement.
    """
    written = []
    for item in find_broken_definitions(data_dir):
        text = definitions.get((item.database, item.object))
        match = _CREATE.match(text) if text is not None else None
        if match is None:
            raise StartError(
                f"The definition of {item.database}.{item.object} in {data_dir} was cut off, most "
                "likely by a full disk, and there is no copy of it to restore."
            )
        fresh = item.path.with_suffix(".sql.restored")
        fresh.write_text(
            f"ATTACH {match['kind']} _ {match['uuid']}\n{match['rest'].strip()}\n",
            encoding="utf-8",
        )
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.replace(item.path)
        written.append(item.path)
    return written


def definition_file(data_dir: Path, database: str, name: str) -> Path:
    """Where the definition of an object stands; for one that exists in an Atomic database."""
    folder = data_dir / "engine" / "metadata"
    return folder / _escape(database) / f"{_escape(name)}.sql"


def _escape(name: str) -> str:
    # ClickHouse keeps letters of ASCII, digits and `_`; `quote` would keep `.`, `-` and `~` too.
    return "".join(
        chr(byte) if (chr(byte).isalnum() and byte < 128) or byte == 95 else f"%{byte:02X}"
        for byte in name.encode()
    )


def _is_broken(file: Path) -> bool:
    with file.open("rb") as opened:
        return not opened.read(64).lstrip().startswith(b"ATTACH ")
