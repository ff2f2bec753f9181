"""A drill: the stack runs, each venue has one fault after the other, and the judge looks on."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from services.cli.follower import Follower
from services.cli.settings import config_for_venues
from services.cli.stack import Stack, StackError, open_stack
from services.cli.venues import Addresses, ControlClient
from services.orderbook.engine import OrderbookEngine
from shared.cancel import cancel_and_wait
from shared.clock import SystemClock
from shared.config_sections import Config, ScannerConfig
from shared.messages.arb import Opportunity
from shared.messages.base import BookState, Message
from shared.messages.market import DepthView, VenueStatus
from shared.streams import ARB_OPPORTUNITY, MD_BOOK, MD_DEPTH, MD_STATUS
from shared.venues.registry import load_book_audit
from shared.watch.link import StreamItem
from tests.drill.faults import Provoked
from tests.drill.judge import UNSEEN_WAIT_NS, Judge, Look, Objection, Verdict
from tests.drill.record import Healed, Record
from tests.drill.truth import BEYOND, SHOWN, Key, Truth

SERVICES = ("ingestor", "orderbook", "scanner", "risk")
SCANNER = ScannerConfig(edge_bps_min=-100.0, cooldown_ms=2_000)
"""So lenient that it prices something all the time: nothing is traded."""
AUDIT_EVERY_S = 5.0
READ_EVERY_S = 0.2
WELL_S, FIRST_WELL_S = 60.0, 120.0
TAKEN_S = 3.0
"""A fault that waits for longer than this has nothing to happen to."""
SETTLE_S = 1.0
"""Healed is what stays trusted and right for so long."""
UNNOTICED_S = 10.0
"""How long a fault is watched that nothing there can notice."""
AGE_MARGIN_NS = 3_000_000_000
"""Beyond ``orderbook.stale_after_ms``: a book is silent only after ten of its usual pauses."""
NS = 1_000_000_000
LIE_OVER_NS = NS
"""Until books that begin anew after a lie are down."""


@dataclass(frozen=True)
class Wanted:
    """What is asked of a drill.

    Args:
        seed: Of the market and of the order of the faults.
        rounds: How often each fault happens to each venue.
        venues: At which they happen.
        faults: Which.
        heal_s_max: A book must be trusted and right again so long after a fault is over.
        two_feeds: Venues that two ingestors follow.
    """

    seed: int
    rounds: int
    venues: tuple[str, ...]
    faults: tuple[Provoked, ...]
    heal_s_max: float = 30.0
    two_feeds: tuple[str, ...] = ()


Tell = Callable[[str], None]
Meanwhile = Callable[["Drill"], Awaitable[None]]


@dataclass
class Drill:
    """One run: what it talks to, and what it has found."""

    wanted: Wanted
    record: Record
    tell: Tell
    stack: Stack
    control: ControlClient
    config: Config
    judge: Judge
    shadow: OrderbookEngine
    """Keeps the levels of the books that nothing proves: their published views have none."""
    lies: list[tuple[Key, int, int]] = field(default_factory=list)
    statuses: dict[tuple[str, str, str], VenueStatus] = field(default_factory=dict)
    """The last of each book and feed, from its ingestor."""
    readers: list[asyncio.Task[None]] = field(default_factory=list)
    """What reads streams and truth: where one has failed, nothing that is waited for comes."""
    _shadow_ns: int = 0

    def on_item(self, item: StreamItem) -> None:
        """Take what a stream says."""
        message = item.message
        if isinstance(message, VenueStatus):
            self.statuses[message.venue, message.instrument, message.feed] = message
        if isinstance(message, Opportunity):
            self.judge.on_opportunity(message)
        elif isinstance(message, DepthView):
            if message.venue not in self.record.unproved:
                self.judge.on_view(message)
            elif message.state is BookState.LIVE:
                self.record.problems.append(f"a LIVE view of {message.venue}, which proves nothing")
        elif getattr(message, "venue", "") in self.record.unproved:
            self._shadow(message)

    def _shadow(self, message: Message) -> None:
        """Let the levels of a book that nothing proves follow, in the stream's own time."""
        told_ns = getattr(message, "ts_recv_ns", 0) or getattr(message, "ts_ns", 0)
        now_ns = self._shadow_ns = max(told_ns, self._shadow_ns)
        seen = list(self.shadow.on_message(message, now_ns).messages)
        if now_ns >= (self.shadow.next_deadline_ns() or 0):
            seen += self.shadow.on_timer(now_ns).messages
        for view in seen:
            if isinstance(view, DepthView):
                self.judge.on_view(view)

    async def follow_truth(self) -> None:
        """Read what the books really were until canceled."""
        truth = self.judge.truth
        names = "".join(f"&venue={name}" for name in self.record.venues)
        while True:
            path = f"truth?after={truth.last}&levels={SHOWN + BEYOND}{names}"
            truth.take(await self.control.get(path))
            self.judge.work()
            await asyncio.sleep(READ_EVERY_S)

    async def look_again(self, pause_s: float = READ_EVERY_S) -> None:
        """Let time pass, unless what is waited for can come no more: then raise why."""
        for task in self.readers:
            if task.done():
                task.result()
        await asyncio.sleep(pause_s)

    # One venue

    async def hurt(self, venue: str) -> None:
        """Let each fault happen at a venue, in an order of its own."""
        chance = random.Random(f"{self.wanted.seed}/{venue}")
        for _ in range(self.wanted.rounds):
            for fault in chance.sample(self.wanted.faults, len(self.wanted.faults)):
                if not await self.is_well(venue, WELL_S):
                    self._problem(f"{venue}: not well for {WELL_S:g} s before {fault.name}")
                    return
                await asyncio.sleep(chance.uniform(0.0, 0.5))
                await self._one(venue, fault, chance)

    async def _one(self, venue: str, fault: Provoked, chance: random.Random) -> None:
        every = [key for key in self.judge.looks if key[0] == venue]
        books = [chance.choice(sorted(every))] if fault.one_book else sorted(every)
        told = {"kind": fault.kind, "venue": venue, **fault.told}
        if fault.one_book:
            told["instrument"] = books[0][1]
        effect_ns = SystemClock.now_ns()
        asked_ns = effect_ns
        await self.control.post("fault", told)
        if fault.then:
            await self.control.post("fault", {"kind": fault.then, "venue": venue})
        else:
            taken_ns = await self._taken(fault.kind, venue, asked_ns)
            if taken_ns is None:
                await self.control.delete(f"fault?venue={venue}")
                self.record.not_met.append((venue, fault.name))
                return
            effect_ns = max(asked_ns, taken_ns)
        await asyncio.sleep(fault.lasts_s)
        if fault.back:
            await self.control.post("fault", {"kind": fault.kind, "venue": venue, **fault.back})
        over_ns = SystemClock.now_ns()
        unnoticed = self.cannot_notice(venue, fault)
        within_s = UNNOTICED_S if unnoticed else self.wanted.heal_s_max
        found = [Healed(venue, fault.name, key[1], None, ts_ns=effect_ns) for key in books]
        until_ns = over_ns + (within_s + SETTLE_S) * NS
        is_last = False
        while not is_last:
            await self.look_again()
            is_last = self.judge.truth.until_ns >= until_ns
            for one, key in zip(found, books, strict=True):
                look_back(one, self.judge.looks[key], effect_ns)
            settled = self.judge.truth.until_ns - int(SETTLE_S * NS)
            if settled >= over_ns and all(_is_over(one, settled, effect_ns) for one in found):
                break
        await self._note(fault, found, books, unnoticed)

    async def _note(
        self, fault: Provoked, found: list[Healed], books: list[Key], unnoticed: str
    ) -> None:
        venue = books[0][0]
        if fault.then:
            met_ns = self.judge.truth.happened.get((fault.kind, venue), 0)
            await self.control.delete(f"fault?venue={venue}")
            if met_ns < found[0].ts_ns:
                self.record.not_met.append((venue, fault.name))
                return
        now_ns = SystemClock.now_ns()
        if fault.is_lie:
            self.lies += [(key, found[0].ts_ns, now_ns + LIE_OVER_NS) for key in books]
        for one in found:
            if one.healed_s is None:
                one.note = unnoticed
                if not unnoticed:
                    looks = self.judge.looks[one.venue, one.instrument]
                    self._problem(
                        f"{one.venue} {one.instrument} did not heal from {fault.name} within "
                        f"{self.wanted.heal_s_max:g} s: {describe(looks[-1])}"
                    )
        self.record.healed += found
        worst = max((one.healed_s or float("inf") for one in found), default=0.0)
        self.tell(f"{venue:<17}{fault.name:<14}{worst:6.2f} s  {' '.join(found[0].states)}")
        if fault.is_lie or any(one.healed_s is None for one in found):
            # Else the next fault may meet a book that is wrong already.
            asked_ns = SystemClock.now_ns()
            await self.control.post("fault", {"kind": "disconnect", "venue": venue})
            while self.judge.truth.until_ns < asked_ns + 2 * SETTLE_S * NS:
                await self.look_again()

    def cannot_notice(self, venue: str, fault: Provoked) -> str:
        """Return why nothing there can notice a fault; empty where something can."""
        if load_book_audit(venue) is not None:
            return ""
        if venue in self.record.unproved:
            return "nothing proves the book and nothing audits it: UNPROVED, so never priced"
        return "no audit there, and nothing proves quantities" if fault.is_lie else ""

    async def _taken(self, kind: str, venue: str, asked_ns: int) -> int | None:
        """Return when a fault happened."""
        while True:
            is_over = self.judge.truth.until_ns >= asked_ns + TAKEN_S * NS
            happened_ns = self.judge.truth.happened.get((kind, venue), 0)
            if happened_ns >= asked_ns:
                return happened_ns
            if is_over:
                return None
            await self.look_again(READ_EVERY_S / 2)

    async def is_well(self, venue: str, within_s: float) -> bool:
        """Wait until all books of a venue are trusted and right, and stay so for a while."""
        wanted = {(venue, name) for name in self.config.venues[venue].instruments}
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            since_ns = self.judge.truth.until_ns - int(SETTLE_S * NS)
            looks = [self.judge.looks.get(key, ()) for key in wanted]
            if all(some and _is_calm(some, since_ns) for some in looks):
                return True
            await self.look_again()
        return False

    def _problem(self, text: str) -> None:
        self.record.problems.append(text)
        self.tell(f"PROBLEM: {text}")

    # The end

    async def conclude(self) -> None:
        """Judge what is left, and write down what was found."""
        until_ns = SystemClock.now_ns() + UNSEEN_WAIT_NS + NS
        while self.judge.truth.until_ns < until_ns:
            await self.look_again()
        record, judge = self.record, self.judge
        for each in judge.objections:
            line = (
                f"{each.ts_ns}: opportunity {each.opportunity_id} was priced from "
                f"{each.venue} {each.instrument}: {each.why}"
            )
            (record.lied_to if self._is_lie(each) else record.problems).append(line)
        counts = judge.counts
        record.views, record.wrong_views = counts.views, judge.examples
        record.opportunities, record.legs = counts.opportunities, counts.legs
        if not counts.opportunities:
            record.problems.append("no opportunity was published: nothing is proved of them")
        if judge.truth.lost:
            record.problems.append("some of the venues' states were not read in time")

    def _is_lie(self, each: Objection) -> bool:
        return any(
            key == (each.venue, each.instrument) and begun <= each.ts_ns <= over
            for key, begun, over in self.lies
        )


