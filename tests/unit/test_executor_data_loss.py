"""The executor on a record that is new, or was lost: it tells what it finds and trades nothing."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from services.executor import actions as act
from services.executor import checkpoint
from services.executor.state import LedgerStage
from services.executor.survey import SURVEY_ORDERS_MAX
from shared.accounts.gateway import OrderKey
from shared.messages.control import Alert, Command, CommandKind, Severity
from shared.messages.execution import ExecutorReady, Fill, OrderEvent, PlanDone
from tests.executor_model import SECOND, D, VenueOrder, World, make_plan
from tests.unit.test_executor_engine import command, make_world, run_plan


def alerts(world: World) -> list[Alert]:
    return [alert for alert in world.published(Alert) if alert.code == "DATA_LOST"]


def test_a_hedged_plan_is_told_and_left_alone_after_a_loss() -> None:
    world = make_world()
    run_plan(world)
    before, sent = world.true_exposure(), dict(world.sent)
    world.lose()
    world.settle(40)
    assert dict(world.sent) == sent, "nothing is traded"
    assert world.true_exposure() == before
    (alert,) = alerts(world)
    assert alert.severity is Severity.CRITICAL
    assert "2 orders of 1 plan," in alert.text
    assert "plan00000001" in alert.text, "alpha takes its fee in BTC, so it is not quite even"
    assert world.published(ExecutorReady)[-1].reason.startswith("DATA_LOST: ")
    assert not world.published(Fill)
    assert not world.published(OrderEvent)


def test_one_leg_that_is_visible_only_is_left_alone_too() -> None:
    world = make_world(beta="none")
    plan = make_plan(now_ns=world.now_ns)
    world.message(plan)
    world.lose()
    sent = dict(world.sent)
    world.settle(40)
    assert dict(world.sent) == sent
    (alert,) = alerts(world)
    assert "1 of them uneven, plan00000001 net +0.099900 BTC (1 order, alpha)" in alert.text


def test_after_a_resume_new_plans_run_and_the_old_ones_stay_left_alone() -> None:
    world = make_world()
    run_plan(world)
    world.lose()
    world.settle(5)
    command(world, CommandKind.RESUME)
    done = run_plan(world, plan_id="plan00000002")
    assert done.outcome == "FILLED"
    world.settle(10)
    assert [d.plan_id for d in world.published(PlanDone)] == ["plan00000002"]
    assert world.engine.counters()["orders_adopted"] == 0
    assert len(alerts(world)) == 1
    world.crash()
    world.settle(10)
    assert world.engine.counters()["orders_adopted"] == 0, "nor after a restart"
    assert len(alerts(world)) == 1


def test_a_loss_found_by_others_halts_though_the_venues_show_nothing() -> None:
    world = make_world()
    world.lose(loss="Redis lost its data")
    world.settle(5)
    assert world.engine.obstacle == "DATA_LOST: Redis lost its data"
    world.crash()
    world.settle(5)
    assert world.engine.obstacle == "DATA_LOST: Redis lost its data", "until an operator resumes"
    command(world, CommandKind.RESUME)
    assert not world.engine.obstacle


def test_a_checkpoint_without_one_of_its_parts_is_a_loss() -> None:
    world = make_world()
    run_plan(world)
    saved = world.history[-1][0]
    for name in checkpoint.NAMES:
        sent = dict(world.sent)
        world.lose({key: state for key, state in saved.items() if key != name})
        world.settle(5)
        assert f"lost its part {name}" in alerts(world)[0].text
        assert dict(world.sent) == sent


def test_an_older_copy_of_the_record_adopts_nothing_that_came_after_it() -> None:
    world = make_world()
    saved = world.history[-1][0]
    run_plan(world)
    sent = dict(world.sent)
    world.advance(60 * SECOND)
    world.lose(saved, loss="Redis holds a copy of its data that is 61 s older")
    world.settle(10)
    assert dict(world.sent) == sent
    assert "plan00000001" in alerts(world)[-1].text


def test_a_loss_told_while_recovering_adopts_nothing() -> None:
    world = make_world()
    saved = world.history[-1][0]
    run_plan(world)
    sent = dict(world.sent)
    world.lose(saved)  # the word of it comes later than the start
    world.step(lambda now: world.engine.note_loss("Redis holds a copy that is older", now))
    world.settle(10)
    assert dict(world.sent) == sent
    assert world.engine.counters()["orders_adopted"] == 0
    assert "plan00000001" in alerts(world)[-1].text
    assert world.engine.obstacle.startswith("DATA_LOST: ")


def test_a_loss_told_while_running_halts_until_a_resume() -> None:
    world = make_world()
    run_plan(world)
    for _ in range(2):
        world.step(lambda now: world.engine.note_loss("Redis holds a copy that is older", now))
    assert len(alerts(world)) == 1
    world.settle(3)
    assert (
        world.published(ExecutorReady)[-1].reason == "DATA_LOST: Redis holds a copy that is older"
    )
    world.message(make_plan(now_ns=world.now_ns, plan_id="plan00000002"))
    assert world.published(PlanDone)[-1].outcome == "REFUSED"
    command(world, CommandKind.RESUME)
    world.message(make_plan(now_ns=world.now_ns, plan_id="plan00000003"))
    world.settle(5)
    assert world.published(PlanDone)[-1].outcome == "FILLED"


def test_a_resume_said_before_a_loss_does_not_lift_it() -> None:
    """An older copy of the bus may tell the command again after the loss."""
    world = make_world()
    run_plan(world)
    said_ns = world.now_ns - 1
    world.step(lambda now: world.engine.note_loss("Redis holds a copy that is older", now))
    early = Command(ts_ns=said_ns, command_id="c0", kind=CommandKind.RESUME, operator="test")
    world.message(early)
    assert world.engine.obstacle.startswith("DATA_LOST: ")
    command(world, CommandKind.RESUME)
    assert not world.engine.obstacle


@pytest.mark.parametrize("is_under_way", [False, True])
def test_a_flatten_said_before_a_loss_closes_nothing(is_under_way: bool) -> None:
    """It was carried out after the copy was made: again it would open what it closed."""
    world = make_world()
    run_plan(world, buy="beta", sell="gamma")
    saved = world.history[-1][0]
    early = Command(ts_ns=world.now_ns, command_id="c0", kind=CommandKind.FLATTEN, operator="test")
    world.message(early)
    if is_under_way:
        saved = world.history[-1][0]
    world.settle(5)
    assert world.true_exposure() == D("-0.0001"), "a fee in BTC"
    sent = dict(world.sent)
    world.advance(60 * SECOND)
    world.lose(saved, loss="Redis holds a copy of its data that is 65 s older")
    world.settle(5)
    world.message(early)
    world.settle(20)
    assert dict(world.sent) == sent
    assert len([a for a in world.published(Alert) if a.code == "FLATTEN_ENDED"]) == 1
    command(world, CommandKind.FLATTEN, "c2")
    assert world.engine.state.flatten == "c2", "one that is said now is carried out"


def test_a_first_start_on_empty_accounts_is_no_loss() -> None:
    world = make_world()
    assert not alerts(world)
    assert world.engine.state.stage is LedgerStage.SURVEYED
    assert run_plan(world).outcome == "FILLED"
    assert world.engine.state.stage is LedgerStage.USED


def test_positions_where_a_ledger_begins_are_told() -> None:
    world = make_world()
    world.lose()
    asked = [r for r in world.inbox if isinstance(r, act.BalancesAnswered) and r.venue == "gamma"]
    (index,) = [world.inbox.index(report) for report in asked]
    world.inbox[index] = act.BalancesAnswered("gamma", {}, {"BTC/USDT:USDT": D("-1.5")})
    world.settle(5)
    (alert,) = alerts(world)
    assert "open positions -1.5 BTC/USDT:USDT at gamma" in alert.text


def test_only_the_newest_orders_are_looked_up_and_the_rest_is_told() -> None:
    world = make_world()
    run_plan(world)
    world.lose()
    world.inbox = [r for r in world.inbox if getattr(r, "venue", "") != "alpha"]
    order = next(iter(world.orders["alpha"].values()))
    fills = tuple(
        structs.replace(order.fills[0], venue_order_id=f"v{number}", ts_venue_ns=world.now_ns + n)
        for n, number in enumerate(range(SURVEY_ORDERS_MAX + 3))
    )
    out = world.engine.on_message(act.FillsAnswered("alpha", fills), world.now_ns)
    asked = [a.key.venue_order_id for a in out.actions if isinstance(a, act.Query)]
    assert len(asked) == SURVEY_ORDERS_MAX
    assert not {"v0", "v1", "v2"} & set(asked)
    for venue_order_id in asked:
        key = OrderKey(venue="alpha", instrument="BTC/USDT", venue_order_id=venue_order_id)
        world.engine.on_message(act.QueryAnswered(key, order.report()), world.now_ns)
    world._act(act.FetchOpenOrders("alpha", ()))
    world._act(act.FetchBalances("alpha", ()))
    world.settle(2)
    assert "orders not looked at: 3 at alpha" in alerts(world)[-1].text


def test_an_order_that_still_works_is_canceled() -> None:
    world = make_world()
    run_plan(world)
    world.lose()
    order: VenueOrder = next(iter(world.orders["alpha"].values()))
    answers: list[Any] = [r for r in world.inbox if isinstance(r, act.OpenOrdersAnswered)]
    answer = act.OpenOrdersAnswered("alpha", (order.report(),))
    world.inbox.remove(next(a for a in answers if a.venue == "alpha"))
    out = world.engine.on_message(answer, world.now_ns)
    cancels = [action for action in out.actions if isinstance(action, act.Cancel)]
    assert [cancel.key.client_order_id for cancel in cancels] == [order.request.client_order_id]


def test_fills_of_plans_known_before_an_outage_are_no_surprise_after_it() -> None:
    """They end before the outage, and are old enough to be forgotten when it is over."""
    world = make_world()
    for number in range(12):
        world.message(make_plan(f"plan{number:08d}", now_ns=world.now_ns))
        while world.inbox:
            world.deliver()
        world.tick()
    world.settle(1)
    world.now_ns += 300 * SECOND
    world.crash()
    world.settle(30)
    codes = [alert.code for alert in world.published(Alert)]
    assert "FORGOTTEN_PLAN" not in codes
    assert world.engine.counters()["orders_adopted"] == 0


def test_a_plan_that_fails_later_does_not_hide_the_loss() -> None:
    world = make_world(beta="reject")
    world.message(make_plan(now_ns=world.now_ns))
    world.step(lambda now: world.engine.note_loss("Redis holds a copy that is older", now))
    world.prices_shown = False
    world.now_ns += 3 * SECOND
    world.settle(20)
    assert world.published(PlanDone)[-1].outcome == "FAILED"
    assert (
        world.published(ExecutorReady)[-1].reason == "DATA_LOST: Redis holds a copy that is older"
    )


def test_a_fill_of_a_known_order_is_found_that_was_told_late_over_a_loss() -> None:
    world = make_world(beta="part")
    run_plan(world)
    filled_ns = world.now_ns
    world.advance(SECOND)
    world.crash()
    world.step(lambda now: world.engine.note_loss("Redis holds a copy that is older", now))
    world.settle(1)
    order = next(order for order in world.orders["beta"].values() if len(order.fills) == 1)
    world._fill(order, D("0.001"))
    order.fills[-1] = structs.replace(order.fills[-1], ts_venue_ns=filled_ns)
    world.settle(10)
    assert order.fills[-1].trade_id in {fill.trade_id for fill in world.published(Fill)}


def lose_last_order(world: World) -> list[str]:
    """End a plan, lose the record of its last order, and survey while the venue hides its fills.

    Returns the trade ids of that order.
    """
    run_plan(world)
    last = list(world.engine.state.orders.values())[-1]
    order = world.orders[last.venue][last.client_order_id]
    at = next(
        index
        for index, (_, messages, _) in enumerate(world.history)
        if any(
            isinstance(m, OrderEvent) and m.client_order_id == last.client_order_id
            for m in messages
        )
    )
    world.prices_shown = False  # the plan goes on only when they are back
    world.hides_fills[last.venue] = 60 * SECOND
    world.lose(world.history[at - 1][0], loss="Redis holds a copy of its data that is older")
    while world.engine.state.stage is LedgerStage.NEW:
        while world.inbox:
            world.deliver()
        world.tick()
    assert last.client_order_id not in world.engine.state.orders
    world.hides_fills.clear()
    return [fill.trade_id for fill in order.fills]


def test_an_order_that_an_older_copy_lacks_is_adopted_though_it_is_told_late() -> None:
    """Its plan is on record and goes on: without it the plan would trade that again."""
    world = make_world(beta="reject")
    lost = lose_last_order(world)
    world.settle(3)
    world.prices_shown = True
    world.settle(20)
    assert {*lost} <= {fill.trade_id for fill in world.published(Fill)}
    assert len([order for order in world.orders["alpha"].values() if order.fills]) == 2


def test_another_plan_that_is_told_late_is_left_alone_beside_one_that_goes_on() -> None:
    world = make_world(beta="reject")
    lose_last_order(world)
    world.prices_shown = True
    world.settle(5)
    command(world, CommandKind.RESUME)
    world.message(make_plan("plan00000002", now_ns=world.now_ns))
    assert world.engine.state.stage is LedgerStage.USED
    ours = world.orders["alpha"]["abplan00000001000"]
    name, venue_id = "abplan00000009000", "v-other"
    request = structs.replace(ours.request, client_order_id=name)
    fill = structs.replace(ours.fills[0], trade_id="t-other", venue_order_id=venue_id)
    world.orders["alpha"][name] = VenueOrder(request, venue_id, [fill])
    world.settle(20)
    assert "t-other" not in {fill.trade_id for fill in world.published(Fill)}
    assert name not in world.engine.state.orders
    assert "plan00000009" in world.engine.state.before


def test_what_is_told_only_after_the_survey_of_a_lost_plan_is_told_to_the_operator() -> None:
    world = make_world()
    run_plan(world)
    world.hides_fills = dict.fromkeys(world.orders, 60 * SECOND)
    world.lose()
    sent = dict(world.sent)
    world.settle(1)
    assert not alerts(world), "nothing shows of it yet"
    assert world.engine.state.stage is LedgerStage.SURVEYED
    world.hides_fills.clear()
    world.settle(10)
    assert dict(world.sent) == sent, "nothing is traded"
    assert not world.published(Fill)
    assert world.engine.state.before == ["plan00000001"]
    assert world.engine.obstacle.startswith("DATA_LOST: ")
    assert "plan00000001" in "".join(alert.text for alert in alerts(world))
    told = len(alerts(world))
    command(world, CommandKind.RESUME)
    assert not world.engine.obstacle
    world.settle(1)
    world.crash()
    world.settle(10)
    assert not world.engine.obstacle, "it is told once"
    assert len(alerts(world)) == told
