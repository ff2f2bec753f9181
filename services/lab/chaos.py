"""Faults of a world, drawn from its seed: crashes, venues, the bus, the feed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from services.executor.actions import Submit
from services.lab.bus_troubles import BusTroubles
from services.lab.conditions import VenueConditions
from services.lab.feed import FRAME_FAULTS
from services.lab.forger import Forger
from services.lab.kinds import Kind
from services.lab.losses import HaltedLoss
from services.lab.positions import Positions
from services.lab.process import Crashed
from services.lab.transfers import Transfers
from shared.engine import Action
from shared.errors import Cause
from shared.messages.control import CommandKind

if TYPE_CHECKING:
    from services.lab.life import Life
    from services.lab.world import World

_MS = 1_000_000
EFFECTS_BETWEEN_CRASHES = 155.0
"""Mean number of effects between two crashes at a point between effects."""
ALL_EFFECTS_SHARE = 0.5
"""What an effect counts towards the next crash where every strategy runs, with twice as many."""
EFFECT_WEIGHTS = {"ingestor": 0.2, "orderbook": 0.5}
"""What publishes most has the least to lose: the books; others count 1."""
BUSY_LOOK_NS = 50 * _MS
IDLE_LOOKS_MAX = 40
"""What is to hit a plan under way waits for one, but not for longer than so many looks."""
KILL_NS = (500 * _MS, 5_000 * _MS)
CONDITIONS_NS = (200 * _MS, 2_000 * _MS)
WEATHER_LASTS_NS = (100 * _MS, 2_500 * _MS)
SILENCE_LASTS_NS = (3_000 * _MS, 7_000 * _MS)
"""Long enough for an order's answer to be lost, and that of the query for it as well."""
BUS_NS = (1_500 * _MS, 9_000 * _MS)
EMPTIED_CHANCE = 0.08
"""That the bus loses everything, once in a world."""
EMPTIED_NS = (2_000 * _MS, 6_500 * _MS)
FEED_NS = (200 * _MS, 1_900 * _MS)
FEED_DOWN_NS = (300 * _MS, 1_500 * _MS)
PAUSED_WORLDS = 0.4
"""In so many worlds processes are stopped for a while, as by SIGSTOP, at any time and between any
two effects."""
PAUSE_CHANCE = 1 / 300
PAUSE_NS = (1_000 * _MS, 6_000 * _MS)
PAUSE_LASTS_NS = (200 * _MS, 1_500 * _MS)
LONG_PAUSE_LASTS_NS = (1_500 * _MS, 5_000 * _MS)
LONG_PAUSE_CHANCE = 0.3
"""Below and beyond the life of a lease."""
GONE_CHANCE = 0.3
"""That the executor is away for longer than its dead-man's switches, once in a world with them."""
GONE_NS = (1_000 * _MS, 6_000 * _MS)
GONE_BEYOND_NS = (2_500 * _MS, 3_500 * _MS)
"""How much longer than its switches it stays away."""
OPERATOR_NS = (1_500 * _MS, 12_000 * _MS)
RESUME_AFTER_NS = (200 * _MS, 1_500 * _MS)
COMMANDS = (
    CommandKind.HALT,
    CommandKind.REDUCE,
    CommandKind.FLATTEN,
    CommandKind.RESUME,
)
SILENCE: dict[str, Any] = {"lost_answer": 1.0}
"""A venue takes what comes and answers nothing."""
BAD_WEATHERS: tuple[dict[str, Any], ...] = (
    {"lost_request": 0.4},
    {"lost_answer": 0.5},
    {"late_request": 0.5},
    {"refused": 0.6},
    {"not_sent": 0.6},
    {"partial": 0.7},
    {"late_fills": 0.6},
    {"is_down": True},
    SILENCE,
    {"closed": Cause.SERVICE},
    {"closed": Cause.INSTRUMENT},
    {"closed": Cause.KEY},
    {"barred": Cause.KEY},
    {"barred": Cause.RATE},
    {"requests_per_s": 3},
    {"lost_request": 0.2, "lost_answer": 0.2, "late_request": 0.2, "partial": 0.3},
)


