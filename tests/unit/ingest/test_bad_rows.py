"""The row and the column that make an engine refuse a body are found by trying parts of it."""

from __future__ import annotations

import pytest

from pipewren.errors import EngineError
from pipewren.ingest.bad_rows import describe_bad_row, split_fields, split_rows
from pipewren.ingest.row_files import Encoding, Piece
from pipewren.project.datasource import parse_datasource

DATASOURCE = parse_datasource(
    "d", "SCHEMA >\n    `a` String,\n    `n` Int32\n", file="d.datasource"
)
CSV = Encoding("CSV", ("a", "n"))


def refused(status: int = 400) -> EngineError:
    text = "[Error] Cannot parse: (at row 7)\n: Row 1: ... (CODE)"
    return EngineError(text, engine_code=27, engine_name="CODE", status=status)


class Sink:
    """Refuses bodies that hold `bad`."""

    def __init__(self, bad: bytes, status: int = 400) -> None:
        self.bad, self.status, self.tries = bad, status, 0

    async def insert(self, format: str, columns: tuple[str, ...], body: bytes) -> None:
        self.tries += 1
        if self.bad in body:
            raise refused(self.status)


async def test_one_row_of_many_is_found_in_few_tries() -> None:
    rows = b"".join(b"x,%d\n" % (10_000 + number) for number in range(5000))
    sink = Sink(b"13210")
    told = await describe_bad_row(Piece(rows, 100, 1.0, CSV), DATASOURCE, sink.insert)
    assert told == "line 3310: value '13210' on column 'n' is not Int32"
    assert sink.tries < 20


async def test_of_several_bad_rows_the_first_is_named() -> None:
    rows = b'a,1\n"b\n",2\nbad,3\nd,4\nbad,5\n'
    told = await describe_bad_row(Piece(rows, 1, 1.0, CSV), DATASOURCE, Sink(b"bad").insert)
    assert told == "line 4: value 'bad' on column 'a' is not String"


async def test_a_row_with_no_bad_column_is_named_with_the_engines_reason() -> None:
    told = await describe_bad_row(Piece(b"a,1\n", 3, 1.0, CSV), DATASOURCE, Sink(b"a,1").insert)
    assert told == "line 3: Cannot parse"


async def test_what_only_several_rows_make_is_blamed_on_none() -> None:
    sink = Sink(b"a,1\nb,2")
    assert (
        await describe_bad_row(Piece(b"a,1\nb,2\n", 1, 1.0, CSV), DATASOURCE, sink.insert) is None
    )


async def test_an_error_of_the_server_is_not_taken_for_the_rows() -> None:
    with pytest.raises(EngineError):
        await describe_bad_row(Piece(b"a,1\n", 1, 1.0, CSV), DATASOURCE, Sink(b"a", 500).insert)


def test_rows_and_fields_end_where_no_quote_is_open() -> None:
    assert split_rows(b'a,"x\ny"\r\nb\n"open\n', quoted=True) == [
        b'a,"x\ny"\r\n',
        b"b\n",
        b'"open\n',
    ]
    assert split_rows(b'{"a": "\x0b"}\n\n{', quoted=False) == [b'{"a": "\x0b"}\n', b"\n", b"{"]
    assert split_fields(b'a,"b, ""c""",,d\r\n') == [b"a", b'"b, ""c"""', b"", b"d"]
