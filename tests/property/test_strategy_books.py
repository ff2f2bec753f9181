"""Profit by strategy adds up to the whole, whatever is traded by whomever, in any order."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.domain.accounting import Books, unrealized
from shared.domain.executions import Execution
from shared.domain.strategy_books import NETTED, Payment, StrategyBooks, StrategyFigures
from shared.messages.base import Certainty, Side
from shared.messages.execution import OPERATOR_STRATEGY

D = Decimal
PERP = "BTC/USDT:USDT"
NAMED = ("cross_venue", "basis-btc", "mom")
PRICES = {
    "BTC/USDT": D("101.37"),
    "BTC/USD": D("99.113"),
    PERP: D("102.9"),
    "BNB/USDT": D("7.3"),
    "BNB/USD": D("7.1"),
    "BNB/BTC": D("0.07"),
    "BTC/USD:BTC": D("102.7"),
}

executions = st.builds(
    lambda venue, instrument, side, qty, price, fee: Execution(
        venue=venue,
        instrument=instrument,
        side=side,
        qty=D(qty).scaleb(-4),
        cost=D(qty).scaleb(-4) * D(price).scaleb(-3),
        **fee,
    ),
    venue=st.sampled_from(["a", "b"]),
    instrument=st.sampled_from(["BTC/USDT", "BTC/USDT", "BTC/USD", PERP, "BTC/USD:BTC"]),
    side=st.sampled_from(list(Side)),
    qty=st.integers(1, 90_000),
    price=st.integers(95_000, 105_000),
    fee=st.sampled_from(
        [
            {"fee": D("0.0137"), "fee_asset": ""},
            {"fee": D("-0.002"), "fee_asset": ""},  # a rebate
            {"fee": D("0.000113"), "fee_asset": "BTC"},
            {"fee": D("0.0071"), "fee_asset": "BNB", "fee_quote": D("0.0519")},
            {"fee": D("0.0071"), "fee_asset": "BNB"},
            {"fee": D(0)},
        ]
    ),
)
owners = st.sampled_from([*NAMED, *NAMED, "", OPERATOR_STRATEGY])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("trade"), executions, owners),
        st.tuples(st.just("late fee"), executions, owners),
        st.tuples(st.just("fund"), st.integers(-500, 500), owners),
    ),
    max_size=40,
)


def booked(taken: list[Any]) -> tuple[Books, StrategyBooks]:
    """Book everything; fees that come late, last and by order of their strategies."""
    whole, split, late = Books(), StrategyBooks(), []
    for what, done, owner in taken:
        if what == "fund":
            amount = D(done).scaleb(-3)
            paid = Payment("a", PERP, amount, "USDT", 0)
            whole.fund("a", PERP, amount)
            split.fund(paid, whole)
            continue
        if what == "late fee":
            late.append((done, owner))
        told = replace(done, fee=None) if what == "late fee" else done
        whole.trade(told)
        split.trade(told, owner)
    for done, owner in sorted(late, key=lambda item: item[1]):
        whole.fee_told(done)
        split.fee_told(done, owner)
    return whole, split


def price(_venue: str, instrument: str, _qty: Decimal) -> Decimal | None:
    return PRICES[instrument]


def sums(figures: dict[str, StrategyFigures], name: str) -> dict[str, Decimal]:
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for each in figures.values():
        for quote, earned in each.earned.items():
            totals[quote] += getattr(earned, name)
    return dict(totals)


@given(taken=steps)
@settings(max_examples=400, deadline=None)
def test_the_strategies_add_up_to_the_whole(taken: list[Any]) -> None:
    whole, split = booked(taken)
    figures = split.figures(whole, price)
    results = whole.results
    assert sums(figures, "realized") == {q: r.realized for q, r in results.items()}
    assert sums(figures, "fees") == {q: r.fees for q, r in results.items()}
    assert sums(figures, "funding") == {q: r.funding for q, r in results.items()}
    open_profit = unrealized(whole.positions(price))
    assert sums(figures, "unrealized") == {q: open_profit.get(q, 0) for q in results}
    held: dict[str, Decimal] = defaultdict(Decimal)
    for books in split.accounts.values():
        for key, holding in books.holdings.items():
            held[key] += holding.qty
    assert {k: q for k, q in held.items() if q} == {
        key: holding.qty for key, holding in whole.holdings.items() if holding.qty
    }
    for quote, result in results.items():
        for field in ("fees_missing", "fees_unpriced", "unaccounted"):
            parts = [b.results[quote] for b in split.accounts.values() if quote in b.results]
            assert min(getattr(part, field) for part in parts) >= 0
            assert sum(getattr(part, field) for part in parts) == getattr(result, field)
        known = [f.earned[quote].certainty for f in figures.values() if quote in f.earned]
        assert (Certainty.UNKNOWN in known) == (result.certainty is Certainty.UNKNOWN)


@given(taken=steps)
@settings(max_examples=200, deadline=None)
def test_named_strategies_know_nothing_of_each_other(taken: list[Any]) -> None:
    taken = [step for step in taken if step[2] in NAMED and step[0] != "fund"]
    _, split = booked(taken)
    for name in NAMED:
        alone, _ = booked([step for step in taken if step[2] == name])
        assert split.accounts.get(name, Books()) == alone


@given(taken=steps, owner=owners)
@settings(max_examples=100, deadline=None)
def test_one_alone_is_the_whole(taken: list[Any], owner: str) -> None:
    whole, split = booked([(what, done, owner) for what, done, _ in taken if what != "fund"])
    assert list(split.accounts.values()) in ([], [whole])
    assert NETTED not in split.figures(whole, price)


@given(taken=steps)
@settings(max_examples=200, deadline=None)
def test_only_named_strategies_hold_against_each_other(taken: list[Any]) -> None:
    """What belongs to nobody is closed by whoever trades against it, so nothing stays stuck."""
    _, split = booked([step for step in taken if step[0] == "trade" and not step[1].fee])
    keys = {key for books in split.accounts.values() for key in books.holdings}
    for key in keys:
        held = {n: b.holdings[key].qty for n, b in split.accounts.items() if key in b.holdings}
        for nobody in ("unknown", OPERATOR_STRATEGY):
            own = held.get(nobody, D(0))
            assert not any(qty * own < 0 for qty in held.values())


def test_without_a_price_a_part_is_unknown_and_the_netted_is_not() -> None:
    trade = (
        "trade",
        Execution(venue="a", instrument=PERP, side=Side.BUY, qty=D(1), cost=D(100), fee=D(0)),
        "mom",
    )
    against = ("trade", replace(trade[1], side=Side.SELL, cost=D(90)), "basis-btc")
    whole, split = booked([trade, against])
    figures = split.figures(whole, lambda *_: None)
    assert figures["mom"].earned["USDT"].unrealized is None
    assert figures["mom"].earned["USDT"].certainty is Certainty.UNKNOWN
    netted = figures[NETTED].earned["USDT"]
    assert (netted.realized, netted.unrealized, netted.fees) == (-10, 10, 0)
