"""Parts of row filters that need no engine: lifting, the list of functions, what is derived from
what, and what answers do not say."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipewren.engine.contract import Result, Statistics
from pipewren.errors import StartError
from pipewren.project.assembly import parse_project
from pipewren.sql.filtered_answers import hide_scanned
from pipewren.sql.function_list import Access, load_functions
from pipewren.sql.graph import compile_pipes
from pipewren.sql.lifting import lift, split_at_marks
from pipewren.sql.query_tree import read_tree
from pipewren.sql.recent import Recent
from pipewren.sql.unfilterable import find_derived

FUNCTIONS = load_functions("26.9.2.1")


@given(st.text(alphabet="ab'\\ 1.(,)-`\"\n", max_size=40))
@settings(deadline=None, derandomize=True)
def test_pieces_and_values_put_together_are_the_text(text: str) -> None:
    lifted = lift(text)
    together = lifted.pieces[0]
    for value, piece in zip(lifted.values, lifted.pieces[1:], strict=True):
        together += value + piece
    assert together == text
    assert lifted.fill(range(len(lifted.values))) == text


@given(st.text(alphabet="a'\\ \n\"`-", max_size=12), st.integers(0, 10**14))
@settings(deadline=None, derandomize=True)
def test_values_are_lifted_out_of_any_statement(word: str, number: int) -> None:
    literal = "'" + word.replace("\\", "\\\\").replace("'", "\\'") + "'"
    lifted = lift(f"SELECT {literal} FROM t WHERE x = {number} -- it's")
    assert lifted.values == (literal, str(number))
    assert lifted.skeleton == lift("SELECT 'z' FROM t WHERE x = 7 -- it's").skeleton


def test_a_text_that_holds_a_mark_is_not_lifted() -> None:
    for word in ("pwslot0001z", "pwfilter_ev", "\0"):
        lifted = lift(f"SELECT '{word}', 1")
        assert lifted.is_reserved
        assert lifted.values == ()


def test_a_number_that_looks_like_a_mark_gets_other_marks() -> None:
    lifted = lift("SELECT '73400330000', 5 FROM t")
    assert "7340033" not in lifted.fill(())
    written = lifted.fill(())
    assert split_at_marks(written, lifted, ()) == ("SELECT ", 0, ", ", 1, " FROM t")


def test_numbers_behind_a_dot_and_words_of_digits_are_not_lifted() -> None:
    assert lift("SELECT t.1, 0x1F, x1, 1.5, .5").values == ("1.5",)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        *(("count", "count"), ("COUNT", "COUNT"), ("sumIf", "sum"), ("SUMIf", "sum")),
        *(("uniqMergeState", "uniq"), ("sumIfOrNullForEach", "sum"), ("LOWER", "lower")),
        *(("quantilesTDigestIf", "quantilesTDigest"), ("lambda", "lambda")),
    ],
)
def test_a_function_is_found_with_its_combinators(name: str, found: str) -> None:
    function = FUNCTIONS.find(name)
    assert function is not None
    assert function.name.lower() == found.lower()


@pytest.mark.parametrize(
    "name", ["sumIF", "lowerIf", "MergeIf", "nothing_such", "", "fileIf", "UniqX"]
)
def test_what_is_no_function_is_not_found(name: str) -> None:
    assert FUNCTIONS.find(name) is None


@pytest.mark.parametrize(
    "name", ["file", "joinGet", "dictGetString", "dictHas", "AIGenerate", "hasColumnInTable"]
)
def test_functions_that_read_elsewhere_are_nobodys(name: str) -> None:
    function = FUNCTIONS.find(name)
    assert function is not None
    assert function.access is Access.NOBODY


@pytest.mark.parametrize("name", ["sleep", "throwIf", "user", "levenshteinDistance", "hostName"])
def test_functions_that_callers_may_not_use_are_authors(name: str) -> None:
    function = FUNCTIONS.find(name)
    assert function is not None
    assert function.access is Access.AUTHORS


def test_an_engine_without_a_list_is_refused() -> None:
    with pytest.raises(StartError, match=r"no list of the functions of ClickHouse 99\.1"):
        load_functions("99.1.1")


def test_a_tree_of_another_kind_is_a_hindrance() -> None:
    for tree in ({"type": "InsertQuery"}, {}, {"type": "SelectWithUnionQuery", "out_file": {}}):
        assert read_tree(tree, FUNCTIONS).hindrances


def test_the_entry_that_was_not_used_for_longest_goes_first() -> None:
    recent: Recent[str, int] = Recent(2)
    recent.keep("a", 1)
    recent.keep("b", 2)
    assert recent.find("a") == 1
    recent.keep("c", 3)
    assert (recent.find("a"), recent.find("b"), recent.find("c")) == (1, None, 3)


SCHEMA = "SCHEMA >\n    id UInt32\n\nENGINE MergeTree\nENGINE_SORTING_KEY id\n"


def test_what_is_made_of_a_data_source_is_followed_through_nodes_pipes_and_copies() -> None:
    texts = {f"datasources/{name}.datasource": SCHEMA for name in ("ev", "daily", "old", "o")}
    texts |= {
        "pipes/plain.pipe": "NODE one\nSQL >\n    SELECT id FROM ev\n",
        "pipes/fill.pipe": (
            "NODE a\nSQL >\n    SELECT id FROM plain\nNODE b\nSQL >\n    SELECT id FROM a\n"
            "TYPE materialized\nDATASOURCE daily\n"
        ),
        "pipes/keep.pipe": (
            "NODE a\nSQL >\n    SELECT id FROM daily\nTYPE copy\nTARGET_DATASOURCE old\n"
        ),
    }
    project = parse_project({path: text.encode() for path, text in texts.items()})
    derived = find_derived(project, compile_pipes(project))
    assert derived == {"ev": frozenset({"daily", "old"}), "daily": frozenset({"old"})}


def test_what_is_filled_from_a_quarantine_is_made_of_its_data_source() -> None:
    texts = {f"datasources/{name}.datasource": SCHEMA for name in ("ev", "mended")}
    texts["pipes/mend.pipe"] = (
        "NODE a\nSQL >\n    SELECT toUInt32(id) AS id FROM ev_quarantine\n"
        "TYPE copy\nTARGET_DATASOURCE mended\n"
    )
    project = parse_project({path: text.encode() for path, text in texts.items()})
    assert find_derived(project, compile_pipes(project)) == {"ev": frozenset({"mended"})}


def test_scanned_rows_are_zeros_at_the_end_of_json_only() -> None:
    end = (
        b'\n\t"rows": 1,\n\n\t"statistics":\n\t{\n\t\t"elapsed": 0.001,\n\t\t"rows_read": 9,'
        b'\n\t\t"bytes_read": 72\n\t}\n}\n'
    )
    value = rb'{"data": ["\n\t\"rows_read\": 9"],'
    shown = hide_scanned(Result(value + b" " * 900 + end, Statistics(0.5, 9, 72, 1)), "JSON")
    assert shown.body.startswith(value)
    assert shown.body.endswith(end.replace(b": 9,", b": 0,").replace(b": 72", b": 0"))
    assert shown.statistics == Statistics(0.5, 0, 0, 1)
    for format in ("CSV", "RowBinaryWithNamesAndTypes"):  # whose values may look so
        assert hide_scanned(Result(end, Statistics()), format).body == end


def test_lines_of_progress_are_one_without_numbers_whatever_was_read() -> None:
    format = "JSONStringsEachRowWithProgress"
    head = b'{"meta":[{"name":"{\\"progress\\":","type":"String"}]}\n'
    row = b'{"row":{"{\\"progress\\":":"\\n{\\"progress\\":9}\\n"}}\n'
    progress = b'{"progress":{"read_rows":"9","read_bytes":"72","elapsed_ns":"5"}}\n'
    end = (
        b'{"progress":{"read_rows":"0","read_bytes":"0","total_rows_to_read":"0",'
        b'"elapsed_ns":"500000000"}}\n'
    )
    for body in (head + row, progress + head + progress + row + progress):
        shown = hide_scanned(Result(body, Statistics(0.5, 9, 72, 1)), format)
        assert shown == Result(head + row + end, Statistics(0.5, 0, 0, 1))
