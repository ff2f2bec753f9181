"""The executor's engine, case by case; the interleavings are in tests/property."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from services.executor import actions as act
from services.executor import checkpoint
from services.executor.ids import (
    attempt_after_loss,
    client_order_id,
    parse_client_order_id,
)
from shared.accounts.gateway import FillReport, OrderRequest
from shared.codec import decode, encode
from shared.domain.executions import Execution
from shared.engine import Stopping
from shared.messages.base import Certainty, Side, TradingState
from shared.messages.control import Alert, Command, CommandKind
from shared.messages.execution import (
    BalanceReport,
    ExecutorReady,
    Fill,
    OrderEvent,
    OrderPurpose,
    OrderStatus,
    PlanDone,
    PlanOutcome,
    TradingStateChanged,
)
from shared.messages.rounds import Intent
from shared.streams import EXEC_EVENT
from tests.executor_model import MS, SECOND, T0, VenueOrder, World, make_plan

D = Decimal


def make_world(*, query_attempts_max: int = 20, **behaviors: str) -> World:
    """A ready world in which each venue behaves as named once, and well otherwise."""
    left = dict(behaviors)

    def choose(what: str, options: tuple[Any, ...]) -> Any:
        venue, _, verb = what.partition(" ")
        return left.pop(venue, "full") if verb == "does" else options[0]

    world = World(choose, query_attempts_max=query_attempts_max)
    while world.engine.obstacle:
        while world.inbox:
            world.deliver()
        world.tick()
    return world


def hold(world: World, base: str) -> None:
    """Let the accounts hold a quarter of a unit bought at 10,000."""
    world.engine.state.books.trade(
        Execution(
            venue="binance",
            instrument=f"{base}/USDT",
            side=Side.BUY,
            qty=D("0.25"),
            cost=D(2_500),
            fee=D(0),
        )
    )


def run_plan(world: World, **changes: Any) -> PlanDone:
    world.message(make_plan(now_ns=world.now_ns, **changes))
    return run_to_end(world)


def run_to_end(world: World) -> PlanDone:
    """Let time pass until the one plan there is has ended."""
    world.calm = False
    until_ns = world.now_ns + 15 * SECOND
    while world.now_ns < until_ns and not world.published(PlanDone):
        while world.inbox:
            world.deliver()
        world.tick()
    (done,) = world.published(PlanDone)
    return done


def command(world: World, kind: CommandKind, command_id: str = "c1") -> None:
    world.message(Command(ts_ns=world.now_ns, command_id=command_id, kind=kind, operator="test"))


def test_legs_go_at_once_for_their_plan_is_their_record() -> None:
    world = make_world()
    plan = make_plan(now_ns=world.now_ns)
    out = world.engine.on_message(plan, world.now_ns)
    assert [type(m) for m in out.messages] == [OrderEvent, OrderEvent]
    assert [m.status for m in out.messages] == [OrderStatus.SUBMITTED] * 2
    assert not out.actions
    # What a recovery looks for follows from the plan alone.
    made = [client_order_id(plan.plan_id, index, 0) for index in range(2)]
    assert [a.order.client_order_id for a in out.at_once] == made == [*world.engine.state.orders]
    assert {a.ts_recv_ns for a in out.at_once} == {world.now_ns - MS}


def test_every_other_order_waits_until_it_is_on_record() -> None:
    world = make_world(beta="reject")
    world.message(make_plan(now_ns=world.now_ns))
    refused = next(r for r in world.inbox if isinstance(r, act.SubmitRefused))
    filled = next(r for r in world.inbox if isinstance(r, act.Submitted))
    world.engine.on_message(filled, world.now_ns)
    out = world.engine.on_message(refused, world.now_ns)
    assert [type(a) for a in out.actions] == [act.Submit]
    assert not out.at_once


@pytest.mark.parametrize("answers_first", [0, 1, 6, 20])
def test_legs_sent_by_a_process_that_died_are_found_and_their_plan_ends_once(answers_first) -> None:
    """With any number of the venues' answers heard before the plan is delivered again."""
    world = make_world()
    plan = make_plan(now_ns=world.now_ns, buy="beta", sell="gamma")
    world.message(plan, torn="between legs")
    assert len(world.sent) == 1
    assert not world.engine.state.plans
    for _ in range(answers_first):
        if world.inbox:
            world.deliver()
    world.message(plan, redelivered=True)
    world.settle(8)
    (done,) = world.published(PlanDone)
    assert done.plan_id == plan.plan_id
    assert done.outcome in {PlanOutcome.HEDGED, PlanOutcome.UNWOUND}
    assert world.engine.counters()["orders_adopted"] == (answers_first == 20)
    world.check_quiet()


