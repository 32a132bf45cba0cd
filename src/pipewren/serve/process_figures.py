"""What the system says of this process, by the names that Prometheus' own clients use."""

from __future__ import annotations

import contextlib
import functools
import os
import resource
from pathlib import Path

_PROC = Path("/proc")


def process_figures() -> dict[str, int | float]:
    """What can be known without /proc, and with it the rest."""
    times = os.times()
    figures: dict[str, int | float] = {"process_cpu_seconds_total": times.user + times.system}
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY:
        figures["process_max_fds"] = most
    with contextlib.suppress(OSError, ValueError, IndexError):
        virtual, resident = map(int, (_PROC / "self/statm").read_text().split()[:2])
        page = os.sysconf("SC_PAGE_SIZE")
        figures |= {
            "process_virtual_memory_bytes": virtual * page,
            "process_resident_memory_bytes": resident * page,
            "process_open_fds": len(os.listdir(_PROC / "self/fd")),
            "process_start_time_seconds": _started_at_s(),
        }
    return figures


@functools.cache
def _started_at_s() -> float:
    """Read once: the time of the boot, which it counts from, is corrected now and then."""
    # The command's name, in brackets, may hold anything; the start is the 20th field after it.
    ticks = int((_PROC / "self/stat").read_text().rpartition(")")[2].split()[19])
    lines = (_PROC / "stat").read_text().splitlines()
    booted_s = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
    return booted_s + ticks / os.sysconf("SC_CLK_TCK")
