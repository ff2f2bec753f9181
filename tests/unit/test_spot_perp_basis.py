"""Spot against the perpetual, from views through scanner and risk and back by positions."""

from __future__ import annotations

from collections import deque
from decimal import Decimal as D
from typing import Any

import pytest

from services.risk.engine import RiskEngine
from services.scanner.engine import OverBudget, StrategyHost
from services.scanner.roster import Share
from shared.config_sections import Config, StrategyConfig
from shared.messages.arb import NearMiss, Opportunity
from shared.messages.base import BookState, Message, Side
from shared.messages.control import Alert
from shared.messages.execution import ApprovedPlan, Denied, PlanOutcome
from shared.messages.rounds import Intent, RoundState, RoundsTold, StrategyPosition
from shared.strategies.round_plans import KnownBook, close_round
from shared.strategy_files import load_strategies
from tests.decision_builders import (
    MS,
    PERP,
    SECOND,
    SPOT,
    T0,
    announce,
    make_balances,
    make_config,
    make_done,
    make_fill,
    make_info,
    make_ready,
    make_risk,
    make_rules,
    make_view,
)

PARAMS: dict[str, Any] = {
    "spot_venue": "alpha",
    "perp_venue": "gamma",
    "perp_instrument": PERP,
    "open_bps": 60.0,
    "close_bps": 10.0,
    "notional_quote_max": 2_000.0,
    "perp_fee_bps": 10.0,
    "held_hours_max": 1.0,
    "cooldown_ms": 1_000,
}


class World:
    """Scanner and risk, joined by what they say to each other; every plan fills as expected."""

    strategy_class, defaults = "spot_perp_basis", PARAMS

    def __init__(self, **entry: Any) -> None:
        params = {**self.defaults, **entry.pop("params", {})}
        strategy = StrategyConfig(id="basis", class_=self.strategy_class, params=params, **entry)
        plain = make_config()
        self.config = Config(venues=plain.venues, risk=plain.risk, strategies=[strategy])
        self.risk: RiskEngine = make_risk(self.config)
        self.now_ns, self.seq = T0, 1
        self.published: list[Message] = []
        self._queue: deque[Message] = deque()
        self._is_busy = False
        self.share = D(1)
        self.start_scanner()

    def start_scanner(self) -> None:
        self.host = StrategyHost(load_strategies(self.config))
        self.take(self.host.start({}, self.now_ns).messages)
        for place in (("alpha", SPOT), ("gamma", PERP)):
            self.host.on_message(make_info(*place), self.now_ns)

    def restart_risk(self) -> None:
        saved = dict(self.risk.checkpoints())
        self.risk = RiskEngine(self.config)
        self.risk.start(saved, self.now_ns)
        for place in (("alpha", SPOT), ("gamma", PERP)):
            self.risk.on_message(make_info(*place), self.now_ns)

    def beat(self) -> None:
        """A second of the services' reports."""
        self.risk.on_message(make_ready(self.now_ns), self.now_ns)
        self.take(self.risk.on_timer(self.now_ns).messages)

    def show(
        self, spot: float, perp: float, *, later_ms: int = 10, perp_first: bool = False
    ) -> None:
        """New views, one after the other: half the spread of 2 around both prices."""
        self.now_ns += later_ms * MS
        self.seq += 1
        self.risk.on_message(make_ready(self.now_ns), self.now_ns)
        both = (("alpha", SPOT, spot), ("gamma", PERP, perp))
        for venue, instrument, price in both[:: -1 if perp_first else 1]:
            view = make_view(
                venue,
                instrument,
                bids=[(price - 1, 1.0)],
                asks=[(price + 1, 1.0)],
                seq=self.seq,
                ts_ns=self.now_ns,
            )
            self.risk.on_message(view, self.now_ns)
            self.take(self.host.on_message(view, self.now_ns).messages)
        due_ns = self.host.next_deadline_ns()
        if due_ns is not None and due_ns <= self.now_ns:
            self.take(self.host.on_timer(self.now_ns).messages)

    def take(self, messages: list[Message]) -> None:
        """Deliver messages, and what comes of them, in order."""
        self._queue.extend(messages)
        if self._is_busy:
            return
        self._is_busy = True
        while self._queue:
            self._deliver(self._queue.popleft())
        self._is_busy = False

    def _deliver(self, message: Message) -> None:
        self.published.append(message)
        if isinstance(message, Opportunity):
            self.take(self.risk.on_message(message, self.now_ns).messages)
        elif isinstance(message, ApprovedPlan):
            self._execute(message)
        elif isinstance(message, StrategyPosition | RoundsTold):
            self.take(self.host.on_message(message, self.now_ns).messages)

    def _execute(self, plan: ApprovedPlan) -> None:
        announce(self.risk, plan, self.now_ns)
        out: list[Message] = []
        for leg in plan.legs if self.share else ():
            fill = make_fill(
                plan.plan_id,
                leg.venue,
                leg.side,
                str(leg.qty * self.share),
                instrument=leg.instrument,
                price=leg.price_expected,
                ts_ns=self.now_ns,
                strategy=plan.strategy,
                round_id=plan.round_id,
            )
            out += self.risk.on_message(fill, self.now_ns).messages
        outcome = PlanOutcome.FILLED if self.share else PlanOutcome.UNFILLED
        done = make_done(plan.plan_id, self.now_ns, outcome=outcome)
        self.take([*out, *self.risk.on_message(done, self.now_ns).messages])

    def every(self, kind: type[Any]) -> list[Any]:
        return [m for m in self.published if isinstance(m, kind)]

    @property
    def intents(self) -> list[Intent]:
        return [m.intent for m in self.every(Opportunity)]

    @property
    def last(self) -> StrategyPosition:
        return self.every(StrategyPosition)[-1]


