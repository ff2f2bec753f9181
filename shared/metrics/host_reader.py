"""Reads the machine that the exporter runs on: psutil, and what it lacks of Linux. IO.

What a machine does not tell (pressure before Linux 4.20, the clock under a filter of system calls)
is absent. In a container the network is the container's own, everything else the machine's.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil

from shared.metrics.requests import HostRead

PRESSURE: Final = Path("/proc/pressure")
RESOURCES: Final = ("cpu", "memory", "io")
DISKS_MAX: Final = 16
IMAGES: Final = {"squashfs", "iso9660", "erofs", "cramfs", "udf"}
"""File systems that are made full, of packages (snap) and discs: nothing is ever free on them."""
CPU_MODES: Final = {"user", "system", "iowait", "steal", "idle"}
CPU_TWICE: Final = {"guest", "guest_nice"}
"""Counted as user as well."""
_RECEIVED, _SENT = "received", "sent"
_UNTOLD: Final = (OSError, RuntimeError, ValueError, LookupError, psutil.Error)
"""How psutil says that there is no such figure here, or that it is none."""

Labeled = Mapping[str, Mapping[str, float]]
"""Values by label, by figure."""


def read_host() -> HostRead:
    """Return what the machine tells."""
    figures: dict[str, float] = {}
    by_label: dict[str, Mapping[str, float]] = {}
    for plain in (_processors, _memory, _clock):
        with suppress(*_UNTOLD):
            figures |= plain()
    for labeled in (_cpu, _pressures, _disks, _disk_io, _network):
        with suppress(*_UNTOLD):
            by_label |= labeled()
    return HostRead(figures, by_label)


def _processors() -> dict[str, float]:
    return {"cpus": float(psutil.cpu_count() or 1), "load": os.getloadavg()[0]}


def _memory() -> dict[str, float]:
    memory = psutil.virtual_memory()
    return {
        "memory_bytes": float(memory.total),
        "memory_available_bytes": float(memory.available),
        "swap_used_bytes": float(psutil.swap_memory().used),
    }


def _cpu() -> Labeled:
    found = dict.fromkeys((*CPU_MODES, "other"), 0.0)
    for mode, seconds in psutil.cpu_times()._asdict().items():
        if mode not in CPU_TWICE:
            found[mode if mode in CPU_MODES else "other"] += seconds
    return {"cpu_s": found}


def _disks() -> Labeled:
    """Return size and free space by mount; of a disk that is mounted more than once the first."""
    sizes: dict[str, float] = {}
    free: dict[str, float] = {}
    seen: set[str] = set()
    for part in psutil.disk_partitions(all=False):
        if part.device in seen or part.fstype in IMAGES or len(sizes) == DISKS_MAX:
            continue
        with suppress(OSError):
            usage = psutil.disk_usage(part.mountpoint)
            seen.add(part.device)
            sizes[part.mountpoint], free[part.mountpoint] = float(usage.total), float(usage.free)
    if not sizes:  # a container's overlay is on no disk that it sees
        usage = psutil.disk_usage("/")
        sizes["/"], free["/"] = float(usage.total), float(usage.free)
    return {"disk_bytes": sizes, "disk_free_bytes": free}


def _disk_io() -> Labeled:
    moved = psutil.disk_io_counters()
    if moved is None:
        return {}
    return {"disk_io_bytes": {"read": moved.read_bytes, "written": moved.write_bytes}}


def _network() -> Labeled:
    cards = [io for name, io in psutil.net_io_counters(pernic=True).items() if name != "lo"]
    return {
        "network_bytes": {
            _RECEIVED: sum(io.bytes_recv for io in cards),
            _SENT: sum(io.bytes_sent for io in cards),
        },
        "network_errors": {
            _RECEIVED: sum(io.errin for io in cards),
            _SENT: sum(io.errout for io in cards),
        },
    }


def _pressures() -> Labeled:
    found: dict[str, float] = {}
    for resource in RESOURCES:
        with suppress(*_UNTOLD):
            found[resource] = pressure_of((PRESSURE / resource).read_text(encoding="ascii"))
    return {"pressure": found}


def pressure_of(text: str) -> float:
    """Return the part of the last minute that tasks waited, from ``/proc/pressure``: some avg60."""
    _, _, rest = text.partition("avg60=")
    return float(rest.split()[0]) / 100


class _Timex(ctypes.Structure):
    """The head of ``struct timex`` (adjtimex(2)); the rest is room for the kernel to write to."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    )


_UNSYNCED, _NANO = 0x40, 0x2000


def _clock() -> dict[str, float]:
    """Ask the kernel how its clock is kept; it may be asked by everybody, and changes nothing."""
    told = _Timex()
    try:
        state: Any = ctypes.CDLL(None).adjtimex(ctypes.byref(told))
    except (OSError, AttributeError):
        return {}
    if state < 0:
        return {}
    if told.status & _UNSYNCED:
        return {"clock_synchronized": 0.0}
    unit = 1e9 if told.status & _NANO else 1e6
    return {
        "clock_synchronized": 1.0,
        "clock_offset_s": told.offset / unit,
        "clock_error_s": told.maxerror / 1e6,
    }
