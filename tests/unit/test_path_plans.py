"""Plans of several assets, from the strategy through risk to the executor: each check says no."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from services.executor.closing_plans import widen_adopted
from services.executor.even_orders import NoOrder, OrderIntent
from services.executor.several import next_order
from services.executor.state import ExecutorState, LedgerStage, PlanKind, PlanRecord
from services.executor.survey import Survey
from services.lab.quiet import strategies_differ
from services.risk.engine import RiskEngine
from services.risk.exposure import Ledger
from services.risk.judgement import OFFER_RULES, PATH_RULES
from services.risk.reasons import DenyReason
from services.risk.restated import apply_restated
from shared.accounts.gateway import FillReport, OrderReport
from shared.config_limits import RiskConfig
from shared.config_sections import InventoryConfig
from shared.domain.accounting import Books
from shared.domain.asset_paths import assets_on_the_way, flow_of, left_over, stake_of
from shared.domain.executions import Execution, plain_trades
from shared.domain.order import ZERO
from shared.domain.valuation import closes
from shared.engine import Step
from shared.messages.arb import Opportunity
from shared.messages.base import BookState, Side
from shared.messages.control import Command, CommandKind
from shared.messages.execution import (
    ApprovedPlan,
    Denied,
    Fill,
    OrderStatus,
    PlanDone,
    PlanOutcome,
)
from shared.messages.restated import FillRestated
from shared.messages.terms import OrderTerms
from shared.strategies.built_in.triangular import Triangular, TriangularParams
from tests.decision_builders import (
    MS,
    T0,
    make_balances,
    make_fill,
    make_leg,
    make_offer,
    make_ready,
    make_view,
)
from tests.path_model import (
    CONVERSION,
    PRICES,
    PathWorld,
    make_path_plan,
    path_config,
    path_infos,
)

D = Decimal
BUY, SELL = Side.BUY, Side.SELL
GOOD_PRICES = PRICES | {("alpha", "ETH/USDT"): ("509", "509.2")}


def path_risk(*, inventory: InventoryConfig | None = None, **limits: Any) -> RiskEngine:
    """A risk engine that trades, before the books of ``GOOD_PRICES``."""
    config = msgspec.structs.replace(path_config(), risk=RiskConfig(**limits))
    config = msgspec.structs.replace(config, inventory=inventory or InventoryConfig())
    engine = RiskEngine(config)
    for info in path_infos():
        engine.on_message(info, T0)
    show(engine, T0)
    engine.on_message(make_ready(T0), T0)
    for venue in ("alpha", "beta"):
        owned = {"USDT": 100_000, "BTC": 10, "ETH": 200, "USD": 100_000}
        engine.on_message(make_balances(venue, T0, **owned), T0)
    return engine


def show(engine: RiskEngine, now_ns: int, **changes: Any) -> None:
    for (venue, instrument), (bid, ask) in GOOD_PRICES.items():
        levels = {"bids": [(float(bid), 50.0)], "asks": [(float(ask), 50.0)]}
        engine.on_message(make_view(venue, instrument, **levels, ts_ns=now_ns), now_ns)
    for place, state in changes.items():
        market = ("alpha", place.replace("_", "/"))
        engine.on_message(make_view(*market, state=state, ts_ns=now_ns), now_ns)


def found_triangle(**params: Any) -> Opportunity:
    """What the strategy finds in these books: BTC, ETH and back, 160 bps."""
    given = {"is_buy_fee_in_base": False, "notional_quote_max": 1_000.0, **params}
    strategy = Triangular("tri", TriangularParams(**given))
    for info in path_infos():
        strategy.on_rules(info.rules, T0)
    strategy.on_timer(T0 + 2_000 * MS)
    found: list[Opportunity] = []
    for (venue, instrument), (bid, ask) in GOOD_PRICES.items():
        levels = {"bids": [(float(bid), 50.0)], "asks": [(float(ask), 50.0)]}
        found += strategy.on_depth(make_view(venue, instrument, **levels, ts_ns=T0), T0)
    (only,) = found
    return only


GOOD = found_triangle()


def decision(engine: RiskEngine, found: Opportunity, now_ns: int = T0) -> ApprovedPlan | Denied:
    out = engine.on_message(found, now_ns).messages
    (decided,) = [m for m in out if isinstance(m, ApprovedPlan | Denied)]
    return decided


def with_leg(index: int, **changes: Any) -> Opportunity:
    legs = list(GOOD.legs)
    legs[index] = msgspec.structs.replace(legs[index], **changes)
    return msgspec.structs.replace(GOOD, legs=legs)


def with_value(index: int, **changes: Any) -> Opportunity:
    values = list(GOOD.values)
    values[index] = msgspec.structs.replace(values[index], **changes)
    return msgspec.structs.replace(GOOD, values=values)


@pytest.mark.parametrize("in_base", [False, True])
def test_risk_approves_what_the_strategy_finds(in_base: bool) -> None:
    found = found_triangle(is_buy_fee_in_base=in_base)
    plan = decision(path_risk(), found)
    assert isinstance(plan, ApprovedPlan), plan
    assert [leg.instrument for leg in plan.legs] == ["BTC/USDT", "ETH/BTC", "ETH/USDT"]
    assert (plan.base, plan.quote, plan.values) == ("BTC", "USDT", found.values)
    # What is at stake: BTC bought and ETH sold, or both the other way round by the leg between.
    worth = found.legs[0].qty * D(10_001) + found.legs[2].qty * D(509)
    assert plan.loss_cap == pytest.approx(worth / 100, rel=D("0.01"))


# reason -> (limits, the opportunity, what happened to books before, ms later)
CASES: list[tuple[DenyReason, dict[str, Any], Opportunity, dict[str, Any], int]] = [
    (DenyReason.SEVERAL_ASSETS, {}, msgspec.structs.replace(GOOD, values=[]), {}, 0),
    (DenyReason.SEVERAL_ASSETS, {}, with_leg(1, side=SELL), {}, 0),
    (DenyReason.SEVERAL_ASSETS, {}, msgspec.structs.replace(GOOD, quote="BTC"), {}, 0),
    (DenyReason.SEVERAL_ASSETS, {}, msgspec.structs.replace(GOOD, legs=GOOD.legs[:2]), {}, 0),
    (DenyReason.SEVERAL_ASSETS, {}, with_leg(2, instrument="ETH/USDT:USDT"), {}, 0),
    (DenyReason.MALFORMED, {}, msgspec.structs.replace(GOOD, base="ETH"), {}, 0),
    (DenyReason.MALFORMED, {}, msgspec.structs.replace(GOOD, qty=D("0.2")), {}, 0),
    (DenyReason.MALFORMED, {}, with_leg(1, fee_bps=D(-1)), {}, 0),
    (DenyReason.ARITHMETIC, {}, msgspec.structs.replace(GOOD, net=GOOD.net + 1), {}, 0),
    (DenyReason.ARITHMETIC, {}, msgspec.structs.replace(GOOD, fees=D(0)), {}, 0),
    (DenyReason.ASSET_VALUE, {}, msgspec.structs.replace(GOOD, values=GOOD.values[:1]), {}, 0),
    (DenyReason.ASSET_VALUE, {}, with_value(1, instrument="ETH/BTC"), {}, 0),
    (DenyReason.ASSET_VALUE, {}, with_value(1, venue="gamma"), {}, 0),
    (DenyReason.ASSET_VALUE, {"book_age_ms_max": 100}, with_value(0, ts_ns=T0 - 101 * MS), {}, 0),
    (DenyReason.BOOK_NOT_LIVE, {}, GOOD, {"ETH_BTC": BookState.GAP}, 0),
    (DenyReason.ORDER_NOTIONAL, {"order_notional_max": D(900)}, GOOD, {}, 0),
    (DenyReason.INSTRUMENT_NOTIONAL, {"instrument_notional_max": D(900)}, GOOD, {}, 0),
    (DenyReason.VENUE_NOTIONAL, {"venue_notional_max": D(2_500)}, GOOD, {}, 0),
    (DenyReason.TOTAL_NOTIONAL, {"total_notional_max": D(1_900)}, GOOD, {}, 0),
    (DenyReason.DAILY_LOSS, {"daily_loss_max": D(10)}, GOOD, {}, 0),
    (DenyReason.LOSS_CAP, {"loss_cap_bps": D(19)}, GOOD, {}, 0),
    (DenyReason.EDGE_MAX, {"edge_bps_max": 50.0}, GOOD, {}, 0),
]


@pytest.mark.parametrize(("reason", "limits", "found", "books", "later_ms"), CASES)
def test_rule_stops(
    reason: DenyReason,
    limits: dict[str, Any],
    found: Opportunity,
    books: dict[str, Any],
    later_ms: int,
) -> None:
    engine = path_risk(**limits)
    show(engine, T0, **books)
    answer = decision(engine, found, T0 + later_ms * MS)
    assert isinstance(answer, Denied), answer
    assert answer.reason == reason, answer.context
    assert not engine.ledger.reservations


def test_a_value_that_risks_own_book_does_not_show_is_not_believed() -> None:
    """Also where the arithmetic agrees with it."""
    offer = with_value(1, price=GOOD.values[1].price * D("1.02"))
    fees = offer.legs[0].fee + offer.legs[1].fee * offer.values[0].price + offer.legs[2].fee
    assert fees.quantize(D("1e-8")) == GOOD.fees
    answer = decision(path_risk(), offer)
    assert isinstance(answer, Denied)
    assert answer.reason == DenyReason.ASSET_VALUE


@pytest.mark.parametrize(("asset", "left"), [("BTC", "0.05"), ("ETH", "1")])
def test_every_asset_that_a_leg_spends_must_be_there(asset: str, left: str) -> None:
    engine = path_risk()
    owned = {"USDT": 100_000, "BTC": 10, "ETH": 200, asset: left}
    engine.on_message(make_balances("alpha", T0, **owned), T0)
    answer = decision(engine, GOOD)
    assert isinstance(answer, Denied)
    assert (answer.reason, answer.context["asset"]) == (DenyReason.BALANCE, asset)


def test_more_of_an_asset_than_came_in_is_not_sold() -> None:
    leg = GOOD.legs[2]
    qty = leg.qty + D("0.001")
    flow = flow_of(leg.instrument, leg.side, qty, leg.price_avg, leg.fee_bps, "")
    found = with_leg(2, qty=qty, fee=flow.fee, cash_flow=flow.brought)
    net = flow.brought - GOOD.notional
    fees = GOOD.fees - leg.fee + flow.fee
    edge = (net / GOOD.notional * 10_000).quantize(GOOD.edge_bps, "ROUND_FLOOR")
    found = msgspec.structs.replace(found, net=net, fees=fees, gross=net + fees, edge_bps=edge)
    answer = decision(path_risk(), found)
    assert isinstance(answer, Denied)
    assert answer.reason == DenyReason.UNHEDGED, answer.context


def test_no_rule_is_asked_twice() -> None:
    assert len({*OFFER_RULES, *PATH_RULES}) == len(OFFER_RULES + PATH_RULES)


# The way, and what is at stake.


def test_a_way_leads_back_to_where_it_began() -> None:
    way = (("BTC/USDT", BUY), ("ETH/BTC", BUY), ("ETH/USDT", SELL))
    assert assets_on_the_way(way, "USDT") == ("BTC", "ETH")
    assert assets_on_the_way(way, "BTC") == ()
    assert assets_on_the_way(way[:2], "USDT") == ()
    assert assets_on_the_way((("BTC/USDT", BUY), ("BTC/USDT", SELL)), "USDT") == ("BTC",)
    assert assets_on_the_way((*way, *way), "USDT") == (), "through it twice"
    perp = (("BTC/USDT:USDT", BUY), ("ETH/BTC", BUY), ("ETH/USDT", SELL))
    assert assets_on_the_way(perp, "USDT") == ()


def test_what_is_at_stake_in_a_triangle() -> None:
    flows = [
        flow_of("BTC/USDT", BUY, D(1), D(100), D(10), ""),
        flow_of("ETH/BTC", BUY, D(10), D("0.1"), D(10), ""),
        flow_of("ETH/USDT", SELL, D(10), D(10), D(10), ""),
    ]
    stake = stake_of(flows, {"BTC": D(100), "ETH": D(10)}, "USDT", [D(10)] * 3)
    # The first and the last traded, the one between did not: long 100, short 100.
    assert stake.notional == pytest.approx(D(200), rel=D("0.002"))
    assert stake.fees == pytest.approx(D("0.4"), rel=D("0.002"))
    assert left_over(flows)["USDT"] == D(-100) - D("0.1") + D(100) - D("0.1")


# Accounts: the result is in the asset that the plan began with.


def traded(instrument: str, side: Side, qty: str, cost: str, **more: Any) -> Execution:
    values: dict[str, Any] = {"venue": "a", "fee": D(0), "report_asset": "USDT"} | more
    return Execution(instrument=instrument, side=side, qty=D(qty), cost=D(cost), **values)


@pytest.mark.parametrize("price", ["100", "90", "123.456"])
def test_a_cycle_realizes_in_what_it_began_with_whatever_the_price_between(price: str) -> None:
    books = Books()
    books.trade(traded("BTC/USDT", BUY, "1", "100", report_asset=""))
    books.trade(traded("ETH/BTC", BUY, "10", "1", report_price=D(price)))
    books.trade(traded("ETH/USDT", SELL, "10", "101", report_asset=""))
    assert books.result("USDT").realized == 1
    assert set(books.results) == {"USDT"}
    assert {asset: qty for asset, qty in books.exposure.items() if qty} == {}
    assert books.inventory_change() == {"a": {"USDT": D(1)}}
    assert not books.opened()


def test_half_a_cycle_leaves_both_assets_open() -> None:
    books = Books()
    books.trade(traded("ETH/BTC", BUY, "10", "1", report_price=D(100)))
    assert books.exposure == {"ETH": D(10), "BTC": D(-1)}
    assert books.opened() == {"BTC/USDT": D(-1), "ETH/USDT": D(10)}
    assert books.holdings["ETH/USDT"].cost == 100
    assert books.inventory_change() == {"a": {"BTC": D(-1), "ETH": D(10)}}
    assert books.result("USDT").realized == 0


def test_a_fee_is_taken_from_the_asset_it_was_charged_in() -> None:
    for asset, left in (("BTC", {"BTC": "-1.001", "ETH": "10"}), ("ETH", {"BTC": "-1"})):
        books = Books()
        fee = D("0.001") if asset == "BTC" else D("0.01")
        done = traded("ETH/BTC", BUY, "10", "1", report_price=D(100), fee=fee, fee_asset=asset)
        books.trade(done)
        assert books.result("USDT").fees == D("0.1")
        wanted = {"BTC": "-1", "ETH": "9.99"} | left
        assert books.exposure == {name: D(qty) for name, qty in wanted.items()}


def test_a_fee_told_later_counts_as_if_it_had_been_told_at_once() -> None:
    told = traded("ETH/BTC", BUY, "10", "1", report_price=D(100), fee=D("0.001"), fee_asset="BTC")
    at_once, later = Books(), Books()
    at_once.trade(told)
    later.trade(msgspec.structs.replace(told, fee=None))
    assert later.result("USDT").fees_missing == 1
    later.fee_told(told)
    assert later.result("USDT") == at_once.result("USDT")
    assert later.inventory_change() == at_once.inventory_change()


def test_dollars_against_tethers_are_valued_in_the_book_that_is_turned() -> None:
    (part,) = plain_trades(traded("USDT/USD", BUY, "100", "101", report_price=D("0.99")))
    assert (part.instrument, part.side, part.qty, part.cost) == ("USD/USDT", SELL, D(101), D(100))
    view = make_view("a", "USDT/USD", bids=[(0.98, 500.0)], asks=[(1.0, 50.0), (1.02, 500.0)])
    close = closes([view])("", "USD/USDT", D(101))
    assert close is not None
    assert close.price * 101 == 100, "50 at 1.0 and 50 at 1.02 dollars"
    assert closes([view])("", "USD/USDT", D(10_000)) is None
    short = closes([view])("", "USD/USDT", D(-98))
    assert short is not None
    assert short.price * 98 == 100


# The executor.


def ready(world: PathWorld) -> PathWorld:
    while world.engine.obstacle:
        while world.inbox:
            world.deliver()
        world.tick()
    return world


def run(
    plan: ApprovedPlan, *fates: str, before: Callable[[PathWorld], object] | None = None
) -> Any:
    turn = iter(fates)
    world = ready(PathWorld(lambda what, _: next(turn, "full")))
    if before:
        before(world)
    world.message(plan)
    world.settle(seconds=20)
    return world


def test_an_asset_without_a_price_fails_the_plan_and_the_other_is_still_evened_out() -> None:
    """Leg two of three alone: ETH came in for BTC, and the book of ETH goes down."""
    world = ready(PathWorld(lambda what, _, turn=iter(("none", "full", "none")): next(turn)))
    world.message(make_path_plan())
    world.down.add(("alpha", "ETH/USDT"))
    world.show_prices()
    world.settle(seconds=20)
    (done,) = world.published(PlanDone)
    assert done.outcome is PlanOutcome.FAILED
    assert done.residual["ETH"] == D("1.994")
    assert abs(done.residual.get("BTC", D(0))) < D("0.0005"), "dust"
    assert "ETH" in world.engine.state.locked
    assert abs(world.true_changes()["BTC"]) < D("0.0005")


def order_to_even_out(btc_asks: str, *, eth_bids: str = "490") -> OrderIntent | NoOrder:
    """What is traded first where 0.1 BTC are missing, 1.994 ETH too many, and the cap is 40."""
    world = ready(PathWorld(lambda what, _, turn=iter(("none", "full", "none")): next(turn)))
    world.message(make_path_plan())
    world.down |= set(PRICES)
    world.show_prices()
    world.settle(seconds=1)
    (plan,) = world.engine.state.open_plans()
    assert round(plan.loss_cap) == 40
    orders, markets, now_ns = world.engine.state.orders_of(plan), world.engine.markets, world.now_ns
    asks = [(float(btc_asks), 5.0)] if btc_asks else []
    for instrument, levels in {
        "BTC/USDT": {"bids": [(9_900.0, 5.0)], "asks": asks},
        "ETH/USDT": {"bids": [(float(eth_bids), 50.0)], "asks": [(520.0, 50.0)]},
    }.items():
        markets.learn_view(make_view("alpha", instrument, **levels, ts_ns=now_ns))
    return next_order(plan, orders, markets, now_ns)


def test_the_cap_is_kept_for_the_asset_that_is_worth_most() -> None:
    """Buying the BTC back now costs 35 to 50; selling the ETH 23, and a fee each."""
    first = order_to_even_out("10350")
    assert isinstance(first, OrderIntent)
    assert first.terms.instrument == "BTC/USDT", "it pays for that"
    assert order_to_even_out("10500") is NoOrder.NO_PRICE, (
        "for neither: nothing is left for the ETH"
    )
    second = order_to_even_out("")
    assert isinstance(second, OrderIntent)
    assert second.terms.instrument == "ETH/USDT", "what has no price holds up nothing"


def test_what_flatten_finds_of_a_failed_plan_is_one_holding_per_asset() -> None:
    world = ready(PathWorld(lambda what, _, turn=iter(("none", "full", "none")): next(turn)))
    world.message(make_path_plan())
    world.down |= {("alpha", "ETH/USDT"), ("alpha", "BTC/USDT"), ("beta", "BTC/USDT")}
    world.show_prices()
    world.settle(seconds=20)
    opened = world.engine.state.books.opened()
    assert {key: round(qty, 3) for key, qty in opened.items()} == {
        "BTC/USDT": D("-0.100"),
        "ETH/USDT": D("1.994"),
    }


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"values": []}, "is not BTC/USDT"),
        ({"base": "ETH"}, "do not lead"),
        ({"quote": "BTC"}, "do not lead"),
        ({"loss_cap": D(1_000)}, "loss cap"),
        ({"opening": D(1)}, "which no round is"),
    ],
)
def test_the_executor_starts_no_plan_that_cannot_be(change: dict[str, Any], text: str) -> None:
    world = run(msgspec.structs.replace(make_path_plan(), **change))
    (done,) = world.published(PlanDone)
    assert done.outcome is PlanOutcome.REFUSED
    assert text in done.reason
    assert not any(world.orders.values())


def test_the_executor_believes_no_value_that_its_books_do_not_show() -> None:
    plan = make_path_plan()
    values = [msgspec.structs.replace(each, price=each.price * 2) for each in plan.values]
    world = run(msgspec.structs.replace(plan, values=values, loss_cap=D(1)))
    (done,) = world.published(PlanDone)
    assert done.outcome is PlanOutcome.REFUSED
    assert "is worth" in done.reason


def test_a_stable_coin_left_over_is_traded_back_in_its_turned_book() -> None:
    """The conversion's last leg fills nothing: a thousand dollars buy tethers all the same."""
    world = run(make_path_plan(legs=CONVERSION), "full", "full", "none")
    (done,) = world.published(PlanDone)
    assert done.outcome is PlanOutcome.HEDGED
    assert abs(world.true_changes()["USD"]) < 6
    assert set(done.dust) <= {"USD", "BTC"}


