"""The supervisor: holds the listening sockets and keeps one server process alive behind them.

It never imports the engine, or anything heavy: what neither a limit nor a KILL can stop in the
engine ends with the server process (design, decision 7), and the supervisor starts the next one
while clients wait in the sockets' backlog. One thread, no event loop: signals, the child's
reports and deadlines come together in one `select`.
"""

from __future__ import annotations

import contextlib
import math
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TypeAlias

from pipewren.errors import StartError
from pipewren.serve.bounds import HttpBounds
from pipewren.serve.child_process import (
    EXIT_START_ERROR,
    ChildProcess,
    Report,
    close_child,
    read_reports,
    send_order,
    spawn_child,
)
from pipewren.serve.listeners import Listeners, open_listeners
from pipewren.serve.logs import LogOptions
from pipewren.serve.signals import STOP_SIGNALS, has_terminal, read_signals, receive_signals

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"

FIRST_DELAY_S = 0.05
LONGEST_DELAY_S = 5.0
HEALTHY_AFTER_S = 60.0  # a child that was ready this long starts the back-off afresh
EXIT_KILLED = 1  # the server process had to be killed while stopping
EXIT_SIGNAL_BASE = 128  # the shell's convention: ended by signal N gives 128 + N


def log_to_stderr(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


@dataclass(frozen=True, slots=True)
class Ready:
    """A server process answers. `starts` counts from 1; `detail` is what the application gave in
    the `detail` of its `lifespan.startup.complete`."""

    url: str
    pid: int
    starts: int
    elapsed_s: float
    detail: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What to serve. `app` is "module:function", called in the server process with `payload` plus
    its key `base_url`, and `metrics_port` where metrics have a port of their own; it returns an
    ASGI application. A stop leaves `shutdown_grace_s` to running requests and `closing_s` more to
    the application's own end; then the process is killed."""

    host: str = "127.0.0.1"
    port: int = 7181
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    app: str = "pipewren.serve.lifecycle:create_app"
    payload: Mapping[str, Json] = field(default_factory=dict)
    address_space_bytes: int = 0
    shutdown_grace_s: float = 15.0
    closing_s: float = 5.0
    backlog: int = 4096
    http: HttpBounds = field(default_factory=HttpBounds)
    log: Callable[[str], None] = log_to_stderr
    log_error: Callable[[str], None] = log_to_stderr
    logs: LogOptions = field(default_factory=LogOptions)  # of the server process
    on_ready: Callable[[Ready], None] | None = None


def supervise(options: ServeOptions) -> int:
    """Serve until a signal ends it, and return the exit code. Call it in the main thread.

    0: stopped by SIGTERM or SIGINT, running requests finished or were cut off after the grace.
    EXIT_START_ERROR: the port or the first start failed; the message is on stderr.
    EXIT_KILLED: the server process did not stop in time, or crashed while stopping.
    128 + N: a second signal N ended it at once.
    """
    try:
        listeners, metrics = _open_all(options)
    except StartError as error:
        options.log_error(f"error: {error}")
        return EXIT_START_ERROR
    with contextlib.ExitStack() as opened:
        for one in filter(None, (listeners, metrics)):
            opened.callback(one.close)
        signals = opened.enter_context(receive_signals())
        return _Supervisor(options, listeners, metrics, signals).run()


def _open_all(options: ServeOptions) -> tuple[Listeners, Listeners | None]:
    """The listeners, and those of the metrics' own port. Raises StartError."""
    listeners = open_listeners(options.host, options.port, options.backlog)
    if options.metrics_port is None:
        return listeners, None
    try:
        metrics = open_listeners(
            options.metrics_host, options.metrics_port, options.backlog, option="metrics_port"
        )
    except BaseException:
        listeners.close()
        raise
    if metrics.port == listeners.port:  # on another address; requests are told apart by port
        listeners.close()
        metrics.close()
        raise StartError("metrics_port must be another port than the server's own.")
    return listeners, metrics


def next_delay_s(delay_s: float, ready_for_s: float) -> float:
    """The wait before the next start, after one of `delay_s` (0: none yet) led to a child that was
    ready for `ready_for_s`."""
    if delay_s == 0 or ready_for_s >= HEALTHY_AFTER_S:
        return FIRST_DELAY_S
    return min(delay_s * 2, LONGEST_DELAY_S)


class _Supervisor:
    def __init__(
        self,
        options: ServeOptions,
        listeners: Listeners,
        metrics: Listeners | None,
        signals: socket.socket,
    ) -> None:
        self._options = options
        self._listeners = listeners
        self._metrics = metrics
        self._signals = signals
        self._terminal = has_terminal()
        self._starts = 0
        self._was_ready = False
        self._stop_signals: list[int] = []

    def run(self) -> int:
        if self._listeners.warning is not None:
            self._log(f"warning: {self._listeners.warning}")
        delay_s = 0.0
        while True:
            child = self._spawn()
            code = self._attend(child) if child else EXIT_START_ERROR
            if self._stop_signals:
                return self._stopped(code)
            if code == EXIT_START_ERROR and not self._was_ready:
                return EXIT_START_ERROR
            delay_s = next_delay_s(delay_s, _ready_for_s(child))
            self._log(f"The server process {_describe(code)}; starting again in {delay_s:g} s")
            if self._pause(delay_s):
                return 0

    def _spawn(self) -> ChildProcess | None:
        self._starts += 1
        payload = {**self._options.payload, "base_url": self._listeners.url}
        sockets = self._listeners.sockets
        if self._metrics is not None:
            payload["metrics_port"] = self._metrics.port
            sockets += self._metrics.sockets
        order = {
            "app": self._options.app,
            "payload": payload,
            "address_space_bytes": self._options.address_space_bytes,
            "shutdown_grace_s": self._options.shutdown_grace_s,
            "backlog": self._options.backlog,
            "http": asdict(self._options.http),
            "logs": asdict(self._options.logs),
        }
        descriptors = tuple(listener.fileno() for listener in sockets)
        try:
            return spawn_child(order, descriptors)
        except OSError as error:
            self._options.log_error(f"error: Cannot start the server process: {error.strerror}")
            return None

    def _attend(self, child: ChildProcess) -> int:
        """Serve as the child's other half until it has ended; returns its exit code, negative for
        a signal."""
        kill_at_s = math.inf
        selector = selectors.DefaultSelector()
        try:
            selector.register(self._signals, selectors.EVENT_READ)
            selector.register(child.status, selectors.EVENT_READ)
            selector.register(child.control, selectors.EVENT_WRITE)
            while True:
                timeout_s = None if kill_at_s == math.inf else kill_at_s - time.monotonic()
                ready = [key.fileobj for key, _ in selector.select(timeout_s)]
                if child.control in ready:
                    send_order(child)
                    if not child.unsent:
                        selector.unregister(child.control)
                code = child.process.poll()  # before the reports, so that the last ones are read
                if child.status in ready:
                    reports, closed = read_reports(child)
                    if closed:
                        selector.unregister(child.status)
                    if any([self._note(child, report) for report in reports]):
                        kill_at_s = min(kill_at_s, self._end(child))
                if self._signals in ready and self._pass_on(child, read_signals(self._signals)):
                    kill_at_s = min(kill_at_s, self._end(child))
                if code is not None:
                    return code
                if time.monotonic() >= kill_at_s:
                    self._log("The server process does not stop: killing it")
                    child.process.kill()
                    kill_at_s = math.inf
        finally:
            selector.close()
            if child.process.poll() is None:  # only when an exception ends the supervisor
                child.process.kill()
            child.process.wait()
            close_child(child)

    def _note(self, child: ChildProcess, report: Report) -> bool:
        """Act on a report; True when the child must be replaced."""
        if "unhealthy" in report:
            self._log(f"The server process is unhealthy: {report['unhealthy']}")
            return True
        if report.get("ready"):
            child.ready_at_s = time.monotonic()
            self._was_ready = True
            elapsed_s = child.ready_at_s - child.started_at_s
            self._log(f"Listening on {self._listeners.url} (ready in {elapsed_s:.2f} s)")
            if self._metrics is not None:
                self._log(f"Metrics on {self._metrics.url}/metrics")
            if self._options.on_ready is not None:
                ready = Ready(
                    url=self._listeners.url,
                    pid=child.pid,
                    starts=self._starts,
                    elapsed_s=elapsed_s,
                    detail=report.get("detail", {}),
                )
                with contextlib.suppress(OSError):  # as in _log
                    self._options.on_ready(ready)
        return False

    def _pass_on(self, child: ChildProcess, received: Sequence[int]) -> bool:
        """Act on signals; True when the child is to end with the supervisor."""
        stops = self._take_stops(received)
        if signal.SIGHUP in received and not stops and child.ready_at_s is not None:
            child.process.send_signal(signal.SIGHUP)
        if len(self._stop_signals) > 1:
            child.process.kill()
        return bool(stops)

    def _take_stops(self, received: Sequence[int]) -> list[int]:
        stops = [number for number in received if number in STOP_SIGNALS]
        if signal.SIGHUP in received and self._terminal and not has_terminal():
            stops.append(signal.SIGHUP)  # the terminal was closed, nobody asked for a reload
        if stops and not self._stop_signals:
            self._log("Stopping: running requests finish first, a second signal ends them")
            self._listeners.close()
            if self._metrics is not None:
                self._metrics.close()
        self._stop_signals += stops
        return stops

    def _end(self, child: ChildProcess) -> float:
        """Ask the child to end; returns when to kill it, on the monotonic clock."""
        child.process.terminate()
        return time.monotonic() + self._options.shutdown_grace_s + self._options.closing_s

    def _stopped(self, code: int) -> int:
        if len(self._stop_signals) > 1:
            return EXIT_SIGNAL_BASE + self._stop_signals[-1]
        if code in (0, EXIT_START_ERROR, -signal.SIGTERM):  # -SIGTERM: it had only just started
            return 0
        self._log(f"The server process {_describe(code)} while stopping")
        return EXIT_KILLED

    def _pause(self, delay_s: float) -> bool:
        """Wait, with the sockets open; True when a signal ends the supervisor."""
        until_s = time.monotonic() + delay_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._signals, selectors.EVENT_READ)
            while (remaining_s := until_s - time.monotonic()) > 0:
                if selector.select(remaining_s) and self._take_stops(read_signals(self._signals)):
                    return True
        return False

    def _log(self, message: str) -> None:
        # A closed terminal or a full disk under the log is no reason to stop serving.
        with contextlib.suppress(OSError):
            self._options.log(message)


def _ready_for_s(child: ChildProcess | None) -> float:
    if child is None or child.ready_at_s is None:
        return 0.0
    return time.monotonic() - child.ready_at_s


def _describe(code: int) -> str:
    if code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    return f"ended with code {code}"
