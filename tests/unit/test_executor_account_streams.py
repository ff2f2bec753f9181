"""What venues push about our orders, beside the answers to requests."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec

from services.executor import actions as act
from services.executor.working_orders import PUSHED_NS
from shared.accounts.gateway import OrderReport
from shared.engine import Step
from shared.messages.control import Alert
from shared.messages.execution import Fill, OrderEvent, OrderStatus, PlanDone, PlanOutcome
from shared.messages.terms import OrderTerms
from tests.executor_model import MS, SPOT, VenueOrder, World, make_plan


def ready(**changes: Any) -> World:
    """A world that follows its accounts; venues do as they are told, and nothing is lost."""
    world = World(lambda what, options: options[0], **{"account_streams": True, **changes})
    world.settle(3)
    return world


def begin(world: World) -> tuple[VenueOrder, VenueOrder]:
    """A plan whose legs have left; their answers are still on the way."""
    world.message(make_plan(now_ns=world.now_ns))
    buy, sell = (next(iter(world.orders[venue].values())) for venue in ("alpha", "beta"))
    return buy, sell


def answers(world: World) -> list[Any]:
    return [each for each in world.inbox if isinstance(each, act.Submitted)]


def step(world: World, news: Any) -> Step:
    return world.engine.on_message(news, world.now_ns)


def test_accounts_are_followed_once_each_where_configured() -> None:
    assert sorted(ready().followed) == ["alpha", "beta", "gamma"]
    world = ready()
    world.engine.on_message(act.AccountChecked("alpha", ()), world.now_ns)
    assert sorted(world.followed) == ["alpha", "beta", "gamma"]
    assert ready(account_streams=False).followed == []


def test_a_fill_is_known_before_the_answer_and_once() -> None:
    world = ready()
    begin(world)
    late = answers(world)
    world.inbox = [each for each in world.inbox if isinstance(each, act.AccountSeen)]
    while world.inbox:
        world.deliver()
    (done,) = world.published(PlanDone)
    assert done.outcome is PlanOutcome.FILLED, "no answer to a request was needed"
    fills = [(each.venue, each.trade_id) for each in world.published(Fill)]
    world.inbox = late
    while world.inbox:
        world.deliver()
    world.settle(10)
    assert [(each.venue, each.trade_id) for each in world.published(Fill)] == fills
    assert not [each for each in world.published(Alert) if each.code != "ACCOUNT_STREAM_BACK"]
    world.check_quiet()


def test_old_and_repeated_news_change_nothing() -> None:
    world = ready()
    begin(world)
    world.inbox.reverse()
    news = [each for each in world.inbox if isinstance(each, act.AccountSeen)]
    world.settle(5)
    told = len(world.messages)
    for each in news:
        assert not [m for m in step(world, each).messages if isinstance(m, Fill | OrderEvent)]
    assert len(world.messages) == told
    world.check_quiet()


def test_a_late_fill_that_is_pushed_after_its_plan_ended_is_evened_out() -> None:
    world = ready()
    world.habits["alpha"] = "part"
    begin(world)
    world.settle(10)
    order = next(iter(world.orders["alpha"].values()))
    world.habits.clear()
    world._fill(order, D("0.02"))  # pushed, and nobody asked for it
    world.settle(10)
    assert abs(world.true_exposure()) < D("0.002")
    world.check_owned()


def seen(client_id: str, **changes: Any) -> act.AccountSeen:
    world = ready()
    order, _ = begin(world)
    values = {"venue_order_id": "alpha-77", **changes}
    report = msgspec.structs.replace(order.report(), client_order_id=client_id, **values)
    return act.AccountSeen("alpha", report)


def test_an_order_that_is_not_on_record_is_looked_up_if_it_is_ours() -> None:
    world = ready()
    out = step(world, seen("ab00000000abcd000"))
    (asked,) = [each for each in out.actions if isinstance(each, act.Query)]
    assert asked.key.venue_order_id == "alpha-77"
    assert not step(world, seen("ab00000000abcd000")).actions, "once"
    assert not world.published(OrderEvent), "what is pushed is not believed"
    assert not step(world, seen("x-TKT5PX2F01", venue_order_id="alpha-78")).actions
    forced = seen("autoclose-1", venue_order_id="alpha-79", forced="liquidation")
    assert [each for each in step(world, forced).actions if isinstance(each, act.Query)]


def test_an_order_of_ours_that_begins_to_rest_unknown_is_listed_at_once() -> None:
    """Its record was lost before it reached the venue, after the open orders had been listed."""
    world = ready()
    news = seen("ab00000000abcd000", status=OrderStatus.ACCEPTED, fills=(), filled_qty=D(0))
    assert ("FetchOpenOrders", "alpha") in fetches(world, news)
    over = seen("ab00000000abce000", status=OrderStatus.CANCELED, fills=(), filled_qty=D(0))
    assert not fetches(ready(), over)
    stranger = seen("x-TKT5PX2F01", status=OrderStatus.ACCEPTED, fills=(), filled_qty=D(0))
    assert not fetches(ready(), stranger)


def forget(world: World) -> list[act.AccountSeen]:
    """Run a plan until it is no longer kept whole; return the news of its fills."""
    begin(world)
    seen = [each for each in world.inbox if isinstance(each, act.AccountSeen)]
    world.settle(70)
    assert not world.engine.state.plans
    return [each for each in seen if each.report.fills]


def test_last_executions_told_at_a_new_subscription_are_no_surprise() -> None:
    """As Kraken's snapshot tells them after a restart: their plan is over and forgotten."""
    world = ready()
    news = forget(world)
    world.crash()
    world.settle(5)
    for each in news:
        world.step(lambda now: world.engine.on_message(each, now))
    world.settle(5)
    assert news
    assert "FORGOTTEN_PLAN" not in [alert.code for alert in world.published(Alert)]