@pytest.mark.parametrize("side", Side)
def test_flatten_closes_what_is_traded_the_other_way_round(side: Side) -> None:
    """Dollars that a failed conversion left are held against tethers; the book is USDT/USD."""
    world = ready(PathWorld(lambda what, _: "full"))
    world.engine.state.books.trade(
        traded("USDT/USD", side, "1000", "1000", venue="beta", report_price=D(1))
    )
    command = Command(ts_ns=world.now_ns, command_id="f1", kind=CommandKind.FLATTEN, operator="ann")
    world.message(command)
    world.settle(seconds=10)
    assert world.engine.state.flatten == ""
    done, *_ = world.published(PlanDone)  # a further plan finds what is left to be dust
    assert done.outcome is PlanOutcome.UNWOUND
    left = world.engine.state.books.opened()
    assert set(left) == {"USD/USDT"}
    assert abs(left["USD/USDT"]) < 5, "dust"
    assert all(fill.report_asset == "USDT" for fill in world.published(Fill))


def test_orders_of_a_lost_plan_are_taken_for_one_that_began_in_money() -> None:
    world = ready(PathWorld(lambda what, _: "full"))
    plan = PlanRecord(
        plan_id="p",
        kind=PlanKind.ADOPTED,
        base="ETH",
        quote="BTC",
        legs=[*make_path_plan().legs[1:]],
        loss_cap=D(0),
        reference=D(1),
        ts_started_ns=T0,
    )
    widen_adopted(plan, world.engine.markets, world.now_ns)
    assert (plan.base, plan.quote) == ("ETH", "USDT")
    assert plan.values == {"ETH": D("501"), "BTC": D("10000")}
    # A hundredth of both legs' worth, at their prices.
    assert plan.loss_cap == pytest.approx(D("1.994") * (D("0.0501") * 10_000 + D("500.9")) / 100)


