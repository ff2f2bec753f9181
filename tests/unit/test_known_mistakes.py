"""Mistakes of earlier bots and backtests, each with the test of ours that would find it again.

The second half is what no other test asked: sizes, caps, reports and fees.
"""

from __future__ import annotations

import ast
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.risk.engine import RiskEngine
from shared.messages.arb import Signal, Target
from shared.messages.base import Side
from shared.messages.execution import ApprovedPlan, RiskReport
from shared.strategies.signals import Conviction, make_signal
from tests.decision_builders import T0, announce, make_info, make_ready, make_risk, make_view
from tests.unit.test_risk_signals import config, execute

TESTS = Path(__file__).parent
FOUND_BY = {
    # Live trading.
    "the position is never updated: an order on every tick": (
        "test_momentum_strategy.test_orders_on_recorded_minutes",
        "test_momentum_strategy.test_it_goes_long_with_its_stop_and_time_and_only_once",
    ),
    "a size of all equity": (
        "test_sizing.test_the_worked_example",
        "test_known_mistakes.test_a_size_is_far_from_all_equity_and_passes_the_limits",
    ),
    "a check that refuses every buy and no sale": (
        "test_known_mistakes.test_a_limit_holds_for_sales_as_for_purchases",
    ),
    "exposure that is a sum of coins and money": (
        "test_known_mistakes.test_exposure_is_told_by_asset",
    ),
    "a cap in units of any coin": ("test_known_mistakes.test_a_cap_is_money_whatever_the_coin",),
    "no stop is ever placed": (
        "test_risk_stops.test_a_stop_is_reached_at_what_closing_would_get",
        "test_risk_stops.test_the_dead_strategys_stop_works_after_a_restart_of_risk",
    ),
    "a monitor that dies in its except": (
        "test_known_mistakes.test_a_position_is_valued_by_quantity_and_price",
        "test_known_mistakes.test_what_fails_in_a_report_is_not_swallowed",
    ),
    "fills at the last price": (
        "test_paper.test_it_walks_the_book_up_to_the_limit",
        "test_exchange_matching.test_market_order_walks_the_whole_side",
    ),
    "no fee is taken from equity": (
        "test_known_mistakes.test_a_round_trip_at_one_price_costs_both_fees",
    ),
    # Backtests.
    "fills at the close that made the signal": (
        "test_research_kernel.test_decided_at_the_close_filled_at_the_next_open",
    ),
    "the end of the warm-up is a false entry": (
        "test_research_kernel.test_the_end_of_the_warm_up_is_no_crossing",
        "test_research_facts.test_the_false_first_entry_at_the_end_of_the_warm_up",
    ),
    "short is only flat": ("test_research_kernel.test_a_short_really_earns_what_falls",),
    "the last cost is dropped": (
        "test_research_kernel.test_what_is_open_at_the_end_is_closed_and_pays",
    ),
    "sides are counted as trades": (
        "test_research_kernel.test_sides_and_round_trips_are_counted_apart_and_fees_are_money",
    ),
    "a Sharpe ratio of days for any bar, without the sample's deviation": (
        "test_research_statistics.test_a_year_is_365_days_of_the_grid_it_was_measured_on",
        "test_research_statistics.test_sharpe_has_the_sample_deviation_and_nothing_to_say_of_flat_returns",
        "test_research_facts.test_what_the_source_said_of_the_same_bars",
    ),
    "a drawdown that ignores the capital it began with": (
        "test_research_kernel.test_a_drawdown_counts_from_the_capital_itself",
        "test_research_metrics.test_a_loss_in_the_first_period_is_a_drawdown",
    ),
    "a loop inside what is called vectorised": (
        "test_known_mistakes.test_the_kernel_is_compiled_and_passes_over_the_bars_once",
    ),
    "the last fold is dropped where it fits exactly": (
        "test_research_walk_forward.test_a_last_fold_that_fits_exactly_is_a_fold",
    ),
    "rows are taken for days": ("test_research_walk_forward.test_windows_are_time_and_not_rows",),
    "tests start cold": ("test_research_report.test_averages_as_long_as_a_test_trade_in_it",),
    "no purge": ("test_research_walk_forward.test_purge_ends_training_before_the_test",),
    "no penalty for picking the best of many": (
        "test_research_report.test_what_was_tried_before_makes_the_best_less_sure",
        "test_research_statistics.test_the_published_example_of_a_deflated_sharpe_ratio",
    ),
}


@pytest.mark.parametrize("mistake", FOUND_BY)
def test_every_mistake_has_its_test(mistake: str) -> None:
    for named in FOUND_BY[mistake]:
        module, _, name = named.partition(".")
        tree = ast.parse((TESTS / f"{module}.py").read_text(encoding="utf-8"))
        assert name in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}, named


