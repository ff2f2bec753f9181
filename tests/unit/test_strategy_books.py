"""Profit by strategy: who is booked what, worked out by hand."""

from __future__ import annotations

from decimal import Decimal as D

from services.risk.exposure import Ledger
from shared.domain.accounting import Books
from shared.domain.executions import Execution
from shared.domain.strategy_books import (
    NETTED,
    OTHER,
    STRATEGIES_MAX,
    UNKNOWN,
    Earned,
    Payment,
    StrategyBooks,
    shares_of,
)
from shared.messages.base import Certainty, Side
from shared.messages.execution import (
    OPERATOR_STRATEGY,
    RESERVED_STRATEGIES,
    OrderPurpose,
    RiskReport,
)
from tests.decision_builders import (
    T0,
    announce,
    make_done,
    make_fill,
    make_opportunity,
    make_order,
    make_risk,
)

SPOT, PERP = "BTC/USDT", "BTC/USDT:USDT"


def execution(side: str, qty: str, price: str, instrument: str = PERP, **fee: object) -> Execution:
    fee.setdefault("fee", D(0))
    return Execution(
        venue="a",
        instrument=instrument,
        side=Side(side),
        qty=D(qty),
        cost=D(qty) * D(price),
        **fee,
    )


def booked(*trades: tuple[str, Execution]) -> tuple[Books, StrategyBooks]:
    whole, split = Books(), StrategyBooks()
    for strategy, done in trades:
        whole.trade(done)
        split.trade(done, strategy)
    return whole, split


def realized(split: StrategyBooks) -> dict[str, D]:
    return {name: books.result("USDT").realized for name, books in split.accounts.items()}


def test_what_an_operator_closes_is_the_profit_of_who_opened_it_and_the_fee_is_the_operator_s() -> (
    None
):
    whole, split = booked(
        ("basis", execution("buy", "2", "100")),
        ("carry", execution("buy", "1", "103")),
        (OPERATOR_STRATEGY, execution("sell", "3", "110", fee=D("0.3"), fee_asset="USDT")),
    )
    assert realized(split) == {"basis": 20, "carry": 7, OPERATOR_STRATEGY: D("-0.3")}
    assert NETTED not in split.figures(whole, lambda *_: None)
    assert not any(h.qty for books in split.accounts.values() for h in books.holdings.values())


def test_what_an_operator_sells_beyond_what_is_held_is_the_operator_s() -> None:
    _, split = booked(
        ("basis", execution("buy", "1", "100")),
        (OPERATOR_STRATEGY, execution("sell", "3", "110")),
    )
    own = split.accounts[OPERATOR_STRATEGY].holdings[f"a|{PERP}"]
    assert (own.qty, own.cost) == (-2, -220)
    assert realized(split)["basis"] == 10


def test_a_leg_adopted_without_a_record_is_closed_by_its_other_leg() -> None:
    whole, split = booked(
        ("", execution("buy", "1", "100", SPOT)),
        ("cross_venue", execution("sell", "1", "103", SPOT)),
    )
    assert realized(split) == {UNKNOWN: 3, "cross_venue": 0}
    assert NETTED not in split.figures(whole, lambda *_: None)


def test_two_strategies_against_each_other_are_open_each_and_closed_together() -> None:
    whole, split = booked(
        ("up", execution("buy", "1", "100")), ("down", execution("sell", "1", "90"))
    )
    assert whole.result("USDT").realized == -10
    figures = split.figures(whole, lambda *_: D(95))
    gone = {"fees": 0, "funding": 0, "certainty": Certainty.KNOWN}
    assert figures["up"].earned["USDT"] == Earned(realized=D(0), unrealized=D(-5), **gone)
    assert figures["down"].earned["USDT"] == Earned(realized=D(0), unrealized=D(-5), **gone)
    assert figures[NETTED].earned["USDT"] == Earned(realized=D(-10), unrealized=D(10), **gone)


def test_parts_are_valued_at_the_price_of_the_whole() -> None:
    whole, split = booked(
        ("up", execution("buy", "3", "100")), ("down", execution("sell", "1", "100"))
    )
    asked: list[D] = []

    def price(_venue: str, _instrument: str, qty: D) -> D:
        asked.append(qty)
        return D(102)

    figures = split.figures(whole, price)
    assert asked == [2], "what is left to close"
    (up,) = figures["up"].positions
    assert (up.qty, up.close_price, up.unrealized) == (3, 102, 6)


def test_strategies_beyond_the_bound_share_a_bucket_that_shows() -> None:
    count = STRATEGIES_MAX + 3
    trades = [(f"s{n}", execution("buy", "1", "100")) for n in range(count)]
    whole, split = booked(*trades, ("", trades[0][1]), (OPERATOR_STRATEGY, trades[0][1]))
    assert len(split.accounts) == STRATEGIES_MAX + len((OTHER, UNKNOWN, OPERATOR_STRATEGY))
    assert split.accounts[OTHER].holdings[f"a|{PERP}"].qty == 3
    held = sum(books.holdings[f"a|{PERP}"].qty for books in split.accounts.values())
    assert held == whole.holdings[f"a|{PERP}"].qty


