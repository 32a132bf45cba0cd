"""The quick way to a text's shape and the slow one are one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipewren.errors import StatementError
from pipewren.sql.scans import Scans
from pipewren.sql.shape import Shape, read_shape

# What can be mistaken for something else, and what shapes are made of.
_PARTS = st.sampled_from(
    [
        *(
            "'",
            "''",
            "'a'",
            "'b'",
            "'a','b'",
            "', '",
            "\\",
            "\\'",
            "'it\\'s'",
            "`",
            "`q'`",
            '"',
            '"q"',
        ),
        *(
            "--",
            "-",
            "/",
            "*",
            "/*",
            "*/",
            "//",
            "#",
            "# ",
            "#!",
            "\n",
            " ",
            "$",
            "$a$",
            "‘",
            "’",
            "“",
        ),
        *(
            "”",
            "SELECT ",
            " FROM ",
            "a",
            "b ",
            ",",
            "(",
            ")",
            "[",
            "]",
            "[1,2]",
            "[-1, 2.5e-7]",
            "1",
            " LIMIT 5, 30",
            " 7",
            ";",
        ),
        *(
            "WITH a AS (",
            " SETTINGS join_use_nulls = ",
            " UNION ALL ",
            " IN ",
            " FORMAT ",
            "\0",
            "\t",
        ),
    ]
)
_TEXTS = st.builds(
    lambda head, parts: head + "".join(parts),
    st.sampled_from(["SELECT ", "SELECT 'x' FROM ", "WITH a AS (SELECT 1) SELECT ", "", "("]),
    st.lists(_PARTS, max_size=12),
)


def outcome(find: object, text: str) -> Shape | str:
    try:
        return find(text) if callable(find) else ""
    except StatementError as error:
        return error.message


@given(st.lists(_TEXTS, min_size=1, max_size=12))
def test_shapes_found_by_skeleton_are_those_of_the_tokens(texts: list[str]) -> None:
    scans = Scans("it")
    for text in (*texts, *texts):
        assert outcome(scans.find, text) == outcome(lambda one: read_shape(one, "it"), text)


@given(
    st.lists(st.text(st.sampled_from("ab'\\-/*`\"#$; ,()\n‘“")), min_size=2, max_size=6),
    st.sampled_from(["SELECT {} FROM a", "SELECT {} -- it's\nFROM `b'`", "SELECT 1 FROM {}"]),
)
def test_values_do_not_change_what_is_found(values: list[str], frame: str) -> None:
    scans = Scans("it")
    for value in values:
        quoted = "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        text = frame.replace("{}", quoted)
        assert scans.find(text) == read_shape(text, "it")


def test_a_text_with_other_values_is_not_scanned_again() -> None:
    scans = Scans("it")
    for start, end in (("SELECT ", " FROM a"), ("SELECT ", " -- it's\nFROM `a`")):
        first = scans.find(f"{start}['x'], [1,2]{end}")
        assert scans.find(f"{start}['it\\'s','-- b'], [3,-1.5e+20,nan]{end}") is first


def test_a_string_that_stands_for_a_table_counts() -> None:
    scans = Scans("it")
    assert [scans.find(f"SELECT * FROM '{name}'").names for name in "aba"] == [
        ("a",),
        ("b",),
        ("a",),
    ]


def test_settings_are_those_of_the_text() -> None:
    scans = Scans("it")
    text = "SELECT 1 SETTINGS join_algorithm = '{}'"
    for name in ("hash", "direct", "hash"):
        assert scans.find(text.replace("{}", name)).settings.values == (("join_algorithm", name),)


def test_pages_are_not_scanned_again() -> None:
    scans = Scans("it")
    first = scans.find("SELECT a1 FROM t LIMIT 10 OFFSET 20")
    assert scans.find("SELECT a1 FROM t LIMIT 10 OFFSET 50") is first
    assert scans.find("SELECT * FROM t1").names == ("t1",)
    assert scans.find("SELECT * FROM t2").names == ("t2",)
