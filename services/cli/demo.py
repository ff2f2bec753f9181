"""`arb demo`: the whole system on simulated venues, in one command."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from services.cli.demo_ledger import RECORDER, check_ledger
from services.cli.demo_strategies import RISK, Shown, strategy_lines
from services.cli.output import console, note
from services.cli.run import ACTIVE_WITHIN_S, Run, watched, wind_down
from services.cli.screen import Screen
from services.cli.settings import config_for_venues, with_funding
from services.cli.stack import DASHBOARD, free_port, open_stack, seconds_since
from services.cli.venues import Addresses, ControlClient
from shared.clock import SystemClock
from shared.config_dashboard import DashboardConfig
from shared.config_sections import ExecutorConfig, RecorderConfig
from shared.services import USUAL_SERVICES
from shared.strategy_inputs import check_strategies
from shared.watch.collector import Collector
from shared.watch.report import Ending, build_report
from shared.watch.venue_comparison import read_accounts

MARK = "SIMULATED"
WEB_WITHIN_S = 30.0
AUDIT_EVERY_S = 10.0
"""How often each book is compared with the venue's REST book: a demo is short."""
AtEnd = Callable[[Run, Ending, Addresses], Awaitable[None]]
"""Called when a run has ended and been valued, while the simulated venues still stand there."""


async def run_demo(
    seconds: float | None,
    seed: int,
    as_json: bool,
    shown: Shown = Shown(),
    keep: Path | None = None,
    *,
    at_end: AtEnd | None = None,
    web: bool = False,
) -> dict[str, Any]:
    """Run until ``seconds`` of trading have passed (``None``: until stopped) and report.

    The ledger of the run goes to ``keep`` where that is given. ``at_end`` may look at the venues,
    and trade there, when nothing of ours does any more. With ``web`` the dashboard runs as well,
    and where a browser finds it is told.

    Raises:
        StackError: Something did not start.
    """
    events: list[str] = []
    screen = Screen(f"demo, seed {seed}", MARK, "", Collector(), seconds=seconds)
    ending = Ending()
    async with open_stack(events.append) as stack:
        run = Run(stack, screen, quiet_terminal=as_json or not console.is_terminal)
        screen.hint = f"arb status --redis {stack.url}"
        async with watched(run):
            run.phase("starting the bus and the venues")
            await stack.start_bus()
            addresses = await stack.start_venues(
                ("--seed", str(seed), *stack.venue_state, *shown.venue_arguments)
            )
            run.control = ControlClient(addresses.control)
            run.accounts_before = read_accounts(await run.control.get("accounts"))
            config = config_for_venues(
                ((one.venue, one.instrument) for one in addresses.instruments),
                addresses.http,
                addresses.ws,
                stack.url,
                audit_every_s=AUDIT_EVERY_S,
                executor=ExecutorConfig(mode="simulated", account_streams=True),
                risk=RISK,
                strategies=list(shown.strategies),
                recorder=RecorderConfig(ledger=True, dir=str(stack.directory)),
                dashboard=DashboardConfig(enabled=web, port=free_port(), operator=True),
            )
            if shown.one_shard:  # a strategy of several base assets is read by one scanner
                bus = msgspec.structs.replace(config.bus, shards=1)
                config = msgspec.structs.replace(config, bus=bus)
            if shown.strategies:
                config = with_funding(config)
            check_strategies(config, "--strategies")
            run.phase("starting the services")
            names = [name for name in USUAL_SERVICES if web or name != DASHBOARD]
            extra = {"ARB_DASHBOARD_DIR": str(stack.directory / DASHBOARD)}
            await stack.start_services(config, addresses, extra, (*names, RECORDER))
            if web:
                await _tell_where_to_look(run, config.dashboard.port)
            await _trade(run, ending, seconds)
            await wind_down(run, ending)
            await check_ledger(
                run, ending, Path(config.recorder.dir, config.recorder.ledger_file), keep
            )
            if at_end is not None:
                await at_end(run, ending, addresses)
        await stack.supervisor.stop()
        stack.keep = bool(ending.problems)
        usage = stack.supervisor.usage()
    ending.extra["events"] = events[-50:]
    report = build_report(screen.collector, usage, ending)
    if shown.notes:
        report["strategies"] = strategy_lines(shown, report)
    return report


async def _tell_where_to_look(run: Run, port: int) -> None:
    """Say where the dashboard is, with the token that opens it once the dashboard has made it."""
    token = run.stack.directory / DASHBOARD / "operator.token"
    if not await run.wait_for(lambda: token.exists() and bool(token.read_text()), WEB_WITHIN_S):
        return
    url = f"http://127.0.0.1:{port}/#token={token.read_text().strip()}"
    run.screen.hint = f"{url} in a browser, or {run.screen.hint}"
    if run.quiet_terminal:
        note(f"arb demo: the dashboard is at {url}")


async def _trade(run: Run, ending: Ending, seconds: float | None) -> None:
    """Wait until trading is on, then let it go on for the time asked for."""
    reporting = asyncio.create_task(_report_what_is_missing(run))
    try:
        if (
            not await run.wait_for(run.collector.is_active, ACTIVE_WITHIN_S)
            and not run.stop.is_set()
        ):
            ending.problems.append(f"trading never started: {run.waiting_for()}")
            ending.problems.extend(run.last_log_lines())
    finally:
        reporting.cancel()
    run.phase("trading")
    began = SystemClock.monotonic_ns()
    run.started_ns = began
    await run.wait_for(lambda: False, seconds if seconds is not None else float("inf"))
    ending.seconds = seconds_since(began)


async def _report_what_is_missing(run: Run) -> None:
    while True:
        await asyncio.sleep(1.0)
        run.phase(run.waiting_for())