def look_back(one: Healed, looks, effect_ns: int) -> None:
    """Write down what became of a book since a fault took effect, as far as is known."""
    since = [look for look in looks if look.ts_ns >= effect_ns]
    bad = max((i for i, look in enumerate(since) if look.verdict is not Verdict.RIGHT), default=-1)
    one.healed_s, one.wrong_s, one.states = None, 0.0, []
    for at, look in enumerate(since):
        named = look.verdict if look.state is BookState.LIVE else look.state
        if not one.states or one.states[-1] != named.value:
            one.states.append(named.value)
        if look.verdict is Verdict.WRONG:
            end_ns = since[at + 1].ts_ns if at + 1 < len(since) else look.ts_ns
            one.wrong_s += (end_ns - look.ts_ns) / NS
        if at > bad and one.healed_s is None and look.holds_since(effect_ns):
            one.healed_s = (look.ts_ns - effect_ns) / NS


def _is_over(one: Healed, settled_ns: int, effect_ns: int) -> bool:
    return one.healed_s is not None and effect_ns + one.healed_s * NS <= settled_ns


def _is_calm(looks, since_ns: int) -> bool:
    if looks[0].ts_ns > since_ns or looks[-1].verdict is not Verdict.RIGHT:
        return False
    for look in reversed(looks):
        if look.ts_ns < since_ns:
            return True
        if look.verdict is not Verdict.RIGHT:
            return False
    return True


