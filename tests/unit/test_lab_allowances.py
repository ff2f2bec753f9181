"""Where a checker of the lab allows more than nothing, and no more than that."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec
import pytest

from services.executor.actions import SetSwitch
from services.lab.kernel import Kernel
from services.lab.kinds import Kind
from services.lab.loss_caps import may_be_left
from services.lab.publishing import publish
from services.lab.quiet import QuietChecks
from services.lab.simulate import run_seed
from services.lab.switches import Switches
from services.lab.world import START_NS, World
from services.risk.rounds import Rounds
from shared.config_sections import ExecutorConfig
from shared.domain.accounting import Books
from shared.domain.executions import execution_of
from shared.messages.base import Side
from shared.messages.control import Alert, Command, CommandKind, Severity
from shared.messages.execution import OPERATOR_STRATEGY, PlanLeg
from shared.messages.rounds import Intent, round_key
from tests.decision_builders import make_done, make_fill
from tests.executor_model import make_plan
from tests.sim.test_perpetuals import SEEDS, VENUE
from tests.unit.test_lab_reductions import fill


def test_fees_in_the_base_asset_of_what_an_operator_closed_count_and_no_others() -> None:
    world = World(SEEDS[0])
    spot = msgspec.structs.replace(
        fill("closed", reduced_by=""), instrument="SOL/USDT", fee_asset="SOL"
    )
    of_operator = msgspec.structs.replace(spot, strategy=OPERATOR_STRATEGY)
    in_quote = msgspec.structs.replace(of_operator, trade_id="quote", fee_asset="USDT")
    of_strategy = msgspec.structs.replace(spot, trade_id="other", strategy="momentum")
    publish(world, "executor", [of_operator, in_quote, of_strategy])
    rounds, key = world.checkers.rounds, round_key("momentum", "r1")
    assert rounds.fees_in_base("SOL/USDT", key) == D("0.1")
    assert rounds.fees_in_base(f"{VENUE}|SOL/USDT:USDT", key) == 0
    late = msgspec.structs.replace(of_strategy, trade_id="late", plan_id="late", round_id="r1")
    done = make_done("late", strategy="momentum", round_id="r1", late_of="plan")
    publish(world, "executor", [late, done])
    assert rounds.fees_in_base("SOL/USDT", key) == D("0.2")
    assert rounds.fees_in_base("SOL/USDT", round_key("momentum", "r2")) == D("0.1")


@pytest.mark.parametrize(("shown", "is_told"), [("3", True), ("8", True), ("9", False)])
def test_a_round_shows_the_other_side_by_no_more_than_a_venue_closed(
    shown: str, is_told: bool
) -> None:
    """Its own plans made nothing of it; the venue bought 8."""
    world = World(SEEDS[0])
    closed = msgspec.structs.replace(fill("liquidation", "8"), side=Side.BUY)
    publish(world, "executor", [closed])
    holding = f"{VENUE}|SOL/USDT:USDT"
    world.checkers.rounds.compare("momentum|r1", {holding: D(0)}, {holding: D(shown)}, {})
    assert (not world.checkers.violations) is is_told


def test_a_world_goes_on_until_each_venue_has_told_its_executions() -> None:
    """One failed to three times, and was asked again only after the HALT."""
    outcome = run_seed(154964)
    assert not outcome.violations, outcome.story


def test_a_clock_ahead_is_hidden_by_what_was_read_as_late() -> None:
    """The ingestor stood still for about as long as the venue's clock is ahead."""
    outcome = run_seed(113177)
    assert not outcome.violations, outcome.story


@pytest.mark.parametrize("seed", [143739, 146772])
def test_what_an_earlier_loss_took_may_be_there_again_or_be_found(seed: int) -> None:
    """An older copy has a plan and its fills again; one found without a record leaves a rest."""
    outcome = run_seed(seed)
    assert not outcome.violations, outcome.story


def test_flatten_closes_the_net_of_spot_and_leaves_the_rest_in_rounds() -> None:
    outcome = run_seed(121912)
    assert not outcome.violations, outcome.story


def test_a_round_that_only_records_still_hold_ends_with_flatten() -> None:
    """Its close was adopted after two losses, with a liquidation between; FLATTEN found a rest."""
    outcome = run_seed(72764, World(72764, Kind.ALL))
    assert not outcome.violations, outcome.story


def test_an_order_that_arrives_after_its_record_was_lost_meets_none_of_ours() -> None:
    outcome = run_seed(73255, World(73255, Kind.ALL))
    assert not outcome.violations, outcome.story