def test_a_lost_plan_found_before_its_books_were_seen_is_valued_once_they_are() -> None:
    world = ready(PathWorld(lambda what, _: "full"))
    engine, later_ns = world.engine, world.now_ns + 10_000 * MS
    plan = PlanRecord(
        plan_id="p",
        kind=PlanKind.ADOPTED,
        base="ETH",
        quote="BTC",
        legs=[*make_path_plan().legs[1:]],
        loss_cap=D(0),
        reference=D(1),
        ts_started_ns=T0,
    )
    widen_adopted(plan, engine.markets, later_ns)  # all books are too old
    assert ZERO in plan.values.values()
    engine.state.add_plan(plan)
    world.advance(10_000 * MS)
    engine._plans.advance(plan, world.now_ns, Step())
    assert (plan.quote, plan.values) == ("USDT", {"ETH": D("501"), "BTC": D("10000")})


def test_the_legs_of_a_path_in_flight_count_at_their_venue_for_every_other_plan() -> None:
    """One of the three is quoted in bitcoins: it takes room of the venue's limit all the same."""
    engine = path_risk(plans_in_flight_max=9, venue_notional_max=D(3_900))
    assert isinstance(decision(engine, GOOD), ApprovedPlan)  # three legs of 1,000 at alpha
    legs = [
        make_leg("alpha", BUY, "0.1", "10001", "BTC/USDT"),
        make_leg("beta", SELL, "0.1", "10030", "BTC/USDT"),
    ]
    answer = decision(engine, make_offer(legs))
    assert isinstance(answer, Denied)
    assert answer.reason == DenyReason.VENUE_NOTIONAL.value
    assert D(answer.context["notional"]) == pytest.approx(D(4_000), rel=D("0.02"))


