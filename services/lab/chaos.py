"""Faults of a world, drawn from its seed: crashes, venues, the bus, the feed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from services.executor.actions import Submit
from services.lab.account import VenueConditions
from services.lab.feed import FRAME_FAULTS
from services.lab.forger import Forger
from services.lab.losses import HaltedLoss
from services.lab.lost_records import LostRecords
from services.lab.positions import Positions
from services.lab.process import Crashed
from shared.engine import Action
from shared.errors import Cause
from shared.messages.control import CommandKind
from shared.streams import CTL_COMMAND, EXEC_EVENT, EXEC_PLAN

if TYPE_CHECKING:
    from services.lab.life import Life
    from services.lab.world import World

_MS = 1_000_000
EFFECTS_BETWEEN_CRASHES = 155.0
"""Mean number of effects between two crashes at a point between effects."""
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
BUS_DOWN_NS = (20 * _MS, 900 * _MS)
LAST_MOMENT_NS = (20 * _MS, 900 * _MS)
"""How much of the bus's newest data is lost: what asynchronous replication may lose."""
EMPTIED_CHANCE = 0.08
"""That the bus loses everything, once in a world."""
EMPTIED_NS = (2_000 * _MS, 6_500 * _MS)
LAST_LOOK_CHANCE = 0.5
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
OPERATOR_NS = (1_500 * _MS, 12_000 * _MS)
RESUME_AFTER_NS = (200 * _MS, 1_500 * _MS)
COMMANDS = (
    CommandKind.HALT,
    CommandKind.REDUCE,
    CommandKind.FLATTEN,
    CommandKind.RESUME,
)
REPEATED_MAX = 10
"""So many of the newest entries of a stream may be repeated."""
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
    {"lost_request": 0.2, "lost_answer": 0.2, "late_request": 0.2, "partial": 0.3},
)


