"""The supervisor keeps real processes running, stops them in order, and takes them along."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from services.cli import supervisor as module
from services.cli.stack import service_program
from services.cli.supervisor import (
    RESTART_AFTER_S,
    RESTART_AFTER_S_MAX,
    Program,
    Supervisor,
    restart_delay_s,
    rotate,
    tail,
)
from shared.services import SERVICE_OF
from tests.support import ROOT, eventually, eventually_sync

Make = Callable[..., Supervisor]


def program(name: str, code: str, log: Path, **changes: object) -> Program:
    argv = (sys.executable, "-u", "-c", textwrap.dedent(code))
    return Program(name=name, argv=argv, env=dict(os.environ), log=log, **changes)


SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = """
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print('up', flush=True)
    time.sleep(600)
"""
NOTES_ITS_END = """
    import signal, sys, time
    def end(*_):
        open({order!r}, 'a').write({name!r} + ' ')
        sys.exit(0)
    signal.signal(signal.SIGTERM, end)
    print('up', flush=True)
    time.sleep(600)
"""


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[Supervisor] = []

    def build(*programs: Program, **options: object) -> Supervisor:
        made.append(Supervisor(programs, **options))
        return made[-1]

    yield build
    for one in made:
        one.kill()
        await one.stop()


async def test_a_killed_program_is_back_and_counted(tmp_path: Path, make: Make) -> None:
    supervisor = make(program("one", SLEEPER, tmp_path / "one.log"))
    await supervisor.start()
    first = supervisor.usage()["one"].pid
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: supervisor.usage()["one"].restarts == 1, what="a restart")
    usage = supervisor.usage()["one"]
    assert usage.pid != first
    assert psutil.pid_exists(usage.pid)
    assert usage.up


async def test_it_measures_over_all_incarnations(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAMPLE_INTERVAL_S", 0.02)
    spin = "import time\nwhile time.process_time() < 0.3: pass\ntime.sleep(600)"
    supervisor = make(program("one", spin, tmp_path / "one.log"))
    await supervisor.start()
    await eventually(lambda: supervisor.usage()["one"].cpu_s > 0.25, timeout_s=30)
    os.kill(supervisor.usage()["one"].pid, signal.SIGKILL)
    await eventually(lambda: supervisor.usage()["one"].cpu_s > 0.5, timeout_s=30, what="both")
    assert supervisor.usage()["one"].rss_mb_max > 1


async def test_stops_rank_by_rank(tmp_path: Path, make: Make) -> None:
    order = tmp_path / "order"
    supervisor = make(
        *(
            program(
                name,
                NOTES_ITS_END.format(order=str(order), name=name),
                tmp_path / name,
                stop_rank=rank,
            )
            for name, rank in (("last", 2), ("first", 0), ("second", 1))
        )
    )
    await supervisor.start()
    for name in ("last", "first", "second"):
        await eventually(lambda name=name: tail(tmp_path / name) == ["up"])
    await supervisor.stop()
    assert order.read_text() == "first second last "
    assert all(not used.up and not used.killed for used in supervisor.usage().values())
    assert all(used.stopping for used in supervisor.usage().values())


async def test_one_that_does_not_stop_is_killed_after_its_grace(tmp_path: Path, make: Make) -> None:
    events: list[str] = []
    supervisor = make(
        program("deaf", STUBBORN, tmp_path / "log", grace_s=0.2), on_event=events.append
    )
    await supervisor.start()
    await eventually(lambda: tail(tmp_path / "log") == ["up"])
    pid = supervisor.usage()["deaf"].pid
    await supervisor.stop()
    assert supervisor.usage()["deaf"].killed
    assert not psutil.pid_exists(pid)
    assert "deaf did not stop" in events[0]


async def test_a_configuration_mistake_is_not_restarted(tmp_path: Path, make: Make) -> None:
    code = "import sys; print('arb.toml: no such key', file=sys.stderr); sys.exit(2)"
    supervisor = make(program("one", code, tmp_path / "log"))
    await supervisor.start()
    await asyncio.wait_for(supervisor.gave_up.wait(), 10)
    assert supervisor.reason == "one refused its configuration: arb.toml: no such key"
    assert supervisor.usage()["one"].restarts == 0


async def test_what_is_not_needed_ends_alone_and_says_why(tmp_path: Path, make: Make) -> None:
    code = "import sys; print('viewer.token may be used by others', file=sys.stderr); sys.exit(2)"
    events: list[str] = []
    seen = program("dashboard", code, tmp_path / "log", is_needed=False)
    supervisor = make(seen, program("one", SLEEPER, tmp_path / "one.log"), on_event=events.append)
    await supervisor.start()
    await eventually(lambda: bool(events), what="it is said")
    assert events == [
        "dashboard refused its configuration: viewer.token may be used by others; "
        "the others go on without it"
    ]
    assert not supervisor.gave_up.is_set()
    assert supervisor.usage()["one"].up
    assert not supervisor.usage()["dashboard"].restarts


def test_trading_goes_on_without_who_only_looks() -> None:
    needed = {name: service_program(name, {}, log=None).is_needed for name in SERVICE_OF}
    assert {name for name, is_needed in needed.items() if not is_needed} == {
        "dashboard",
        "notifier",
    }


async def test_one_that_was_well_is_started_again_whatever_it_says_later(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Redis that came back without its users refuses the login: that passes."""
    monkeypatch.setattr(module, "PROVED_AFTER_S", 0.2)
    code = f"""
        import pathlib, sys, time
        starts = pathlib.Path({str(tmp_path / "starts")!r})
        with starts.open("a") as file:
            file.write("x")
        if starts.stat().st_size == 1:
            time.sleep(0.4)
            sys.exit(1)
        if starts.stat().st_size < 4:
            sys.exit(2)
        time.sleep(600)
    """
    supervisor = make(program("one", code, tmp_path / "log"))
    await supervisor.start()
    await eventually(lambda: supervisor.usage()["one"].restarts == 3, timeout_s=30)
    await eventually(lambda: supervisor.usage()["one"].up, timeout_s=30)
    assert not supervisor.gave_up.is_set()


def test_restart_delay_grows_for_what_keeps_failing_and_is_capped() -> None:
    assert restart_delay_s(lived_s=60, failures=9) == RESTART_AFTER_S
    delays = [restart_delay_s(lived_s=0.1, failures=n) for n in range(20)]
    assert delays == sorted(delays)
    assert delays[0] == RESTART_AFTER_S
    assert delays[-1] == RESTART_AFTER_S_MAX


def test_a_log_is_bounded_and_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"old\n" * 10)
        rotate(log, bytes_max=20)
        writer.write(b"new\n")
    assert tail(log) == ["new"]
    assert (tmp_path / "log.1").read_bytes() == b"old\n" * 5
    rotate(tmp_path / "absent", 1)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    code = f"""
        import asyncio, os, sys
        from pathlib import Path
        from services.cli.supervisor import Program, Supervisor

        async def main():
            argv = (sys.executable, "-c", "import time; time.sleep(600)")
            log = Path({str(tmp_path / "log")!r})
            one = Supervisor([Program("one", argv, dict(os.environ), log=log)])
            await one.start()
            print(one.usage()["one"].pid, flush=True)
            await asyncio.sleep(600)

        asyncio.run(main())
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
    finally:
        parent.kill()
        parent.communicate()
    eventually_sync(lambda: not is_running(child), what="the child's end")


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
