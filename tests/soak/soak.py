"""One soak: the demo's stack with dashboard, notifier and recorder, for hours, hurt on schedule."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.cli.demo_ledger import RECORDER, check_ledger
from services.cli.demo_strategies import RISK
from services.cli.follower import Follower
from services.cli.run import ACTIVE_WITHIN_S, Run, watched, wind_down
from services.cli.screen import Screen
from services.cli.settings import config_for_venues, has_derivatives
from services.cli.stack import DASHBOARD, free_port, open_stack
from services.cli.venues import ControlClient
from shared.cancel import cancel_and_wait
from shared.config_dashboard import DashboardConfig
from shared.config_notifier import NotifierConfig, NotifyChannel
from shared.config_sections import Config, ExecutorConfig, RecorderConfig
from shared.services import USUAL_SERVICES
from shared.streams import ALL, MD_DEPTH
from shared.watch.latency import latency_record
from shared.watch.report import Ending
from shared.watch.venue_comparison import read_accounts
from tests.fake_channels import Providers, providers
from tests.soak.harm import Harm
from tests.soak.record import ALERTS_MAX, SAMPLES_MAX, AlertSeen, FaultSeen, Halt, Record, write
from tests.soak.sampling import Sampler
from tests.soak.schedule import Planned, schedule
from tests.soak.signs import NOTIFIER, Heard, Tell, told_of
from tests.soak.tabs import open_tabs
from tests.soak.terminal import open_terminal

FILLS_PER_H = 20_000
"""About four times what the simulated market gives; so many are remembered."""
WEB_WITHIN_S = 60.0
PROBLEMS_MAX = 500


@dataclass(frozen=True)
class Wanted:
    """What is asked of a run.

    Args:
        seconds: Of trading.
        sample_every_s: Between samples.
        fault_every_s: Between faults.
        seed: Of the market and of the faults.
        tabs: Of the dashboard; 0 needs no Chromium.
        out: Folder of what it writes.
    """

    seconds: float
    sample_every_s: float
    fault_every_s: float
    seed: int
    tabs: int
    out: Path


class Soak:
    """One run and its record."""

    def __init__(self, wanted: Wanted, record: Record, tell: Tell) -> None:
        self._wanted, self.record, self._tell = wanted, record, tell
        self._heard = Heard(int(FILLS_PER_H * max(1.0, wanted.seconds / 3_600)))
        self._began = time.monotonic()
        self._file = wanted.out / "soak.json"

    async def go(self) -> Record:
        """Run it; the record is in its file after every sample."""
        ending = Ending()
        screen = Screen("soak", "SIMULATED", "", self._heard, seconds=self._wanted.seconds)
        async with providers() as phones, open_stack(self._on_event) as stack:
            run = Run(stack, screen, quiet_terminal=True)
            run.screen.hint = ""
            async with watched(run), _shown(self._watch_phones(phones)):
                config = await self._start(run, phones)
                self.record.shards = config.bus.shards
                async with self._looking(run, config) as sampler:
                    await self._trade(run, sampler, _traded(config))
                self.record.seconds = round(time.monotonic() - self._began, 1)
                await self._end(run, ending, config)
            await stack.supervisor.stop()
            stack.keep = bool(ending.problems)
            restarts = {n: used.restarts for n, used in stack.supervisor.usage().items()}
        self._conclude(ending, restarts)
        return self.record

    def _at_s(self) -> float:
        return time.monotonic() - self._began

    def _on_event(self, line: str) -> None:
        self._heard.note(time.time_ns(), "supervisor", line)

    def _problem(self, text: str) -> None:
        self.record.add("problems", f"{self._at_s():.0f} s: {text}", PROBLEMS_MAX)

    async def _start(self, run: Run, phones: Providers) -> Config:
        stack = run.stack
        run.phase("starting")
        await stack.start_bus()
        addresses = await stack.start_venues(("--seed", str(self._wanted.seed), *stack.venue_state))
        run.control = ControlClient(addresses.control)
        run.accounts_before = read_accounts(await run.control.get("accounts"))
        hook = NotifyChannel(
            name="soak",
            kind="webhook",
            url=f"{phones.url}/hook",
            severities=("critical", "warning", "info"),
        )
        config = config_for_venues(
            ((one.venue, one.instrument) for one in addresses.instruments),
            addresses.http,
            addresses.ws,
            stack.url,
            executor=ExecutorConfig(mode="simulated", account_streams=True),
            risk=RISK,
            recorder=RecorderConfig(ledger=True, dir=str(stack.directory)),
            dashboard=DashboardConfig(enabled=True, port=free_port(), operator=True),
            notifier=NotifierConfig(system="soak", channels=[hook]),
        )
        extra = {
            "ARB_DASHBOARD_DIR": str(stack.directory / DASHBOARD),
            "ARB_NOTIFY_SOAK_SECRET": "of the soak",
        }
        names = (*USUAL_SERVICES, RECORDER, NOTIFIER)
        await stack.start_services(config, addresses, extra, names)
        if not await run.wait_for(self._heard.is_active, ACTIVE_WITHIN_S):
            self._problem(f"trading never started: {run.waiting_for()}")
        return config

    @asynccontextmanager
    async def _looking(self, run: Run, config: Config) -> AsyncIterator[Sampler]:
        """Open the tabs and the terminal."""
        token = run.stack.directory / DASHBOARD / "viewer.token"
        await run.wait_for(lambda: token.exists() and bool(token.read_text()), WEB_WITHIN_S)
        async with AsyncExitStack() as opened:
            tabs = None
            if self._wanted.tabs:
                url = f"http://127.0.0.1:{config.dashboard.port}"
                opening = open_tabs(
                    url, token.read_text().strip(), self._wanted.tabs, self._problem
                )
                tabs = await opened.enter_async_context(opening)
            terminal = await opened.enter_async_context(open_terminal(run.stack.url))
            yield Sampler(run, self._heard, terminal, tabs, config.bus.shards)

    async def _trade(self, run: Run, sampler: Sampler, venues: list[str]) -> None:
        wanted = self._wanted
        needed = {*USUAL_SERVICES, RECORDER, NOTIFIER}
        harm = Harm(run, self._heard, needed)
        self._began = time.monotonic()
        planned = schedule(
            wanted.seconds, wanted.fault_every_s, wanted.seed, venues, (RECORDER, NOTIFIER)
        )
        run.phase("trading")
        views = Follower(
            run.stack.url,
            lambda item: self._heard.on_message(item.message),
            (MD_DEPTH,),
            sampler.shards,
        )
        tasks = [
            asyncio.create_task(self._sample_forever(sampler), name="sample"),
            asyncio.create_task(views.run(), name="views"),
            asyncio.create_task(self._hurt(run, harm, planned), name="hurt"),
        ]
        try:
            await run.wait_for(lambda: any(t.done() for t in tasks[:1]), wanted.seconds)
        finally:
            await cancel_and_wait(tasks)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()):
                self._problem(f"{task.get_name()}: {error!r}")
        await self._take(sampler)

    async def _sample_forever(self, sampler: Sampler) -> None:
        while True:
            await self._take(sampler)
            every_s = self._wanted.sample_every_s
            await asyncio.sleep(every_s - self._at_s() % every_s)

    async def _take(self, sampler: Sampler) -> None:
        self.record.add("samples", await sampler.sample(self._at_s()), SAMPLES_MAX)
        self.record.seconds = round(self._at_s(), 1)
        await asyncio.to_thread(write, self.record, self._file)

    async def _hurt(self, run: Run, harm: Harm, planned: list[Planned]) -> None:
        last: tuple[FaultSeen, int] | None = None
        for each in planned:
            async with _shown(harm.watch_for_halts(self._halted)):
                await asyncio.sleep(max(0.0, each.at_s - self._at_s()))
            if last is not None:
                harm.look_back(*last)
            began_ns = time.time_ns()
            seen = await harm.do(each, self._at_s())
            last = seen, began_ns
            self.record.faults.append(seen)
            healed = "NOT HEALED" if seen.healed_s is None else f"healed in {seen.healed_s} s"
            self._tell(f"{seen.at_s:7.0f} s  {seen.kind} {seen.target}: {healed} {seen.operator}")
        async with _shown(harm.watch_for_halts(self._halted)):
            await asyncio.sleep(self._wanted.fault_every_s / 2)
            if last is not None:
                harm.look_back(*last)
            await asyncio.Event().wait()

    def _halted(self, reason: str) -> None:
        self.record.add("halts", Halt(round(self._at_s(), 1), reason), PROBLEMS_MAX)

    async def _watch_phones(self, phones: Providers) -> None:
        """Note what the notifier tells, as it comes."""
        while True:
            await asyncio.sleep(0.1)
            posts, phones.posts = phones.posts, []
            for post in posts:
                told = told_of(json.loads(post.body)["text"]) if post.path == "/hook" else None
                if told is None:
                    continue
                self._heard.note(time.time_ns(), NOTIFIER, " ".join(told))
                alert = AlertSeen(round(self._at_s(), 1), *told)
                self.record.add("alerts", alert, ALERTS_MAX)

    async def _end(self, run: Run, ending: Ending, config: Config) -> None:
        """Halt, wait until nothing is under way, compare ledger and venues."""
        await wind_down(run, ending)
        ledger = Path(config.recorder.dir, config.recorder.ledger_file)
        await check_ledger(run, ending, ledger, None)

    def _conclude(self, ending: Ending, restarts: dict[str, int]) -> None:
        record, heard = self.record, self._heard
        record.problems += ending.problems
        sql = ending.extra.get("sql_ledger", {})
        record.ending = {
            "orders": heard.order_counts(),
            "outcomes": {str(name): count for name, count in heard.outcomes.items() if count},
            "fills": len(heard.fills),
            "fills_unowned": heard.fills_unowned,
            "plans_without_end": len(heard.in_flight()),
            "open_orders": ending.open_orders,
            "ledger_equal": ending.ledger_equal,
            "ledger_differences": ending.extra.get("ledger_differences", []),
            "sql_ledger_equal": sql.get("equal"),
            "sql_ledger_gaps": len(sql.get("gaps", [])),
            "exposure": {asset: str(qty) for asset, qty in heard.left_open().items()},
            "flattened": ending.flattened,
            "books_live": ending.books_live,
            "restarts": restarts,
            "latency_us": latency_record(heard),
        }
        record.stream_bounds = {spec.name: (spec.entries_max, spec.bytes_max) for spec in ALL}
        record.is_over = True
        write(record, self._file)


def _traded(config: Config) -> list[str]:
    """Return the venues that the simulated market is traded at: those with spot."""
    return sorted(name for name, venue in config.venues.items() if not has_derivatives(venue))


@asynccontextmanager
async def _shown(work: Any) -> AsyncIterator[None]:
    """Do something beside the body, and no longer."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await cancel_and_wait([task])
    if not task.cancelled():
        task.result()
