"""One run of the whole stack, watched from start to end: what `arb demo` and `arb replay` share."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from rich.live import Live

from services.cli.follower import Follower
from services.cli.look import ENTRIES_BACK, newest_views
from services.cli.output import console, note
from services.cli.screen import Screen, progress_line, render
from services.cli.stack import Stack, StackError, seconds_since
from services.cli.supervisor import tail
from services.cli.venues import ControlClient
from shared.cancel import cancel_and_wait
from shared.clock import SystemClock
from shared.domain.valuation import closes
from shared.errors import BusUnavailable, Unavailable
from shared.messages.base import BookState
from shared.messages.control import CommandKind
from shared.messages.market import DepthView
from shared.messages.rules import InstrumentRules
from shared.services import SERVICES
from shared.streams import ALL, CTL_COMMAND, MD_DEPTH, MD_INSTRUMENT
from shared.watch.collector import Collector
from shared.watch.dust import dust_test
from shared.watch.link import open_link
from shared.watch.money import balance_changes
from shared.watch.operate import new_command
from shared.watch.report import Ending, value_as_reported
from shared.watch.venue_comparison import Account, compare, open_positions, read_accounts, totals
from shared.wording import counted

SCREEN_INTERVAL_S = 0.25
PROGRESS_INTERVAL_S = 5.0
POLL_S = 0.05
ACTIVE_WITHIN_S = 60.0
QUIET_WITHIN_S = 45.0
FLATTEN_AFTER_S = 12.0
"""Exposure that is still there this long after the halt is traded away by a FLATTEN."""
LAST_BEAT_S = 1.3
"""Heartbeats come every second: after this long the last one has told everything."""
FUNDING_TOLD_NS = 2_000_000_000
"""What funding paid is asked for a second after it settled."""
FUNDING_WITHIN_S = 10.0


@dataclass(slots=True)
class Run:
    """What is known of a run while it lasts."""

    stack: Stack
    screen: Screen
    quiet_terminal: bool
    control: ControlClient | None = None
    accounts_before: dict[str, Account] = field(default_factory=dict)
    views_live: dict[tuple[str, str], DepthView] = field(default_factory=dict)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    started_ns: int = 0

    @property
    def collector(self) -> Collector:
        """What the streams have shown so far."""
        return self.screen.collector

    def phase(self, text: str) -> None:
        """Say what the run is doing now."""
        self.screen.phase = text

    def check(self) -> None:
        """Raise if the stack cannot go on.

        Raises:
            StackError: A program refuses its configuration.
        """
        if self.stack.supervisor.gave_up.is_set():
            raise StackError(self.stack.supervisor.reason)

    async def wait_for(self, condition: Callable[[], bool], within_s: float) -> bool:
        """Wait for a condition until the user stops or the time is over; return the condition."""
        began = SystemClock.monotonic_ns()
        while not condition() and not self.stop.is_set() and seconds_since(began) < within_s:
            self.check()
            await asyncio.sleep(POLL_S)
        return condition()

    def waiting_for(self) -> str:
        """Return as short text what is still missing before trading starts."""
        beats = {beat.service: beat for beat in self.collector.alive()}
        missing = [
            name if name not in beats else f"{name} ({beats[name].reason})"
            for name in SERVICES
            if name not in beats or not beats[name].ready
        ]
        if missing:
            return "waiting for " + ", ".join(missing)
        state = self.collector.state
        return f"waiting for trading: {state.reason if state else 'no state from risk yet'}"

    def last_log_lines(self) -> list[str]:
        """Return the last log line of every service that has not become ready."""
        ready = {beat.service for beat in self.collector.alive() if beat.ready}
        lines = []
        for name in SERVICES:
            last = tail(self.stack.log(name), 1)
            if name not in ready and last:
                lines.append(f"{name}: {last[0][:400]}")
        return lines


@asynccontextmanager
async def watched(run: Run) -> AsyncIterator[Run]:
    """Follow the streams, draw the screen and mind the signals while the body runs."""
    run.started_ns = SystemClock.monotonic_ns()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, _on_signal, run)
    follower = Follower(run.stack.url, lambda item: run.collector.on_message(item.message))
    tasks = [
        asyncio.create_task(follower.run(), name="follow"),
        asyncio.create_task(_display(run), name="display"),
    ]
    try:
        yield run
    finally:
        await cancel_and_wait(tasks)
        for number in numbers:
            loop.remove_signal_handler(number)
        if run.control is not None:
            await run.control.close()
    for task in tasks:
        if not task.cancelled():
            task.result()


def _on_signal(run: Run) -> None:
    """Stop in order at the first signal; kill everything at the second."""
    if run.stop.is_set():
        run.stack.supervisor.kill()
        note("killed")
        sys.exit(130)
    run.stop.set()


async def _display(run: Run) -> None:
    """Draw until canceled: a screen on a terminal, a line now and then elsewhere."""
    if not run.quiet_terminal:
        with Live(
            get_renderable=lambda: render(run.screen, console.size),
            console=console,
            screen=True,
            auto_refresh=False,
            transient=True,
        ) as live:
            while True:
                await _look_at_books(run)
                _tick(run)
                live.refresh()
                await asyncio.sleep(SCREEN_INTERVAL_S)
    phase_shown = ""
    next_s = 0.0
    while True:
        _tick(run)
        if run.screen.elapsed_s >= next_s or run.screen.phase != phase_shown:
            phase_shown, next_s = run.screen.phase, run.screen.elapsed_s + PROGRESS_INTERVAL_S
            note(progress_line(run.screen))
        await asyncio.sleep(SCREEN_INTERVAL_S)


def _tick(run: Run) -> None:
    run.screen.now_ns = SystemClock.now_ns()
    run.screen.elapsed_s = seconds_since(run.started_ns)
    run.screen.usage = run.stack.supervisor.usage()


async def _look_at_books(run: Run) -> None:
    """Put the newest view of every book on the screen; while the bus is away the old ones age."""
    with suppress(BusUnavailable):
        async with open_link(run.stack.url) as link:
            for view in newest_views(await link.recent(MD_DEPTH, window_ms=600)):
                run.screen.views[view.venue, view.instrument] = view


async def persist(action: Callable[[], Awaitable[Any]], within_s: float) -> Any:
    """Retry a request to the bus while the bus is away; ``None`` when it stays away."""
    began = SystemClock.monotonic_ns()
    while True:
        try:
            return await action()
        except BusUnavailable:
            if seconds_since(began) > within_s:
                return None
            await asyncio.sleep(0.2)


async def say(run: Run, kind: CommandKind, reason: str) -> int:
    """Publish a command to the stack and return the time of it (UNIX ns)."""
    command = new_command(kind, reason, operator="arb")

    async def publish() -> None:
        async with open_link(run.stack.url) as link:
            await link.publish(command, CTL_COMMAND, run.stack.command_keys)

    await persist(publish, QUIET_WITHIN_S)
    return command.ts_ns


async def live_views(run: Run) -> list[DepthView]:
    """Return the books that are LIVE on the bus now, and remember them."""

    async def look() -> list[DepthView]:
        async with open_link(run.stack.url) as link:
            views = newest_views(await link.recent(MD_DEPTH))
            return [view for view in views if view.state is BookState.LIVE]

    found: list[DepthView] = await persist(look, 10.0) or []
    run.views_live.update({(view.venue, view.instrument): view for view in found})
    return found


async def rules_told(run: Run) -> list[InstrumentRules]:
    """Return the venues' rules of every instrument, as they were told last."""

    async def look() -> list[InstrumentRules]:
        async with open_link(run.stack.url) as link:
            infos = await link.newest(MD_INSTRUMENT, count=ENTRIES_BACK)
            return [item.message.rules for item in infos]  # type: ignore[attr-defined]

    return await persist(look, 10.0) or []