def test_what_a_lost_path_left_is_told_by_asset_and_never_added_up() -> None:
    """Two of three legs filled: BTC came in and went out for ETH, which nobody sold."""
    survey = Survey(ExecutorState(stage=LedgerStage.NEW))
    for number, (instrument, qty, price) in enumerate(
        [("BTC/USDT", "0.1", "10001"), ("ETH/BTC", "1.994", "0.0501")]
    ):
        terms = OrderTerms(
            venue="alpha", instrument=instrument, side=BUY, qty=D(qty), price_limit=D(price)
        )
        fill = FillReport(
            trade_id=f"t{number}",
            venue_order_id="",
            instrument=instrument,
            side=BUY,
            price=D(price),
            qty=D(qty),
            fee=D(0),
            fee_asset="USDT",
            ts_venue_ns=T0,
        )
        found = OrderReport(
            client_order_id=f"o{number}",
            terms=terms,
            status=OrderStatus.FILLED,
            filled_qty=D(qty),
            fills=(fill,),
        )
        survey.add("plan00000001", found)
    news = survey.take_news()
    assert "plan00000001 net +0.0001006 BTC, +1.994 ETH (2 orders, alpha)" in news


def two_legs(side_at_alpha: Side) -> Opportunity:
    """Trades bitcoins between alpha, where the triangle buys them, and beta."""
    there = SELL if side_at_alpha is BUY else BUY
    prices = {BUY: "10000", SELL: "10050"}
    legs = [
        make_leg("alpha", side_at_alpha, "0.01", prices[side_at_alpha]),
        make_leg("beta", there, "0.01", prices[there]),
    ]
    return make_offer(legs)


