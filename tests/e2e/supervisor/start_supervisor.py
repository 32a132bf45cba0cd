"""Runs `supervise` in a process of its own: `start_supervisor.py OPTIONS.json`.

Each thing that a test waits for is one line of JSON on stdout: `log`, `ready`, `exit`.
"""

from __future__ import annotations

import fcntl
import json
import sys
import termios
from pathlib import Path
from typing import Any

from pipewren.serve.supervisor import Ready, ServeOptions, supervise


def tell(**fact: Any) -> None:
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


def tell_ready(ready: Ready) -> None:
    tell(ready=ready.url, pid=ready.pid, starts=ready.starts, detail=ready.detail)


def main() -> int:
    if sys.stdin.isatty():  # a terminal of its own, as a login shell has
        fcntl.ioctl(sys.stdin, termios.TIOCSCTTY, 0)
    options = json.loads(Path(sys.argv[1]).read_text())
    code = supervise(ServeOptions(**options, log=lambda text: tell(log=text), on_ready=tell_ready))
    tell(exit=code, modules=sorted(sys.modules))
    return code


if __name__ == "__main__":
    sys.exit(main())
