"""Balances against what was booked: in flight unknown, told late repaired, moved told once."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from services.executor import checkpoint
from services.executor.actions import BalancesAnswered
from shared.accounts.gateway import PaymentReport
from shared.engine import Step
from shared.messages.balances import Balance, BalanceMoved
from shared.messages.execution import ApprovedPlan, BalanceReport, Fill
from shared.messages.rounds import Intent
from tests.executor_model import FEE_ASSET, MS, PERP, SECOND, World, make_plan
from tests.unit.test_executor_engine import make_world
from tests.unit.test_executor_funding import FIRST_NS, PAIR, payment, rate, until
from tests.unit.test_executor_rounds import of_round


def settled() -> World:
    """A world whose balances were compared, with one plan behind it."""
    world = make_world()
    world.settle(15)
    world.message(make_plan(now_ns=world.now_ns))
    world.settle(15)
    assert moves(world) == []
    assert len(world.published(Fill)) == 2
    return world


def moves(world: World) -> list[tuple[str, str, D]]:
    return [(each.venue, each.asset, each.amount) for each in world.published(BalanceMoved)]


def closing_of(world: World) -> ApprovedPlan:
    legs = tuple((venue, side.opposite, qty) for venue, side, qty in PAIR)
    return of_round(world, legs, Intent.CLOSE, plan_id="plan00000009")


def test_fees_in_base_quote_and_a_third_coin_are_explained() -> None:
    """Alpha takes its fee in BTC, beta in USDT; then both in BNB."""
    world = settled()
    books = world.engine.state.books.inventory
    assert books["alpha|BTC"] == D("0.1") - D("0.0001")
    assert books["beta|USDT"] == D("999.9") - D("0.9999")
    assert world.engine.state.opening_balances["alpha"]["BTC"] == 1_000
    world.settle(30)
    assert moves(world) == []


def test_a_fee_in_a_third_coin_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FEE_ASSET, "beta", "BNB")
    world = settled()
    assert world.engine.state.books.inventory["beta|BNB"] == D("-0.9999")
    world.settle(30)
    assert moves(world) == []


@pytest.mark.parametrize("amount", ["250", "-250"])
def test_what_two_reports_show_is_told_once_and_booked_as_a_transfer(amount: str) -> None:
    world = settled()
    agreed_ns = world.now_ns
    world.moved["beta", "USDT"] = D(amount)
    world.settle(6)
    assert moves(world) == [], "one report shows it"
    world.settle(40)
    (told,) = world.published(BalanceMoved)
    assert (told.venue, told.asset, told.amount) == ("beta", "USDT", D(amount))
    assert agreed_ns - 6 * SECOND <= told.ts_since_ns <= agreed_ns < told.ts_ns
    assert world.engine.state.books.transfers == {"beta|USDT": D(amount)}
    assert world.engine.state.books.result("USDT").realized < 1, "and it earned nothing"
    world.crash()
    world.settle(30)
    assert len(moves(world)) == 1


def test_what_moved_while_the_executor_was_down_is_told() -> None:
    world = settled()
    world.moved["alpha", "BTC"] = D("-0.5")
    world.crash()
    world.settle(40)
    assert moves(world) == [("alpha", "BTC", D("-0.5"))]


def test_rounding_is_dust_until_it_adds_up() -> None:
    world = settled()
    for total, told in (("0.4", 0), ("0.9", 0), ("1.2", 1)):
        world.moved["beta", "USDT"] = D(total)
        world.settle(20)
        assert len(moves(world)) == told, total
    assert moves(world) == [("beta", "USDT", D("1.2"))]


def test_rounding_of_a_balance_that_is_nearly_spent_is_dust_too() -> None:
    """A venue rounds what an order costs by its own digits, however little is left after it."""
    world = settled()
    world.moved["beta", "USDT"] = D(-1_000_990)
    world.settle(20)
    assert moves(world) == [("beta", "USDT", D(-1_000_990))]
    world.moved["beta", "USDT"] += D("0.00004")
    world.settle(20)
    assert 0 < world.balances("beta")["USDT"].free < 10
    assert len(moves(world)) == 1


def test_what_goes_on_moving_is_told_as_far_as_both_reports_show_it() -> None:
    """Interest that is credited every second."""
    world = settled()
    for _ in range(40):
        world.moved["beta", "USDT"] += 10
        world.settle(1)
    world.settle(20)
    assert sum(amount for _, _, amount in moves(world)) == 400
    assert all(amount > 0 for _, _, amount in moves(world))


@pytest.mark.parametrize(("hidden_s", "told"), [(3, 0), (8, 2)])
def test_a_fill_that_is_told_late_is_read_again(hidden_s: int, told: int) -> None:
    """The sweep after a plan looks no later than 1.5 s after its end."""
    world = make_world()
    world.settle(15)
    world.hides_fills["beta"] = hidden_s * SECOND
    world.message(make_plan(now_ns=world.now_ns))
    world.settle(60)
    assert {fill.trade_id for fill in world.published(Fill)} == {
        fill.trade_id
        for orders in world.orders.values()
        for order in orders.values()
        for fill in order.fills
    }
    of_btc = [amount for _, asset, amount in moves(world) if asset == "BTC"]
    assert len(of_btc) == told, "what was told as moved is taken back"
    assert sum(of_btc) == 0
    assert not any(world.engine.state.books.transfers.values())


def test_a_report_from_between_order_and_fill_is_unknown_not_wrong() -> None:
    """The venue has filled the order, and its answer is not there yet."""
    world = settled()
    world.calm = False
    world.choose = lambda what, options: "slow" if "does" in what else options[-1]
    reports = len(world.published(BalanceReport))
    world.message(make_plan("plan00000002", now_ns=world.now_ns))
    world.calm = True
    for _ in range(3):  # reports as the venue sees it, while the answer travels
        reply = BalancesAnswered("beta", world.balances("beta"), {})
        world.step(lambda now, reply=reply: world.engine.on_message(reply, now))
        world.advance(500 * MS)
    assert len(world.published(BalanceReport)) == reports + 3
    assert world.balances("beta")["BTC"].free == D("999.8")
    assert moves(world) == []
    world.settle(40)
    assert moves(world) == []


def test_funding_is_explained_and_nothing_is_compared_while_a_derivative_is_held() -> None:
    world = make_world()
    world.settle(15)
    world.message(rate(FIRST_NS))
    world.message(of_round(world, PAIR, Intent.OPEN))
    world.settle(5)
    world.payments.append(payment(FIRST_NS, "-0.2"))
    world.moved["gamma", "USDT"] = D(-7)
    until(world, FIRST_NS + 30 * SECOND)
    assert world.engine.state.books.result("USDT").funding == D("-0.2")
    assert moves(world) == [], "margin and open profit are counted in various ways"
    world.message(closing_of(world))
    world.settle(40)
    assert not any(world.engine.state.books.quantities.values())
    assert moves(world) == [("gamma", "USDT", D(-7))]


def test_the_open_result_of_a_position_that_is_not_ours_is_no_move() -> None:
    """The venue tells its wallet beside what is available; what it realizes is told."""
    world = settled()
    for gain in ("0", "-7000", "900", "-12000"):
        world.open_results["beta"] = D(gain)
        world.settle(20)
        assert moves(world) == [], gain
    world.moved["beta", "USDT"] = D(-12000)
    world.open_results["beta"] = D(0)
    world.settle(40)
    assert moves(world) == [("beta", "USDT", D(-12000))]


def test_a_payment_in_another_asset_is_explained() -> None:
    world = make_world()
    world.settle(15)
    world.message(rate(FIRST_NS))
    world.message(of_round(world, PAIR, Intent.OPEN))
    world.payments.append(
        PaymentReport(
            payment_id="f", instrument=PERP, amount=D("0.01"), asset="BNB", ts_venue_ns=FIRST_NS
        )
    )
    until(world, FIRST_NS + 10 * SECOND)
    world.message(closing_of(world))
    world.settle(40)
    assert world.engine.state.books.inventory["gamma|BNB"] == D("0.01")
    assert moves(world) == []


def test_an_asset_that_is_not_reported_any_more_is_gone() -> None:
    world = settled()
    world.left_out.add(("alpha", "BNB"))
    world.settle(40)
    assert moves(world) == [("alpha", "BNB", D(-10))]


def test_an_answer_without_any_balance_is_unknown_and_not_zero() -> None:
    """Also to an executor that has just started: the balances are not known until told."""
    world = settled()
    everything = {("alpha", asset) for asset in ("USDT", "BTC", "BNB")}
    world.left_out |= everything
    reports = [each for each in world.published(BalanceReport) if each.venue == "alpha"]
    world.settle(40)
    told = [each for each in world.published(BalanceReport) if each.venue == "alpha"]
    assert len(told) <= len(reports) + 1, "risk sees that they are old"
    world.crash()
    world.settle(15)
    assert moves(world) == []
    world.left_out.clear()
    world.settle(15)
    world.left_out |= everything
    world.settle(40)
    assert moves(world) == [], "the wait begins anew"


def test_an_empty_answer_after_an_outage_is_not_believed_for_one_before() -> None:
    """As a venue may give them when it goes and when it comes back."""
    world = settled()
    reply = BalancesAnswered("alpha", {}, {})
    check = world.engine.reconciler._balances
    assert check.is_unknown(reply, world.now_ns)
    later_ns = world.now_ns + 3_600 * SECOND
    assert check.is_unknown(reply, later_ns)
    assert check.is_unknown(reply, later_ns + 5 * SECOND)


def test_an_account_that_goes_on_telling_nothing_is_empty() -> None:
    world = settled()
    world.left_out |= {("alpha", asset) for asset in ("USDT", "BTC", "BNB")}
    world.settle(100)
    assert {(venue, asset) for venue, asset, _ in moves(world)} == world.left_out
    assert all(amount < 0 for _, _, amount in moves(world))


def test_an_asset_that_is_seen_for_the_first_time_is_taken_as_it_is() -> None:
    world = settled()
    world.listed["SOL"] = Balance(free=D(3), used=D(1))
    world.settle(40)
    assert moves(world) == []
    assert world.engine.state.opening_balances["alpha"]["SOL"] == 4


def test_accounts_on_paper_are_not_compared() -> None:
    world = World(lambda what, options: options[0], mode="paper")
    world.settle(15)
    world.moved["beta", "USDT"] = D(500)
    world.settle(40)
    assert (moves(world), world.engine.state.opening_balances) == ([], {})


def test_a_fee_that_is_never_told_ends_no_comparison() -> None:
    """What it was is taken with the balances, also over a crash; what is lost later is told."""
    world = make_world()
    world.settle(15)
    world.tells_no_fee.add("beta")
    world.message(make_plan(now_ns=world.now_ns))
    world.settle(3)
    world.crash()
    world.settle(30)
    assert world.engine.state.books.result("USDT").fees_missing == 1
    assert moves(world) == [], "a fee is no transfer"
    world.moved["beta", "USDT"] -= 500
    world.settle(40)
    assert moves(world) == [("beta", "USDT", D(-500))]


def test_a_read_that_began_before_the_difference_explains_nothing() -> None:
    """One of many pages: its answer is late, and lacks a fill that the venue told meanwhile."""
    world = make_world()
    world.settle(15)
    account = world.engine.reconciler._accounts["beta"]
    check = world.engine.reconciler._balances
    out = Step()
    told = world.balances("beta")
    told["USDT"] = Balance(free=told["USDT"].free - 500, used=D(0))
    reply = BalancesAnswered("beta", told, {})
    check.on_balances(account, reply, world.now_ns, out)
    account.fills_read_ns = world.now_ns + 5 * SECOND
    assert account.is_reading
    check.on_balances(account, reply, world.now_ns + 5 * SECOND, out)
    assert out.messages == []


def test_lost_data_begins_the_comparison_again() -> None:
    world = settled()
    world.engine.note_loss("an older copy", world.now_ns)
    world.moved["beta", "USDT"] = D(500)
    world.settle(40)
    assert (moves(world), world.engine.state.opening_balances) == ([], {})


def test_what_is_zero_and_not_traded_is_not_saved_before_every_order() -> None:
    """A venue may list every coin there is."""
    world = make_world()
    world.listed = {f"C{number}": Balance(free=D(0), used=D(0)) for number in range(700)}
    world.settle(15)
    assert {*world.engine.state.opening_balances["alpha"]} == {"USDT", "BTC", "BNB"}


def test_opening_balances_are_in_the_checkpoint() -> None:
    world = settled()
    restored = checkpoint.decode(world.history[-1][0])
    assert restored.opening_balances["beta"]["USDT"] == 1_000_000