def test_a_fill_that_came_after_its_plan_was_forgotten_is_told() -> None:
    world = ready()
    forget(world)
    order = next(iter(world.orders["alpha"].values()))
    world._fill(order, D("0.02"))
    world.settle(5)
    (told,) = [each for each in world.published(Alert) if each.code == "FORGOTTEN_PLAN"]
    assert "its plan ended and is forgotten" in told.text


def test_news_of_another_market_or_with_impossible_numbers_are_not_taken() -> None:
    world = ready()
    order, _ = begin(world)
    report = order.report()
    elsewhere = msgspec.structs.replace(
        report, terms=msgspec.structs.replace(report.terms, instrument="ETH/USDT")
    )
    assert not step(world, act.AccountSeen("alpha", elsewhere)).messages
    odd = msgspec.structs.replace(report, filled_qty=D("NaN"), fills=())
    out = step(world, act.AccountSeen("alpha", odd))
    assert [m.code for m in out.messages if isinstance(m, Alert)] == ["IMPOSSIBLE_REPORT"]
    assert not [m for m in out.messages if isinstance(m, OrderEvent)]


def fetches(world: World, news: Any) -> set[tuple[str, str]]:
    """What is asked for because of it, at once or as soon as time has moved on."""
    out = step(world, news)
    later = world.engine.on_timer(world.now_ns)
    asked = [*out.actions, *later.actions]
    return {
        (type(each).__name__, each.venue)
        for each in asked
        if isinstance(each, act.FetchFills | act.FetchOpenOrders)
    }


def test_where_something_is_missing_the_account_is_read_again() -> None:
    both = {("FetchFills", "alpha"), ("FetchOpenOrders", "alpha")}
    world = ready()
    world.settle(20)
    assert fetches(world, act.AccountMissed("alpha", "a hole", is_down=False)) == both
    world = ready()
    world.settle(20)
    assert not fetches(world, act.AccountMissed("alpha", "cut", is_down=True))
    assert fetches(world, act.AccountFollowed("alpha")) == both


def test_a_lost_stream_is_told_once_and_its_return_too() -> None:
    world = ready()
    down, up = act.AccountMissed("alpha", "cut", is_down=True), act.AccountFollowed("alpha")
    codes = [
        [m.code for m in step(world, each).messages if isinstance(m, Alert)]
        for each in (down, down, up, up)
    ]
    assert codes == [["ACCOUNT_STREAM_DOWN"], [], ["ACCOUNT_STREAM_BACK"], []]


def test_an_answered_order_is_left_to_the_stream_for_a_moment() -> None:
    for is_streamed, wait_ns in ((True, PUSHED_NS), (False, 0)):
        world = ready(account_streams=is_streamed)
        order, _ = begin(world)
        world.inbox = []
        report = OrderReport(
            client_order_id=order.request.client_order_id,
            terms=order.request.terms,
            status=OrderStatus.ACCEPTED,
            venue_order_id="alpha-0",
        )
        step(world, act.Submitted(report, world.now_ns))
        record = world.engine.state.orders[order.request.client_order_id]
        asked_ns = record.next_query_ns if is_streamed else record.ts_query_ns
        assert asked_ns == world.now_ns + wait_ns
    world = ready()
    order, _ = begin(world)
    world.inbox = []
    world.advance(MS)
    step(world, act.Submitted(msgspec.structs.replace(report), world.now_ns))
    lost = step(world, act.AccountMissed("alpha", "cut", is_down=True))
    assert [each for each in lost.actions if isinstance(each, act.Query)]


def test_terms_that_are_not_told_are_no_news() -> None:
    """Kraken's cancel says neither quantity nor price."""
    world = ready()
    order, _ = begin(world)
    bare = OrderTerms(
        venue="alpha", instrument=SPOT, side=order.request.terms.side, qty=D(0), price_limit=D(0)
    )
    news = msgspec.structs.replace(order.report(), terms=bare, fills=tuple(order.fills))
    step(world, act.AccountSeen("alpha", news))
    record = world.engine.state.orders[order.request.client_order_id]
    assert record.life.status is OrderStatus.FILLED
    assert record.terms == order.request.terms