def reason_of(answer: ApprovedPlan | Denied) -> str:
    return answer.reason if isinstance(answer, Denied) else ""


def test_a_plan_of_several_assets_shares_no_side_of_a_book_with_another() -> None:
    engine, shared = path_risk(), two_legs(BUY)
    first = decision(engine, GOOD)
    assert isinstance(first, ApprovedPlan)
    assert reason_of(decision(engine, shared)) == DenyReason.PAIR_IN_FLIGHT
    # The other side of the book has prices of its own.
    assert reason_of(decision(engine, two_legs(SELL))) != DenyReason.PAIR_IN_FLIGHT

    engine = path_risk()
    assert isinstance(decision(engine, shared), ApprovedPlan)
    assert reason_of(decision(engine, GOOD)) == DenyReason.PAIR_IN_FLIGHT


def test_fills_of_a_lost_plan_are_told_anew_once_it_shows_what_it_is_of() -> None:
    """Its orders are found one by one, the first as a trade against its own quote asset."""
    world = run(make_path_plan())
    plan = make_path_plan("plan00000002", legs=CONVERSION, now_ns=world.now_ns)
    before = len(world.published(Fill))
    world.lost = True  # of which asset it began with is a guess
    world.message(plan, torn="before commit")
    world.settle(seconds=20)
    found = [fill for fill in world.published(Fill)[before:] if fill.plan_id == plan.plan_id]
    assert world.engine.counters()["orders_adopted"] == 3
    told_so = {fill.trade_id: fill for fill in found}
    for anew in world.published(FillRestated):
        assert told_so[anew.fill.trade_id] == anew.fill, "as it was told last"
        told_so[anew.fill.trade_id] = msgspec.structs.replace(
            anew.fill, report_asset=anew.report_asset, report_price=anew.report_price
        )
    assert world.published(FillRestated)
    quote = world.published(PlanDone)[-1].quote
    for fill in told_so.values():
        is_in_quote = fill.instrument.endswith(f"/{quote}")
        assert fill.report_asset == ("" if is_in_quote else quote)
    world.check_quiet()
    assert world.engine.state.plans[plan.plan_id].told == [], "it has ended"