def test_legs_whose_plan_was_refused_after_a_loss_of_records_are_evened_out() -> None:
    """The bus lost even that the plan was handed out, so it comes as a new one."""
    world = make_world()
    plan = make_plan(now_ns=world.now_ns)
    world.message(plan, torn="between legs")
    world.message(plan)
    assert [d.outcome for d in world.published(PlanDone)] == [PlanOutcome.REFUSED]
    world.settle(8)
    assert world.engine.counters()["orders_adopted"] == 1
    adopted = [m for m in world.messages if isinstance(m, (OrderEvent, Fill))]
    assert isinstance(adopted[0], OrderEvent), "before its fills, which it makes ours"
    world.check_quiet()


def test_a_plan_looked_for_uses_no_order_id_of_the_process_that_died() -> None:
    """Its rebalancing order left no trace: lost with the record of it, and without a fill."""
    world = make_world(beta="reject")
    plan = make_plan(now_ns=world.now_ns)
    records = len(world.history)
    world.message(plan)
    while len(world.sent) < 3:
        world.deliver()
    for orders in world.orders.values():
        orders.pop([*world.sent][-1], None)
    del world.history[records:]
    world.crash()
    world.message(plan, redelivered=True)
    world.settle(8)
    world.check_quiet()


@pytest.mark.parametrize("arrived", [True, False])
def test_a_rescue_lost_with_the_bus_is_not_done_again(arrived: bool) -> None:
    """Whether its order is found at a venue before the late fill, or never came anywhere."""
    world = make_world(beta="late_fill")
    plan = make_plan(now_ns=world.now_ns, buy="beta", sell="gamma")
    of_round: dict[str, Any] = {"strategy": "basis", "intent": Intent.CLOSE, "round_id": "r1"}
    world.message(msgspec.structs.replace(plan, **of_round))
    while not any("plan" not in order_id for order_id in world.sent):
        if world.inbox:
            world.deliver()
        else:
            world.tick()
    (order_id,) = (i for i in world.sent if "plan" not in i)
    assert order_id in world.orders["alpha"]
    if not arrived:
        del world.orders["alpha"][order_id]
    while any(e.client_order_id == order_id for e in world.published(OrderEvent)):
        world.history.pop()
    world.crash()
    count = len(world.sent)
    while arrived and not isinstance(world.inbox[-1], act.QueryAnswered):
        world.deliver()
    world.deliver(len(world.inbox) - 1)
    world.settle(10)
    assert len(world.sent) == count + (not arrived)
    world.check_quiet()
    rescue = world.published(PlanDone)[-1]
    assert (rescue.outcome, rescue.round_id) == (PlanOutcome.HEDGED, "r1")