def test_losing_all_data_before_the_first_trade_of_ours_needs_no_operator() -> None:
    outcome = run_seed(71076, World(71076, Kind.ALL))
    assert not outcome.violations, outcome.story


def test_a_round_of_which_flatten_closed_a_part_stays_until_it_can_be_closed() -> None:
    """RESUME ended the FLATTEN, and the executor said what was left open."""
    outcome = run_seed(153015)
    assert not outcome.violations, outcome.story


@pytest.mark.parametrize("seed", [152901, 153164])
def test_what_orders_without_a_reservation_spent_is_not_spent_again(seed: int) -> None:
    outcome = run_seed(seed)
    assert not outcome.violations, outcome.story


@pytest.mark.parametrize("seed", [110979, 112120])
def test_a_fill_told_after_its_round_was_closed_by_others_is_no_fault(seed: int) -> None:
    """A venue closed what no round held, or an operator closed a round and its fill came late."""
    outcome = run_seed(seed)
    assert not outcome.violations, outcome.story


def test_a_scanner_that_goes_on_while_the_bus_is_away_reads_only_when_it_is_back() -> None:
    """In this world it prices one view of before, when the bus is back."""
    outcome = run_seed(180)
    assert not outcome.violations, outcome.story


@pytest.mark.parametrize("seed", [61, 894, 1059, 1475, 2807])
def test_plans_of_several_assets_without_a_record_leave_nothing_over(seed: int) -> None:
    """Some are flattened afterwards; of one the record comes too late to start, or is all lost."""
    outcome = run_seed(seed)
    assert not outcome.violations, outcome.story


def left_open(told: str = "", flattened: bool = False) -> list[str]:
    """Return what ``flat`` says of 1.6 SOL and a position of -2 that no round holds."""
    world = World(SEEDS[0])
    if told:
        text = (
            f"halted: plan p, adopted after a loss of records, leaves {told}, which no round holds"
        )
        alert = Alert(
            ts_ns=START_NS,
            service="risk",
            severity=Severity.CRITICAL,
            code="POSITION_UNOWNED",
            text=text,
        )
        publish(world, "risk", [alert])
    if flattened:
        command = Command(ts_ns=START_NS, command_id="f", kind=CommandKind.FLATTEN, operator="test")
        publish(world, "operator", [command])
    books = Books()
    books.trade(execution_of(fill("position", "2", reduced_by="")))
    QuietChecks(world, world.checkers).check_flat(books, Rounds())
    return [each.text for each in world.checkers.violations if each.checker == "flat"]


def test_a_position_that_risk_halted_for_is_left_to_an_operator_and_no_other_one() -> None:
    as_told = left_open(f"-2 SOL/USDT:USDT at {VENUE}")
    assert as_told == left_open(f"3 SOL/USDT, -2 SOL/USDT:USDT at {VENUE}") == []
    assert len(left_open()) == 2, "the asset, and the position"
    assert left_open(f"-2 BTC/USDT:USDT at {VENUE}") == left_open()
    assert left_open(f"-2 SOL/USDT:USDT at {VENUE}", flattened=True) == left_open()


def test_a_second_leg_buys_what_the_first_paid_in_its_base_asset() -> None:
    outcome = run_seed(5204)
    assert not outcome.violations, outcome.story


def losses_told(realized: str, of_rounds: dict[str, D]) -> list[str]:
    """Return what ``loss_cap`` says of a plan, short 12 at 149, of which 5 are closed at 151."""
    world = World(SEEDS[0])
    leg = PlanLeg(
        venue=VENUE,
        instrument="SOL/USDT:USDT",
        side=Side.SELL,
        qty=D(12),
        price_limit=D(149),
        price_expected=D(149),
        fee_bps=D(5),
    )
    opened = make_plan(legs=(("alpha", Side.BUY, "0.1"),), loss_cap="4", now_ns=START_NS)
    plan = msgspec.structs.replace(
        opened, legs=[leg], strategy="basis", round_id="r1", intent=Intent.OPEN
    )
    own = msgspec.structs.replace(
        fill("own", "5"), side=Side.BUY, price=D(151), of_rounds=of_rounds
    )
    end = make_done(plan.plan_id, START_NS, realized=D(realized))
    publish(world, "risk", [plan])
    publish(world, "executor", [own, end])
    return [each.text for each in world.checkers.violations if each.checker == "loss_cap"]


def test_what_a_venue_closes_of_a_plan_at_a_loss_is_beyond_its_cap() -> None:
    """5 at 2 more than they were sold for are 10, beside the cap of 4 and 0.1 % of 1788."""
    of_plan = {"basis|r1": D(5)}
    assert losses_told("-15.7", of_plan) == []
    assert len(losses_told("-15.9", of_plan)) == 1
    assert losses_told("-5.7", {"other|r1": D(5)}) == []
    assert len(losses_told("-5.9", {"other|r1": D(5), "basis|r1": D(0)})) == 1


