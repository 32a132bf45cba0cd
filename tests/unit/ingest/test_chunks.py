"""Files are cut between rows, and the same way every time."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipewren.errors import BadRequest
from pipewren.ingest import chunks
from pipewren.ingest.chunks import cut_lines, open_rows, read_csv_header, read_first_row
from pipewren.project.model import Fixture


def test_bodies_are_whole_lines_and_together_the_whole_file() -> None:
    text = b"".join(b"row %d\n" % number for number in range(1000))
    bodies = list(cut_lines(io.BytesIO(text), quoted=False, chunk_bytes=64))
    assert b"".join(bodies) == text
    assert len(bodies) > 50
    assert all(body.endswith(b"\n") for body in bodies)


def test_a_last_line_without_a_newline_gets_one() -> None:
    assert list(cut_lines(io.BytesIO(b"a\nb"), quoted=False)) == [b"a\n", b"b\n"]


def test_a_newline_in_quotes_does_not_end_a_row() -> None:
    row = b'1,"two\nlines and a ""quote"""\n'
    bodies = list(cut_lines(io.BytesIO(row * 40), quoted=True, chunk_bytes=50))
    assert b"".join(bodies) == row * 40
    assert all(body.count(b'"') % 2 == 0 for body in bodies)


@given(
    st.lists(st.lists(st.text(alphabet='a"\n,', max_size=6), min_size=1, max_size=3), max_size=20),
    st.integers(8, 80),
)
def test_every_body_holds_whole_rows_whatever_is_quoted(
    rows: list[list[str]], chunk_bytes: int
) -> None:
    lines = [",".join('"' + field.replace('"', '""') + '"' for field in row) + "\n" for row in rows]
    text = "".join(lines).encode()
    bodies = list(cut_lines(io.BytesIO(text), quoted=True, chunk_bytes=chunk_bytes))
    assert b"".join(bodies) == text
    ends = set()
    position = 0
    for line in lines:
        position += len(line)
        ends.add(position)
    position = 0
    for body in bodies:
        position += len(body)
        assert position in ends


def test_a_quote_left_open_is_an_error_and_not_a_file_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chunks, "MAX_ROW_BYTES", 1000)
    with pytest.raises(BadRequest, match="is a double quote left open"):
        list(cut_lines(io.BytesIO(b'"' + b"x\n" * 5000), quoted=True, chunk_bytes=100))


def test_a_first_line_with_a_columns_name_is_a_header() -> None:
    assert read_csv_header(b'id,"name",extra\n', ["id", "name"]) == ("id", "name", "extra")
    assert read_csv_header(b"1,Anna\n", ["id", "name"]) is None


def test_a_first_row_may_span_lines() -> None:
    file = io.BytesIO(b'1,"a\nb"\n2,c\n')
    assert read_first_row(file) == b'1,"a\nb"\n'
    assert file.read() == b"2,c\n"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_compression_and_byte_order_mark_are_taken_off(
    tmp_path: Path, mark: bytes, compression: None
) -> None:
    path = tmp_path / "rows"
    path.write_bytes(gzip.compress(mark + b"a,b\n") if compression else mark + b"a,b\n")
    fixture = Fixture("x", path, "csv", compression)
    with path.open("rb", buffering=0) as raw, open_rows(fixture.compression, raw) as rows:
        assert rows.read() == b"a,b\n"
