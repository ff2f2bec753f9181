"""Our accounts against the simulated venues' own, to the last digit, whatever was traded."""

from __future__ import annotations

from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.domain.accounting import Books, unrealized
from shared.domain.executions import Execution, cost_of
from shared.exchange.orders import Fill, RefusedError
from shared.messages.base import Side
from tests.property.test_exchange_money import act, exchange_of, steps

CLOSE = {"BTC": Decimal("60123.4567"), "BNB": Decimal("611.37")}


def execution(fill: Fill) -> Execution:
    """A venue's fill; a fee in another asset gets some price or none, which must not matter."""
    listing = fill.listing
    priced = fill.fee_asset not in (listing.base, listing.quote) and fill.trade_id % 2
    return Execution(
        venue=listing.venue,
        instrument=listing.instrument,
        side=fill.side,
        qty=fill.qty,
        cost=cost_of(listing.instrument, fill.qty, fill.price),
        fee=fill.fee,
        fee_asset=fill.fee_asset,
        fee_quote=fill.fee * 600 if priced else None,
    )


@pytest.mark.parametrize("kind", ["fees in BNB", "fees in quote", "perpetual", "inverse"])
@given(steps=steps, shuffle=st.integers(0, 5), late_fees=st.booleans())
@settings(max_examples=150, deadline=None)
def test_profit_equals_the_venue_s_equity_change(
    kind: str, steps: list, shuffle: int, late_fees: bool
) -> None:
    exchange = exchange_of(kind)
    ledger = exchange.ledger
    if kind == "fees in BNB":
        bnb = exchange.by_instrument["BNB/USDT"]
        exchange.background_quote(bnb, Side.BUY, 59_990, 10_000, 0)
        exchange.background_quote(bnb, Side.SELL, 60_010, 10_000, 0)
    before = {asset: b.free + b.used for asset, b in ledger.balances.items()}
    for number, step in enumerate(steps):
        try:
            act(exchange, step, number)
        except RefusedError:
            continue
    fills = [execution(fill) for fill in exchange.fills]
    in_order = list(fills)
    if shuffle:
        Random(shuffle).shuffle(fills)
    books = Books()
    for done in fills:
        books.trade(replace(done, fee=None) if late_fees else done)
    if late_fees:
        for done in fills:
            books.fee_told(done)
    change = {
        asset: b.free + b.used - before.get(asset, Decimal(0))
        for asset, b in ledger.balances.items()
    }
    venue = next(iter(exchange.by_instrument.values())).venue
    if kind not in ("perpetual", "inverse") or fills == in_order:
        ours = books.inventory_change().get(venue, {})
        assert ours == {asset: amount for asset, amount in change.items() if amount}
    cash = "BTC" if kind == "inverse" else "USDT"
    equity = change.pop(cash, Decimal(0))
    equity += sum((amount * CLOSE[asset] for asset, amount in change.items()), Decimal(0))
    for instrument, position in ledger.positions.items():
        assert books.quantities.get(f"{venue}|{instrument}", Decimal(0)) == position.qty
        equity += position.profit_at(CLOSE["BTC"])
    open_ = books.positions(lambda _, instrument, __: CLOSE[instrument.partition("/")[0]])
    assert set(books.results) <= {cash}
    realized = books.results[cash].realized if books.results else Decimal(0)
    profit = unrealized(open_).get(cash, Decimal(0))
    assert profit is not None
    assert realized + profit == equity
