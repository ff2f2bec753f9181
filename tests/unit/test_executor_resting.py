"""A leg that rests: its fills are hedged while it works, and it goes when it must."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from services.executor import actions as act
from services.executor.ids import client_order_id
from shared.engine import Stopping
from shared.errors import Cause
from shared.messages.base import BookState, Side, TradingState
from shared.messages.control import Alert, Command, CommandKind
from shared.messages.execution import (
    ApprovedPlan,
    OrderEvent,
    OrderPurpose,
    OrderStatus,
    PlanDone,
    PlanLeg,
    PlanOutcome,
    TradingStateChanged,
)
from shared.messages.terms import LegPolicy, Resting, TimeInForce
from tests.decision_builders import make_view
from tests.executor_model import LOT, MS, SECOND, SPOT, VenueOrder, World, make_plan
from tests.unit.test_executor_engine import make_world

D = Decimal
PLAN = "plan00000001"
MAKER = client_order_id(PLAN, 0, 0)
REST_MS = 5_000


def quote(world: World, **changes: object) -> ApprovedPlan:
    """Buys 0.1 at 9990 on alpha where somebody sells, to be sold on beta at 9980 or more."""
    plan = make_plan(now_ns=world.now_ns, loss_cap="19")
    maker = msgspec.structs.replace(
        plan.legs[0],
        price_limit=D(9_990),
        price_expected=D(9_990),
        time_in_force=TimeInForce.PO,
    )
    taker = msgspec.structs.replace(plan.legs[1], price_limit=D(9_980), price_expected=D(9_999))
    whole = msgspec.structs.replace(
        plan, legs=[maker, taker], policy=LegPolicy.MAKER_TAKER, resting=Resting(rest_ms=REST_MS)
    )
    return msgspec.structs.replace(whole, **changes)


def resting_world(**changes: str) -> World:
    """A world in which the quote rests, and the venue has said so."""
    world = make_world(**changes)
    world.calm = True
    world.message(quote(world))
    deliver_all(world)
    return world


def deliver_all(world: World) -> None:
    while world.inbox:
        world.deliver()


def run_for(world: World, duration_ns: int) -> None:
    until_ns = world.now_ns + duration_ns
    while world.now_ns < until_ns:
        deliver_all(world)
        world.tick()
    deliver_all(world)


def show_bid(world: World, price: float, qty: float = 5.0, **changes: object) -> None:
    """Show beta's book with this best bid."""
    world.bids["beta"] = price
    asks = [(max(10_001.0, price + 1), 5.0)]
    view = make_view("beta", SPOT, bids=[(price, qty)], asks=asks, ts_ns=world.now_ns, **changes)
    world.see(view)
    deliver_all(world)


def done(world: World) -> PlanDone:
    world.settle(12)
    world.check_quiet()
    (end,) = world.published(PlanDone)
    return end


def newest(world: World) -> dict[str, OrderEvent]:
    return {event.client_order_id: event for event in world.published(OrderEvent)}


def legs_sent(world: World) -> list[str]:
    return list(world.sent)


def test_only_the_leg_that_rests_is_sent() -> None:
    world = resting_world()
    run_for(world, SECOND)
    assert legs_sent(world) == [MAKER]
    assert newest(world)[MAKER].status is OrderStatus.ACCEPTED
    assert not world.published(PlanDone)
    assert not world.cancels


def test_it_is_canceled_when_its_time_is_over_and_the_plan_ends_unfilled() -> None:
    world = resting_world()
    started_ns = world.now_ns
    run_for(world, (REST_MS - 100) * MS)
    assert not world.cancels
    end = done(world)
    assert end.outcome is PlanOutcome.UNFILLED
    assert REST_MS * MS <= end.ts_ns - started_ns < (REST_MS + 500) * MS


def test_each_fill_is_hedged_at_once_while_the_rest_rests_on() -> None:
    world = resting_world()
    for count, qty in enumerate(("0.03", "0.02", "0.05")):
        world.trade_against(MAKER, qty)
        before_ns = world.now_ns
        run_for(world, 600 * MS)
        hedge = newest(world)[client_order_id(PLAN, 1, count)]
        assert hedge.purpose is OrderPurpose.LEG
        assert hedge.venue == "beta"
        assert hedge.side is Side.SELL
        assert hedge.ts_ns - before_ns <= 500 * MS  # asked about twice a second: nothing is pushed
        assert abs(world.true_exposure()) < LOT
    end = done(world)
    assert end.outcome is PlanOutcome.FILLED
    assert end.realized > -D("1.5")  # both fees; bought at 9990, sold at 9999
    assert len(world.sent) == 4


