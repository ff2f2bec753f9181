"""What the sentinel takes for wrong, when it acts, and what it leaves alone."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from services.sentinel.engine import SentinelEngine
from services.sentinel.requests import (
    AllCanceled,
    CancelAll,
    CancelAnswered,
    CancelOrder,
    LagsRead,
    OrdersRead,
    ReadFailed,
    ReadOrders,
    ReadPositions,
    ReadTruth,
    TruthRead,
)
from shared.accounts.gateway import OrderReport
from shared.config_sections import (
    Config,
    ExecutorConfig,
    SentinelConfig,
    VenueConfig,
)
from shared.engine import Action
from shared.messages.base import BookState, Certainty, Message, Side, TradingState
from shared.messages.control import Alert, Command, CommandKind, Severity
from shared.messages.execution import OrderEvent, OrderStatus, RiskReport
from shared.messages.market import DepthView
from shared.messages.position_reports import PositionReport
from shared.messages.terms import OrderTerms
from shared.services import SERVICES
from tests.decision_builders import make_beat, make_order

D = Decimal
S = 1_000_000_000
T0 = 1_700_000_000 * S
PERP = "BTC/USDT:USDT"
VENUES = {"alpha": ["BTC/USDT"], "gamma": [PERP]}


def resting(venue: str, name: str) -> OrderReport:
    instrument = VENUES[venue][0]
    terms = OrderTerms(
        venue=venue, instrument=instrument, side=Side.BUY, qty=D(1), price_limit=D(90)
    )
    return OrderReport(
        client_order_id=name, terms=terms, status=OrderStatus.ACCEPTED, venue_order_id=f"v{name}"
    )


def order_event(name: str, status: OrderStatus, at_ns: int) -> OrderEvent:
    return make_order("p1", client_order_id=name, status=status, ts_ns=at_ns, price_limit=D(90))


class World:
    """An engine with two venues that answer what they are told to, and a bus that says the rest."""

    def __init__(self, **settings: Any) -> None:
        config = Config(
            venues={name: VenueConfig(instruments=list(names)) for name, names in VENUES.items()},
            executor=ExecutorConfig(mode="simulated"),
            sentinel=SentinelConfig(read_interval_ms=1_000, **settings),
        )
        self.engine, self.now_ns = SentinelEngine(config), T0
        self.orders: dict[str, list[OrderReport]] = {"alpha": [], "gamma": []}
        self.balances = {"alpha": {"BTC": D(10), "USDT": D(1_000)}, "gamma": {"USDT": D(1_000)}}
        self.positions = {"gamma": D(0)}
        self.risk_says: dict[str, Any] = {}
        self.alive = dict.fromkeys([*SERVICES, "sentinel"])
        self.book = BookState.LIVE
        self.lags: dict[str, int] = {}
        self.unreadable = ""
        self.messages: list[Message] = []
        self.asked: list[Action] = []
        self._take(self.engine.start({}, T0))

    def tell(self, message: Any) -> None:
        self._take(self.engine.on_message(message, self.now_ns))

    def run(self, seconds: float) -> World:
        """Let time pass: heartbeats, books and reports every second, answers at once."""
        for _ in range(int(seconds * 2)):
            self.now_ns += S // 2
            if self.now_ns % S == 0 or self.now_ns == T0:
                self._say_all()
            deadline_ns = self.engine.next_deadline_ns()
            if deadline_ns is not None and deadline_ns <= self.now_ns:
                self._take(self.engine.on_timer(self.now_ns))
        return self

    def alerts(self, code: str, severity: Severity = Severity.CRITICAL) -> list[Alert]:
        told = [each for each in self.messages if isinstance(each, Alert)]
        return [each for each in told if each.code == code and each.severity is severity]

    def commands(self) -> list[Command]:
        return [each for each in self.messages if isinstance(each, Command)]

    def _say_all(self) -> None:
        for name in self.alive:
            self.tell(make_beat(name, self.now_ns, T0))
        if "risk" in self.alive:
            self.tell(
                RiskReport(
                    ts_ns=self.now_ns,
                    state=TradingState.ACTIVE,
                    exposure={},
                    realized={},
                    fees={},
                    realized_today={},
                    reserved=D(0),
                    plans_in_flight=0,
                    certainty=Certainty.KNOWN,
                    **self.risk_says,
                )
            )
        for venue, (instrument,) in VENUES.items():
            self.tell(
                DepthView(
                    venue=venue,
                    instrument=instrument,
                    state=self.book,
                    epoch=1,
                    seq=1,
                    bids=[(99.0, 1.0)],
                    asks=[(101.0, 1.0)],
                    ts_recv_ns=self.now_ns,
                    ts_ns=self.now_ns,
                )
            )

    def _take(self, step: Any) -> None:
        self.messages += step.messages
        for action in [*step.at_once, *step.actions]:
            self.asked.append(action)
            answer = self._answer(action)
            if answer is not None:
                self._take(self.engine.on_message(answer, self.now_ns))

    def _answer(self, action: Action) -> Any:
        if isinstance(action, ReadTruth | ReadOrders) and action.venue == self.unreadable:
            return ReadFailed(action, "no answer in time")
        if isinstance(action, ReadTruth):
            held = {PERP: self.positions["gamma"]} if action.venue == "gamma" else {}
            balances, orders = self.balances[action.venue], self.orders[action.venue]
            return TruthRead(action.venue, tuple(orders), dict(balances), held)
        if isinstance(action, CancelAll):
            self.orders[action.venue].clear()
            return AllCanceled(action.venue)
        if isinstance(action, ReadOrders):
            return OrdersRead(action.venue, tuple(self.orders[action.venue]))
        if isinstance(action, CancelOrder):
            there = self.orders[action.key.venue]
            there[:] = [o for o in there if o.venue_order_id != action.key.venue_order_id]
            return CancelAnswered(action.key)
        if type(action).__name__ == "ReadLags":
            return LagsRead(dict(self.lags))
        return None


CODES = (
    "SENTINEL_DELTA",
    "SENTINEL_ORDER_UNOWNED",
    "SENTINEL_EQUITY",
    "SENTINEL_BOOK_UNTRUSTED",
    "SENTINEL_TRADER_DEAD",
    "SENTINEL_BUS_LOST",
    "SENTINEL_STREAM_LAG",
    "SENTINEL_SERVICE_DEAD",
    "SENTINEL_BLIND",
)


def lose_money(world: World) -> None:
    world.balances["alpha"]["USDT"] -= 3_000


def differ(world: World) -> None:
    world.positions["gamma"] = D(-20)


def leave_order(world: World) -> None:
    world.orders["alpha"].append(resting("alpha", "stranger"))


def leave_on_untrusted(world: World) -> None:
    world.book = BookState.STALE
    world.run(5)
    world.tell(order_event("ab1", OrderStatus.SUBMITTED, world.now_ns))


def lose_bus(world: World) -> None:
    world.alive.clear()


def lose(name: str) -> Any:
    return lambda world: world.alive.pop(name)


def lag(world: World) -> None:
    world.lags["executor exec.plan"] = 20_000


def blind(world: World) -> None:
    world.unreadable = "alpha"


HARMS = dict(
    zip(
        CODES,
        (
            differ,
            leave_order,
            lose_money,
            leave_on_untrusted,
            lose("executor"),
            lose_bus,
            lag,
            lose("scanner"),
            blind,
        ),
        strict=True,
    )
)
ACTS = set(CODES[:6])


def test_nothing_is_said_while_all_is_well() -> None:
    world = World(act=True).run(120)
    assert world.messages == []
    assert world.engine.gauges()["venues_read"] == 2


@pytest.mark.parametrize("code", CODES)
def test_each_rule_has_its_code_and_only_some_act(code: str) -> None:
    world = World(act=True).run(20)
    HARMS[code](world)
    world.run(90)
    assert world.alerts(code), [m for m in world.messages if isinstance(m, Alert)]
    others = {m.code for m in world.messages if isinstance(m, Alert)} - {code, "SENTINEL_ACTED"}
    assert others == set()
    assert bool(world.commands()) == bool(world.alerts("SENTINEL_ACTED")) == (code in ACTS)


@pytest.mark.parametrize("code", CODES)
def test_without_act_nothing_is_commanded(code: str) -> None:
    world = World().run(20)
    world.orders["gamma"].append(resting("gamma", "ours"))
    HARMS[code](world)
    world.run(90)
    assert world.alerts(code) and not world.commands()
    assert not [a for a in world.asked if isinstance(a, CancelAll | CancelOrder)]


def test_the_switch_cancels_everywhere_and_tells_what_it_did() -> None:
    world = World(act=True).run(20)
    world.orders["alpha"] += [resting("alpha", f"a{n}") for n in range(3)]
    world.orders["gamma"].append(resting("gamma", "g"))
    lose("executor")(world)
    world.run(15)
    assert world.orders == {"alpha": [], "gamma": []}
    (acted,) = world.alerts("SENTINEL_ACTED")
    assert "cancel-all taken at 2 of 2 venues, 0 working orders found after it, none" in acted.text
    assert {command.kind for command in world.commands()} == {CommandKind.HALT}


def test_the_command_is_repeated_until_it_is_seen_and_pressed_once() -> None:
    world = World(act=True).run(20)
    lose("risk")(world)
    world.run(20)
    sent = world.commands()
    assert len(sent) > 2 and len({command.command_id for command in sent}) == 1
    world.tell(sent[0])
    world.run(120)
    assert len(world.commands()) == len(sent)
    assert world.engine.counters()["switch_pressed"] == 1


def test_what_holds_again_is_said_and_may_press_again() -> None:
    world = World(act=True).run(20)
    lose("risk")(world)
    world.run(20)
    world.tell(world.commands()[0])
    world.alive["risk"] = None
    world.run(5)
    assert world.alerts("SENTINEL_TRADER_DEAD", Severity.INFO)
    lose("risk")(world)
    world.run(20)
    assert world.engine.counters()["switch_pressed"] == 2


def test_a_venue_that_cannot_be_read_is_not_taken_for_clear() -> None:
    world = World(act=True, kill_within_ms=5_000).run(20)
    world.unreadable = "alpha"
    lose("executor")(world)
    world.run(20)
    (acted,) = world.alerts("SENTINEL_ACTED")
    assert "NOT done: alpha: its orders are not known (no answer in time)" in acted.text
    assert "none left" not in acted.text


def test_an_order_on_record_has_an_owner_until_the_record_ends_it() -> None:
    world = World().run(5)
    world.tell(order_event("ab1", OrderStatus.ACCEPTED, world.now_ns))
    world.orders["alpha"].append(resting("alpha", "ab1"))
    world.run(60)
    assert world.messages == []
    world.tell(order_event("ab1", OrderStatus.CANCELED, world.now_ns))
    world.run(30)
    assert "ab1 (buy 1 BTC/USDT at 90)" in world.alerts("SENTINEL_ORDER_UNOWNED")[0].text


def test_a_difference_that_moves_with_risk_is_none() -> None:
    world = World().run(20)
    world.positions["gamma"] = D(-20)
    world.balances["alpha"]["BTC"] += 20
    world.balances["alpha"]["USDT"] -= 2_000
    world.risk_says = {
        "positions": [
            PositionReport(
                venue="gamma", instrument=PERP, qty=D(-20), entry=D(100), unrealized=D(0)
            )
        ],
        "inventory": {"alpha": {"BTC": D(20), "USDT": D(-2_000)}},
    }
    world.run(90)
    assert world.messages == []


def test_a_transfer_is_a_difference_until_it_is_recorded() -> None:
    """And over trades before and after; what is gone beside it is told again."""
    world = World(equity_drop_max=D(1_000_000)).run(20)
    world.balances["alpha"]["BTC"] -= 25
    world.run(45)
    (told,) = world.alerts("SENTINEL_DELTA")
    assert "-25 spot at alpha" in told.text
    world.risk_says = {"transfers": {"alpha": {"BTC": D(-25)}}}
    world.run(20)
    assert [each.over for each in world.alerts("SENTINEL_DELTA", Severity.INFO)] == [True]
    world.balances["alpha"]["BTC"] += 3
    world.risk_says["inventory"] = {"alpha": {"BTC": D(3)}}
    world.run(90)
    assert len(world.alerts("SENTINEL_DELTA")) == 1
    world.balances["alpha"]["BTC"] -= 25
    world.run(45)
    assert len(world.alerts("SENTINEL_DELTA")) == 2


def test_a_sentinel_that_starts_after_a_transfer_compares_as_before() -> None:
    world = World()
    world.risk_says = {"transfers": {"alpha": {"BTC": D(-25)}}}
    world.run(20)
    world.risk_says = {"transfers": {"alpha": {"BTC": D(-50)}}}
    world.balances["alpha"]["BTC"] -= 25
    world.run(90)
    assert not world.alerts("SENTINEL_DELTA")


def test_a_move_of_the_market_is_no_loss_of_what_was_there() -> None:
    world = World(equity_drop_max=D(1)).run(20)
    world.balances["alpha"]["BTC"] += D("0.5")
    world.balances["alpha"]["USDT"] -= D(50)
    world.run(30)
    assert not world.alerts("SENTINEL_EQUITY")
    world.balances["alpha"]["USDT"] -= D(2)
    world.run(10)
    assert "lost 2.00 dollars" in world.alerts("SENTINEL_EQUITY")[0].text


def say_flatten(world: World) -> None:
    world.tell(
        Command(
            ts_ns=world.now_ns, command_id="f1", kind=CommandKind.FLATTEN, operator="me", reason="r"
        )
    )


def test_a_flatten_is_the_executors_while_it_lives() -> None:
    world = World(act=True).run(20)
    say_flatten(world)
    world.run(30)
    assert world.messages == [] and not [a for a in world.asked if isinstance(a, ReadPositions)]


def test_a_flatten_that_finds_the_executor_dead_is_taken_over() -> None:
    world = World(act=True).run(20)
    lose("executor")(world)
    world.run(15)
    say_flatten(world)
    world.run(5)
    assert [a for a in world.asked if isinstance(a, ReadPositions)]


def test_without_act_it_says_that_nobody_carries_it_out() -> None:
    world = World().run(20)
    lose("executor")(world)
    world.run(15)
    say_flatten(world)
    world.run(5)
    assert "use arb kill --flatten" in world.alerts("SENTINEL_NOT_TAKEN")[0].text
    assert not world.commands()


def test_on_paper_there_is_no_venue_to_read() -> None:
    engine = SentinelEngine(Config(venues={"alpha": VenueConfig(instruments=["BTC/USDT"])}))
    step = engine.start({}, T0)
    assert not [a for a in step.at_once if isinstance(a, ReadTruth)]
    assert engine.notes(T0) == {"sentinel": "no venue is read: orders are on paper"}
