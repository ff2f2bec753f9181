"""The sentinel's kill switch on virtual time, with risk and executor dead, and broken on purpose.

Venues are 20 ms away. Some are silent for a moment, refuse a cancel once, or take an order that was
on its way; some have no cancel-all, or lose its answer. Each seed is one such world.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from random import Random
from typing import Any

import pytest

from services.lab.kernel import Kernel
from services.sentinel import engine as sentinel_engine
from services.sentinel.cancel_all import VenueOrders
from services.sentinel.engine import SentinelEngine
from services.sentinel.kill_switch import KillSwitch
from services.sentinel.requests import (
    AllCanceled,
    CancelAll,
    CancelAnswered,
    CancelOrder,
    OrdersRead,
    ReadFailed,
    ReadOrders,
    ReadTruth,
    TruthRead,
)
from services.sentinel.rules import RULES, traders
from shared.accounts.gateway import OrderReport
from shared.config_sections import Config, ExecutorConfig, SentinelConfig, VenueConfig
from shared.engine import Action, Result, Step
from shared.messages.control import Alert, Command
from shared.messages.execution import OrderEvent, OrderStatus
from shared.services import SERVICES
from tests.decision_builders import make_beat, make_order
from tests.unit.test_sentinel_engine import resting

_MS, _S = 1_000_000, 1_000_000_000
START_NS = 1_700_000_000 * _S
ONE_WAY_NS = 10 * _MS
VENUES = {"alpha": ["BTC/USDT"], "gamma": ["BTC/USDT:USDT"]}
HEARTBEAT_MS_MAX = 2_000
NOTICED_NS_MAX = (HEARTBEAT_MS_MAX + 1_500) * _MS
"""A service that says nothing is noticed so late: beats and looks have their own rhythm."""
ZERO_NS_MAX = 2 * _S
"""From the trigger to no open order."""
SEEDS = range(1, 41)


class Sentinel:
    """A sentinel, the bus it hears, and venues whose orders nobody owns any more.

    Args:
        seed: What the venues have, and how they behave.
        dies: Whether risk and executor die, after five seconds.
    """

    def __init__(self, seed: int, *, dies: bool = True) -> None:
        self.draw, self.kernel = Random(f"{seed}/kill switch"), Kernel(START_NS)
        self.dead_ns = START_NS + 5 * _S if dies else START_NS + 3_600 * _S
        self.engine = SentinelEngine(
            Config(
                venues={name: VenueConfig(instruments=list(each)) for name, each in VENUES.items()},
                executor=ExecutorConfig(mode="simulated"),
                sentinel=SentinelConfig(
                    act=True, heartbeat_ms_max=HEARTBEAT_MS_MAX, read_interval_ms=1_000
                ),
            )
        )
        self.open: dict[str, dict[str, OrderReport]] = {
            venue: {
                f"{venue}{n}": resting(venue, f"{venue}{n}")
                for n in range(self.draw.choice((1, 3, 20)))
            }
            for venue in VENUES
        }
        self.cancels_all = {
            venue: self.draw.choice(("yes", "yes, answer lost", "refused", "none"))
            for venue in VENUES
        }
        self.refuses = {venue: self.draw.random() < 0.5 for venue in VENUES}
        self.silent_ns = {venue: self.draw.choice((0, 0, 400 * _MS)) for venue in VENUES}
        self.triggered_ns = self.zero_ns = 0
        self.told: list[Alert] = []
        self._take(self.engine.start({}, START_NS))
        self._beat()
        self._tick()

    def run(self, seconds: float) -> Sentinel:
        self.kernel.run_until(self.kernel.now_ns() + int(seconds * _S))
        return self

    @property
    def orders(self) -> int:
        return sum(map(len, self.open.values()))

    def flaws(self) -> set[str]:
        """Return what must not be, by name."""
        found = set()
        end_ns = self.kernel.now_ns()
        if not self.triggered_ns or self.triggered_ns - self.dead_ns > NOTICED_NS_MAX:
            found.add("not noticed in time")
        if self.orders or (self.zero_ns or end_ns) - self.triggered_ns > ZERO_NS_MAX:
            found.add("orders open for too long")
        says_done = [each for each in self.told if each.code == "SENTINEL_ACTED"]
        if any("NOT done" not in each.text for each in says_done) and self.orders:
            found.add("says that it is done")
        return found

    def _beat(self) -> None:
        now_ns = self.kernel.now_ns()
        is_dead = now_ns >= self.dead_ns
        for name in [*SERVICES, "sentinel"]:
            if not (is_dead and name in {"risk", "executor"}):
                self._hear(make_beat(name, now_ns, START_NS))
        if not is_dead:
            for venue, orders in self.open.items():
                for name in orders:
                    self._hear(_on_record(venue, name, now_ns))
        self.kernel.after(_S, self._beat)

    def _tick(self) -> None:
        now_ns, due_ns = self.kernel.now_ns(), self.engine.next_deadline_ns()
        if due_ns is not None and due_ns <= now_ns:
            self._take(self.engine.on_timer(now_ns))
        self.kernel.after(5 * _MS, self._tick)

    def _hear(self, message: Any) -> None:
        self._take(self.engine.on_message(message, self.kernel.now_ns()))

    def _take(self, step: Step) -> None:
        now_ns = self.kernel.now_ns()
        for message in step.messages:
            if isinstance(message, Alert):
                self.told.append(message)
            elif isinstance(message, Command):
                self._on_trigger()
                self.kernel.after(_MS, partial(self._hear, message))
        for action in [*step.at_once, *step.actions]:
            if isinstance(action, ReadTruth | ReadOrders | CancelAll | CancelOrder):
                self.kernel.at(now_ns + ONE_WAY_NS, partial(self._arrive, action))

    def _on_trigger(self) -> None:
        """From here on the time counts; one more order is on its way."""
        if self.triggered_ns:
            return
        self.triggered_ns = now_ns = self.kernel.now_ns()
        self.silent_ns = {v: now_ns + lasts if lasts else 0 for v, lasts in self.silent_ns.items()}
        late = resting("alpha", "late")
        self.kernel.after(
            self.draw.randrange(400) * _MS, lambda: self.open["alpha"].update(late=late)
        )

    def _arrive(self, action: Any) -> None:
        venue = action.key.venue if isinstance(action, CancelOrder) else action.venue
        is_silent = self.triggered_ns and self.kernel.now_ns() < self.silent_ns[venue]
        answer = self._failed(action) if is_silent else self._answer(action, venue)
        if not self.orders and self.triggered_ns:
            self.zero_ns = self.zero_ns or self.kernel.now_ns()
        elif self.orders:
            self.zero_ns = 0
        self.kernel.after(ONE_WAY_NS, partial(self._hear, answer))

    def _failed(self, action: Action) -> Result:
        if isinstance(action, CancelOrder):
            return CancelAnswered(action.key, "no answer in time")
        if isinstance(action, CancelAll):
            return AllCanceled(action.venue, problem="no answer in time")
        assert isinstance(action, ReadTruth | ReadOrders)
        return ReadFailed(action, "no answer in time")

    def _answer(self, action: Action, venue: str) -> Result:
        if isinstance(action, ReadTruth):
            return TruthRead(venue, tuple(self.open[venue].values()), {}, {})
        if isinstance(action, ReadOrders):
            return OrdersRead(venue, tuple(self.open[venue].values()))
        if isinstance(action, CancelAll):
            return self._cancel_all(venue)
        assert isinstance(action, CancelOrder)
        if self.refuses[venue]:
            self.refuses[venue] = False
            return CancelAnswered(action.key, "refused")
        self.open[venue].pop(action.key.client_order_id, None)
        return CancelAnswered(action.key)

    def _cancel_all(self, venue: str) -> Result:
        how = self.cancels_all[venue]
        if how == "none":
            return AllCanceled(venue, none="none there")
        if how == "refused":
            return AllCanceled(venue, problem="refused")
        self.open[venue].clear()
        return AllCanceled(venue, problem="answer lost" if how == "yes, answer lost" else "")


def _on_record(venue: str, name: str, now_ns: int) -> OrderEvent:
    return make_order(
        "p1",
        client_order_id=name,
        venue=venue,
        status=OrderStatus.ACCEPTED,
        ts_ns=now_ns,
        price_limit=Decimal(90),
    )


def test_no_order_is_open_two_seconds_after_the_trigger() -> None:
    times_ms = []
    for seed in SEEDS:
        world = Sentinel(seed).run(16)
        assert world.flaws() == set(), f"seed {seed}"
        assert any(each.code == "SENTINEL_ACTED" for each in world.told)
        times_ms.append((world.zero_ns - world.triggered_ns) // _MS)
    assert max(times_ms) > 500, "some venues were silent, or an order came late"


def test_while_risk_and_executor_live_no_order_is_canceled() -> None:
    world = Sentinel(1, dies=False)
    before = world.orders
    world.run(16)
    assert world.orders == before
    assert not world.triggered_ns


def do_nothing(patch: pytest.MonkeyPatch) -> None:
    """The switch is pressed, said to be, and asks nobody for anything."""
    patch.setattr(KillSwitch, "on_time", lambda self, now_ns: [])


def begin_too_late(patch: pytest.MonkeyPatch) -> None:
    """Orders are read only three seconds after it was pressed."""
    original = VenueOrders.__init__

    def begin(self: VenueOrders, venue: str, names: tuple[str, ...], now_ns: int) -> None:
        original(self, venue, names, now_ns + 3 * _S)

    patch.setattr(VenueOrders, "__init__", begin)


def never_notice(patch: pytest.MonkeyPatch) -> None:
    """That risk and executor are dead is no rule."""
    others = tuple(rule for rule in RULES if rule.find is not traders)
    assert len(others) == len(RULES) - 1
    patch.setattr(sentinel_engine, "RULES", others)


def trust_the_first_look(patch: pytest.MonkeyPatch) -> None:
    """A venue that shows no order once is taken for clear."""
    original = VenueOrders.on_orders

    def on_orders(self: VenueOrders, told: OrdersRead, now_ns: int) -> list[Action]:
        out = original(self, told, now_ns)
        if not told.orders:
            self.is_clear, self._due_ns = True, None
        return out

    patch.setattr(VenueOrders, "on_orders", on_orders)


def take_silence_for_none(patch: pytest.MonkeyPatch) -> None:
    """A venue that does not answer is taken for one without orders."""

    def on_failed(self: VenueOrders, reason: str, now_ns: int) -> None:
        self.left, self.clear_ns, self.is_clear, self.problem = {}, now_ns, True, ""

    patch.setattr(VenueOrders, "on_failed", on_failed)


def cancel_once(patch: pytest.MonkeyPatch) -> None:
    """What a venue refused to cancel counts as canceled."""

    def on_canceled(self: VenueOrders, told: CancelAnswered, now_ns: int) -> None:
        self._canceling.clear()
        self.left, self.clear_ns, self.is_clear = {}, now_ns, True

    patch.setattr(VenueOrders, "on_canceled", on_canceled)


def leave_it_at_cancel_all(patch: pytest.MonkeyPatch) -> None:
    """A venue that was asked for cancel-all, whatever it said, is taken for clear."""

    def on_all_canceled(self: VenueOrders, told: AllCanceled, now_ns: int) -> None:
        del told
        self.left, self.clear_ns, self.is_clear, self.problem = {}, now_ns, True, ""

    patch.setattr(VenueOrders, "on_all_canceled", on_all_canceled)


MUTANTS: dict[Callable[[pytest.MonkeyPatch], None], str] = {
    do_nothing: "orders open for too long",
    begin_too_late: "orders open for too long",
    never_notice: "not noticed in time",
    trust_the_first_look: "says that it is done",
    take_silence_for_none: "says that it is done",
    cancel_once: "says that it is done",
    leave_it_at_cancel_all: "says that it is done",
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_caught(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    assert any(MUTANTS[mutant] in Sentinel(seed).run(16).flaws() for seed in SEEDS)