def test_a_fill_that_is_pushed_is_hedged_in_the_same_step() -> None:
    world = make_world()
    world.calm = True
    world.followed.append("alpha")
    world.inbox.append(act.AccountFollowed("alpha"))
    deliver_all(world)
    world.message(quote(world))
    deliver_all(world)
    world.trade_against(MAKER, "0.1")
    before_ns = world.now_ns
    deliver_all(world)
    assert newest(world)[client_order_id(PLAN, 1, 0)].ts_ns == before_ns
    assert done(world).outcome is PlanOutcome.FILLED


def test_what_is_too_small_to_hedge_waits_for_more() -> None:
    world = resting_world()
    world.trade_against(MAKER, "0.001")
    run_for(world, SECOND)
    assert legs_sent(world) == [MAKER]  # less the fee that alpha charges in BTC: less than a lot
    world.trade_against(MAKER, "0.05")
    run_for(world, SECOND)
    assert newest(world)[client_order_id(PLAN, 1, 0)].qty == D("0.05")
    assert done(world).outcome is not PlanOutcome.FAILED


@pytest.mark.parametrize(
    "bid", [9_979.0, 9_000.0], ids=["beyond its limit", "beyond the plan's cap"]
)
def test_it_goes_when_its_hedge_is_worse_than_the_limit(bid: float) -> None:
    world = resting_world()
    show_bid(world, 9_981.0)
    assert not world.cancels
    show_bid(world, bid)
    assert world.cancels[MAKER] == 1
    assert done(world).outcome is PlanOutcome.UNFILLED


def test_it_goes_to_be_placed_anew_when_its_hedge_is_much_better_than_expected() -> None:
    world = make_world()
    world.calm = True
    world.message(quote(world, resting=Resting(rest_ms=REST_MS, better_bps=D(3))))
    deliver_all(world)
    show_bid(world, 10_001.9)  # 2.9 bps better than 9999
    assert not world.cancels
    show_bid(world, 10_002.1)
    assert world.cancels[MAKER] == 1


def test_a_thin_book_to_hedge_in_is_no_reason_to_stay() -> None:
    world = resting_world()
    show_bid(world, 9_999.0, qty=0.09)
    assert world.cancels[MAKER] == 1


def test_it_goes_when_the_book_that_hedges_it_is_not_live() -> None:
    world = resting_world()
    show_bid(world, 9_999.0, state=BookState.STALE)
    assert world.cancels[MAKER] == 1
    assert done(world).outcome is PlanOutcome.UNFILLED


def test_it_goes_when_no_view_of_that_book_comes_any_more() -> None:
    world = resting_world()
    world.books_down.add("beta")
    run_for(world, 3 * SECOND)
    assert world.cancels[MAKER] >= 1


@pytest.mark.parametrize("state", [TradingState.HALTED, TradingState.REDUCING])
def test_it_goes_when_trading_is_not_active(state: TradingState) -> None:
    world = resting_world()
    told = TradingStateChanged(
        ts_ns=world.now_ns, state=state, reason="drill", ts_since_ns=world.now_ns
    )
    world.message(told)
    assert world.cancels[MAKER] == 1
    assert done(world).outcome is PlanOutcome.UNFILLED


@pytest.mark.parametrize("kind", [CommandKind.HALT, CommandKind.FLATTEN])
def test_an_operators_command_takes_it_back_in_the_same_step(kind: CommandKind) -> None:
    world = resting_world()
    world.message(Command(ts_ns=world.now_ns, command_id="c1", kind=kind, operator="test"))
    assert world.cancels[MAKER] == 1
    assert done(world).outcome is PlanOutcome.UNFILLED


def test_a_stop_takes_it_back() -> None:
    world = resting_world()
    world.step(lambda now: world.engine.on_message(Stopping(), now))
    assert world.cancels[MAKER] == 1
    assert world.engine.open_work()
    run_for(world, SECOND)
    assert not world.engine.state.open_plans()


def test_a_cancel_that_is_lost_is_asked_again_until_it_is_over() -> None:
    world = resting_world()
    world.cancels_lost = True
    show_bid(world, 9_900.0)
    run_for(world, 2 * SECOND)
    assert world.cancels[MAKER] >= 3
    assert not world.published(PlanDone), "a plan does not end while its order may be filled"
    world.cancels_lost = False
    assert done(world).outcome is PlanOutcome.UNFILLED


def test_a_fill_that_came_before_the_cancel_is_hedged() -> None:
    world = resting_world()
    world.trade_against(MAKER, "0.06")  # nobody has said so yet
    show_bid(world, 9_970.0)
    end = done(world)
    assert world.cancels[MAKER] >= 1
    assert end.outcome in {PlanOutcome.FILLED, PlanOutcome.UNWOUND}  # at alpha it is dearer now
    assert abs(world.true_exposure()) < LOT


