"""Funding payments: read after each settlement, booked once, late or not, and unknown till told."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from services.executor import checkpoint
from services.executor.funding import SEEN_MAX, UNTOLD_NS_MAX
from shared.accounts.gateway import PaymentReport
from shared.domain.funding import HOUR_NS
from shared.errors import Cause
from shared.messages.base import Side
from shared.messages.control import Alert
from shared.messages.execution import FundingKnown, FundingPaid
from shared.messages.market import Funding, FundingSettled
from shared.messages.rounds import Intent
from tests.executor_model import MS, PERP, SECOND, T0, World
from tests.unit.test_executor_engine import make_world
from tests.unit.test_executor_rounds import of_round

INTERVAL_NS = 60 * SECOND
FIRST_NS = T0 + INTERVAL_NS
PAIR = (("beta", Side.BUY, "0.1"), ("gamma", Side.SELL, "0.1"))


def rate(ts_funding_ns: int, ts_recv_ns: int = T0, **changes: Any) -> Funding:
    return Funding(
        venue="gamma",
        instrument=PERP,
        mark_price=10_000.0,
        index_price=10_000.0,
        rate=0.0001,
        ts_funding_ns=ts_funding_ns,
        ts_recv_ns=ts_recv_ns,
        interval_ns=INTERVAL_NS,
        **changes,
    )


def payment(ts_ns: int, amount: str = "0.1", payment_id: str = "", asset: str = "USDT") -> Any:
    return PaymentReport(
        payment_id=payment_id or f"tran-{ts_ns}",
        instrument=PERP,
        amount=D(amount),
        asset=asset,
        ts_venue_ns=ts_ns,
    )


def holding(**changes: Any) -> World:
    """A world that is short 0.1 of gamma's perpetual against spot, before a settlement."""
    world = make_world(**changes)
    world.settle(3)
    world.message(rate(FIRST_NS))
    world.message(of_round(world, PAIR, Intent.OPEN))
    world.settle(5)
    assert world.engine.state.books.quantities[f"gamma|{PERP}"] == D("-0.1")
    return world


