"""A venue that refuses or cannot be read stands down, is named, and the others trade on."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.executor.down import COST_WINDOW_NS
from services.executor.standdown import COSTS_MAX_SHARE, FALLS_MAX, PROBE_PAUSE_NS, REFUSALS_MAX
from services.executor.venue_account import READ_WAIT_NS
from shared.errors import Cause
from shared.messages.control import Alert, CommandKind
from shared.messages.execution import ExecutorReady, OrderEvent, OrderPurpose, PlanDone, PlanOutcome
from tests.decision_builders import make_info, make_view
from tests.executor_model import PERP, SECOND, SPOT, World, make_plan
from tests.unit.test_executor_engine import command, hold, make_world
from tests.unit.test_executor_weak import rebalance_orders

D = Decimal
WHOLE = (Cause.KEY, Cause.ACCOUNT)
PASSING = (Cause.CLOCK, Cause.RATE, Cause.SERVICE)


def trade(world: World, count: int, *, buy: str = "alpha", sell: str = "beta") -> list[PlanDone]:
    """Offer plans one after the other; return how they ended."""
    before = len(world.published(PlanDone))
    for _ in range(count):
        number = len(world.published(PlanDone))
        plan = make_plan(f"plan{number:08d}", buy=buy, sell=sell, now_ns=world.now_ns)
        world.message(plan)
        world.settle(2)
    return world.published(PlanDone)[before:]


def sent_to(world: World, venue: str) -> int:
    return len({e.client_order_id for e in world.published(OrderEvent) if e.venue == venue})


def alerts(world: World, code: str) -> list[Alert]:
    return [a for a in world.published(Alert) if a.code == code]


def down(world: World) -> dict[str, str]:
    found: dict[str, str] = world.published(ExecutorReady)[-1].venues_down
    return found


@pytest.mark.parametrize(
    "cause, refusals",
    [
        *((cause, 1) for cause in (*WHOLE, Cause.INSTRUMENT)),
        *((cause, REFUSALS_MAX) for cause in (*PASSING, Cause.ORDER, Cause.FUNDS)),
    ],
)
def test_who_refuses_stands_down_and_the_others_trade(cause: Cause, refusals: int) -> None:
    world = make_world()
    world.habits["beta"] = cause.value
    ends = trade(world, 5)
    assert [end.outcome for end in ends[refusals:]] == [PlanOutcome.REFUSED] * (5 - refusals)
    assert "stands down: no:" in ends[-1].reason
    assert sent_to(world, "beta") == refusals, "nothing is sent to it, to even out neither"
    (alert,) = [a for a in world.published(Alert) if a.code.endswith("_STANDS_DOWN")]
    assert alert.severity == "critical"
    assert f"no: {cause}" in alert.text
    (key,) = down(world)
    assert key in {"beta", f"beta|{SPOT}"}
    assert (key == "beta") == (cause in (*WHOLE, *PASSING))
    (other,) = trade(world, 1, buy="alpha", sell="gamma")
    assert other.outcome is PlanOutcome.FILLED
    world.check_quiet()


def test_a_success_between_starts_the_count_anew() -> None:
    world = make_world()
    for _ in range(3):
        world.habits["beta"] = "reject"
        trade(world, REFUSALS_MAX - 1)
        world.habits.clear()
        (end,) = trade(world, 1)
        assert end.outcome is PlanOutcome.FILLED
    assert not down(world)


def test_refusals_in_several_instruments_are_the_venues() -> None:
    world = make_world()
    state = world.engine.state
    state.refusals |= {"beta": 2, "beta|ETH/USDT": 2}
    world.habits["beta"] = "reject"
    trade(world, 1)
    assert list(down(world)) == ["beta"]


def test_a_crash_forgets_neither_refusals_nor_who_stands_down() -> None:
    world = make_world()
    world.habits["beta"] = "reject"
    for _ in range(REFUSALS_MAX):
        trade(world, 1)
        world.crash()
        world.settle(5)
    assert list(down(world)) == [f"beta|{SPOT}"]
    world.crash()
    world.settle(5)
    (end,) = trade(world, 1)
    assert end.outcome is PlanOutcome.REFUSED
    assert len(alerts(world, "INSTRUMENT_STANDS_DOWN")) == 1, "said once"


@pytest.mark.parametrize("cause", [*WHOLE, Cause.ORDER, Cause.INSTRUMENT])
def test_what_an_operator_must_mend_waits_for_resume(cause: Cause) -> None:
    world = make_world()
    world.habits["beta"] = cause.value
    trade(world, REFUSALS_MAX)
    world.habits.clear()
    world.settle(120)
    assert down(world)
    command(world, CommandKind.RESUME)
    assert not down(world)
    (end,) = trade(world, 1)
    assert end.outcome is PlanOutcome.FILLED


@pytest.mark.parametrize("cause", PASSING)
def test_what_passes_is_probed_after_a_pause(cause: Cause) -> None:
    world = make_world()
    world.habits["beta"] = cause.value
    trade(world, REFUSALS_MAX)
    since_ns = alerts(world, "VENUE_STANDS_DOWN")[0].ts_ns
    world.closed["beta"] = cause  # the first probe finds no change
    world.settle(PROBE_PAUSE_NS // SECOND)
    assert down(world)
    world.habits.clear()
    world.closed.clear()
    world.settle(4 * PROBE_PAUSE_NS // SECOND)
    (back,) = alerts(world, "STANDS_DOWN_NO_MORE")
    assert back.ts_ns >= since_ns + 2 * PROBE_PAUSE_NS
    (end,) = trade(world, 1)
    assert end.outcome is PlanOutcome.FILLED


def test_a_venue_that_never_answers_stands_down_too() -> None:
    world = make_world()
    world.habits["beta"] = "lost_never"
    for _ in range(REFUSALS_MAX):
        assert not down(world)
        trade(world, 1)
        world.settle(5)
    (end,) = trade(world, 1)
    assert end.outcome is PlanOutcome.REFUSED
    assert len(alerts(world, "VENUE_STANDS_DOWN")) == 1


def test_answers_that_were_lost_and_then_found_are_no_refusals() -> None:
    world = make_world()
    world.habits["beta"] = "lost_full"
    ends = trade(world, 2 * REFUSALS_MAX)
    assert {end.outcome for end in ends} == {PlanOutcome.FILLED}
    assert not down(world)


def test_probes_that_prove_nothing_cost_few_orders() -> None:
    world = make_world()
    world.habits["beta"] = Cause.CLOCK.value
    for _ in range(60):
        trade(world, 1)
        world.settle(10)
    assert sent_to(world, "beta") == REFUSALS_MAX + FALLS_MAX
    assert len(alerts(world, "VENUE_STANDS_DOWN")) == 1 + FALLS_MAX
    assert "arb resume" in alerts(world, "VENUE_STANDS_DOWN")[-1].text


def test_who_stands_down_is_the_last_resort() -> None:
    world = make_world()
    world.habits["beta"] = Cause.KEY.value
    trade(world, 1)
    world.habits |= {"beta": "full", "gamma": "none"}
    world.message(make_plan("plan00000099", buy="alpha", sell="gamma", now_ns=world.now_ns))
    world.habits["alpha"] = "none"  # from now on: its leg filled
    world.settle(8)
    assert world.published(PlanDone)[-1].outcome is PlanOutcome.HEDGED
    tried = [order.venue for order in rebalance_orders(world)][1:]
    assert tried[-1] == "beta"
    assert set(tried[:-1]) == {"alpha", "gamma"}
    assert "beta" in down(world), "a success there mends no key"


@pytest.mark.parametrize("cause", [*WHOLE, *PASSING, Cause.ORDER])
def test_an_account_that_cannot_be_read_keeps_nobody_waiting(cause: Cause) -> None:
    world = World(lambda what, options: options[0])
    world.closed["beta"] = cause
    world.crash()
    world.settle(1)
    assert bool(world.engine.obstacle) is (cause not in WHOLE)
    world.settle(READ_WAIT_NS // SECOND)
    assert not world.engine.obstacle
    (alert,) = alerts(world, "VENUE_STANDS_DOWN")
    assert alert.severity == "critical"
    assert "closed" in alert.text
    (end,) = trade(world, 1, buy="alpha", sell="gamma")
    assert end.outcome is PlanOutcome.FILLED
    (end,) = trade(world, 1)
    assert end.outcome is PlanOutcome.REFUSED
    world.closed.clear()
    world.settle(60)
    if cause in WHOLE:
        assert down(world), "read, but not mended until an operator says so"
        command(world, CommandKind.RESUME)
    assert not down(world)
    (end,) = trade(world, 1)
    assert end.outcome is PlanOutcome.FILLED


def test_an_open_plan_at_an_unreadable_venue_stays_open_and_is_named() -> None:
    world = make_world(beta="lost_full")
    world.message(make_plan(now_ns=world.now_ns))
    world.closed["beta"] = Cause.SERVICE
    world.crash()
    world.settle(40)
    assert not world.engine.obstacle
    (plan,) = world.engine.state.open_plans()
    assert plan.plan_id == "plan00000001"
    assert world.published(ExecutorReady)[-1].open_plans == 1
    (alert,) = alerts(world, "VENUE_STANDS_DOWN")
    assert f"exposure unknown: sell 0.1 {SPOT} at beta is SUBMITTED" in alert.text
    assert "up to 0.0999 BTC not hedged, 999.00 USDT" in alert.text
    (end,) = trade(world, 1, buy="alpha", sell="gamma")
    assert end.outcome is PlanOutcome.FILLED
    world.closed.clear()
    world.settle(60)
    assert not down(world)
    assert {d.plan_id: d.outcome for d in world.published(PlanDone)}[
        plan.plan_id
    ] is PlanOutcome.FILLED
    world.check_quiet()


@pytest.mark.parametrize("queries_max", [20, 1_000])
def test_who_does_not_tell_what_became_of_an_order_stands_down_until_it_does(
    queries_max: int,
) -> None:
    world = make_world(beta="lost_full", query_attempts_max=queries_max)
    world.message(make_plan("waits", now_ns=world.now_ns))
    world.closed["beta"] = Cause.SERVICE
    world.settle(20)
    assert not down(world), "it may pass"
    assert not world.published(ExecutorReady)[-1].plans_waiting
    world.settle(20)
    assert list(down(world)) == ["beta"]
    (alert,) = alerts(world, "VENUE_STANDS_DOWN")
    assert alert.severity == "critical"
    assert f"sell 0.1 {SPOT} at beta is UNKNOWN; up to 0.0999 BTC not hedged" in alert.text
    assert "999.00 USDT" in alert.text
    (unsettled,) = alerts(world, "ORDER_UNSETTLED")
    assert "999.00 USDT" in unsettled.text
    assert list(world.published(ExecutorReady)[-1].plans_waiting) == ["waits"]
    (end,) = trade(world, 1)
    assert end.outcome is PlanOutcome.REFUSED
    (end,) = trade(world, 1, buy="alpha", sell="gamma")
    assert end.outcome is PlanOutcome.FILLED
    command(world, CommandKind.RESUME)
    assert down(world), "an operator does not know it either"
    world.crash()
    world.settle(40)
    assert list(down(world)) == ["beta"]
    world.closed.clear()
    world.settle(10)
    assert not down(world)
    assert not world.published(ExecutorReady)[-1].plans_waiting
    ends = {done.plan_id: done.outcome for done in world.published(PlanDone)}
    assert ends["waits"] is PlanOutcome.FILLED
    world.check_quiet()


def test_an_order_of_which_the_venue_knows_nothing_ends_without_standing_down() -> None:
    world = make_world(beta="lost_never")
    world.message(make_plan(now_ns=world.now_ns))
    world.settle(60)
    (end,) = world.published(PlanDone)
    assert end.outcome in {PlanOutcome.HEDGED, PlanOutcome.UNWOUND}
    assert not alerts(world, "VENUE_STANDS_DOWN")


def test_flatten_goes_on_where_a_plan_waits_for_a_venue_that_stands_down() -> None:
    world = make_world(beta="lost_full")
    world.message(make_plan(now_ns=world.now_ns))
    world.closed["beta"] = Cause.SERVICE
    world.crash()
    world.settle(30)
    assert down(world)
    hold(world, "ETH")
    world.engine.on_message(make_info("alpha", "ETH/USDT"), world.now_ns)
    # Shown from ahead of time: the world shows bitcoin only.
    shown = make_view("alpha", "ETH/USDT", bids=[(9_999.0, 5.0)], ts_ns=world.now_ns + 5 * SECOND)
    world.engine.on_message(shown, world.now_ns)
    command(world, CommandKind.FLATTEN)
    world.settle(3)
    flattened = [e for e in world.published(OrderEvent) if e.purpose is OrderPurpose.FLATTEN]
    assert {e.instrument for e in flattened} == {"ETH/USDT"}, "of bitcoin nobody knows how much"
    assert "ETH/USDT" not in world.engine.state.books.opened()
    assert world.engine.state.flatten, "bitcoin waits"
    world.closed.clear()
    world.settle(60)
    assert not world.engine.state.flatten
    assert abs(world.engine.state.books.exposure["BTC"]) < D("0.001")


def test_resume_does_not_wait_again_for_an_account_that_is_still_unread() -> None:
    world = World(lambda what, options: options[0])
    world.closed["beta"] = Cause.KEY
    world.crash()
    world.settle(5)
    command(world, CommandKind.RESUME)
    world.settle(5)
    assert not world.engine.obstacle
    assert "beta" in down(world)
    world.closed.clear()
    world.settle(40)
    assert "beta" in down(world), "nothing was mended when the operator said so"
    command(world, CommandKind.RESUME, "c2")
    assert not down(world)


def test_a_key_revoked_while_running_is_noticed_before_an_order_is() -> None:
    world = make_world()
    world.closed["beta"] = Cause.KEY
    world.settle(6)
    assert "beta" in down(world)
    assert sent_to(world, "beta") == 0


def test_an_instrument_that_is_not_listed_is_left_out() -> None:
    world = World(lambda what, options: options[0])
    world.unlisted["gamma"] = (PERP,)
    world.crash()
    world.settle(3)
    assert not world.engine.obstacle
    assert list(down(world)) == [f"gamma|{PERP}"]
    (alert,) = alerts(world, "INSTRUMENT_STANDS_DOWN")
    assert (alert.severity, PERP in alert.text) == ("warning", True)
    assert trade(world, 1)[0].outcome is PlanOutcome.FILLED
    assert trade(world, 1, sell="gamma")[0].outcome is PlanOutcome.REFUSED
    world.unlisted.clear()
    world.crash()
    world.settle(3)
    assert not down(world)


def one_in_two(world: World, cause: Cause, pairs: int) -> list[PlanDone]:
    """Offer plans of which beta fails every other one; return how they ended."""
    ends = []
    for _ in range(pairs):
        world.habits["beta"] = cause.value
        ends += trade(world, 1)
        world.habits.clear()
        ends += trade(world, 1)
    return ends


@pytest.mark.parametrize("cause", PASSING)
def test_failures_that_cost_stand_a_venue_down_though_none_follows_another(cause: Cause) -> None:
    """It answered 429 to one order in two: each time a leg was traded back at a loss."""
    world = make_world()
    ends = one_in_two(world, cause, 15)
    told = alerts(world, "VENUE_STANDS_DOWN")[0]
    assert "it is checked again after a pause" in told.text
    unwound = [end for end in ends if end.outcome is PlanOutcome.UNWOUND]
    lost = [-end.realized for end in unwound if end.ts_ns <= told.ts_ns]
    cap = make_plan().loss_cap * COSTS_MAX_SHARE
    assert cap <= sum(lost) < cap + max(lost)
    refused = [end for end in ends if end.outcome is PlanOutcome.REFUSED]
    assert refused and "of what one may lose" in refused[0].reason


def test_a_venue_whose_failures_cost_again_after_its_probes_is_left_to_an_operator() -> None:
    world = make_world()
    while not down(world):
        one_in_two(world, Cause.RATE, 1)
    for number in range(FALLS_MAX):
        world.settle((PROBE_PAUSE_NS << number + 1) // SECOND)
        assert not down(world), "the probe found it well"
        (end,) = trade(world, 1)
        assert end.outcome is PlanOutcome.FILLED
        world.habits["beta"] = Cause.RATE.value
        trade(world, 1)
        world.habits.clear()
        assert "beta" in down(world), "one more cost is enough"
    world.settle(400)
    assert "beta" in down(world)
    world.crash()
    world.settle(5)
    assert "beta" in down(world)
    command(world, CommandKind.RESUME)
    (end,) = trade(world, 1)
    assert (end.outcome, down(world)) == (PlanOutcome.FILLED, {})


def test_what_failures_cost_long_ago_is_forgotten() -> None:
    world = make_world()
    for _ in range(4):
        one_in_two(world, Cause.RATE, 4)
        world.settle(COST_WINDOW_NS // SECOND)
    assert not down(world)


def test_an_order_that_is_refused_for_its_own_sake_is_no_cost_of_the_venue() -> None:
    world = make_world()
    one_in_two(world, Cause.FUNDS, 15)
    assert not down(world)