def test_a_fill_told_after_the_cancel_is_hedged() -> None:
    world = resting_world()
    order = world.orders["alpha"][MAKER]
    show_bid(world, 9_970.0)
    assert newest(world)[MAKER].status is OrderStatus.CANCELED
    world._fill(order, D("0.1"))
    world.settle(30)
    world.check_quiet()
    assert abs(world.true_exposure()) < LOT


def test_a_hedge_that_falls_short_takes_the_rest_back_and_is_made_up_for() -> None:
    world = resting_world(beta="weak")
    world.calm = False
    world.trade_against(MAKER, "0.08")
    run_for(world, 600 * MS)
    assert world.cancels[MAKER] >= 1
    end = done(world)
    assert end.outcome is not PlanOutcome.FAILED
    assert abs(world.true_exposure()) < LOT


def test_without_a_price_where_it_is_hedged_it_is_taken_back_and_evened_out_elsewhere() -> None:
    world = resting_world()
    world.books_down.add("beta")
    world.cancels_lost = True
    show_bid(world, 9_999.0, state=BookState.GAP)
    world.trade_against(MAKER, "0.1")
    end = done(world)
    assert end.outcome is PlanOutcome.UNWOUND
    assert abs(world.true_exposure()) < LOT


def test_a_refused_one_ends_its_plan_and_nobody_stands_down() -> None:
    world = make_world()
    world.calm = True
    for number in range(4):
        world.habits["alpha"] = Cause.WOULD_TAKE
        world.message(quote(world, plan_id=f"plan0000000{number}"))
        deliver_all(world)
    world.settle(2)
    assert [end.outcome for end in world.published(PlanDone)] == [PlanOutcome.UNFILLED] * 4
    assert not world.engine.state.down


def test_one_whose_answer_was_lost_is_taken_back_once_it_is_found() -> None:
    world = make_world(alpha="lost_full")
    world.message(quote(world))
    world.calm = True
    run_for(world, 2 * SECOND)
    assert world.cancels[MAKER] >= 1
    assert done(world).outcome is PlanOutcome.UNFILLED


@pytest.mark.parametrize("filled", ["0", "0.04", "0.1"])
def test_a_restart_takes_it_back_and_hedges_what_it_filled(filled: str) -> None:
    world = resting_world()
    if D(filled):
        world.trade_against(MAKER, filled)
    world.crash()
    run_for(world, 2 * SECOND)
    assert not world.orders["alpha"][MAKER].rests
    evened = {PlanOutcome.HEDGED, PlanOutcome.UNWOUND}  # both venues show the same prices
    assert done(world).outcome in (evened if D(filled) else {PlanOutcome.UNFILLED})
    assert abs(world.true_exposure()) < LOT


@pytest.mark.parametrize("torn", ["before sending", "between legs", "before commit"])
def test_a_crash_before_its_record_leaves_nothing_resting(torn: str) -> None:
    world = make_world()
    world.calm = True
    plan = quote(world)
    world.message(plan, torn=torn)
    world.message(plan, redelivered=True)
    end = done(world)
    assert end.outcome is PlanOutcome.EXPIRED
    assert not any(order.rests for order in world.orders["alpha"].values())


def rests_on_beta(world: World, price: str) -> str:
    """Let another plan buy on beta at this price, to be sold on alpha; return its order."""
    plan = quote(world, plan_id="other0000001")
    maker, taker = plan.legs
    legs = [
        msgspec.structs.replace(maker, venue="beta", price_limit=D(price), price_expected=D(price)),
        msgspec.structs.replace(taker, venue="alpha", price_limit=D(9_991)),
    ]
    world.message(msgspec.structs.replace(plan, legs=legs))
    deliver_all(world)
    return client_order_id("other0000001", 0, 0)


@pytest.mark.parametrize(("price", "meets"), [("9997.1", True), ("9990", False)])
def test_a_hedge_waits_until_an_order_of_ours_is_out_of_its_way(price: str, meets: bool) -> None:
    """It would sell at 9997.0 at worst: two basis points below the best bid."""
    world = resting_world()
    other = rests_on_beta(world, price)
    world.cancels_lost = True
    world.trade_against(MAKER, "0.05")
    run_for(world, SECOND)
    hedges = [name for name in world.sent if name.startswith(client_order_id(PLAN, 1, 0)[:-2])]
    assert (world.cancels[other] > 0) is meets
    assert (not hedges) is meets
    world.cancels_lost = False
    world.settle(12)
    world.check_quiet()
    assert abs(world.true_exposure()) < LOT


def test_no_leg_starts_that_would_meet_an_order_of_ours() -> None:
    world = make_world()
    world.calm = True
    rests_on_beta(world, "9996")
    sells = make_plan("plan00000002", now_ns=world.now_ns, loss_cap="19")  # on beta, at 9995
    world.message(sells)
    deliver_all(world)
    (end,) = world.published(PlanDone)
    assert (end.plan_id, end.outcome) == ("plan00000002", PlanOutcome.REFUSED)
    assert "an order of ours" in end.reason