def test_a_late_no_such_order_is_of_the_time_when_it_was_asked() -> None:
    """The request was still on its way then, and arrives before the answer comes back."""
    world = make_world(beta="lost_never")
    world.message(make_plan(now_ns=world.now_ns))
    while not (world.engine.state.unknown_orders and world.inbox):
        if world.inbox:
            world.deliver()
        else:
            world.tick()
    order = next(o for o in world.engine.state.orders.values() if o.venue == "beta")
    while order.not_found < 2:
        while world.inbox:
            world.deliver()
        world.tick()
    while not any(isinstance(heard, act.QueryAnswered) for heard in world.inbox):
        world.tick()
    (answer,) = [heard for heard in world.inbox if isinstance(heard, act.QueryAnswered)]
    assert answer.report is None
    world.advance(3 * SECOND)  # validity is over, the answer is still on its way
    world.deliver(world.inbox.index(answer))
    assert (order.not_found, order.life.status) == (3, OrderStatus.UNKNOWN)
    world.settle(8)
    assert order.life.status is OrderStatus.NOT_SENT
    world.check_quiet()


def test_an_order_may_have_left_just_before_a_crash_however_long_ago_it_was_decided() -> None:
    """Its commit took three seconds; then it left, and the process died."""
    world = make_world(beta="reject")
    world.message(make_plan(now_ns=world.now_ns))
    decided: list[act.Submit] = []
    while not decided:
        step = world.engine.on_message(world.inbox.pop(0), world.now_ns)
        decided = [action for action in step.actions if isinstance(action, act.Submit)]
        world._commit(world.engine, step.messages)
    (order_id,) = [action.order.client_order_id for action in decided]
    world.now_ns += 3 * SECOND
    left_ns = world.now_ns
    world.crash()
    order = world.engine.state.orders[order_id]
    while world.now_ns < left_ns + 2 * SECOND:  # the venue takes it until then
        assert order.life.status is not OrderStatus.NOT_SENT
        while world.inbox:
            world.deliver()
        world.tick()
    world.settle(5)
    assert order.life.status is OrderStatus.NOT_SENT


@pytest.mark.parametrize(
    "behaviors, outcomes",
    [
        ({}, {PlanOutcome.FILLED}),
        ({"alpha": "reject", "beta": "reject"}, {PlanOutcome.UNFILLED}),
        ({"alpha": "not_sent", "beta": "none"}, {PlanOutcome.UNFILLED}),
        ({"beta": "reject"}, {PlanOutcome.HEDGED, PlanOutcome.UNWOUND}),
        ({"alpha": "part"}, {PlanOutcome.HEDGED, PlanOutcome.UNWOUND}),
        ({"alpha": "lost_full", "beta": "lost_full"}, {PlanOutcome.FILLED}),
        ({"alpha": "lost_never"}, {PlanOutcome.HEDGED, PlanOutcome.UNWOUND}),
        ({"beta": "lost_late"}, {PlanOutcome.FILLED}),
        ({"alpha": "accepted_first", "beta": "slow"}, {PlanOutcome.FILLED}),
    ],
)
def test_a_plan_ends_as_its_orders_did(behaviors, outcomes) -> None:
    world = make_world(**behaviors)
    assert run_plan(world).outcome in outcomes
    world.settle(5)
    world.check_quiet()


def test_a_plan_that_leaves_a_position_open_has_realized_nothing_but_its_fees() -> None:
    world = make_world()
    done = run_plan(world, buy="beta", sell="gamma")
    # Bought 0.1 at 10001, sold 0.1 of a perpetual at 9999, a thousandth of each as fee.
    assert done.realized == -D("0.9999") - D("1.0001")
    assert world.engine.state.books.opened() == {
        "BTC/USDT": D("0.1"),
        "gamma|BTC/USDT:USDT": D("-0.1"),
    }
    assert (done.fees, done.certainty) == (D(2), Certainty.KNOWN)
    assert done.residual == done.dust == {}


def test_a_fee_in_base_is_exposure_not_cash() -> None:
    world = make_world()
    done = run_plan(world, buy="alpha", sell="beta")
    assert done.dust == {"BTC": D("-0.0001")}
    assert world.engine.state.books.exposure["BTC"] == D("-0.0001")
    # 0.0999 of what was bought at 10001 was sold at 9999; the fees are 0.0001 BTC and 0.9999 USDT.
    assert done.realized == D("0.0999") * (9999 - 10001) - D("1.0001") - D("0.9999")


