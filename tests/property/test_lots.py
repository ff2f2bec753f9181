"""First in, first out leaves the same cash and the same quantities as average cost."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.accounting import Books, holding_key
from shared.domain.executions import execution_of
from shared.domain.lots import FEE, Lot, Lots
from shared.domain.strategy_books import StrategyBooks
from shared.messages.base import Side
from shared.messages.execution import OPERATOR_STRATEGY, Fill

D = Decimal
NAMED = ("cross_venue", "basis-btc")
VENUES = ("a", "b")

fills = st.lists(
    st.tuples(
        st.sampled_from(VENUES),
        st.sampled_from(["BTC/USDT", "BTC/USDT", "ETH/USD", "BTC/USDT:USDT"]),
        st.sampled_from(list(Side)),
        st.integers(1, 9_000),
        st.integers(95_000, 105_000),
        st.sampled_from(["quote", "base", "rebate", "third", "none", "zero"]),
        st.sampled_from([*NAMED, "", OPERATOR_STRATEGY]),
    ),
    max_size=50,
)


def fill_of(number: int, parts: tuple[Any, ...]) -> Fill:
    venue, instrument, side, qty, price, fee, strategy = parts
    base, _, rest = instrument.partition("/")
    if ":" in instrument and fee in {"base", "rebate"}:
        fee = "quote"
    charged = {
        "quote": {"fee": D("0.0137"), "fee_asset": rest.partition(":")[0]},
        "base": {"fee": D(qty).scaleb(-7), "fee_asset": base},
        "rebate": {"fee": -D(qty).scaleb(-8), "fee_asset": base},
        "third": {"fee": D("0.0071"), "fee_asset": "BNB", "fee_quote": D("0.0519")},
        "none": {},
        "zero": {"fee": D(0)},
    }[fee]
    return Fill(
        ts_ns=number * 1_000_000_000,
        plan_id="p",
        client_order_id="c",
        venue=venue,
        instrument=instrument,
        side=side,
        trade_id=str(number),
        price=D(price).scaleb(-3),
        qty=D(qty).scaleb(-4),
        strategy=strategy,
        **charged,
    )


def booked(given: list[Any]) -> tuple[list[Fill], Lots, Books, StrategyBooks]:
    made = [fill_of(number, parts) for number, parts in enumerate(given)]
    lots, whole, split = Lots(), Books(), StrategyBooks()
    for fill in made:
        lots.trade(fill)
        whole.trade(execution_of(fill))
        split.trade(execution_of(fill), fill.strategy)
    return made, lots, whole, split


def cash(lots: list[Lot]) -> dict[str, Decimal]:
    """What was received less what was paid, by quote asset; open lots at cost."""
    total: dict[str, Decimal] = defaultdict(Decimal)
    for lot in lots:
        quote = lot.instrument.partition("/")[2].partition(":")[0]
        opened = lot.opened_amount
        assert opened is not None
        if lot.closed is None:
            total[quote] += -opened if lot.side is Side.BUY else opened
        else:
            assert lot.profit is not None
            total[quote] += lot.profit
    return {quote: amount for quote, amount in total.items() if amount}


@given(given_fills=fills)
@settings(max_examples=400, deadline=None)
def test_profit_less_cost_of_what_is_open_is_the_cash_of_average_cost(
    given_fills: list[Any],
) -> None:
    made, lots, whole, _ = booked(given_fills)
    expected: dict[str, Decimal] = defaultdict(Decimal)
    for quote, result in whole.results.items():
        expected[quote] += result.realized
    for key, holding in whole.holdings.items():
        expected[key.rpartition("|")[2].partition("/")[2].partition(":")[0]] -= holding.cost
    for fill in made:  # fees are no part of a lot's profit
        quote = fill.instrument.partition("/")[2].partition(":")[0]
        if fill.fee and fill.fee_asset == quote:
            expected[quote] += fill.fee
    assert cash([*lots.closed(), *lots.open()]) == {q: a for q, a in expected.items() if a}


@given(given_fills=fills)
@settings(max_examples=200, deadline=None)
def test_what_is_open_is_what_each_strategy_holds(given_fills: list[Any]) -> None:
    _, lots, _, split = booked(given_fills)
    open_ = defaultdict(Decimal)
    for lot in lots.open():
        qty = lot.qty if lot.side is Side.BUY else -lot.qty
        open_[lot.strategy, holding_key(lot.opened.venue, lot.instrument)] += qty
    held = {
        (name, key): holding.qty
        for name, books in split.accounts.items()
        for key, holding in books.holdings.items()
        if holding.qty and not key.startswith("BNB")  # never bought here: fees were paid from it
    }
    assert dict(open_) == held


@given(given_fills=fills)
@settings(max_examples=200, deadline=None)
def test_nothing_of_a_fill_is_lost_or_counted_twice(given_fills: list[Any]) -> None:
    made, lots, _, _ = booked(given_fills)
    qty: dict[str, Decimal] = defaultdict(Decimal)
    fee: dict[str, Decimal] = defaultdict(Decimal)
    for lot in [*lots.closed(), *lots.open()]:
        assert lot.qty > 0
        for end in (lot.opened, lot.closed):
            if end is not None and end.trade_id != FEE:
                qty[end.trade_id] += lot.qty
                fee[end.trade_id] += end.fee or 0
        if lot.closed is not None:
            assert lot.closed.ts_ns >= lot.opened.ts_ns
    for fill in made:
        assert qty[fill.trade_id] == fill.qty
        assert fee[fill.trade_id] == (fill.fee or 0)
