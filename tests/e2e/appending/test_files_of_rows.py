"""A file of rows is appended or put in place of what is there: whole, or not at all."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from tests.e2e.appending.conftest import Target, make_rows


def ndjson(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_a_job_appends_ndjson_and_its_counts_are_there_at_once(target: Target) -> None:
    rows = make_rows(5)
    body = ndjson(rows)
    job = target.load("ndjson", body, headers={"Content-Type": "application/x-ndjson"})
    assert (job["status"], job["kind"], job["mode"]) == ("done", "import", "append")
    assert job["import_id"] == job["job_id"] == job["id"]
    assert job["job_url"] == f"{target.server.base_url}/v0/jobs/{job['id']}"
    assert job["statistics"]["row_count"] == 5
    (block,) = job["blocks"]
    (counts,) = block["process_return"]
    assert counts == {"lines": 5, "quarantine": 0, "invalid_lines": 0, "bytes": len(body)}
    assert "error" not in job
    assert target.count("ndjson") == 5
    assert target.rows("ndjson") == sorted(rows, key=str)
    assert target.load("ndjson", body)["statistics"]["row_count"] == 10  # the same file, again


def test_columns_of_a_csv_file_are_in_the_schemas_order(target: Target) -> None:
    job = target.load(
        "csv", b'/a,1,2026-01-01 00:00:00,x\n"/b, c",2,2026-01-01,\n\n\n', format="csv"
    )
    assert job["status"] == "done", job
    assert [(row["page"], row["n"], row["note"]) for row in target.rows("csv")] == [
        ("/a", 1, "x"),
        ("/b, c", 2, None),
    ]


def test_columns_of_a_csv_file_with_a_header_are_found_by_name(target: Target) -> None:
    body = b'at,else,page,n\n2026-01-01T00:00:00Z,?,"/two\nlines",7\n'
    assert target.load("csv_header", body, format="csv")["status"] == "done"
    (row,) = target.rows("csv_header")
    assert row == {"page": "/two\nlines", "n": 7, "at": "2026-01-01 00:00:00", "note": None}


def test_a_compressed_file_may_come_in_parts(target: Target) -> None:
    body = gzip.compress(ndjson(make_rows(1000)))
    parts = (body[at : at + 100] for at in range(0, len(body), 100))
    answer = target.send(
        "/v1/datasources/gzipped/append",
        parts,  # type: ignore[arg-type] # urllib sends an iterable in chunks
        params={"format": "ndjson"},
        headers={"Content-Encoding": "gzip"},
    )
    assert target.wait(answer.json()["id"])["status"] == "done"
    assert target.count("gzipped") == 1000


def test_what_is_no_whole_gzip_leaves_nothing(target: Target) -> None:
    body = gzip.compress(ndjson(make_rows(100)))[:-20]
    job = target.load("broken_gzip", body, headers={"Content-Encoding": "gzip"})
    assert job["status"] == "error"
    assert "gzip" in job["error"]
    assert target.count("broken_gzip") == 0


def test_parquet_is_read_by_the_names_of_its_columns(target: Target) -> None:
    file = io.BytesIO()
    table = pyarrow.table({"n": [1, 2], "page": ["/a", "/b"], "more": [0.5, 0.5]})
    pyarrow.parquet.write_table(table, file)
    job = target.load("parquet", file.getvalue(), format="parquet")
    assert job["status"] == "done", job
    assert [(row["page"], row["n"]) for row in target.rows("parquet")] == [("/a", 1), ("/b", 2)]
    job = target.load("parquet", b"no Parquet at all", format="parquet")
    assert "Parquet" in job["error"]


def test_json_paths_reach_into_objects_and_arrays(target: Target) -> None:
    body = b'{"user": {"id": 7}, "tags": ["a", "b"]}\n'
    assert target.load("nested", body)["status"] == "done"
    raw = body.decode().strip()
    assert target.rows("nested") == [{"id": 7, "tags": ["a", "b"], "raw": raw}]
    job = target.load("nested", body + b'\n{"user": {"id": "seven"}}\n')
    assert "line 3: value 'seven' on column 'id' is not UInt32" in job["error"]
    job = target.load("nested", body + b"[1]\n")
    assert "line 2: it is not a JSON object" in job["error"]
    job = target.load("bad", b'{"page": "/a"}\n{"page": "')
    assert "line 2: it is not a JSON object" in job["error"]
    assert target.count("nested") == 1


def test_a_bad_row_in_the_middle_leaves_no_row_and_is_named(target: Target) -> None:
    rows = make_rows(60_000)  # several pieces
    rows[45_000]["n"] = "many"
    job = target.load("bad", ndjson(rows))
    assert job["status"] == "error"
    assert job["errors"] == [job["error"]]
    assert "line 45001: value 'many' on column 'n' is not Int32" in job["error"]
    assert target.count("bad") == 0
    assert target.rows("bad") == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"/a,1,2026-01-01,\n/b,x,2026-01-01,\n", "line 2: value 'x' on column 'n' is not Int32"),
        (b'page,n\n/a,1\n/a,1\n/b,"x"\n', "line 4: value 'x' on column 'n' is not Int32"),
        (b'"/a\n",1,2026-01-01,\n/b,1\n', "line 3: it has 2 fields, where 4 are expected"),
    ],
)
def test_a_bad_row_of_a_csv_file_is_named_by_its_line(
    target: Target, body: bytes, told: str
) -> None:
    job = target.load("bad_csv", body, format="csv")
    assert told in job["error"]
    assert target.count("bad_csv") == 0


def test_two_files_for_one_source_at_a_time_are_both_appended(target: Target) -> None:
    bodies = [ndjson(make_rows(3000, page=page)) for page in ("/a", "/b")]
    path, params = "/v1/datasources/twice/append", {"format": "ndjson"}
    ids = [target.send(path, body, params=params).json()["id"] for body in bodies]
    first, second = (target.wait(job_id) for job_id in ids)
    assert (first["status"], second["status"]) == ("done", "done")
    assert first["statistics"]["row_count"] == 3000  # in order of arrival
    assert target.count("twice") == 6000


def test_a_table_of_many_partitions_takes_files_as_others_do(target: Target) -> None:
    rows = [
        {"page": "/a", "n": at, "at": f"{2000 + at // 12}-{at % 12 + 1:02d}-01 00:00:00"}
        for at in range(150)  # more than a table that is linked anew for an append
    ]
    assert target.load("many_parts", ndjson(rows))["statistics"]["row_count"] == 150
    assert target.load("many_parts", ndjson(rows))["statistics"]["row_count"] == 300
    rows[140]["n"] = "x"
    assert target.load("many_parts", ndjson(rows))["status"] == "error"
    assert target.count("many_parts") == 300


def test_replace_puts_the_files_rows_in_place_of_all(target: Target) -> None:
    target.load("replaced", ndjson(make_rows(10)))
    job = target.load("replaced", ndjson(make_rows(2, page="/new")), mode="replace")
    assert (job["status"], job["mode"]) == ("done", "replace")
    assert [row["page"] for row in target.rows("replaced")] == ["/new", "/new"]
    job = target.load("replaced", b'{"n": "x"}\n', mode="replace")
    assert job["status"] == "error"
    assert target.count("replaced") == 2
    target.load("replaced", ndjson(make_rows(3)))  # and it is still a table like any other
    assert target.count("replaced") == 5


def test_the_row_count_of_a_replacing_table_is_what_is_stored(target: Target) -> None:
    for number in range(3):
        target.load("replacing", ndjson([{"key": "a", "n": number}, {"key": "b", "n": number}]))
    status, shown = target.server.get("/v0/pipes/rows_of_replacing.json")
    assert (status, target.count("replacing")) == (200, shown["rows"])


def test_files_go_through_materialised_views_which_replace_would_not_feed(target: Target) -> None:
    rows = make_rows(5)
    assert target.load("viewed", ndjson(rows))["status"] == "done"
    assert target.rows("totals") == [{"page": "/a", "visits": 5}]
    job = target.load("viewed", ndjson([*rows, {"page": "/b", "n": "x"}]))
    assert "line 6: value 'x'" in job["error"]
    assert target.count("viewed") == 5
    job = target.load("viewed", ndjson(make_rows(1)), mode="replace")
    assert "materialised views read it" in job["error"]
    job = target.load("viewed", ndjson([{"page": "/b", "n": 13}]))
    assert "broke off at lines 1 to 1" in job["error"]
    assert "thirteen" in job["error"]
    assert target.rows("totals") == [{"page": "/a", "visits": 5}]