def test_without_a_price_within_the_cap_it_fails_aloud_and_locks() -> None:
    world = make_world(beta="reject")
    world.message(make_plan(now_ns=world.now_ns))
    world.prices_shown = False
    world.now_ns += 3 * SECOND  # the views are too old to price anything
    done = run_to_end(world)
    assert done.outcome is PlanOutcome.FAILED
    assert done.residual == {"BTC": D("0.0999")}
    assert [a.code for a in world.published(Alert) if a.severity == "critical"] == ["PLAN_FAILED"]
    world.prices_shown = True
    world.settle(3)
    assert not world.published(ExecutorReady)[-1].ready
    world.message(make_plan("plan00000002", now_ns=world.now_ns))
    assert world.published(PlanDone)[-1].outcome is PlanOutcome.REFUSED
    command(world, CommandKind.FLATTEN)
    world.settle(5)
    assert abs(world.true_exposure()) < D("0.001")
    command(world, CommandKind.RESUME, "c2")
    world.message(make_plan("plan00000003", now_ns=world.now_ns))
    world.settle(5)
    assert (
        world.published(
            PlanDone,
        )[-1].outcome
        is PlanOutcome.FILLED
    )


def test_flatten_waits_for_the_venues_first_answers() -> None:
    world = World(lambda what, options: options[0])
    hold(world, "BTC")
    answers, world.inbox = world.inbox, []
    command(world, CommandKind.FLATTEN)
    for _ in range(5):
        world.tick()  # which asserts that the timer comes to rest
    assert world.engine.obstacle
    assert not world.sent
    world.inbox += answers
    world.settle(5)
    assert world.engine.state.books.exposure["BTC"] < D("0.001")


def test_flatten_passes_over_an_asset_without_a_price() -> None:
    world = make_world()
    hold(world, "AAA")
    hold(world, "BTC")
    command(world, CommandKind.FLATTEN)
    world.settle(5)
    assert world.engine.state.books.exposure["BTC"] < D("0.001")
    assert world.engine.state.flatten, "the other one still waits"
    world.settle(2)
    (alert,) = [each for each in world.published(Alert) if each.code == "FLATTEN_WAITS"]
    assert "AAA" in alert.text
    assert "hedges" not in alert.text


def test_flatten_halts_and_trades_the_ledger_to_zero() -> None:
    world = make_world()
    hold(world, "BTC")
    command(world, CommandKind.FLATTEN)
    command(world, CommandKind.FLATTEN)  # pressing twice is harmless
    world.settle(5)
    assert world.engine.state.books.exposure["BTC"] < D("0.001")
    orders = [e for e in world.published(OrderEvent) if e.status is OrderStatus.SUBMITTED]
    assert [(o.purpose, o.side, o.qty) for o in orders] == [
        (OrderPurpose.FLATTEN, Side.SELL, D("0.250"))
    ]
    assert world.published(ExecutorReady)[-1].reason == "halted by an operator"


@pytest.mark.parametrize(
    "change, outcome, reason",
    [
        ({"qty": "0.00015"}, PlanOutcome.REFUSED, "lot"),
        ({"now_ns": T0 - 60 * SECOND}, PlanOutcome.EXPIRED, "expired"),
    ],
)
def test_a_plan_that_cannot_be_started_says_why(change, outcome, reason) -> None:
    world = make_world()
    world.message(make_plan(**{"now_ns": world.now_ns, **change}))
    (done,) = world.published(PlanDone)
    assert (done.outcome, reason in done.reason) == (outcome, True)
    assert not world.sent