class Chaos:
    """Draws and does what goes wrong, while it is on."""

    def __init__(self, world: World, random: Random) -> None:
        self._world, self._random = world, random
        self.is_on = False
        self.faults = 0
        self._halted_loss = HaltedLoss(world, self, Random(f"{world.seed}/halted"))
        self.positions = Positions(world, self)
        self.transfers = Transfers(world, self)
        self.bus = BusTroubles(world, self, random, self.positions.on_loss)
        self.forger = Forger(world, self, Random(f"{world.seed}/forged"))
        self._gone_until_ns: dict[str, int] = {}
        self._effects = 0.0
        self._effect_share = ALL_EFFECTS_SHARE if world.kind is Kind.ALL else 1.0
        self._next_crash = self._draw_crash()
        self._stops_between_effects = self._random.random() < PAUSED_WORLDS

    def start(self) -> None:
        """Begin."""
        self.is_on = True
        self.again(KILL_NS, lambda: self._once_busy(self._kill))
        self.again(CONDITIONS_NS, self._change_conditions)
        self.again(BUS_NS, lambda: self._once_busy(self.bus.trouble))
        self.again(FEED_NS, self._trouble_feed)
        self.again(OPERATOR_NS, self._command)
        self.positions.start()
        self.transfers.start()
        self._world.checkers.lowered.start()
        self._world.streams.start()
        self.forger.start()
        if self._stops_between_effects:
            self.again(PAUSE_NS, lambda: self._once_busy(self._pause_any))
        gone = Random(f"{self._world.seed}/gone")
        if self._world.config.executor.dead_man_s and gone.random() < GONE_CHANCE:
            beyond_ns = gone.randrange(*GONE_BEYOND_NS)
            leave = partial(self._once, self._has_open_orders, partial(self._leave, beyond_ns))
            self._world.kernel.after(gone.randrange(*GONE_NS), leave)
        draw = Random(f"{self._world.seed}/emptied")
        if draw.random() < EMPTIED_CHANCE:
            self._world.kernel.after(draw.randrange(*EMPTIED_NS), self.bus.empty)
        else:
            self._halted_loss.start()

    def stop(self) -> None:
        """End all of it; what is broken heals."""
        self.is_on = False
        for venue in self._world.account.conditions:
            if venue != self.positions.refuses:  # it heals by itself, a little later
                self._world.account.conditions[venue] = VenueConditions()
        for funding in self._world.funding.values():
            funding.end()
        self._world.server.is_up = True
        self._world.server.loses_next_book = False
        self._world.feed.refuses.clear()

    def crash_point(self, service: str) -> None:
        """Crash the process here if that was drawn.

        Raises:
            Crashed: It dies.
        """
        if not self.is_on:
            return
        if service == "executor":
            self.bus.records.copy()
        self._effects += EFFECT_WEIGHTS.get(service, 1.0) * self._effect_share
        if self._effects >= self._next_crash:
            self._effects, self._next_crash = 0.0, self._draw_crash()
            raise Crashed

    def on_action(self, action: Action) -> None:
        """Lose the record of an order that evens out a plan, now and then."""
        if self.is_on and isinstance(action, Submit):
            self.bus.records.on_submit(action.order)

    def pauses(self, host: Life) -> bool:
        """Tell whether the process is stopped here, and if so stop it."""
        if not self.is_on or not self._stops_between_effects or host.is_paused:
            return False
        if self._is_witness(host):
            return False
        if self._random.random() >= PAUSE_CHANCE:
            return False
        self._pause(host)
        return True

    def _pause_any(self) -> None:
        host = self._random.choice(list(self._world.hosts.values()))
        if host.lives and not host.is_paused and not self._is_witness(host):
            self._pause(host)

    def _pause(self, host: Life) -> None:
        is_long = self._random.random() < LONG_PAUSE_CHANCE
        for_ns = self._random.randrange(*(LONG_PAUSE_LASTS_NS if is_long else PAUSE_LASTS_NS))
        self.fault(f"{host.name} stands still for {for_ns / 1e9:.1f} s")
        host.pause(for_ns)

    def _draw_crash(self) -> int:
        return 1 + int(self._random.expovariate(1 / EFFECTS_BETWEEN_CRASHES))

    def again(self, between_ns: tuple[int, int], event: Callable[[], None]) -> None:
        """Let something happen again and again, while trouble is on."""

        def due() -> None:
            if self.is_on:
                event()
                self.again(between_ns, event)

        self._world.kernel.after(self._random.randrange(*between_ns), due)

    def _once_busy(self, event: Callable[[], None]) -> None:
        """Let it happen while a plan is under way, or in the end without one."""
        self._once(lambda: self._world.checkers.has_plans_in_flight, event)

    def _once(
        self, is_time: Callable[[], bool], event: Callable[[], None], looks: int = IDLE_LOOKS_MAX
    ) -> None:
        """Let it happen when it is time for it, or after so many looks without that."""
        if not self.is_on:
            return
        if looks == 0 or is_time():
            event()
        else:
            self._world.kernel.after(BUSY_LOOK_NS, partial(self._once, is_time, event, looks - 1))

    def away_ns(self, service: str) -> int:
        """Return for how long at least a process of a service that dies now stays away."""
        return max(0, self._gone_until_ns.get(service, 0) - self._world.kernel.now_ns())

    def _has_open_orders(self) -> bool:
        return any(exchange.open_orders for exchange in self._world.exchanges.values())

    def _leave(self, beyond_ns: int) -> None:
        """Kill every executor, and let none be there until its switches have fired."""
        world = self._world
        after_ns = world.config.executor.dead_man_s * 1_000 * _MS + beyond_ns
        self._gone_until_ns["executor"] = world.kernel.now_ns() + after_ns
        self.fault(f"no executor for {after_ns / 1e9:.1f} s")
        for host in world.hosts.values():
            if host.service == "executor" and host.lives:
                host.crash()

    def fault(self, text: str) -> None:
        """Note that something goes wrong."""
        self.faults += 1
        self._world.note(text)

    def _kill(self) -> None:
        host = self._random.choice(list(self._world.hosts.values()))
        if host.lives and not self._is_witness(host):
            host.crash()

    def _is_witness(self, host: Life) -> bool:
        """Whether it lives through a loss that is to come, and must be left to tell of it."""
        return host.process.bus_news is not None and self._halted_loss.is_under_way

    def _change_conditions(self) -> None:
        draw = self._random
        conditions = self._world.account.conditions
        venue = draw.choice([venue for venue in conditions if venue != self.positions.refuses])
        bad = draw.choice(BAD_WEATHERS)
        lasts_ns = SILENCE_LASTS_NS if bad is SILENCE else WEATHER_LASTS_NS
        self.set_conditions(venue, bad, draw.randrange(*lasts_ns))

    def set_conditions(self, venue: str, bad: dict[str, Any], lasts_ns: int) -> None:
        """Make the way to a venue unreliable for a while."""
        account = self._world.account
        self.fault(f"{venue} turns bad: {bad}")
        conditions = account.conditions[venue] = VenueConditions(**bad)
        if conditions.barred is Cause.KEY:
            self._world.streams.revoke(venue)

        def clear() -> None:
            if account.conditions[venue] is conditions:
                account.conditions[venue] = VenueConditions()

        self._world.kernel.after(lasts_ns, clear)

    def _trouble_feed(self) -> None:
        world, draw = self._world, self._random
        venue = draw.choice(list(world.exchanges))
        kind = draw.randrange(4)
        if kind == 0:
            self.fault("an entry of books is lost on the bus")
            world.server.loses_next_book = True
        elif kind == 1:
            fault = draw.choice(FRAME_FAULTS)
            self.fault(f"{venue}: a frame is {fault}")
            world.feed.hit(venue, fault)
        elif kind == 2:
            self.fault(f"{venue}: the connection is cut")
            world.feed.cut(venue)
        else:
            self.fault(f"{venue}: the connection is cut, and nobody may connect")
            world.feed.refuses[venue] = None
            world.feed.cut(venue)
            delay_ns = draw.randrange(*FEED_DOWN_NS)
            world.kernel.after(delay_ns, lambda: world.feed.refuses.pop(venue, None))

    def _command(self) -> None:
        """Let an operator interfere, and think better of it."""
        if self._halted_loss.is_under_way:
            return
        kind = self._random.choice(COMMANDS)
        self.fault(f"an operator says {kind}")
        self._world.send_command(kind)
        delay_ns = self._random.randrange(*RESUME_AFTER_NS)
        self._world.kernel.after(delay_ns, self._resume)

    def _resume(self) -> None:
        if not self._halted_loss.is_under_way:
            self._world.send_command(CommandKind.RESUME)