def until(world: World, ts_ns: int) -> None:
    world.settle(max(0, ts_ns - world.now_ns) // SECOND)


def last_known(world: World) -> FundingKnown:
    found: FundingKnown = world.published(FundingKnown)[-1]
    return found


def booked(world: World) -> D:
    return world.engine.state.books.result("USDT").funding


def test_a_payment_is_booked_after_its_settlement_and_never_again() -> None:
    world = holding()
    world.payments.append(payment(FIRST_NS + 3 * MS))
    until(world, FIRST_NS + 8 * SECOND)
    (paid,) = world.published(FundingPaid)
    assert (paid.venue, paid.instrument, paid.amount, paid.asset) == (
        "gamma",
        PERP,
        D("0.1"),
        "USDT",
    )
    assert paid.ts_funding_ns == FIRST_NS + 3 * MS
    assert booked(world) == D("0.1")
    assert last_known(world).reason == ""
    world.message(rate(FIRST_NS + INTERVAL_NS, FIRST_NS + 9 * SECOND))
    until(world, FIRST_NS + INTERVAL_NS + 8 * SECOND)
    assert len(world.published(FundingPaid)) == 1


def test_it_is_unknown_from_the_settlement_until_the_payment_is_told() -> None:
    world = holding()
    until(world, FIRST_NS + 4 * SECOND)
    assert "not told yet" in last_known(world).reason
    assert booked(world) == 0
    world.payments.append(payment(FIRST_NS, "-0.2"))
    until(world, FIRST_NS + 30 * SECOND)
    assert (last_known(world).reason, booked(world)) == ("", D("-0.2"))


def test_an_account_that_cannot_be_asked_leaves_it_unknown_not_zero() -> None:
    world = holding()
    world.funding_closed = True
    until(world, FIRST_NS + 30 * SECOND)
    assert "cannot be read: no income for you" in last_known(world).reason
    assert not world.engine.obstacle, "trading does not wait for it"
    world.payments += [payment(FIRST_NS), payment(FIRST_NS + INTERVAL_NS, "0.2")]
    world.funding_closed = False
    until(world, FIRST_NS + 100 * SECOND)
    assert (last_known(world).reason, booked(world)) == ("", D("0.3"))


@pytest.mark.parametrize("cause", list(Cause))
def test_a_refused_query_stands_no_venue_down_and_plans_go_on_there(cause: Cause) -> None:
    """Whatever the venue's reason: funding is unknown there, and nothing else is."""
    world = make_world()
    world.funding_closed, world.funding_cause = True, cause
    world.crash()
    world.settle(30)
    world.message(rate(FIRST_NS, world.now_ns))
    world.message(of_round(world, PAIR, Intent.OPEN))
    until(world, FIRST_NS + 30 * SECOND)
    assert (world.engine.state.down, world.engine.obstacle) == ({}, "")
    assert world.engine.state.books.quantities[f"gamma|{PERP}"] == D("-0.1")
    assert "cannot be read: no income for you" in last_known(world).reason
    assert {told.venue for told in world.published(FundingKnown)} == {"gamma"}
    closing = tuple((venue, side.opposite, qty) for venue, side, qty in PAIR)
    world.message(of_round(world, closing, Intent.CLOSE, plan_id="plan00000009"))
    world.settle(5)
    assert not any(world.engine.state.books.quantities.values())


def test_nothing_is_lost_or_told_twice_over_restarts() -> None:
    world = holding()
    world.payments.append(payment(FIRST_NS))
    until(world, FIRST_NS + 8 * SECOND)
    world.message(rate(FIRST_NS + INTERVAL_NS, FIRST_NS + 9 * SECOND))
    world.crash()
    world.settle(3)
    assert len(world.published(FundingPaid)) == 1
    world.now_ns = FIRST_NS + INTERVAL_NS  # it was down when the next one settled
    world.payments.append(payment(FIRST_NS + INTERVAL_NS))
    world.crash()
    assert "not told yet" in last_known(world).reason
    world.settle(3)
    assert len(world.published(FundingPaid)) == 2
    assert (last_known(world).reason, booked(world)) == ("", D("0.2"))


def test_what_the_bus_lost_is_read_again() -> None:
    world = holding()
    world.payments.append(payment(FIRST_NS))
    while not world.published(FundingPaid):
        world.deliver() if world.inbox else world.tick()
    world.crash(rollback=1)
    assert world.published(FundingPaid) == []
    world.settle(3)
    assert len(world.published(FundingPaid)) == 1
    assert booked(world) == D("0.1")


def test_a_start_just_after_a_settlement_waits_for_its_payment() -> None:
    world = holding()
    world.now_ns = FIRST_NS + 2 * SECOND
    world.crash()
    world.settle(2)
    world.message(rate(FIRST_NS + INTERVAL_NS, world.now_ns))
    assert "not told yet" in last_known(world).reason
    world.payments.append(payment(FIRST_NS))
    world.settle(20)
    assert (last_known(world).reason, booked(world)) == ("", D("0.1"))


def test_a_payment_that_comes_an_interval_late_is_booked() -> None:
    world = holding()
    world.payments.append(payment(FIRST_NS))
    until(world, FIRST_NS + 10 * SECOND)
    world.payments.append(payment(FIRST_NS + SECOND, "0.03", "late"))
    world.message(rate(FIRST_NS + INTERVAL_NS, world.now_ns))
    world.payments.append(payment(FIRST_NS + INTERVAL_NS))
    until(world, FIRST_NS + INTERVAL_NS + 8 * SECOND)
    assert booked(world) == D("0.23")


def test_a_payment_that_is_never_told_stays_unknown_and_is_alerted_once() -> None:
    world = holding()
    until(world, FIRST_NS + UNTOLD_NS_MAX + 200 * SECOND)
    assert "not told yet" in last_known(world).reason
    (told,) = [a for a in world.published(Alert) if a.code == "FUNDING_NOT_TOLD"]
    assert PERP in told.text
    world.crash()  # a restart makes nothing known
    world.settle(90)
    assert last_known(world).reason, "unknown is not zero"
    assert len([a for a in world.published(Alert) if a.code == "FUNDING_NOT_TOLD"]) == 1
    world.payments += [payment(FIRST_NS + n * INTERVAL_NS, "-0.01") for n in range(20)]
    world.settle(90)
    assert (last_known(world).reason, booked(world)) == ("", D("-0.2"))


def test_a_later_payment_says_that_the_history_is_whole_before_it() -> None:
    world = holding()
    until(world, FIRST_NS + 30 * SECOND)
    world.message(rate(FIRST_NS + INTERVAL_NS, world.now_ns))
    world.payments.append(payment(FIRST_NS + INTERVAL_NS))
    until(world, FIRST_NS + INTERVAL_NS + 50 * SECOND)
    assert (last_known(world).reason, booked(world)) == ("", D("0.1"))


@pytest.mark.parametrize(("settled_rate", "is_known"), [(0.0, True), (0.0001, False)])
def test_a_rate_of_zero_pays_nothing(settled_rate: float, is_known: bool) -> None:
    world = holding()
    until(world, FIRST_NS + 4 * SECOND)
    world.message(
        FundingSettled(
            venue="gamma",
            instrument=PERP,
            rate=settled_rate,
            ts_funding_ns=FIRST_NS + MS,
            ts_recv_ns=world.now_ns,
        )
    )
    world.settle(40)
    assert (not last_known(world).reason) is is_known


def test_what_settled_while_nobody_was_here_is_awaited_after_the_start() -> None:
    world = holding()
    until(world, FIRST_NS - 20 * SECOND)
    world.now_ns = FIRST_NS + 20 * 60 * SECOND + SECOND  # down over twenty settlements
    world.crash()
    world.settle(10)
    assert "not told yet" in last_known(world).reason
    world.payments += [payment(FIRST_NS + n * INTERVAL_NS, "0.01") for n in range(21)]
    world.settle(45)
    assert (last_known(world).reason, booked(world)) == ("", D("0.21"))


def test_a_payment_belongs_to_the_settlement_before_the_venue_booked_it() -> None:
    world = holding()
    world.payments.append(payment(FIRST_NS + 7 * SECOND))
    until(world, FIRST_NS + 12 * SECOND)
    (paid,) = world.published(FundingPaid)
    assert (paid.ts_funding_ns, paid.ts_settled_ns) == (FIRST_NS + 7 * SECOND, FIRST_NS)


def test_without_announced_times_a_payment_belongs_to_the_full_hour() -> None:
    world = make_world()
    world.settle(3)
    world.message(of_round(world, PAIR, Intent.OPEN))
    world.settle(5)
    hour_ns = (world.now_ns // HOUR_NS + 1) * HOUR_NS
    world.payments.append(payment(hour_ns + 9 * SECOND))
    world.now_ns = hour_ns - 2 * SECOND
    world.settle(40)
    (paid,) = world.published(FundingPaid)
    assert paid.ts_settled_ns == hour_ns


def test_nothing_is_awaited_for_what_was_not_held_at_the_instant() -> None:
    world = make_world()
    world.settle(3)
    world.message(rate(FIRST_NS))
    until(world, FIRST_NS + SECOND)
    world.message(of_round(world, PAIR, Intent.OPEN))
    until(world, FIRST_NS + 10 * SECOND)
    assert {known.reason for known in world.published(FundingKnown)} == {""}


def test_a_payment_is_awaited_for_what_was_held_at_the_instant_and_closed_since() -> None:
    """It was down when funding settled, and hears of it after it has closed the position."""
    world = holding()
    world.crash()
    world.now_ns = FIRST_NS + SECOND
    world.settle(2)
    back = (("gamma", Side.BUY, "0.1"), ("beta", Side.SELL, "0.1"))
    world.message(of_round(world, back, Intent.CLOSE, plan_id="plan00000002"))
    world.settle(3)
    assert not world.engine.state.books.quantities[f"gamma|{PERP}"]
    world.message(rate(FIRST_NS + INTERVAL_NS, world.now_ns))
    world.settle(5)
    assert "not told yet" in last_known(world).reason
    world.payments.append(payment(FIRST_NS, "-0.2"))
    world.settle(30)
    assert (last_known(world).reason, booked(world)) == ("", D("-0.2"))


def told_after_the_settlement(world: World, plan: Any) -> None:
    """Trade just before funding settles; the executor hears of it only afterwards."""
    world.now_ns = FIRST_NS - 10 * MS
    world.message(plan)
    world.now_ns = FIRST_NS + MS
    world.tick()


def test_no_payment_is_awaited_for_what_was_closed_before_and_told_after() -> None:
    world = holding()
    until(world, FIRST_NS - SECOND)
    back = (("gamma", Side.BUY, "0.1"), ("beta", Side.SELL, "0.1"))
    told_after_the_settlement(world, of_round(world, back, Intent.CLOSE, plan_id="plan00000002"))
    assert "not told yet" in last_known(world).reason, "as far as is known then, it was held"
    world.settle(10)
    assert not world.engine.state.books.held_at("gamma", PERP, FIRST_NS)
    assert (last_known(world).reason, booked(world)) == ("", D(0))


def test_a_payment_is_awaited_for_what_was_opened_before_and_told_after() -> None:
    world = make_world()
    world.settle(3)
    world.message(rate(FIRST_NS))
    until(world, FIRST_NS - SECOND)
    told_after_the_settlement(world, of_round(world, PAIR, Intent.OPEN))
    assert last_known(world).reason == ""
    world.settle(8)
    assert world.engine.state.books.held_at("gamma", PERP, FIRST_NS) == D("-0.1")
    assert "not told yet" in last_known(world).reason
    world.payments.append(payment(FIRST_NS, "-0.2"))
    world.settle(30)
    assert (last_known(world).reason, booked(world)) == ("", D("-0.2"))


def test_without_announced_times_it_is_read_after_every_full_hour() -> None:
    world = make_world()
    world.settle(3)
    world.message(of_round(world, PAIR, Intent.OPEN))
    world.settle(5)
    hour_ns = 3_600 * SECOND
    instant_ns = (world.now_ns // hour_ns + 1) * hour_ns
    world.payments.append(payment(instant_ns))
    world.now_ns = instant_ns - 2 * SECOND
    world.settle(8)
    assert booked(world) == D("0.1")


def test_an_earlier_settlement_moves_the_reading_forward() -> None:
    """The venue went from eight hours to one: its own times say so."""
    world = holding()
    world.message(rate(T0 + 20 * SECOND, world.now_ns))
    world.payments.append(payment(T0 + 20 * SECOND))
    until(world, T0 + 26 * SECOND)
    assert booked(world) == D("0.1")


def test_what_is_no_number_is_left_out_and_told() -> None:
    world = holding()
    world.payments += [payment(FIRST_NS, "NaN", "odd"), payment(FIRST_NS, "0.1", "right")]
    until(world, FIRST_NS + 8 * SECOND)
    assert [paid.payment_id for paid in world.published(FundingPaid)] == ["right"]
    assert any(a.code == "IMPOSSIBLE_REPORT" for a in world.published(Alert))


def test_payments_from_before_the_ledger_are_not_its_own() -> None:
    world = make_world()
    world.payments.append(payment(T0 - 60 * SECOND))
    world.settle(5)
    assert world.published(FundingPaid) == []


def test_what_is_remembered_is_bounded_and_saved_apart_from_open_work() -> None:
    world = holding()
    world.payments += [payment(FIRST_NS, "0.001", f"p{i}") for i in range(SEEN_MAX + 50)]
    until(world, FIRST_NS + 8 * SECOND)
    assert len(world.published(FundingPaid)) == SEEN_MAX + 50
    (record,) = world.engine.state.funding.values()
    assert len(record.seen) <= SEEN_MAX
    assert b"p50" not in checkpoint.encode_open(world.engine.state)
    world.message(rate(FIRST_NS + INTERVAL_NS, world.now_ns))
    until(world, FIRST_NS + INTERVAL_NS + 8 * SECOND)
    assert len(world.published(FundingPaid)) == SEEN_MAX + 50, (
        "those forgotten are not booked again"
    )


@pytest.mark.parametrize("restarts", [False, True])
def test_settlements_go_on_by_the_interval_while_nothing_is_announced(restarts: bool) -> None:
    """The ingestor, or its connection, may be away longer than from one settlement to the next."""
    world = holding()
    first, second = payment(FIRST_NS, "-0.1"), payment(FIRST_NS + INTERVAL_NS, "0.3")
    world.payments.append(first)
    until(world, FIRST_NS + 5 * SECOND)
    assert [each.payment_id for each in world.published(FundingPaid)] == [first.payment_id]
    if restarts:
        world.crash()
    until(world, FIRST_NS + INTERVAL_NS)
    world.settle(1)
    assert "is not told yet" in last_known(world).reason
    world.payments.append(second)
    world.settle(10)
    assert [each.amount for each in world.published(FundingPaid)] == [D("-0.1"), D("0.3")]
    assert last_known(world).reason == ""