def test_a_fill_stated_anew_is_booked_as_if_it_had_been_told_so() -> None:
    """With what else there is of the assets, and whatever its fee is in; by strategy as well."""
    other = path_fill("other", "ETH/BTC", SELL, "1", "0.06", report_asset="")
    for fee_asset in ("BTC", "ETH", "BNB", ""):
        plain = path_fill("t1", "ETH/BTC", BUY, "2", "0.05", fee=D("0.01"), fee_asset=fee_asset)
        anew = FillRestated(ts_ns=T0 + 1, fill=plain, report_asset="USDT", report_price=D(10_000))
        stated = msgspec.structs.replace(plain, report_asset="USDT", report_price=D(10_000))
        ledgers = [Ledger(), Ledger()]
        for ledger, first in zip(ledgers, (plain, stated), strict=True):
            ledger.apply_fill(other)
            ledger.apply_fill(first)
        assert apply_restated(ledgers[0], anew)
        assert not apply_restated(ledgers[0], anew), "told twice"
        restated, told_so = (each.books for each in ledgers)
        assert restated.exposure == told_so.exposure
        assert restated.inventory_change() == told_so.inventory_change()
        assert restated.opened() == told_so.opened(), fee_asset
        assert strategies_differ(restated, ledgers[0].strategies) == ""
    assert not apply_restated(Ledger(), anew), "what was never booked is not"


def path_fill(
    trade_id: str, instrument: str, side: Side, qty: str, price: str, **other: Any
) -> Fill:
    made = make_fill("plan00000001", "alpha", side, qty, instrument=instrument, price=D(price))
    return msgspec.structs.replace(made, trade_id=trade_id, strategy="", **other)