def risk_at(price: float, base: str = "BTC", **entry: Any) -> tuple[RiskEngine, str]:
    """Risk with one deep perpetual at a price; fees of 5 bps."""
    engine, instrument = make_risk(config(**entry)), f"{base}/USDT:USDT"
    lot = D("0.001") if price > 1_000 else D(1)
    info = make_info("gamma", instrument, taker_fee_bps=D(5), lot_size=lot, qty_min=lot)
    rules = msgspec.structs.replace(info.rules, tick_size=D("0.0001"))
    engine.on_message(msgspec.structs.replace(info, rules=rules), T0)
    show(engine, instrument, price)
    return engine, instrument


def show(engine: RiskEngine, instrument: str, price: float) -> None:
    asks = [(price, 1e7)]
    engine.on_message(make_view("gamma", instrument, bids=[(price * 0.99999, 1e7)], asks=asks), T0)


def decided(engine: RiskEngine, instrument: str, target: Target, round_id: str = "r1") -> Any:
    view = make_view("gamma", instrument, seq=len(round_id))
    signal: Signal = make_signal("mom", round_id, view, Conviction(target, D(200)), now_ns=T0)
    return engine.on_message(signal, T0).messages[0]


@pytest.mark.parametrize(("base", "price"), [("BTC", 60_000.0), ("ETH", 3_000.0)])
@pytest.mark.parametrize("target", [Target.LONG, Target.SHORT])
def test_a_size_is_far_from_all_equity_and_passes_the_limits(
    base: str, price: float, target: Target
) -> None:
    """2 % of equity over 2 % of the price is all of it, which every limit then refused to buy."""
    engine, instrument = risk_at(price, base, directional_risk_bps=D(200))
    plan = decided(engine, instrument, target)
    assert isinstance(plan, ApprovedPlan), plan
    worth = plan.legs[0].qty * D(str(price))
    assert worth <= 50_000  # its budget, of an equity of 100,000


@pytest.mark.parametrize("target", [Target.LONG, Target.SHORT])
def test_a_limit_holds_for_sales_as_for_purchases(target: Target) -> None:
    engine, instrument = risk_at(60_000.0)
    execute(engine, decided(engine, instrument, target))
    second = decided(engine, instrument, target, "r22")
    assert not isinstance(second, ApprovedPlan)
    assert second.reason in {"DIRECTIONAL_SIZE", "DIRECTIONAL_BUDGET"}


@pytest.mark.parametrize(("base", "price"), [("BTC", 60_000.0), ("DOGE", 0.1)])
def test_a_cap_is_money_whatever_the_coin(base: str, price: float) -> None:
    engine, instrument = risk_at(price, base, directional_notional_max=D(6_000))
    plan = decided(engine, instrument, Target.LONG)
    assert isinstance(plan, ApprovedPlan), plan
    assert D("5999") < plan.legs[0].qty * D(str(price)) <= D("6000")


def report(engine: RiskEngine) -> RiskReport:
    engine.on_message(make_ready(), T0)
    out = engine.on_timer(T0).messages
    return next(each for each in out if isinstance(each, RiskReport))


def test_exposure_is_told_by_asset() -> None:
    engine, instrument = risk_at(60_000.0)
    plan = decided(engine, instrument, Target.SHORT)
    execute(engine, plan)
    assert report(engine).exposure == {"BTC": -plan.legs[0].qty}


def test_a_position_is_valued_by_quantity_and_price() -> None:
    engine, instrument = risk_at(60_000.0)
    plan = decided(engine, instrument, Target.LONG)
    execute(engine, plan)
    show(engine, instrument, 61_000.0)
    (position,) = report(engine).positions
    bid = D(repr(61_000.0 * 0.99999))
    assert position.entry is not None
    assert (position.qty, position.close_price) == (plan.legs[0].qty, bid)
    assert position.unrealized == position.qty * (bid - position.entry)


def test_what_fails_in_a_report_is_not_swallowed() -> None:
    """A monitor that went on after its error told nothing at all, for good."""
    engine, _ = risk_at(60_000.0)
    report(engine)
    engine.ledger.books.results["USDT"] = None
    with pytest.raises(AttributeError):
        engine.on_timer(T0)


def test_a_round_trip_at_one_price_costs_both_fees() -> None:
    engine, instrument = risk_at(60_000.0)
    plan = decided(engine, instrument, Target.LONG)
    execute(engine, plan)
    closing = decided(engine, instrument, Target.FLAT)
    assert isinstance(closing, ApprovedPlan)
    announce(engine, closing)
    leg = closing.legs[0]
    assert leg.side is Side.SELL
    execute(engine, closing)
    told = report(engine)
    moved = leg.qty * (leg.price_expected - plan.legs[0].price_expected)
    assert told.fees["USDT"] > 0
    assert told.realized["USDT"] == moved - told.fees["USDT"]


def test_the_kernel_is_compiled_and_passes_over_the_bars_once() -> None:
    tree = ast.parse((TESTS.parents[1] / "services/research/kernel.py").read_text(encoding="utf-8"))
    kernels = [
        each
        for each in tree.body
        if isinstance(each, ast.FunctionDef)
        and any("compiled" in ast.unparse(mark) for mark in each.decorator_list)
    ]
    loops = [sum(isinstance(part, ast.For) for part in ast.walk(each)) for each in kernels]
    assert len(kernels) > 1
    assert max(loops) == 1