def ready(**entry: Any) -> World:
    world = World(**entry)
    world.beat()
    return world


def test_it_opens_at_the_one_basis_and_closes_at_the_other() -> None:
    world = ready()
    world.show(10_000, 10_050)  # 50 bps, less the spread
    assert world.intents == []
    world.show(10_000, 10_070)
    assert world.intents == [Intent.OPEN]
    (found,) = world.every(Opportunity)
    assert [(leg.venue, leg.side, leg.qty) for leg in found.legs] == [
        ("alpha", Side.BUY, D("0.198")),
        ("gamma", Side.SELL, D("0.198")),
    ]
    assert world.last.state is RoundState.OPEN
    world.show(10_000, 10_030)  # between the two
    assert world.intents == [Intent.OPEN]
    world.show(10_040, 10_045)
    assert world.intents == [Intent.OPEN, Intent.CLOSE]
    assert world.last.state is RoundState.CLOSED
    # The spot price moved first: 0.198 * ((10039 - 10001) + (10069 - 10031)) - 4 fees of 1
    assert world.last.realized == {"USDT": D("0.198") * 76 - 4}
    assert not world.every(Denied)


def test_one_round_at_a_time_and_a_pause_after_it() -> None:
    world = ready()
    for _ in range(5):
        world.show(10_000, 10_070)
    assert world.intents == [Intent.OPEN]
    world.show(10_000, 10_005)
    world.show(10_000, 10_070)
    assert world.intents == [Intent.OPEN, Intent.CLOSE]
    world.show(10_000, 10_070, later_ms=1_100)
    assert world.intents == [Intent.OPEN, Intent.CLOSE, Intent.OPEN]


def test_nothing_opens_before_the_open_rounds_are_known() -> None:
    world = World()
    world.show(10_000, 10_070)
    assert world.intents == []
    assert world.host.counters()["opens_too_early"] == 1


def test_what_was_held_back_opens_as_soon_as_it_may() -> None:
    world = World()
    world.show(10_000, 10_070)
    assert world.intents == []
    world.beat()  # tells the open rounds: there are none
    world.show(10_000, 10_070, later_ms=60)
    assert world.intents == [Intent.OPEN]


def test_a_scanner_that_takes_the_strategy_over_opens_no_second_round() -> None:
    """It has heard of the rounds all the time, but the strategy that begins here has not."""
    world, own = ready(), Share(frozenset(["basis"]), frozenset([0]), 1)
    world.host.take_share(own, world.now_ns)
    world.show(10_000, 10_070)
    assert world.intents == [Intent.OPEN]
    world.host.take_share(Share(frozenset(), frozenset(), 1), world.now_ns)
    world.host.take_share(own, world.now_ns)
    for place in (("alpha", SPOT), ("gamma", PERP)):
        world.host.on_message(make_info(*place), world.now_ns)
    world.show(10_000, 10_070, later_ms=100)
    assert world.intents == [Intent.OPEN]
    assert world.host.counters()["opens_too_early"] == 1
    world.beat()
    world.show(10_000, 10_070, later_ms=2_000)
    assert world.intents == [Intent.OPEN]
    world.show(10_040, 10_045)
    assert world.intents == [Intent.OPEN, Intent.CLOSE]


def test_a_scanner_that_starts_again_closes_what_an_earlier_one_opened() -> None:
    world = ready()
    world.show(10_000, 10_070)
    world.restart_risk()
    world.start_scanner()
    world.risk.on_message(make_ready(world.now_ns), world.now_ns)
    for venue in ("alpha", "beta", "gamma"):
        world.risk.on_message(make_balances(venue, world.now_ns), world.now_ns)
    world.beat()
    world.show(10_000, 10_070)
    assert world.intents == [Intent.OPEN]
    world.show(10_000, 10_005)
    assert world.intents == [Intent.OPEN, Intent.CLOSE]
    assert world.last.state is RoundState.CLOSED


def test_a_round_ends_by_time_without_any_basis() -> None:
    world = ready()
    world.show(10_000, 10_070)
    world.now_ns += 3_600 * SECOND
    world.show(10_000, 10_070)
    assert world.intents == [Intent.OPEN, Intent.CLOSE]
    assert world.last.state is RoundState.CLOSED