async def value_what_is_open(run: Run, ending: Ending) -> None:
    """Take the closing prices of this moment, and what the venues' accounts became.

    A book that has ended meanwhile, as a recording's does, counts as it last was LIVE. On paper
    the venues' accounts are those that the executor reported.
    """
    await live_views(run)

    closing = ending.closing
    closing.find = closes(run.views_live.values())
    closing.fee_bps = {
        (rule.venue, rule.instrument): rule.taker_fee_bps for rule in await rules_told(run)
    }
    if run.accounts_before:
        return  # the simulated venues are asked themselves
    value_as_reported(run.collector, closing)


async def wind_down(run: Run, ending: Ending) -> None:
    """Halt, let what is in flight end, check that nothing is left open, compare with the venues.

    Problems are noted in ``ending``, never raised: a run that ends badly still reports.
    """
    run.stop.clear()  # from here a signal means: do not wait
    run.phase("halting: finishing what is in flight")
    ending.books_live = len(await live_views(run))
    find = closes(run.views_live.values())
    run.collector.is_dust = dust_test(await rules_told(run), find)
    said_ns = await say(run, CommandKind.HALT, "end of the run")
    quiet = await run.wait_for(lambda: run.collector.is_quiet(said_ns), FLATTEN_AFTER_S)
    if not quiet and run.collector.left_open():
        run.phase("flattening what is left")
        ending.flattened = True
        said_ns = await say(run, CommandKind.FLATTEN, "positions left at the end of the run")
    if not quiet:
        quiet = await run.wait_for(lambda: run.collector.is_quiet(said_ns), QUIET_WITHIN_S)
    if not quiet:
        ending.problems.append(why_not_quiet(run.collector))
    run.phase("stopping")
    await stop_market(run, ending)
    ending.streams = await stream_sizes(run)
    await asyncio.sleep(LAST_BEAT_S)
    if quiet:  # what settled meanwhile is waited for: what it paid is asked a second later
        await run.wait_for(lambda: not run.collector.funding.unknown(), FUNDING_WITHIN_S)
    ended_ns = SystemClock.now_ns() - FUNDING_TOLD_NS
    running = run.stack.supervisor.usage()
    ending_first = ("sentinel", "scanner", "risk", "executor")
    await run.stack.supervisor.stop([name for name in ending_first if name in running])
    await asyncio.sleep(2 * POLL_S)  # the follower's last read
    await value_what_is_open(run, ending)
    await compare_with_venues(run, ending, ended_ns)
    exposure = run.collector.left_open()
    if exposure:
        ending.problems.append(
            "exposure is left: " + ", ".join(f"{a} {q:+f}" for a, q in sorted(exposure.items()))
        )
    for name, used in run.stack.supervisor.usage().items():
        if used.killed:
            ending.problems.append(f"{name} had to be killed")