def describe(look: Look) -> str:
    """Say what a view was worth."""
    return f"{look.state.value} and {look.verdict.value} {look.reason}".strip()


@asynccontextmanager
async def running(wanted: Wanted, record: Record, tell: Tell) -> AsyncIterator[Drill]:
    """Start the stack and what looks at it."""
    async with open_stack(tell) as stack:
        await stack.start_bus()
        arguments = ("--seed", str(wanted.seed), "--more-venues")
        addresses = await stack.start_venues(arguments)
        config = _config(record.venues, addresses, stack.url, wanted.two_feeds)
        await stack.start_services(config, addresses, {}, SERVICES)
        control = ControlClient(addresses.control)
        age_ns_max = config.orderbook.stale_after_ms * 1_000_000 + AGE_MARGIN_NS
        shadow = OrderbookEngine(config.orderbook, config.bus.shards, record.unproved)
        for shard in range(config.bus.shards):
            shadow.own(shard, None, SystemClock.now_ns())
        judge = Judge(Truth(), age_ns_max, record.unproved)
        drill = Drill(wanted, record, tell, stack, control, config, judge, shadow)
        specs = (MD_DEPTH, ARB_OPPORTUNITY, MD_BOOK, MD_STATUS)
        follower = Follower(stack.url, drill.on_item, specs, config.bus.shards)
        tasks = [
            asyncio.create_task(follower.run(), name="follow"),
            asyncio.create_task(drill.follow_truth(), name="truth"),
        ]
        drill.readers = tasks
        try:
            yield drill
        finally:
            stack.keep = bool(record.problems)
            await cancel_and_wait(tasks)
            await control.close()
        for task in tasks:
            if not task.cancelled():
                task.result()
        if stack.supervisor.gave_up.is_set():
            raise StackError(stack.supervisor.reason)


