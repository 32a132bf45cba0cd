"""The port of their own that metrics have: requests are told apart by its number."""

from __future__ import annotations

import pytest

from pipewren.errors import StartError
from pipewren.serve import supervisor
from pipewren.serve.listeners import Listeners, open_listeners
from pipewren.serve.supervisor import ServeOptions


def test_the_same_port_on_another_address_is_refused_and_nothing_stays_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = open_listeners("127.0.0.1", 0, 1)
    monkeypatch.setattr(supervisor, "open_listeners", lambda *_, **__: both)
    with pytest.raises(StartError, match="another port than the server's own"):
        supervisor._open_all(ServeOptions(metrics_port=both.port))
    assert [listener.fileno() for listener in both.sockets] == [-1] * len(both.sockets)


def test_a_metrics_port_that_is_taken_is_named_by_its_setting_and_closes_the_servers() -> None:
    taken = open_listeners("127.0.0.1", 0, 1)
    opened: list[Listeners] = []

    def remember(host: str, port: int, backlog: int, *, option: str = "--port") -> Listeners:
        opened.append(open_listeners(host, port, backlog, option=option))
        return opened[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor, "open_listeners", remember)
        with pytest.raises(StartError, match=f"Port {taken.port} .* with metrics_port"):
            supervisor._open_all(ServeOptions(port=0, metrics_port=taken.port))
    taken.close()
    assert [listener.fileno() for one in opened for listener in one.sockets] == [-1] * len(
        opened[0].sockets
    )