def test_a_round_ends_when_its_short_nears_liquidation() -> None:
    world = ready(params={"margin_fraction": 0.5, "distance_bps_min": 1_000.0})
    world.show(10_000, 10_070)
    world.show(13_000, 13_080, perp_first=True)  # liquidation is at about 15,000, 15 % away
    assert world.intents == [Intent.OPEN]
    world.show(14_000, 14_080, perp_first=True)
    assert world.intents == [Intent.OPEN, Intent.CLOSE]


def test_a_close_that_fills_in_part_is_finished_by_further_ones() -> None:
    world = ready()
    world.show(10_000, 10_070)
    world.share = D("0.5")
    world.show(10_000, 10_005)
    assert world.last.state is RoundState.OPEN
    world.share = D(1)
    world.show(10_000, 10_005, later_ms=600)
    assert world.last.state is RoundState.CLOSED
    assert world.risk.ledger.exposure["BTC"] == 0


def test_an_opening_that_does_not_fill_is_tried_again() -> None:
    world = ready()
    world.share = D(0)
    world.show(10_000, 10_070)
    assert world.last.state is RoundState.CLOSED
    world.share = D(1)
    world.show(10_000, 10_070, later_ms=3_100)
    assert world.intents == [Intent.OPEN, Intent.OPEN]
    assert world.last.state is RoundState.OPEN


@pytest.mark.parametrize("rule", ["close", "keep"])
def test_rounds_of_a_disabled_strategy_follow_its_rule(rule: str) -> None:
    world = ready(on_disable=rule)
    world.show(10_000, 10_070)
    world.take(world.host.on_message(OverBudget("basis", "too slow"), world.now_ns).messages)
    (alert,) = world.every(Alert)
    assert alert.code == "STRATEGY_DISABLED"
    round_id = world.last.round_id
    fate = "are closed" if rule == "close" else "are kept for the operator"
    assert alert.text.endswith(f"too slow; its rounds {round_id} {fate}")
    assert f"round basis|{round_id}" in world.host.notes()
    world.beat()
    world.show(10_000, 10_070)
    closes = rule == "close"
    assert world.intents == [Intent.OPEN, Intent.CLOSE] if closes else [Intent.OPEN]
    assert world.last.state is (RoundState.CLOSED if closes else RoundState.OPEN)
    if closes:
        assert world.every(Opportunity)[-1].detector == "on_disable"
        assert world.host.notes() == {"strategy basis": "disabled: too slow"}


def test_a_round_without_a_strategy_is_told_once() -> None:
    world = ready()
    world.show(10_000, 10_070)
    world.config = Config(venues=world.config.venues, risk=world.config.risk)
    world.start_scanner()
    world.beat()
    world.beat()
    (alert,) = world.every(Alert)
    assert alert.code == "ROUND_WITHOUT_STRATEGY"


def test_thresholds_closer_than_the_costs_are_refused() -> None:
    strategy = StrategyConfig(
        id="basis", class_="spot_perp_basis", params={"open_bps": 30.0, "close_bps": 0.0}
    )
    (found,) = load_strategies(Config(strategies=[strategy]))
    assert "a round costs 34" in found.problem
    assert "open at 34" in found.problem


def test_fees_above_what_was_expected_open_nothing() -> None:
    world = ready()
    world.host.on_message(make_info("gamma", PERP, taker_fee_bps=D(30)), world.now_ns)
    world.show(10_000, 10_070)
    assert world.intents == []
    world.take(world.host.on_timer(world.now_ns + 2 * SECOND).messages)
    assert "COSTS" in {miss.gate for miss in world.every(NearMiss)}


def test_a_book_that_is_not_live_opens_and_closes_nothing() -> None:
    world = ready()
    view = make_view("gamma", PERP, bids=[(10_100, 1.0)], state=BookState.STALE)
    world.host.on_message(view, world.now_ns)
    spot = make_view("alpha", SPOT)
    assert not [
        m for m in world.host.on_message(spot, world.now_ns).messages if isinstance(m, Opportunity)
    ]


def books(**quantities: float) -> dict[tuple[str, str], KnownBook]:
    found: dict[tuple[str, str], KnownBook] = {}
    for place, qty in (("alpha", SPOT), ("gamma", PERP)):
        book = found[place, qty] = KnownBook()
        size = quantities.get(place, 1.0)
        book.view = make_view(place, qty, bids=[(9_999.0, size)], asks=[(10_001.0, size)])
        book.rules = make_rules(place, qty)
    return found


def test_a_thin_book_closes_all_legs_by_the_same_share() -> None:
    world = ready()
    world.show(10_000, 10_070)
    found = close_round(world.last, books(gamma=0.05), T0, age_ms_max=1_000)
    assert found is not None
    assert [leg.qty for leg in found.legs] == [D("0.05"), D("0.05")]
    assert close_round(world.last, books(gamma=0.0001), T0, age_ms_max=1_000) is None
    assert close_round(world.last, books(), T0 + 2 * SECOND, age_ms_max=1_000) is None