def opening_losses(sold: str, intent: Intent = Intent.OPEN) -> list[str]:
    """Return what ``loss_cap`` says: 2 bought at 100, 1 sold at 94 and 1 at ``sold``."""
    world = World(SEEDS[0])
    opened = make_plan(legs=(("alpha", Side.BUY, "1"), ("gamma", Side.SELL, "1")), loss_cap="4")
    plan = msgspec.structs.replace(
        opened, ts_ns=START_NS, strategy="basis", round_id="r1", intent=intent
    )
    prices = {"a": (Side.BUY, "2", "100"), "b": (Side.SELL, "1", "94"), "c": (Side.SELL, "1", sold)}
    fills = [
        make_fill(plan.plan_id, "alpha", side, qty, trade_id=n, price=D(price), fee_quote=D(0))
        for n, (side, qty, price) in prices.items()
    ]
    end = make_done(plan.plan_id, START_NS, realized=D(-25))
    publish(world, "risk", [plan])
    publish(world, "executor", [*fills, end])
    return [each.text for each in world.checkers.violations if each.checker == "loss_cap"]


def test_what_an_opening_loses_of_its_cap_is_measured_in_cash() -> None:
    """It realized a loss of 25, beside a cap of 4 and 0.1 % of what it trades, which is 20."""
    assert opening_losses("82") == []
    assert len(opening_losses("81.9")) == 1
    assert len(opening_losses("82", Intent.INSTANT)) == 1


def test_the_basis_that_an_opening_holds_pays_for_what_it_had_to_trade_back() -> None:
    """A fill of a hedge was told late, so it was hedged twice, and one sold at a worse price."""
    outcome = run_seed(143939)
    assert not outcome.violations, outcome.story


def test_the_loss_of_a_liquidation_is_not_that_of_the_plan_that_hedges_it() -> None:
    outcome = run_seed(8497)
    assert not outcome.violations, outcome.story


@pytest.mark.parametrize(
    ("after_s", "realized", "worth", "allowed"),
    [
        (6, "-21", "29", True),
        (6, "-21", "30", False),  # more than the cap covers
        (4, "-21", "29", False),  # it could still have been traded
    ],
)
def test_a_rest_may_stay_where_nothing_traded_it_in_time_and_the_cap_covers_it(
    after_s: int, realized: str, worth: str, allowed: bool
) -> None:
    plan = msgspec.structs.replace(make_plan(), loss_cap=D(50))
    done = make_done("p", plan.ts_ns + after_s * 1_000_000_000, realized=D(realized))
    settings = ExecutorConfig(hedge_deadline_ms=5_000)
    assert may_be_left(plan, done, D(worth), settings, {}) is allowed
    assert not may_be_left(None, done, D(worth), settings, {})
    found = msgspec.structs.replace(done, is_approved=False)
    assert not may_be_left(plan, found, D(worth), settings, {}), "it has no orders, so no cap"


def test_rounds_that_flatten_left_nothing_of_are_judged_without_what_later_plans_made() -> None:
    outcome = run_seed(76542, World(76542, Kind.ALL))
    assert not outcome.violations, outcome.story


def test_an_order_on_its_way_when_the_switch_fires_rests_until_an_executor_works() -> None:
    outcome = run_seed(76763, World(76763, Kind.ALL))
    assert not outcome.violations, outcome.story


def test_a_world_is_not_quiet_while_a_read_of_executions_has_failed() -> None:
    outcome = run_seed(76916, World(76916, Kind.ALL))
    assert not outcome.violations, outcome.story


def test_a_switch_is_spent_from_the_millisecond_in_which_it_fires() -> None:
    """An order that arrives after it, and within that millisecond, is noted with its beginning."""
    kernel = Kernel(START_NS + 700_000)
    exchanges = World(SEEDS[0]).exchanges
    switches = Switches(SEEDS[0], kernel, exchanges, lambda _: None)
    venue = next(name for name in exchanges if switches.has(name))
    switches.set(SetSwitch(venue, ("BTC/USDT",), 1, kernel.now_ns()))
    assert switches.spent_ns(venue, "BTC/USDT") == 0
    kernel.run_until(START_NS + 2_000_000_000)
    assert switches.spent_ns(venue, "BTC/USDT") == START_NS + 1_000_000_000
    switches.set(SetSwitch(venue, ("BTC/USDT",), 1, kernel.now_ns()))
    assert switches.spent_ns(venue, "BTC/USDT") == 0