async def stop_market(run: Run, ending: Ending) -> None:
    """Let the books of the simulated venues stand still: what the report values is what they hold.

    By the time that the last heartbeats are there, our own books are the same.
    """
    if run.control is None or not run.accounts_before:
        return
    try:
        await run.control.post("market", {"moves": False})
    except Unavailable as error:
        ending.problems.append(str(error))


def why_not_quiet(c: Collector) -> str:
    """Return what was still open when the wait for a quiet system ended."""
    if c.risk is None or c.executor is None:
        return "risk or executor never reported"
    if missing := c.funding.unknown():
        why = "; ".join(f"{venue}: {reason}" for venue, reason in missing.items())
        return f"what funding paid is not known: {why}"
    return (
        f"not quiet after the halt: {c.risk.state}; risk has "
        f"{counted(c.risk.plans_in_flight, 'plan')} in flight, the executor "
        f"{c.executor.open_plans} and {counted(c.executor.unknown_orders, 'unknown order')}, "
        f"without an end: {counted(len(c.in_flight()), 'plan')}"
    )


async def compare_with_venues(run: Run, ending: Ending, ended_ns: int) -> None:
    """Ask the simulated venues for open orders and compare their fills with ours.

    What funding paid from ``ended_ns`` on may not have been asked for any more.

    Without their accounts from before (paper execution never sends) there is nothing to compare.
    """
    if run.control is None or not run.accounts_before:
        return
    try:
        accounts = read_accounts(await run.control.get("accounts"))
    except Unavailable as error:
        ending.problems.append(str(error))
        return
    comparison = compare(run.collector, run.accounts_before, accounts, ended_ns=ended_ns)
    ending.closing.changes = balance_changes(
        totals(run.accounts_before), totals(comparison.accounts)
    )
    ending.closing.positions = open_positions(accounts)
    ending.open_orders = comparison.open_orders
    ending.ledger_equal = comparison.ledger_equal
    ending.extra["ledger_differences"] = comparison.differences
    if comparison.open_orders:
        ending.problems.append(
            f"still open at the venues: {counted(comparison.open_orders, 'order')}"
        )
    if not comparison.ledger_equal:
        ending.problems.append(
            "our fills differ from the venues': " + "; ".join(comparison.differences)
        )


async def stream_sizes(run: Run) -> dict[str, dict[str, int]]:
    """Return entries and bytes of every stream, with their bounds."""

    async def look() -> dict[str, dict[str, int]]:
        sizes = {}
        async with open_link(run.stack.url) as link:
            for spec in ALL:
                pairs = [await link.length(key) for key in await link.keys(spec)]
                sizes[spec.name] = {
                    "entries": sum(entries for entries, _ in pairs),
                    "entries_max": spec.entries_max,
                    "bytes": sum(size for _, size in pairs),
                    "bytes_max": spec.bytes_max,
                }
        return sizes

    return await persist(look, 10.0) or {}
