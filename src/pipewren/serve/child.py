"""The server process: `python -m pipewren.serve.child CONTROL STATUS`, started by the supervisor.

Order matters: bound to the supervisor's life, then limited, and only then the application, which
imports the engine. It ends by `os._exit`: the engine's threads do not survive a normal exit with a
query running (engine-chdb.md section 3); the application's lifespan has closed it before.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import importlib
import json
import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, cast

import uvicorn

from pipewren.errors import PipewrenError, StartError
from pipewren.serve.bounds import HttpBounds
from pipewren.serve.child_process import CHILD_MODULE, EXIT_START_ERROR
from pipewren.serve.lifespan import Asgi, Lifespan
from pipewren.serve.logs import LogOptions, make_tell, open_logs, write_line
from pipewren.serve.protocol import HttpConnection
from pipewren.serve.traffic import Traffic

EXIT_CRASHED = 1
EXIT_USAGE = 2
EXIT_ORPHANED = 4  # nobody is left to see it
# How long a busy thread keeps the interpreter from another. Each query needs it twice, in a thread
# that the loop competes with: with the default of 5 ms, p99 beside events is a fifth longer.
_SWITCH_S = 0.001
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_MEMORY_SIGNS = (
    "Cannot allocate memory",
    "failed to map segment",
    "can't start new thread",
    "failed to start the thread",
    "std::bad_alloc",
)

_log = logging.getLogger("pipewren.serve")


def main(arguments: list[str]) -> int:
    sys.setswitchinterval(_SWITCH_S)
    """Serve until told to end; returns the exit code."""
    if len(arguments) != 2 or not all(argument.isdecimal() for argument in arguments):
        sys.stderr.write(f"{CHILD_MODULE} is started by `pipewren serve`, not by hand\n")
        return EXIT_USAGE
    control, status = map(int, arguments)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback before the loop takes over
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # kept for a reload of the project
    end_with_parent()
    order = read_order(control)
    threading.Thread(target=_exit_at_end_of, args=(control,), daemon=True).start()
    for descriptor in (control, status, *order["listeners"]):
        os.set_inheritable(descriptor, False)  # not for programs that the engine may start
    logs = LogOptions(**order.get("logs", {}))
    open_logs(logs)
    try:
        limit_address_space(order["address_space_bytes"])
        with _explain_lack_of_memory(order["address_space_bytes"]):
            app = load_app(order["app"], order.pop("payload"))
            return _serve(app, order, status)
    except PipewrenError as error:
        make_tell(logs, write_line)(f"error: {error}")
        return EXIT_START_ERROR
    except Exception:  # noqa: BLE001 - a mistake of ours: all that is known, then the next start
        _log.critical("the server process failed", exc_info=True)
        return EXIT_CRASHED


def end_with_parent() -> None:
    """On Linux, have the system kill this process when the supervisor dies. The end of the control
    pipe does the same everywhere and has no race, but needs a thread that gets to run."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def read_order(control: int) -> dict[str, Any]:
    """What to serve: the first line of the control pipe. Exits when the supervisor is gone."""
    line = bytearray()
    while not line.endswith(b"\n"):
        part = os.read(control, 65_536)
        if not part:
            os._exit(EXIT_ORPHANED)
        line += part
    order: dict[str, Any] = json.loads(line)
    return order


def limit_address_space(limit_bytes: int) -> None:
    """Bound this process' address space (0: no bound). Raises StartError when the system refuses:
    a limit that silently does not hold is none."""
    if limit_bytes == 0:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    bound = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    except (OSError, ValueError) as error:
        raise StartError(
            f"Cannot limit the address space to {limit_bytes:,} bytes: {error}. Set "
            "address_space_bytes to 0 to go without."
        ) from None


def load_app(name: str, payload: Mapping[str, Any]) -> Asgi:
    """Call the factory "module:function" with the payload."""
    module, _, function = name.partition(":")
    app: Asgi = getattr(importlib.import_module(module), function)(payload)
    return app


class _Server(uvicorn.Server):
    """uvicorn's server under our own lifespan and signals. The supervisor decides about a second
    signal: a service manager may well send the first one to both processes."""

    def __init__(self, config: uvicorn.Config, lifespan: Lifespan, status: int) -> None:
        super().__init__(config)
        self._lifespan = lifespan
        self._status = status
        self._starting: asyncio.Task[Any] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.lifespan = self._lifespan
        self._starting = asyncio.current_task()
        try:
            await super().startup(sockets=sockets)
        except BaseException:
            await self._lifespan.give_up(self.config.timeout_graceful_shutdown or 0)
            raise
        finally:
            self._starting = None
        report(self._status, {"ready": True, "detail": self._lifespan.detail})

    def _stop(self) -> None:
        self.should_exit = True
        if self._starting is not None:
            self._starting.cancel()
            self._starting = None  # a second cancel would cut off the cleaning up


def report(status: int, message: Mapping[str, Any]) -> None:
    """Tell the supervisor; when it is gone, so is this process in a moment."""
    with contextlib.suppress(BrokenPipeError):
        os.write(status, json.dumps(message).encode() + b"\n")


def _serve(app: Asgi, order: Mapping[str, Any], status: int) -> int:
    config = uvicorn.Config(
        app,
        interface="asgi3",
        loop="uvloop",
        http=cast(
            Any, functools.partial(HttpConnection, Traffic(HttpBounds(**order.get("http", {}))))
        ),
        ws="none",
        lifespan="off",  # ours takes its place
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=order["backlog"],
        timeout_graceful_shutdown=order["shutdown_grace_s"],
    )
    sockets = [socket.socket(fileno=descriptor) for descriptor in order["listeners"]]
    # Never closed: that would wait, without a bound, for threads that are still in a query.
    runner = asyncio.Runner(loop_factory=config.get_loop_factory())
    with contextlib.suppress(asyncio.CancelledError):  # told to end before it had started
        runner.run(_run_server(app, config, sockets, status))
    return 0


async def _run_server(
    app: Asgi, config: uvicorn.Config, sockets: list[socket.socket], status: int
) -> None:
    told = False

    def report_unhealthy(reason: str) -> None:
        nonlocal told
        if not told:  # one is enough, and the pipe never fills
            told = True
            report(status, {"unhealthy": reason})

    await _Server(config, Lifespan(app, report_unhealthy), status).serve(sockets=sockets)


@contextlib.contextmanager
def _explain_lack_of_memory(limit_bytes: int) -> Iterator[None]:
    """Under a bound, tell of a server that does not fit into it, not of what broke first."""
    try:
        yield
    except PipewrenError:
        raise
    except Exception as error:
        if limit_bytes == 0 or not _lacks_memory(error):
            raise
        raise StartError(
            f"The server does not fit into address_space_bytes={limit_bytes:,}: raise it, or set "
            "it to 0 for no bound."
        ) from None


def _lacks_memory(error: BaseException | None) -> bool:
    """Whether the error, or one that led to it, is how the interpreter, the dynamic loader or
    ClickHouse say that memory or address space ran out."""
    while error is not None:
        if isinstance(error, MemoryError) or any(sign in str(error) for sign in _MEMORY_SIGNS):
            return True
        error = error.__cause__ or error.__context__
    return False


def _exit_at_end_of(control: int) -> None:
    """Nothing more is written to the control pipe: reading on waits for the supervisor's death."""
    while os.read(control, 4096):
        continue
    os._exit(EXIT_ORPHANED)


def _exit(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _exit(main(sys.argv[1:]))