@pytest.mark.parametrize(("adapters", "meets"), [({"alpha": "beta"}, True), ({}, False)])
def test_nor_one_of_another_account_at_the_same_venue(
    adapters: dict[str, str], meets: bool
) -> None:
    world = World(lambda what, options: options[0], adapters=adapters)
    while world.engine.obstacle:
        while world.inbox:
            world.deliver()
        world.tick()
    world.calm = True
    rests_on_beta(world, "9996")
    legs = (("gamma", Side.BUY, "0.1"), ("alpha", Side.SELL, "0.1"))  # at 9995
    world.message(make_plan("plan00000002", now_ns=world.now_ns, legs=legs))
    deliver_all(world)
    refused = [end for end in world.published(PlanDone) if "an order of ours" in end.reason]
    assert bool(refused) is meets


def test_what_is_no_plan_with_one_resting_leg_is_refused() -> None:
    world = make_world()
    good = quote(world)
    post_only, ioc = good.legs

    def leg(of: PlanLeg, **changes: object) -> PlanLeg:
        return msgspec.structs.replace(of, **changes)

    bad: list[dict[str, object]] = [
        {"policy": LegPolicy.CONCURRENT},
        {"policy": LegPolicy.CONCURRENT, "resting": None},
        {"resting": None},
        {"legs": [post_only, leg(ioc, time_in_force=TimeInForce.PO)]},
        {"legs": [leg(post_only, time_in_force=TimeInForce.IOC), ioc]},
        {"legs": [leg(post_only, time_in_force=TimeInForce.GTC), ioc]},
        {"legs": [post_only, leg(ioc, venue="alpha")]},
        {"resting": Resting(rest_ms=30_001)},
    ]
    for number, changes in enumerate(bad):
        plan = msgspec.structs.replace(good, plan_id=f"bad{number}", **changes)
        world.message(plan)
    assert [end.outcome for end in world.published(PlanDone)] == [PlanOutcome.REFUSED] * len(bad)
    assert not world.sent


def test_a_hedge_is_never_more_than_its_leg_also_where_the_fee_is_in_the_base_asset() -> None:
    """Risk knows the leg as it was approved; what the fee took is hedged by an order of its own."""
    world = make_world()
    world.calm = True
    plan = make_plan(now_ns=world.now_ns, buy="beta", sell="alpha", qty="1", loss_cap="190")
    taker, maker = plan.legs
    maker = msgspec.structs.replace(
        maker, price_limit=D(10_010), price_expected=D(10_010), time_in_force=TimeInForce.PO
    )
    taker = msgspec.structs.replace(taker, price_limit=D(10_020), price_expected=D(10_001))
    world.message(
        msgspec.structs.replace(
            plan,
            legs=[maker, taker],
            policy=LegPolicy.MAKER_TAKER,
            resting=Resting(rest_ms=REST_MS),
        )
    )
    deliver_all(world)
    world._fill(world.orders["alpha"][MAKER], D(1))
    run_for(world, 2 * SECOND)
    told = world.published(OrderEvent)
    hedges = {
        e.client_order_id: e for e in told if e.leg_index == 1 and e.purpose is OrderPurpose.LEG
    }
    assert hedges
    assert max(each.qty for each in hedges.values()) == 1
    assert sum(order.filled_qty for order in hedges.values()) > 1


@pytest.mark.parametrize("plan_id", ["strange00001", PLAN])
def test_an_order_of_ours_that_reaches_the_venue_late_is_found_and_canceled(plan_id: str) -> None:
    """Of a plan that the record lacks, or of one whose orders are all over."""
    world = resting_world()
    run_for(world, 8 * SECOND)  # canceled: its time to rest is over
    assert not any(order.rests for order in world.orders["alpha"].values())
    late = world.orders["alpha"][MAKER]
    name = client_order_id(plan_id, 0, 9)
    request = msgspec.structs.replace(late.request, client_order_id=name)
    world.orders["alpha"][name] = VenueOrder(request, "late", rests=True)
    run_for(world, 32 * SECOND)
    assert not world.orders["alpha"][name].rests
    assert world.published(Alert)


def test_what_rests_after_a_flatten_is_not_canceled_by_the_next_look() -> None:
    world = make_world()
    world.calm = True
    for kind in (CommandKind.FLATTEN, CommandKind.RESUME):
        world.message(Command(ts_ns=world.now_ns, command_id=kind, kind=kind, operator="test"))
        run_for(world, SECOND)
    run_for(world, 27 * SECOND)
    world.message(quote(world))
    run_for(world, 3 * SECOND)
    assert world.orders["alpha"][MAKER].rests
    assert world.cancels[MAKER] == 0
