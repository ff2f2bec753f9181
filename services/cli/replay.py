"""`arb replay`: a recording through the running services, with decisions and paper execution."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from services.cli.output import console
from services.cli.pace import Pace
from services.cli.run import Run, watched, wind_down
from services.cli.screen import Screen
from services.cli.settings import config_for_venues
from services.cli.stack import StackError, open_stack, seconds_since
from services.cli.venues import ControlClient, Instrument
from shared.capture import read_capture
from shared.capture.damage import no_book_text, refuse_damage
from shared.clock import SystemClock
from shared.config_sections import ExecutorConfig, OrderbookConfig, StrategyConfig
from shared.errors import ConfigError
from shared.messages.base import TradingState
from shared.services import SERVICES
from shared.strategy_inputs import check_strategies
from shared.venues.registry import EVERY
from shared.watch.collector import Collector
from shared.watch.link import open_link
from shared.watch.report import Ending, build_report

MARK = "REPLAY, PAPER"
SERVICES_READY_WITHIN_S = 60.0
PAPER_LATENCY_MS = 20
POSITION_INTERVAL_MS = "1"
LISTEN_POLL_S = 0.1
ACTIVE_WITHIN_S = 10.0
"""Trading that is not ACTIVE by then waits for something that the recording brings, or never."""
SPEED_MAX = 10_000.0
"""Beyond what processes can take: the fastest there is."""
UNPACED = OrderbookConfig(stale_after_ms=600_000)
"""Played so, books are silent while this machine is busy, which says nothing of the venue."""


def parse_speed(text: str) -> float | None:
    """Return how many times real time, ``None`` for as fast as the services can.

    Raises:
        ConfigError: It is not a number above zero, nor ``max``.
    """
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= SPEED_MAX:
        raise ConfigError(f'--speed {text!r}: give a number above 0, like 10, or "max"')
    return speed


def check_paths(paths: Sequence[Path]) -> list[str]:
    """Return absolute paths of recordings that can be read to their end.

    Raises:
        ConfigError: Names the first that cannot, and its line.
    """
    for path in paths:
        if not path.exists():
            raise ConfigError(f"{path}: no such file; give recordings as for arb verify")
    is_known = False
    for item in read_capture(paths):
        is_known = is_known or item.instrument is not None
        refuse_damage(item)
    if not is_known:
        raise ConfigError(no_book_text([str(path) for path in paths], list(EVERY)))
    return [str(path.absolute()) for path in paths]


async def run_replay(
    paths: Sequence[Path],
    speed: float | None,
    as_json: bool,
    strategies: Sequence[StrategyConfig] = (),
) -> dict[str, Any]:
    """Replay recordings merged by receive time, to their end, and report.

    Args:
        paths: Recordings.
        speed: Times real time; ``None`` is as fast as the ingestor takes it.
        as_json: Print progress lines only, no live screen.
        strategies: Run instead of the built-in one.

    Raises:
        ConfigError: A file is missing or not a recording.
        StackError: Something did not start.
    """
    files = check_paths(paths)
    events: list[str] = []
    shown = "max" if speed is None else f"{speed:g}x"
    screen = Screen(
        f"replay {shown}: {', '.join(path.name for path in paths)}", MARK, "", Collector()
    )
    ending = Ending()
    async with open_stack(events.append) as stack:
        run = Run(stack, screen, quiet_terminal=as_json or not console.is_terminal)
        screen.hint = f"arb status --redis {stack.url}"
        async with watched(run):
            run.phase("starting the bus and the recorded venues")
            await stack.start_bus()
            addresses = await stack.start_venues(("--capture", *files, "--lockstep"))
            run.control = ControlClient(addresses.control)
            latency_ms = 0 if speed is None else int(PAPER_LATENCY_MS / speed)
            config = config_for_venues(
                ((one.venue, one.instrument) for one in addresses.instruments),
                addresses.http,
                addresses.ws,
                stack.url,
                executor=ExecutorConfig(mode="paper", paper_latency_ms=latency_ms),
                strategies=list(strategies),
                orderbook=OrderbookConfig() if speed else UNPACED,
            )
            check_strategies(config, "--strategies")
            run.phase("starting the services")
            await stack.start_services(
                config, addresses, {"ARB_POSITION_INTERVAL_MS": POSITION_INTERVAL_MS}
            )
            await _play(run, ending, speed)
            await wind_down(run, ending)
            note_never_synced(run.collector, addresses.instruments, ending)
        await stack.supervisor.stop()
        stack.keep = bool(ending.problems)
        usage = stack.supervisor.usage()
    ending.extra["events"] = events[-50:]
    return build_report(screen.collector, usage, ending)


async def _play(run: Run, ending: Ending, speed: float | None) -> None:
    """Play the recording to its end."""
    assert run.control is not None
    first_ns, last_ns = await _until_heard(run)
    if run.stop.is_set():
        ending.problems.append("stopped before the recording began")
        return
    run.phase("replaying")
    title = run.screen.title
    began = SystemClock.monotonic_ns()
    length_s = (last_ns - first_ns) / 1e9
    async with open_link(run.stack.url) as link:
        pace = Pace(run.control, link)
        await run.control.post("replay/play", {"speed": speed or SPEED_MAX})
        while not run.stop.is_set():
            run.check()
            step = await pace.step()
            if step.done:
                break
            market_s = (step.ts_ns - first_ns) / 1e9
            run.screen.title = f"{title}, {market_s:.0f} of {length_s:.0f} s"
    ending.seconds = seconds_since(began)
    ending.extra["replay"] = {
        "market_s": round((step.ts_ns - first_ns) / 1e9, 1),
        "steps": pace.steps,
        "late": pace.late,
        "complete": step.done,
    }
    if malformed := run.collector.counter("ingestor", "malformed"):
        ending.problems.append(
            f"{malformed} frames of the recording are malformed; arb verify says which"
        )
    if not step.done and not run.stop.is_set():
        ending.problems.append("the recording was not played to its end")


async def _until_heard(run: Run) -> tuple[int, int]:
    """Wait until every service sends heartbeats and every recorded book has a subscriber.

    Returns the first and last recorded time in UNIX ns.

    Raises:
        StackError: They did not become ready.
    """
    assert run.control is not None
    began = SystemClock.monotonic_ns()
    while True:
        state = await run.control.get("replay")
        if (_all_beat(run) and not state["unheard"]) or run.stop.is_set():
            await run.wait_for(lambda: _is_active(run), ACTIVE_WITHIN_S)
            return state["ts_first_ns"], state["ts_last_ns"]
        run.check()
        if seconds_since(began) > SERVICES_READY_WITHIN_S:
            missing = f"; no subscriber for {state['unheard']}" if state["unheard"] else ""
            raise StackError(f"the services did not become ready: {run.waiting_for()}{missing}")
        await asyncio.sleep(LISTEN_POLL_S)


def note_never_synced(collector: Collector, books: Iterable[Instrument], ending: Ending) -> None:
    """Report every book that never was LIVE: nothing was traded on it.

    A book that was LIVE and ended in another state ended so in the recording.
    """
    for book in books:
        why = collector.never_synced(book.venue, book.instrument)
        if why is not None:
            ending.problems.append(
                f"{book.venue} {book.instrument} was never LIVE: {why}; arb verify shows more"
            )


def _is_active(run: Run) -> bool:
    state = run.collector.state
    return state is not None and state.state is TradingState.ACTIVE


def _all_beat(run: Run) -> bool:
    """True when every service has sent a heartbeat and risk has published a trading state."""
    beating = {beat.service for beat in run.collector.alive()}
    return beating.issuperset(SERVICES) and run.collector.state is not None