class Chaos:
    """Draws and does what goes wrong, while it is on."""

    def __init__(self, world: World, random: Random) -> None:
        self._world, self._random = world, random
        self.is_on = False
        self.faults = 0
        self._records = LostRecords(world, self)
        self._halted_loss = HaltedLoss(world, self, Random(f"{world.seed}/halted"))
        self._positions = Positions(world, self)
        self.forger = Forger(world, self, Random(f"{world.seed}/forged"))
        self._effects = 0.0
        self._next_crash = self._draw_crash()
        self._stops_between_effects = self._random.random() < PAUSED_WORLDS

    def start(self) -> None:
        """Begin."""
        self.is_on = True
        self.again(KILL_NS, lambda: self._once_busy(self._kill))
        self.again(CONDITIONS_NS, self._change_conditions)
        self.again(BUS_NS, lambda: self._once_busy(self._trouble_bus))
        self.again(FEED_NS, self._trouble_feed)
        self.again(OPERATOR_NS, self._command)
        self._positions.start()
        self._world.streams.start()
        self.forger.start()
        if self._stops_between_effects:
            self.again(PAUSE_NS, lambda: self._once_busy(self._pause_any))
        draw = Random(f"{self._world.seed}/emptied")
        if draw.random() < EMPTIED_CHANCE:
            self._world.kernel.after(draw.randrange(*EMPTIED_NS), self._empty_bus)
        else:
            self._halted_loss.start()

    def stop(self) -> None:
        """End all of it; what is broken heals."""
        self.is_on = False
        for venue in self._world.account.conditions:
            if venue != self._positions.refuses:  # it heals by itself, a little later
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
            self._records.copy()
        self._effects += EFFECT_WEIGHTS.get(service, 1.0)
        if self._effects >= self._next_crash:
            self._effects, self._next_crash = 0.0, self._draw_crash()
            raise Crashed

    def on_action(self, action: Action) -> None:
        """Lose the record of an order that evens out a plan, now and then."""
        if self.is_on and isinstance(action, Submit):
            self._records.on_submit(action.order)

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

    def _once_busy(self, event: Callable[[], None], looks_left: int = IDLE_LOOKS_MAX) -> None:
        """Let it happen while a plan is under way, or in the end without one."""
        if not self.is_on:
            return
        if self._world.checkers.has_plans_in_flight or looks_left == 0:
            event()
        else:
            later = partial(self._once_busy, event, looks_left - 1)
            self._world.kernel.after(BUSY_LOOK_NS, later)

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
        venue = draw.choice([venue for venue in conditions if venue != self._positions.refuses])
        bad = draw.choice(BAD_WEATHERS)
        lasts_ns = SILENCE_LASTS_NS if bad is SILENCE else WEATHER_LASTS_NS
        self.set_conditions(venue, bad, draw.randrange(*lasts_ns))

    def set_conditions(self, venue: str, bad: dict[str, Any], lasts_ns: int) -> None:
        """Make the way to a venue unreliable for a while."""
        account = self._world.account
        self.fault(f"{venue} turns bad: {bad}")
        conditions = account.conditions[venue] = VenueConditions(**bad)

        def clear() -> None:
            if account.conditions[venue] is conditions:
                account.conditions[venue] = VenueConditions()

        self._world.kernel.after(lasts_ns, clear)

    def _trouble_bus(self) -> None:
        draw, world = self._random, self._world
        kind = draw.randrange(3)
        if kind == 0:
            self._repeat_entry()
        elif kind == 1:
            self.fault("the bus is away")
            world.server.is_up, away_ns = False, world.kernel.now_ns()

            def back() -> None:
                world.server.is_up = True
                for host in world.hosts.values():
                    if host.went_on_ns >= away_ns:  # it can read what came meanwhile only now
                        host.went_on_ns = world.kernel.now_ns()

            world.kernel.after(draw.randrange(*BUS_DOWN_NS), back)
        else:
            self.lose_last_moment()

    def _repeat_entry(self) -> None:
        """Entries are on the bus twice, as where a writer tried again: readers must not mind."""
        world = self._world
        spec = self._random.choice((EXEC_EVENT, EXEC_EVENT, EXEC_PLAN, CTL_COMMAND))
        if recent := world.server.stream(spec.key()).newest(REPEATED_MAX):
            self.fault(f"entries of {spec.name} are repeated")
            for payload, signature in self._random.sample(recent, min(3, len(recent))):
                world.server.add(spec.key(), payload, signature)
            world.notify(spec.consumers)

    def lose_last_moment(self) -> None:
        """Take the bus back, a little later, to what it is now."""
        world, losses = self._world, self._world.server.losses
        kept, kept_plans = world.server.snapshot(), len(world.checkers.plans)
        self._records.is_wanted = True

        def lose() -> None:
            if world.server.losses == losses:
                self.lose_since(kept, kept_plans)

        world.kernel.after(self._random.randrange(*LAST_MOMENT_NS), lose)

    def lose_since(self, kept: tuple[Any, ...], kept_plans: int) -> None:
        """Take the bus back to a copy of its data that had so many plans."""
        if self.is_on:
            self.fault("the bus lost its last moment")
            self._positions.on_loss()
            self._world.server.restore(kept)
            self._world.checkers.on_bus_lost(kept_plans)
            self._world.checkers.ledger.on_lost_moment()
            self.break_off()

    def _empty_bus(self) -> None:
        """All data is gone, as of a Redis without persistence that was started again."""
        if self.is_on:
            self.fault("the bus lost everything")
            self._world.server.lose_everything()
            self._world.checkers.on_bus_lost(0)
            self._world.checkers.ledger.on_lost_moment()
            self._world.checkers.on_bus_emptied()
            self.break_off()

    def break_off(self) -> None:
        """Every process notices that the bus is another one; the ingestor lives through it.

        The others end, and look at the ledger's marks once more unless they are killed.
        """
        looks = self._random.random() < LAST_LOOK_CHANCE
        for host in self._world.hosts.values():
            if looks and host.process.bus_news is None:
                self._world.witnesses.look(host)
            host.break_off()

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