def test_nothing_starts_while_trading_is_halted_or_while_draining() -> None:
    world = make_world()
    world.message(
        TradingStateChanged(
            ts_ns=world.now_ns, state=TradingState.HALTED, reason="", ts_since_ns=world.now_ns
        )
    )
    world.message(make_plan(now_ns=world.now_ns))
    world.engine.on_message(Stopping(), world.now_ns)
    world.message(make_plan("plan00000002", now_ns=world.now_ns))
    assert [d.outcome for d in world.published(PlanDone)] == [PlanOutcome.REFUSED] * 2
    assert not world.sent


@pytest.mark.parametrize("crashes", [False, True])
def test_a_plan_that_was_refused_is_not_started_when_it_comes_again(crashes: bool) -> None:
    """Risk has given back what it held for it, and a plan has one end."""
    world = make_world()
    plan = make_plan("plan00000002", now_ns=world.now_ns)
    command(world, CommandKind.HALT)
    world.message(plan)
    command(world, CommandKind.RESUME)
    if crashes:
        world.crash()
    world.message(plan)
    world.settle(2)
    assert [done.outcome for done in world.published(PlanDone)] == [PlanOutcome.REFUSED]
    assert not world.sent


def test_a_plan_that_comes_twice_is_done_once() -> None:
    world = make_world()
    plan = make_plan(now_ns=world.now_ns)
    for redelivered in (False, False, True):
        world.message(plan, redelivered=redelivered)
    world.settle(3)
    world.message(plan, redelivered=True)
    world.settle(3)
    assert len(world.published(PlanDone)) == 1
    assert len(world.sent) == 2


def test_a_redelivered_plan_that_nobody_started_is_looked_for_and_expires() -> None:
    world = make_world()
    world.message(make_plan(now_ns=world.now_ns), redelivered=True)
    world.settle(5)
    assert [d.outcome for d in world.published(PlanDone)] == [PlanOutcome.EXPIRED]
    assert not world.sent


def test_no_plan_before_the_first_reconciliation() -> None:
    world = World(lambda what, options: options[0])
    world.message(make_plan(now_ns=world.now_ns))
    (done,) = world.published(PlanDone)
    assert done.outcome is PlanOutcome.REFUSED
    assert "reconciling" in done.reason


def test_balances_follow_a_plan_and_are_repeated() -> None:
    world = make_world()
    before = len(world.published(BalanceReport))
    run_plan(world)
    while world.inbox:
        world.deliver()
    world.settle(1)
    assert {r.venue for r in world.published(BalanceReport)[before:]} == {"alpha", "beta"}
    count = len(world.published(BalanceReport))
    world.settle(6)
    assert len(world.published(BalanceReport)) >= count + 3


def test_a_snapshot_restores_to_the_same_snapshot() -> None:
    world = make_world(alpha="lost_never")
    run_plan(world)
    assert checkpoint.decode(world.history[-1][0]) == world.engine.state


def test_a_write_ahead_saves_open_work_only() -> None:
    world = make_world()
    for number in range(40):
        world.message(make_plan(f"plan{number:08d}", buy="beta", sell="gamma", now_ns=world.now_ns))
        world.settle(1)
    world.engine.checkpoints()
    world.message(make_plan("plan99999999", buy="beta", sell="gamma", now_ns=world.now_ns))
    before, after = world.history[-2][0], world.history[-1][0]
    assert before[checkpoint.FINISHED] is after[checkpoint.FINISHED]
    assert len(after[checkpoint.OPEN]) < 8_000 < len(after[checkpoint.FINISHED])
    assert checkpoint.decode(after) == world.engine.state


def test_what_is_kept_of_finished_plans_is_bounded() -> None:
    world = make_world()
    for number in range(80):
        world.message(make_plan(f"plan{number:08d}", buy="beta", sell="gamma", now_ns=world.now_ns))
        world.settle(2)
    state = world.engine.state
    assert len(state.plans) <= 64 + 1
    assert len(state.orders) <= 2 * len(state.plans)
    assert len(world.published(Fill)) == 160
    assert sum(map(len, world.history[-1][0].values())) < 100_000


