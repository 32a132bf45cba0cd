"""What decides the attacks does tell: otherwise every one of them would seem to have failed."""

from __future__ import annotations

import base64
import os
import socket
from pathlib import Path

import pytest

from pipewren.testing.serving import HttpAnswer
from tests.api.attacks.cases import ATTACKS, NOTHING, load_cases
from tests.api.attacks.evidence import Listener, Marks, Watch, forget_peak, peak_memory_bytes
from tests.api.attacks.world import World


@pytest.mark.parametrize(
    "disguise",
    [
        lambda text: text,
        str.upper,
        lambda text: text[::-1],
        lambda text: text.encode().hex(),
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: base64.b64encode(b"a" + text.encode() + b"b").decode(),
        lambda text: base64.b64encode(b"ab" + text.encode()).decode(),
    ],
)
def test_marks_are_seen_in_bodies_and_headers_also_in_disguise(disguise: object) -> None:
    marks = Marks()
    assert callable(disguise)
    for kind in Marks.__slots__:
        text = disguise(getattr(marks, kind))
        assert marks.told_by(HttpAnswer(200, {}, f"..{text}..".encode()), NOTHING) == [kind]
        assert marks.told_by(HttpAnswer(400, {"x-told": text}, b""), NOTHING) == [kind]
    assert marks.told_by(HttpAnswer(200, {}, marks.row.encode()), frozenset({"row"})) == []
    assert marks.told_by(HttpAnswer(200, {"a": "b"}, b"nothing of it"), NOTHING) == []


def test_a_file_that_is_opened_or_made_is_seen(tmp_path: Path) -> None:
    canary = tmp_path / "canary.txt"
    canary.write_text("x")
    watch = Watch()
    watch.opening(canary)
    watch.making(tmp_path)
    assert not watch.has_seen()
    assert canary.read_text() == "x"
    assert watch.has_seen()
    assert not watch.has_seen()
    (tmp_path / "made").write_text("y")
    assert watch.has_seen()
    watch.close()


def test_a_call_of_the_port_is_seen() -> None:
    listener = Listener()
    assert not listener.was_called()
    with socket.create_connection(("127.0.0.1", listener.port)):
        assert listener.was_called()
    assert not listener.was_called()
    listener.close()


def test_rows_hidden_names_and_faults_of_the_server_are_seen(world: World) -> None:
    def harm(body: bytes, status: int = 200) -> list[str]:
        return world.harm_done(HttpAnswer(status, {}, body), NOTHING)

    assert harm(b"") == []
    assert harm(world.words["OWNDB"].encode()) != []
    assert harm(b"", status=500) != []
    whole = world.server.request("/v0/pipes/listed.json")
    assert world.harm_done(whole, NOTHING) == ["row"]
    counts, rows = world.counts, world.rows
    world.counts = b"others"
    assert harm(b"", status=400) == ["rows have changed"]
    world.rows = (b"others",)
    assert harm(b"") == ["rows have changed"]
    assert (world.counts, world.rows) == (counts, rows)


def test_a_process_that_grows_is_seen() -> None:
    before = forget_peak(os.getpid())
    held = bytearray(100_000_000)
    assert peak_memory_bytes(os.getpid()) > before + 50_000_000
    assert len(held) == 100_000_000
    assert peak_memory_bytes(2**22 + 1) == 0  # no process has such a number


def test_the_list_is_long_and_each_case_has_a_name_of_its_own() -> None:
    names = [path.stem for path in ATTACKS.glob("*.jsonl")]
    counts = {name: len(load_cases(name)) for name in names}
    assert len(counts) >= 8
    assert sum(counts.values()) > 1500