def test_a_strategy_by_a_name_of_ours_is_not_known() -> None:
    assert {UNKNOWN, OTHER, NETTED, OPERATOR_STRATEGY} == RESERVED_STRATEGIES
    _, split = booked((NETTED, execution("buy", "1", "100")), (OTHER, execution("buy", "1", "100")))
    assert list(split.accounts) == [UNKNOWN]


def test_a_fee_is_told_to_whoever_waits_for_it() -> None:
    """A plan that came again is known by its strategy; its adopted fill was not."""
    done = execution("buy", "1", "100", fee=D("0.1"), fee_asset="USDT")
    _, split = booked(("", execution("buy", "1", "100", fee=None)))
    split.fee_told(done, "cross_venue")
    result = split.accounts[UNKNOWN].result("USDT")
    assert (result.fees_missing, result.fees) == (0, D("0.1"))


def test_risk_books_fills_to_the_plan_s_strategy_and_reports_it() -> None:
    engine = make_risk()
    (plan,) = engine.on_message(make_opportunity(), T0).messages
    announce(engine, plan)
    engine.on_message(make_fill(plan.plan_id, "alpha", Side.BUY, strategy=""), T0)  # adopted
    sold = make_fill(plan.plan_id, "beta", Side.SELL, price=D(10_050), strategy="cross_venue")
    engine.on_message(sold, T0)
    engine.on_message(make_done(plan.plan_id), T0)
    flat = make_order("f", purpose=OrderPurpose.FLATTEN, side=Side.SELL, venue="alpha")
    engine.on_message(flat, T0)
    engine.on_message(make_fill("f", "alpha", Side.SELL, strategy=OPERATOR_STRATEGY), T0)
    (report,) = [m for m in engine.on_timer(T0).messages if isinstance(m, RiskReport)]
    assert list(report.by_strategy) == ["cross_venue", OPERATOR_STRATEGY]
    first, second = report.by_strategy.values()
    assert (first.realized, first.fees) == ({"USDT": D(3)}, {"USDT": D(2)})
    assert (second.realized, second.fees) == ({"USDT": D(-1)}, {"USDT": D(1)})
    assert [(p.venue, p.instrument, p.qty) for p in second.positions] == [("", SPOT, D("-0.1"))]
    total = sum(part.realized["USDT"] for part in report.by_strategy.values())
    assert total == report.realized["USDT"]


def test_a_ledger_goes_on_with_its_strategies_after_a_restart() -> None:
    engine = make_risk()
    (plan,) = engine.on_message(make_opportunity(), T0).messages
    announce(engine, plan)
    engine.on_message(make_fill(plan.plan_id, "alpha", Side.BUY), T0)
    again = make_risk()
    again.start(engine.checkpoints(), T0)
    assert again.ledger.strategies == engine.ledger.strategies != Ledger().strategies


def test_a_funding_payment_is_shared_by_who_held_what_at_its_instant() -> None:
    whole, split = Books(), StrategyBooks()
    for ts_ns, owner, side, qty in (
        (10, "carry", Side.SELL, "3"),
        (20, "basis", Side.BUY, "1"),
        (40, "carry", Side.BUY, "3"),  # after it has settled
    ):
        done = Execution(
            venue="a",
            instrument="BTC/USDT:USDT",
            side=side,
            qty=D(qty),
            cost=D(100) * D(qty),
            fee=D(0),
            ts_ns=ts_ns,
        )
        whole.trade(done)
        split.trade(done, owner)
    paid = Payment("a", "BTC/USDT:USDT", D("2"), "USDT", 30)
    whole.fund("a", paid.instrument, paid.amount)
    split.fund(paid, whole)
    shares = {name: books.results["USDT"].funding for name, books in split.accounts.items()}
    assert shares == {"carry": D(3), "basis": D(-1)}, "the short receives, the long pays"


def test_a_payment_for_what_nobody_held_is_of_no_strategy() -> None:
    whole, split = Books(), StrategyBooks()
    split.fund(Payment("a", "BTC/USDT:USDT", D("-0.5"), "USDT", 30), whole)
    assert split.accounts["unknown"].results["USDT"].funding == D("-0.5")


def test_shares_of_a_payment_that_does_not_divide_lose_nothing() -> None:
    held = {"a": D(1), "b": D(1), "c": D(1)}
    shares = shares_of(D("0.00000001"), held, D(3), "unknown")
    assert sum(shares.values()) == D("0.00000001")
    assert "unknown" not in shares
