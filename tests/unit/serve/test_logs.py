"""Lines of the log: one each, whatever callers send, and no token in any."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipewren.serve.logs import (
    HumanLines,
    JsonLines,
    LogFormat,
    LogOptions,
    escape_controls,
    make_tell,
    mask_tokens,
    name_request,
    open_logs,
    with_fields,
)
from pipewren.serve.trace import Trace

STATIC = "p.eyJ1IjogIjEyMyIsICJpZCI6ICJhYmMifQ.c2lnbmF0dXJlLW9mLXRva2Vu"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJuYW1lIjoiYSJ9.c2lnbmF0dXJlLW9mLWp3dA"
LOGGERS = ("", "pipewren", "pipewren.audit", "pipewren.start", "py.warnings")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Loggers are the process's."""
    kept = [
        (one, one.handlers[:], one.level, one.propagate)
        for one in (logging.getLogger(name) for name in LOGGERS)
    ]
    yield
    logging.captureWarnings(False)
    for logger, handlers, level, propagate in kept:
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate


def written(format: LogFormat, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    open_logs(LogOptions(format, level), stream)  # type: ignore[arg-type]
    return stream


def json_line(stream: io.StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def record(message: str, /, **fields: Any) -> logging.LogRecord:
    made = logging.LogRecord("pipewren.serve", logging.WARNING, "", 0, "%s", (message,), None)
    made.__dict__.update(with_fields(fields))
    return made


def test_a_json_line_has_time_level_logger_message_and_the_requests_names() -> None:
    stream = written("json")
    fields = name_request("r-1", Trace("a" * 32, "b" * 16))
    logging.getLogger("pipewren.serve").warning("cut %s", "off", extra=with_fields(fields))
    line = json_line(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "WARNING",
        "logger": "pipewren.serve",
        "message": "cut off",
        "request_id": "r-1",
        "trace_id": "a" * 32,
        "span_id": "b" * 16,
    }


def test_a_line_for_people_has_the_same_and_leaves_out_what_the_message_tells() -> None:
    stream = written("human")
    fields = {"request_id": "r-1", "pipe": "top", "text": "two words", "rows": 3}
    logging.getLogger("pipewren.serve").warning(
        "slow: top", extra=with_fields(fields, told=("pipe",))
    )
    (line,) = stream.getvalue().splitlines()
    assert line.partition(" ")[2] == 'WARNING slow: top request_id=r-1 text="two words" rows=3'


@pytest.mark.parametrize("format", ["human", "json"])
def test_the_level_counts_for_our_lines_and_warnings_of_libraries_are_told(
    format: LogFormat,
) -> None:
    stream = written(format, "error")
    logging.getLogger("pipewren.serve").warning("ours")
    logging.getLogger("library").info("theirs")
    assert stream.getvalue() == ""
    logging.getLogger("pipewren.serve").error("ours")
    logging.getLogger("library").warning("theirs")
    assert len(stream.getvalue().splitlines()) == 2


def test_opening_again_takes_the_place_of_what_was_set() -> None:
    first, second = written("json"), written("json")
    logging.getLogger("pipewren.serve").error("once")
    assert first.getvalue() == ""
    assert json_line(second)["message"] == "once"


def test_a_field_cannot_take_the_place_of_the_lines_own() -> None:
    line = json.loads(JsonLines().format(record("m", level="DEBUG", message="other", time=0)))
    assert (line["level"], line["message"]) == ("WARNING", "m")


@given(st.text(), st.text(), st.text())
def test_whatever_a_caller_sends_is_on_one_line(message: str, value: str, name: str) -> None:
    made = record(message + "\n" + value, user_agent=value, **{f"x{len(name)}": name + "\r\n"})
    shown = HumanLines().format(made)
    assert len(shown.splitlines()) == 1
    assert shown.isprintable() or not set(shown) & set(map(chr, range(32)))
    line = JsonLines().format(made)
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line)["user_agent"] == mask_tokens(value)


@pytest.mark.parametrize("control", ["\n", "\r", "\x1b", "\x85", "\u2028", "\u202e", "\ud800"])
def test_control_characters_are_shown_and_not_done(control: str) -> None:
    assert escape_controls(f"a{control}b") == f"a{ascii(control)[1:-1]}b"
    assert control not in HumanLines().format(record(control, field=f"{control} x"))


def test_a_traceback_cannot_look_like_lines_of_the_log() -> None:
    try:
        raise RuntimeError("bad\n2026-01-01T00:00:00.000Z INFO forged")
    except RuntimeError as error:
        made = record("it failed")
        made.exc_info = (RuntimeError, error, error.__traceback__)
    first, *others = HumanLines().format(made).splitlines()
    assert first.endswith("WARNING it failed")
    assert any("INFO forged" in line for line in others)
    assert all(line.startswith("    ") for line in others)
    assert "forged" in json.loads(JsonLines().format(made))["exception"]


@pytest.mark.parametrize("value", [STATIC, JWT, f"token={'any text'.replace(' ', '')}"])
def test_what_looks_like_a_token_is_masked_wherever_it_stands(value: str) -> None:
    secret = value.removeprefix("token=")
    texts = (f"/v0/x?a=1&{value}&b=2", f"'{value}'", f"see {value}.", f"Bearer {secret}")
    for text in texts:
        try:
            raise ValueError(text)
        except ValueError as error:
            made = record(text, url=text)
            made.exc_info = (ValueError, error, error.__traceback__)
        for formatter in (HumanLines(), JsonLines()):
            assert secret not in formatter.format(made)
            assert "***" in formatter.format(made)


@pytest.mark.parametrize("text", ["eyewitness_of_all", "the token is bad", "tokens=3", "keyed"])
def test_other_words_are_left_as_they_are(text: str) -> None:
    assert mask_tokens(text) == text


def test_audit_lines_become_lines_of_the_json_log() -> None:
    stream = written("json")
    text = json.dumps({"audit": "token.create", "at": "now", "allowed": True, "token": "admin"})
    logging.getLogger("pipewren.audit").info("%s", text)
    line = json_line(stream)
    assert line["message"] == "token.create"
    assert (line["logger"], line["allowed"], line["token"]) == ("pipewren.audit", True, "admin")


@pytest.mark.parametrize(
    ("told", "level", "message"),
    [
        ("Listening on http://a", "INFO", "Listening on http://a"),
        ("warning: a.pipe:3: odd", "WARNING", "a.pipe:3: odd"),
        ("error: no port", "ERROR", "no port"),
    ],
)
def test_what_is_told_of_the_start_is_a_line_of_the_json_log(
    told: str, level: str, message: str
) -> None:
    stream = written("json")
    plain: list[str] = []
    make_tell(LogOptions("json"), plain.append)(told)
    line = json_line(stream)
    assert (line["level"], line["message"], plain) == (level, message, [])
    make_tell(LogOptions("human"), plain.append)(told)
    assert plain == [told]


def test_a_log_that_cannot_be_written_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    stream = written("json")
    stream.close()
    logging.getLogger("pipewren.serve").error("unheard")
    assert capsys.readouterr().err == ""