@pytest.mark.parametrize("plan_id", ["abc123", "p" * 12, "much-longer than any id may be"])
def test_client_order_ids_are_legal_everywhere_and_can_be_read_back(plan_id) -> None:
    made = {
        client_order_id(plan_id, leg, n) for leg in range(9) for n in (0, 35, 36, 1295, 1296, 5183)
    }
    assert len(made) == 54
    assert all(len(i) <= 18 and i.isalnum() and i.isascii() for i in made)
    assert client_order_id(plan_id, 1, 40) == client_order_id(plan_id, 1, 40)
    for leg, number in ((1, 40), (8, 0), (0, 1296), (8, 5183)):
        parsed = parse_client_order_id(client_order_id(plan_id, leg, number))
        assert parsed is not None
        assert parsed[1:] == (leg, number)
    assert plan_id in (parsed[0], "much-longer than any id may be")


def test_attempts_after_a_loss_can_be_read_by_those_who_know_fewer() -> None:
    """Three quarters of all starts give numbers above 1,295."""
    world = make_world(beta="reject")
    world.settle(60)
    assert attempt_after_loss(world.now_ns) > 1_295
    plan = make_plan(now_ns=world.now_ns)
    world.message(plan, torn="between legs")
    world.message(plan, redelivered=True)
    world.settle(8)
    told = world.published(OrderEvent)
    numbers = [parse_client_order_id(each.client_order_id) for each in told]
    assert any(each is not None and each[2] > 1_295 for each in numbers)
    assert decode(EXEC_EVENT, encode(EXEC_EVENT, told)) == told


def test_a_plan_of_more_orders_than_a_plan_has_legs_is_evened_out_too() -> None:
    """Two legs and seven hedges that the record lost: each that is adopted adds a leg."""
    world = make_world()
    (leg,) = make_plan(legs=(("alpha", Side.BUY, "0.1"),)).legs
    for number in range(9):
        name = client_order_id("lostplan0001", min(number, 2), max(0, number - 1))
        order = VenueOrder(OrderRequest(client_order_id=name, terms=leg.terms), f"v{number}")
        order.fills = [
            FillReport(
                trade_id=f"lost{number}",
                venue_order_id=f"v{number}",
                instrument=leg.instrument,
                side=Side.BUY,
                price=D(10_000),
                qty=D("0.1"),
                fee=D(0),
                fee_asset="USDT",
                ts_venue_ns=world.now_ns,
            )
        ]
        world.orders["alpha"][name] = order
    world.crash()
    world.settle(60)
    assert world.engine.counters()["orders_adopted"] == 9
    (done,) = world.published(PlanDone)
    assert done.outcome is PlanOutcome.UNWOUND


def test_an_id_made_before_the_numbers_grew_is_read_as_it_was_meant() -> None:
    assert client_order_id("TKT5PX2F", 1, 40) == "abTKT5PX2F114"
    assert parse_client_order_id("abTKT5PX2F114") == ("TKT5PX2F", 1, 40)


@pytest.mark.parametrize("text", ["", "ab", "x-TKT5PX2F0001", "abc", "ab" + "x" * 20])
def test_other_ids_are_not_ours(text) -> None:
    assert parse_client_order_id(text) is None


def test_starts_a_quarter_second_apart_number_their_orders_differently() -> None:
    slots = [attempt_after_loss(T0 + n * 250 * MS) for n in range(640)]
    numbers = {slot + n for slot in slots for n in range(8)}
    assert len(numbers) == 5120
    assert max(numbers) <= 5183


