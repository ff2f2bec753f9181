"""Whether configuration, files and machine are right. Pure."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from services.cli.doctor.check import Check, Level

OTHERS_READ = stat.S_IRGRP | stat.S_IROTH
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
DISK_SHARE_MIN, DISK_BYTES_MIN = 0.1, 2_000_000_000
FILES_MIN = 1_024


@dataclass(slots=True)
class SetUp:
    """What was read of configuration and files.

    Attributes:
        path: Of the configuration.
        problem: Why it cannot be used; empty: it can.
        mode: The executor's: paper, simulated or live; empty where it cannot be used.
        path_mode: Permissions of its file; ``None``: there is none.
        without_limits: Quote assets that are traded and have no limits.
        keyless: Venues that are traded and whose key or secret is not set.
        secret_files: Variable -> file and permissions.
    """

    path: str
    problem: str = ""
    mode: str = ""
    path_mode: int | None = None
    without_limits: list[str] = field(default_factory=list)
    keyless: list[str] = field(default_factory=list)
    secret_files: dict[str, tuple[str, int]] = field(default_factory=dict)


@dataclass(slots=True)
class Machine:
    """What was read of the machine.

    Attributes:
        disks: Folder -> free bytes, all bytes.
        open_files: How many files and sockets a process may have open.
        huge_pages: Setting of transparent huge pages; empty: not known.
        overcommit: Setting of ``vm.overcommit_memory``; empty: not known.
    """

    disks: dict[str, tuple[int, int]] = field(default_factory=dict)
    open_files: int = 0
    huge_pages: str = ""
    overcommit: str = ""


def check_set_up(found: SetUp) -> Iterator[Check]:
    """Yield the checks of configuration, keys and files."""
    if found.path_mode is not None and found.path_mode & OTHERS_WRITE:
        text = f"{found.path} may be written by others ({stat.filemode(found.path_mode)})"
        yield Check("config file", Level.FAILED, text, f"chmod go-w {found.path}")
    if found.problem:
        yield Check(
            "config", Level.FAILED, found.problem, "cp arb.example.toml arb.toml, or mend it"
        )
        return
    yield Check("config", Level.OK, f"{found.path} is right, executor.mode is {found.mode}")
    if found.without_limits:
        assets = ", ".join(found.without_limits)
        text = f"no limits in {assets}: nothing that is paid in it is traded"
        right = "risk.quote_assets, or [risk.per_quote.ASSET]"
        yield Check("limits", Level.WARNING, text, right)
    else:
        yield Check("limits", Level.OK, "risk has limits in every quote asset that is traded")
    yield _keys(found)
    readable = {
        name: (path, mode)
        for name, (path, mode) in found.secret_files.items()
        if mode & OTHERS_READ
    }
    for name, (path, mode) in readable.items():
        text = f"{path} of {name}_FILE may be read by others ({stat.filemode(mode)})"
        right = f"chmod 600 {path}, unless only this container sees it"
        yield Check("secret files", Level.WARNING, text, right)
    if found.secret_files and not readable:
        yield Check("secret files", Level.OK, "only their owner may read them")


def _keys(found: SetUp) -> Check:
    if found.mode != "live":
        return Check("keys", Level.OK, f"none is needed: executor.mode is {found.mode}")
    if found.keyless:
        venues = ", ".join(found.keyless)
        names = ", ".join(f"ARB_{venue.upper()}_API_KEY and _SECRET" for venue in found.keyless)
        return Check(
            "keys", Level.FAILED, f"not set for {venues}", f"{names}, or the same with _FILE"
        )
    return Check("keys", Level.OK, "set for every venue that is traded")


def check_clocks(late_ms: Mapping[str, float], skew_ms_max: int) -> Iterator[Check]:
    """Yield a check per venue; ``late_ms``: the least that messages arrived after they were sent.

    That is what they travel and how far our clock is ahead; below zero, the venue's is.
    """
    if not late_ms:
        text = "the venues' cannot be checked: no book with a venue's time is on the bus"
        yield Check("clock", Level.WARNING, text, "arb up, then again")
    for venue, late in sorted(late_ms.items()):
        text = f"messages of {venue} arrive {late:,.0f} ms after its time of them, at least"
        if late < 0:
            text = f"the clock of {venue} is {-late:,.0f} ms ahead of ours, at least"
        if not skew_ms_max or abs(late) <= skew_ms_max / 2:
            yield Check("clock", Level.OK, text)
            continue
        level = Level.FAILED if abs(late) > skew_ms_max else Level.WARNING
        right = f"set this machine's clock (NTP); risk.clock_skew_ms_max is {skew_ms_max}"
        yield Check("clock", level, text, right)


def check_machine(found: Machine, *, has_redis: bool) -> Iterator[Check]:
    """Yield the checks of the machine; ``has_redis``: it runs here."""
    for folder, (free, whole) in found.disks.items():
        text = f"{free / 1e9:,.1f} of {whole / 1e9:,.1f} GB free at {folder}"
        is_low = free < DISK_BYTES_MIN or free < DISK_SHARE_MIN * whole
        level = Level.FAILED if not free else Level.WARNING if is_low else Level.OK
        yield Check("disk", level, text, "" if level is Level.OK else "more space there")
    text = f"a process may have {found.open_files:,} open"
    if found.open_files < FILES_MIN:
        right = f"ulimit -n {FILES_MIN}, or LimitNOFILE"
        yield Check("open files", Level.WARNING, text, right)
    else:
        yield Check("open files", Level.OK, text)
    if not has_redis:
        return
    if found.huge_pages == "always":
        text = "transparent huge pages are on: Redis stalls when it saves"
        right = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"
        yield Check("huge pages", Level.WARNING, text, right)
    if found.overcommit == "0":
        text = "vm.overcommit_memory is 0: Redis may fail to save when memory is short"
        yield Check("overcommit", Level.WARNING, text, "sysctl vm.overcommit_memory=1")
