"""What this process uses of its machine: processor time, memory, open files. IO (/proc)."""

from __future__ import annotations

import resource
from pathlib import Path

from shared.measure_names import CPU, OPEN_FILES, OPEN_FILES_MAX, RESIDENT

_SELF = Path("/proc/self")


def own_usage() -> dict[str, float]:
    """Return gauges by name; what this machine does not tell is absent."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = {CPU: used.ru_utime + used.ru_stime}
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY:
        found[OPEN_FILES_MAX] = float(limit)
    try:
        pages = (_SELF / "statm").read_text(encoding="ascii").split()[1]
        found[RESIDENT] = float(int(pages) * resource.getpagesize())
        found[OPEN_FILES] = float(_open_files())
    except OSError:
        pass
    return found


def _open_files() -> int:
    """Return how many files are open; trading waits for it once a second.

    Linux 6.2 and newer tell it as the folder's size, in 3 us; to list 300 takes 200 us.
    """
    folder = _SELF / "fd"
    return folder.stat().st_size or sum(1 for _ in folder.iterdir()) - 1  # one is this listing