def test_flatten_closes_both_legs_of_a_hedge_at_their_own_places() -> None:
    world = make_world()
    run_plan(world, buy="beta", sell="gamma")
    assert world.engine.state.books.exposure["BTC"] == 0, "flat in base units, and yet open"
    command(world, CommandKind.FLATTEN)
    world.settle(5)
    assert world.engine.state.books.opened() == {"BTC/USDT": D("-0.0001")}, "a fee in BTC"
    orders = [
        e
        for e in world.published(OrderEvent)
        if e.purpose is OrderPurpose.FLATTEN and e.status is OrderStatus.FILLED
    ]
    assert {(o.instrument, o.side, o.qty) for o in orders} == {
        ("BTC/USDT", Side.SELL, D("0.1")),
        ("BTC/USDT:USDT", Side.BUY, D("0.1")),
    }


def test_a_spot_leg_without_its_partner_is_not_hedged_with_a_perpetual() -> None:
    world = make_world(beta="reject")
    world.bids["gamma"] = 10_000.5  # the best price to sell at
    done = run_plan(world, buy="alpha", sell="beta")
    assert done.outcome is PlanOutcome.UNWOUND
    assert "gamma" not in {e.venue for e in world.published(OrderEvent)}


def test_resume_waits_for_a_flatten_to_be_over() -> None:
    world = make_world()
    hold(world, "BTC")
    command(world, CommandKind.FLATTEN)
    command(world, CommandKind.RESUME, "c2")
    world.message(make_plan(now_ns=world.now_ns))
    (refused,) = world.published(PlanDone)
    assert (refused.outcome, refused.reason) == (PlanOutcome.REFUSED, "flattening")
    world.settle(5)
    assert world.engine.state.books.opened().get("BTC/USDT", D(0)) < D("0.001")
    assert not world.engine.state.flatten


def test_a_plan_is_not_given_up_before_books_come_back_after_a_start() -> None:
    """The bus was away: the executor is back before the order books are."""
    world = make_world()
    world.habits["beta"] = "reject"
    plan = make_plan(now_ns=world.now_ns)
    world.message(plan, torn="before commit")
    world.prices_shown = False
    world.message(plan, redelivered=True)
    world.settle(8)  # longer than the deadline to hedge
    assert not world.published(PlanDone)
    world.prices_shown = True
    world.settle(5)
    (done,) = world.published(PlanDone)
    assert done.outcome is PlanOutcome.UNWOUND
    assert not world.engine.obstacle


def test_a_plan_for_which_no_book_comes_back_fails_in_the_end() -> None:
    world = make_world()
    world.habits["beta"] = "reject"
    plan = make_plan(now_ns=world.now_ns)
    world.message(plan, torn="before commit")
    world.prices_shown = False
    world.message(plan, redelivered=True)
    world.settle(40)
    (done,) = world.published(PlanDone)
    assert done.outcome is PlanOutcome.FAILED


def test_a_plan_whose_orders_were_never_sent_ends_as_expired_without_exposure() -> None:
    """The bus was away before the legs went: the venues know of no order, so nothing is open."""
    world = make_world()
    plan = make_plan(now_ns=world.now_ns)
    world.message(plan, torn="before sending")
    world.prices_shown = False
    world.message(plan, redelivered=True)
    world.settle(40)
    (done,) = world.published(PlanDone)
    assert (done.outcome, done.residual, done.realized) == (PlanOutcome.EXPIRED, {}, 0)
    assert not world.engine.obstacle


def test_a_plan_is_given_up_in_time_once_books_have_come_since_the_start() -> None:
    """The wait after a start is for books that have not come yet, not for those that go away."""
    world = make_world()
    world.habits["beta"] = "reject"
    plan = make_plan(now_ns=world.now_ns)
    world.message(plan, torn="before commit")
    world.advance(10 * MS)
    world.prices_shown = False
    world.habits["alpha"] = "reject"
    world.message(plan, redelivered=True)
    world.settle(9)
    (done,) = world.published(PlanDone)
    assert done.outcome is PlanOutcome.FAILED