def _config(
    venues: list[str], addresses: Addresses, url: str, two_feeds: tuple[str, ...]
) -> Config:
    chosen = [(one.venue, one.instrument) for one in addresses.instruments if one.venue in venues]
    config = config_for_venues(
        chosen, addresses.http, addresses.ws, url, audit_every_s=AUDIT_EVERY_S, scanner=SCANNER
    )
    replace = msgspec.structs.replace
    followed = {
        name: replace(venue, two_feeds=name in two_feeds) for name, venue in config.venues.items()
    }
    return replace(config, venues=followed)


async def run(wanted: Wanted, record: Record, tell: Tell, meanwhile: Meanwhile | None = None):
    """Run a drill; what it finds is in ``record``. ``meanwhile`` is called once all is well."""
    began = time.monotonic()
    async with running(wanted, record, tell) as drill:
        well = await asyncio.gather(*(drill.is_well(name, FIRST_WELL_S) for name in record.venues))
        for name, is_well in zip(record.venues, well, strict=True):
            if not is_well:
                last = [
                    f"{key[1]}: {describe(looks[-1])}"
                    for key, looks in drill.judge.looks.items()
                    if key[0] == name
                ]
                record.problems.append(f"{name} was never well: {'; '.join(last) or 'no view'}")
        if not record.problems:
            if meanwhile is not None:
                await meanwhile(drill)
            try:
                async with asyncio.TaskGroup() as group:
                    for venue in wanted.venues:
                        group.create_task(drill.hurt(venue))
            except BaseExceptionGroup as failed:
                raise failed.exceptions[0] from failed
        await drill.conclude()
    record.seconds = round(time.monotonic() - began, 1)
