"""Runs `tb` once per line of standard input, by the Python that `tb` is installed for.

Its modules are imported once and each command is run in a fork, since the import takes most of a
command's time. A line is `{"arguments": [...], "output": FILE}`; the reply is the exit status.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any


def main() -> None:
    tb = importlib.import_module("tinybird.tb.cli").cli
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(tb, order)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _run(tb: Callable[[], Any], order: dict[str, Any]) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for wanted, descriptor in ((0, nothing), (1, output), (2, output)):
        os.dup2(descriptor, wanted)
    sys.stdin = os.fdopen(0)
    sys.argv = ["tb", *order["arguments"]]
    status = 1
    try:
        tb()
        status = 0
    except SystemExit as ended:
        if isinstance(ended.code, int):
            status = ended.code
        elif ended.code is None:
            status = 0
        else:
            sys.stderr.write(f"{ended.code}\n")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


main()
