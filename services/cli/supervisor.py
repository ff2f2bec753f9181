"""Keep a set of processes running: start, watch, restart, measure, stop in order.

Each program is a process of its own in its own session, so a Ctrl-C at the terminal reaches only
the supervisor, which then stops the others in order. They die with the supervisor, however it ends.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

from services.cli.trend import Trend
from shared.cancel import cancel_and_wait
from shared.clock import SystemClock
from shared.watch.usage import Usage

HEALTHY_AFTER_S = 2.0
"""A process that lived this long was well: it is restarted at once."""
RESTART_AFTER_S = 0.2
RESTART_AFTER_S_MAX = 5.0
SAMPLE_INTERVAL_S = 0.5
WARM_UP_S = 120.0
"""A process fills its bounded caches and streams before its memory says anything."""
LOG_BYTES_MAX = 8_000_000
"""A log beyond this is moved to ``.1`` (one older generation is kept)."""
KILL_WAIT_S = 5.0
EXIT_USAGE = 2
"""The exit code of a configuration mistake: a program that ends so at its start is not
restarted."""
PROVED_AFTER_S = 60.0
"""A program that once lived this long had a right configuration: it is restarted whatever its exit
code is later, because the cause (a Redis that came back without its users) may pass."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Program:
    """What to run. ``env`` is the whole environment; lower ``stop_rank`` stops first.

    ``log`` receives stdout and stderr (``None``: the supervisor's own); ``out`` takes stdout alone.
    Of a program that ``is_needed`` a configuration mistake ends everything, of others only itself.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    stop_rank: int = 0
    grace_s: float = 10.0
    log: Path | None = None
    out: Path | None = None
    is_needed: bool = True


@dataclass(slots=True)
class _Kept:
    program: Program
    usage: Usage = field(default_factory=Usage)
    process: asyncio.subprocess.Process | None = None
    task: asyncio.Task[None] | None = None
    cpu_before_s: float = 0.0
    memory: Trend = field(default_factory=Trend)
    warm_s: float = 0.0
    failures: int = 0
    lived_s_max: float = 0.0


def restart_delay_s(lived_s: float, failures: int) -> float:
    """Return how long to wait before restart number ``failures`` in a row (0: it had been well)."""
    if lived_s >= HEALTHY_AFTER_S:
        return RESTART_AFTER_S
    return float(min(RESTART_AFTER_S * 2 ** min(failures, 10), RESTART_AFTER_S_MAX))


def _die_with(parent: int) -> Callable[[], None]:
    """Return what a child does between fork and exec: ask the kernel to be killed with us."""

    def prepare() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # the supervisor died before the request was made
                os._exit(1)

    return prepare


class Supervisor:
    """Runs programs until told to stop.

    Args:
        programs: Started in this order; stopped by rising ``stop_rank``.
        on_event: Called with one line for every restart and failure, for a person to read.
    """

    def __init__(
        self, programs: Sequence[Program], on_event: Callable[[str], None] = lambda _: None
    ) -> None:
        self._kept: dict[str, _Kept] = {}
        self._on_event = on_event
        self._clock = SystemClock()
        self._sampler: asyncio.Task[None] | None = None
        self._stopping = False
        self.gave_up = asyncio.Event()
        self.reason = ""
        for program in programs:
            self._kept[program.name] = _Kept(program)

    async def start(self) -> None:
        """Start every program that does not run yet."""
        for kept in self._kept.values():
            if kept.task is None:
                await self._spawn(kept)
                kept.task = asyncio.create_task(self._keep(kept), name=f"keep {kept.program.name}")
        if self._sampler is None:
            self._sampler = asyncio.create_task(self._sample_forever(), name="sample")

    async def add(self, program: Program) -> None:
        """Run one more program."""
        assert program.name not in self._kept, f"{program.name} runs already"
        self._kept[program.name] = _Kept(program)
        await self.start()

    def usage(self) -> dict[str, Usage]:
        """Return what each program has used so far, by name."""
        return {name: kept.usage for name, kept in self._kept.items()}

    async def stop(self, names: Sequence[str] | None = None) -> None:
        """Stop ``names`` (default: all), rank by rank: SIGTERM, a bounded grace, then SIGKILL."""
        chosen = [self._kept[name] for name in (names if names is not None else self._kept)]
        if names is None:
            self._stopping = True
        for kept in chosen:
            kept.usage.stopping = True
        await cancel_and_wait(kept.task for kept in chosen if kept.task is not None)
        for rank in sorted({kept.program.stop_rank for kept in chosen}):
            group = [kept for kept in chosen if kept.program.stop_rank == rank]
            await asyncio.gather(*(self._stop_one(kept) for kept in group))
        if names is None and self._sampler is not None:
            await cancel_and_wait([self._sampler])

    def kill(self) -> None:
        """Kill everything at once, without waiting: the last resort."""
        self._stopping = True
        for kept in self._kept.values():
            kept.usage.stopping = True
            if kept.task is not None:
                kept.task.cancel()
            if kept.process is not None and kept.process.returncode is None:
                _kill_group(kept.process.pid)

    async def _stop_one(self, kept: _Kept) -> None:
        process = kept.process
        if process is None or process.returncode is not None:
            return
        self._sample(kept)
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), kept.program.grace_s)
        except TimeoutError:
            kept.usage.killed = True
            self._on_event(
                f"{kept.program.name} did not stop within {kept.program.grace_s:g} s; killed"
            )
            _kill_group(process.pid)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), KILL_WAIT_S)
        kept.usage.up, kept.usage.exit_code = False, process.returncode

    async def _keep(self, kept: _Kept) -> None:
        name = kept.program.name
        while True:
            assert kept.process is not None
            started_ns = self._clock.monotonic_ns()
            kept.warm_s = started_ns / 1e9 + WARM_UP_S
            kept.memory.restart()
            code = await kept.process.wait()
            lived_s = (self._clock.monotonic_ns() - started_ns) / 1e9
            kept.usage.up, kept.usage.exit_code = False, code
            kept.lived_s_max = max(kept.lived_s_max, lived_s)
            if code == EXIT_USAGE and kept.lived_s_max < PROVED_AFTER_S:
                kept.usage.stopping = True
                reason = f"{name} refused its configuration{_why(kept.program)}"
                if kept.program.is_needed:
                    self.reason = reason
                    self.gave_up.set()
                else:
                    self._on_event(f"{reason}; the others go on without it")
                return
            kept.failures = 0 if lived_s >= HEALTHY_AFTER_S else kept.failures + 1
            delay_s = restart_delay_s(lived_s, kept.failures)
            self._on_event(f"{name} ended with {_exit_text(code)}; restarting in {delay_s:.1f} s")
            await asyncio.sleep(delay_s)
            await self._spawn(kept)
            kept.usage.restarts += 1

    async def _spawn(self, kept: _Kept) -> None:
        program = kept.program
        kept.cpu_before_s = kept.usage.cpu_s
        log = program.log.open("ab") if program.log else None
        out = program.out.open("wb") if program.out else log
        try:
            kept.process = await asyncio.create_subprocess_exec(
                *program.argv,
                env=dict(program.env),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=_target(out),
                stderr=_target(log),
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),
            )
        finally:
            for handle in {id(h): h for h in (log, out) if h is not None}.values():
                handle.close()
        kept.usage.pid, kept.usage.up = kept.process.pid, True

    async def _sample_forever(self) -> None:
        while True:
            for kept in self._kept.values():
                self._sample(kept)
                if kept.program.log is not None:
                    rotate(kept.program.log, LOG_BYTES_MAX)
            await asyncio.sleep(SAMPLE_INTERVAL_S)

    def _sample(self, kept: _Kept) -> None:
        if kept.process is None or kept.process.returncode is not None:
            return
        with suppress(psutil.Error):
            process = psutil.Process(kept.process.pid)
            with process.oneshot():
                rss_mb = process.memory_info().rss / 1e6
                cpu = process.cpu_times()
            kept.usage.rss_mb = rss_mb
            kept.usage.rss_mb_max = max(kept.usage.rss_mb_max, rss_mb)
            kept.usage.cpu_s = kept.cpu_before_s + cpu.user + cpu.system
            now_s = self._clock.monotonic_ns() / 1e9
            if now_s >= kept.warm_s:
                kept.memory.add(now_s, rss_mb)
                slope = kept.memory.slope()
                kept.usage.rss_mb_per_h = None if slope is None else slope * 3_600


def rotate(path: Path, bytes_max: int) -> None:
    """Move a log that grew beyond its bound to ``.1``; its writer appends, so it may keep it open.

    Copied and truncated rather than renamed: the process holds the file, not the name.
    """
    try:
        if path.stat().st_size <= bytes_max:
            return
        path.with_name(path.name + ".1").write_bytes(path.read_bytes()[-bytes_max:])
        os.truncate(path, 0)
    except FileNotFoundError:
        return


def tail(path: Path, lines: int = 8) -> list[str]:
    """Return the last ``lines`` lines of a log, empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 64_000))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return []


def _why(program: Program) -> str:
    last = tail(program.log, 1) if program.log else []
    return f": {last[0]}" if last else ""


def _target(handle: IO[bytes] | None) -> int | None:
    return None if handle is None else handle.fileno()


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _exit_text(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
