"""Which process holds something on the bus, and whether it still exists on this machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


class ProcessId(NamedTuple):
    """One process, distinguished from every other one before and after it.

    ``place`` is the kernel's boot and the namespace of process ids (a container has its own):
    ``pid`` means something only there. ``started`` is in the kernel's ticks since the boot.
    """

    instance: str
    host: str
    place: str
    pid: str
    started: str

    def __str__(self) -> str:
        return f"{self.instance}@{'/'.join(self[1:])}"

    def describe(self) -> str:
        """Return it for a person to read."""
        return f"{self.instance} on {self.host}, process {self.pid},"


def own_id(instance: str) -> ProcessId:
    """Return the identity of this process."""
    pid = os.getpid()
    return ProcessId(instance, socket.gethostname(), _place(), str(pid), _started(pid))


def parse(text: str) -> ProcessId | None:
    """Return the identity that was written as ``text``; ``None`` if it is none."""
    instance, _, rest = text.rpartition("@")
    parts = rest.split("/")
    if not instance or len(parts) != len(ProcessId._fields) - 1 or not parts[2].isdecimal():
        return None
    return ProcessId(instance, *parts)


def is_gone(text: str) -> bool:
    """Tell whether a process surely no longer exists: it ran here, and the kernel does not know it.

    A stopped process is not gone, and of one elsewhere nothing is known.
    """
    process = parse(text)
    if process is None or not process.place or process.place != _place():
        return False
    pid = int(process.pid)
    try:
        os.kill(pid, 0)  # also sees what /proc hides of other users
    except ProcessLookupError:
        return True
    except (OverflowError, PermissionError):
        return False
    started = _started(pid)
    return bool(started) and started != process.started


def host_of(text: str) -> str:
    """Return the host of the process that ``text`` names; empty if it names none."""
    process = parse(text)
    return process.host if process is not None else ""


def describe(text: str) -> str:
    """Return who ``text`` names, for a person to read."""
    process = parse(text)
    return process.describe() if process is not None else text


def _place() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
        return f"{boot}-{(_PROC / 'self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Return when a process was started; other than ever if it has ended and waits to be reaped."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "ended" if fields[0] in "ZX" else fields[19]
