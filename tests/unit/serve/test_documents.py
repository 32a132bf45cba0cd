"""The chunks of a stream, each a whole document, as one."""

from __future__ import annotations

import csv
import io
import json

import pytest

from pipewren.engine.contract import Statistics
from pipewren.errors import EngineError
from pipewren.serve.documents import Joiner, make_joiner
from pipewren.serve.formats import NAMED

STATISTICS = Statistics(elapsed_s=0.25, rows_read=10, bytes_read=80, result_rows=3)


def json_chunk(*rows: str, name: str = "n") -> bytes:
    """As chDB 4.4 writes one."""
    meta = (
        f'{{\n\t"meta":\n\t[\n\t\t{{\n\t\t\t"name": {json.dumps(name)},\n\t\t\t"type": "String"'
        "\n\t\t}\n\t],"
    )
    body = ",\n".join(f"\t\t{{\n\t\t\t{json.dumps(name)}: {row}\n\t\t}}" for row in rows)
    tail = (
        f'\n\t],\n\n\t"rows": {len(rows)},\n\n\t"statistics":\n\t{{\n\t\t"elapsed": 1\n\t}}\n}}\n'
    )
    return (meta + '\n\n\t"data":\n\t[\n' + body + tail).encode()


def joiner(format: str) -> Joiner:
    made = make_joiner(format)
    assert made is not None
    return made


def join(format: str, *chunks: bytes) -> bytes:
    joined = joiner(format)
    return b"".join([joined.join(chunk) for chunk in chunks] + [joined.end(STATISTICS)])


@pytest.mark.parametrize("name", ["n", "data", 'a"],\n\t"rows": 1', '"data":\n\t[\n', "\\"])
def test_json_documents_become_one(name: str) -> None:
    rows = ['"a"', '"],\\n\\n\\t\\"rows\\": 9"', '"\\n\\t\\"data\\":\\n\\t[\\n"']
    chunks = [json_chunk(*rows[:2], name=name), json_chunk(rows[2], name=name)]
    document = json.loads(join("JSON", *chunks))
    assert [row[name] for row in document["data"]] == [json.loads(row) for row in rows]
    assert document["meta"] == [{"name": name, "type": "String"}]
    assert document["rows"] == 3
    assert document["statistics"] == {"elapsed": 0.25, "rows_read": 10, "bytes_read": 80}


def test_an_empty_json_document_is_whole() -> None:
    assert json.loads(join("JSON", json_chunk()))["data"] == []


def test_json_documents_without_rows_between_others_add_nothing() -> None:
    joined = join("JSON", json_chunk(), json_chunk("1"), json_chunk(), json_chunk("2", "3"))
    assert [row["n"] for row in json.loads(joined)["data"]] == [1, 2, 3]


def test_a_csv_header_stays_once_whatever_its_names_hold() -> None:
    head = b'"a,""b""","line\nbreak"\n'
    joined = join("CSVWithNames", head + b'1,"x"\n', head + b'2,"y\nz"\n')
    assert list(csv.reader(io.StringIO(joined.decode()))) == [
        ['a,"b"', "line\nbreak"],
        ["1", "x"],
        ["2", "y\nz"],
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_csv_header_ends_before_rows_that_are_in_quotes_too(end: str) -> None:
    head, same, other = f'"n"{end}', f'"x"{end}', f'"y"{end}'
    chunks = [f"{head}{same}{same}", f"{head}{same}{same}", f"{head}{other}"]
    joined = join("CSVWithNames", *(chunk.encode() for chunk in chunks)).decode()
    assert joined == head + 4 * same + other


@pytest.mark.parametrize("format", ["JSONEachRow", "CSV", "TSV", "TabSeparated", "Native"])
def test_lines_pass_as_they_are(format: str) -> None:
    assert join(format, b"1\n", b"2\n") == b"1\n2\n"
    assert join(format) == b""


def test_a_csv_header_may_have_any_delimiter_and_end_of_line() -> None:
    head = b'"a;""b""";"c"\r\n'
    assert join("CSVWithNames", head + b"1;2\r\n", head + b"3;4\r\n") == head + b"1;2\r\n3;4\r\n"


@pytest.mark.parametrize(
    ("format", "head"),
    [
        ("TSVWithNames", b"a\tb\\nc\n"),
        ("TabSeparatedWithNamesAndTypes", b"a\tb\nString\tString\n"),
        ("JSONCompactEachRowWithNamesAndTypes", b'["a\\n"]\n["String"]\n'),
        # two columns; a name of 200 bytes, whose length takes two, and one with line breaks
        (
            "RowBinaryWithNamesAndTypes",
            b"\x02\xc8\x01" + b"n" * 200 + b"\x03a\nb" + b"\x05UInt8\x06String",
        ),
        (
            "ODBCDriver2",
            b"\x02\0\0\0"
            + b"\x02\0\0\0\x04\0\0\0name\x03\0\0\0a\nb"
            + b"\x02\0\0\0\x04\0\0\0type\x05\0\0\0UInt8",
        ),
    ],
)
def test_the_head_of_every_chunk_but_the_first_is_taken_off(format: str, head: bytes) -> None:
    assert join(format, head + b"row 1", head + head, head + b"row 3") == (
        head + b"row 1" + head + b"row 3"
    )
    assert join(format, head) == head
    for chunks in ([head[:-1]], [head, b"x" + head], [b""], []):
        with pytest.raises(EngineError, match=f"not in the format {format}"):
            join(format, *chunks)


def test_progress_comes_once_and_last() -> None:
    head, row = (
        b'{"meta":[{"name":"n","type":"String"}]}\n',
        b'{"row":{"n":"{\\"progress\\":1}"}}\n',
    )
    progress = b'{"progress":{"read_rows":"5"}}\n'
    joined = join(
        "JSONStringsEachRowWithProgress", head + row + progress, progress + head + progress + row
    )
    assert joined == head + row + row + (
        b'{"progress":{"read_rows":"10","read_bytes":"80","total_rows_to_read":"10",'
        b'"elapsed_ns":"250000000"}}\n'
    )


@pytest.mark.parametrize("format", ["JSON", "JSONCompact", "JSONStrings"])
def test_json_documents_name_their_own_format_where_one_is_not_known(format: str) -> None:
    with pytest.raises(EngineError, match=f"not in the format {format} as"):
        join(format, b"{}")


@pytest.mark.parametrize(
    ("format", "chunks"),
    [
        ("JSON", [b"{}"]),
        ("JSON", []),
        ("CSVWithNames", [b"a\n1\n"]),
        ("CSVWithNames", [b'"a"\n1\n', b'"b"\n2\n']),
    ],
)
def test_what_is_not_the_known_form_is_an_error_and_no_answer(
    format: str, chunks: list[bytes]
) -> None:
    with pytest.raises(EngineError, match="not in the format"):
        join(format, *chunks)


def test_all_formats_but_two_can_be_streamed() -> None:
    whole = {name for name, format in NAMED.items() if make_joiner(format.engine_format) is None}
    assert whole == {"Parquet", "PrettyCompact"}
