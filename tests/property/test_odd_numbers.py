"""Whatever a venue says of an instrument or a book, no engine raises and the others trade on."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.executor.even_orders import OrderIntent
from services.executor.market import Markets
from services.executor.rebalance import decide
from services.executor.state import PlanKind, PlanRecord
from shared.messages.arb import Opportunity
from shared.messages.base import Side
from shared.messages.execution import PlanDone, PlanOutcome
from tests.decision_builders import BOOKS, make_risk, make_rules, make_scanner, make_view, told_info
from tests.executor_model import PLACES, T0, World, make_plan

D = Decimal
RUN = settings(max_examples=100, deadline=None)
ODD = ("0", "-1", "NaN", "sNaN", "Infinity", "-Infinity", "1E+999", "1E-999", "1E-30", "1E+30")
numbers = st.one_of(
    st.sampled_from(ODD).map(D), st.decimals(places=None), st.decimals(D("1e-9"), D("1e6"))
)
NUMERIC = (
    "tick_size",
    "lot_size",
    "qty_min",
    "notional_min",
    "taker_fee_bps",
    "maker_fee_bps",
    "contract_size",
    "qty_max",
)
odd_rules = st.fixed_dictionaries(
    {}, optional={**dict.fromkeys(NUMERIC, numbers), "active": st.booleans()}
)
sizes = st.one_of(
    st.floats(1e-300, 1e300),
    st.floats(1.0, 20_000.0),
    st.sampled_from([float("inf"), float("nan"), 0.0, -1.0]),
)
best_first = st.lists(st.tuples(sizes, sizes), max_size=4)
odd_views = st.fixed_dictionaries(
    {
        "bids": best_first.map(lambda levels: sorted(levels, reverse=True)),
        "asks": best_first.map(sorted),
    }
)


@RUN
@given(odd_rules, odd_views, st.sampled_from(["0.5", "-0.5", "0.0000001", "-3"]))
def test_rebalancing_goes_on_elsewhere(rules: dict, view: dict, opening: str) -> None:
    known = Markets(("alpha", "beta", "gamma"))
    for venue, instrument in BOOKS:
        known.learn_rules(make_rules(venue, instrument))
        known.learn_view(make_view(venue, instrument, ts_ns=T0))
    known.learn_rules(told_info("beta", **rules).rules)
    known.learn_view(make_view("beta", **view, ts_ns=T0))
    plan = PlanRecord(
        plan_id="p",
        kind=PlanKind.ARBITRAGE,
        base="BTC",
        quote="USDT",
        legs=[],
        loss_cap=D(50),
        reference=D(10_000),
        ts_started_ns=T0,
        opening=D(opening),
    )
    step = decide(plan, [], known, T0)
    if abs(D(opening)) >= D("0.5"):
        assert isinstance(step, OrderIntent)
        assert step.terms.price_limit > 0
        assert step.terms.qty > 0


@settings(max_examples=60, deadline=None)
@given(odd_rules, odd_views)
@example(rules={"lot_size": D("1E-9"), "qty_min": D("1E-9")}, view={"bids": [], "asks": []})
def test_a_plan_of_other_venues_ends_even(rules: dict, view: dict) -> None:
    world = World(lambda what, options: "none" if what == "beta does" else options[0])
    while world.engine.obstacle:
        while world.inbox:
            world.deliver()
        world.tick()
    world.prices_shown = False
    for venue in ("alpha", "gamma"):
        ts_ns = world.now_ns + 10**9
        shown = make_view(
            venue, PLACES[venue], bids=[(9_999.0, 5.0)], asks=[(10_001.0, 5.0)], ts_ns=ts_ns
        )
        world.engine.on_message(shown, world.now_ns)
    world.message(make_plan(now_ns=world.now_ns))
    world.engine.on_message(told_info("beta", **rules), world.now_ns)
    world.engine.on_message(make_view("beta", **view, ts_ns=world.now_ns), world.now_ns)
    world.habits["beta"] = "reject"
    world.settle(15)
    (done,) = world.published(PlanDone)
    assert done.outcome in {PlanOutcome.UNWOUND, PlanOutcome.HEDGED}


@RUN
@given(odd_rules, odd_views)
@example(rules={}, view={"bids": [(10_002.0, 1.0)], "asks": [(1.0, 1.0)]})
def test_scanner_and_risk_go_on(rules: dict, view: dict) -> None:
    scanner, risk = make_scanner(edge_bps_min=-1_000.0, notional_max=1e9), make_risk()
    for engine in (scanner, risk):
        engine.on_message(told_info("beta", **rules), T0)
        engine.on_message(make_view("beta", **view, ts_ns=T0), T0)
    found = []
    for venue, instrument in (*BOOKS, BOOKS[0]):
        if venue == "beta":
            continue
        price = {"alpha": 10_000.0, "gamma": 10_050.0}[venue]
        seen = make_view(
            venue, instrument, bids=[(price - 1, 1.0)], asks=[(price + 1, 1.0)], ts_ns=T0
        )
        risk.on_message(seen, T0)
        found += scanner.on_message(seen, T0).messages
    scanner.on_timer(T0)
    offered = [m for m in found if isinstance(m, Opportunity)]
    pairs = {tuple(leg.venue for leg in m.legs) for m in offered}
    # A side of a book is offered once: where beta's prices took one of the pair's, that is in use.
    in_use = {(leg.venue, leg.side) for offer in offered for leg in offer.legs}
    assert ("alpha", "gamma") in pairs or in_use & {("alpha", Side.BUY), ("gamma", Side.SELL)}
    for opportunity in offered:
        assert risk.on_message(opportunity, T0).messages
    risk.on_timer(T0)
