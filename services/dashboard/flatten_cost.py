"""What flattening would cost now: of each holding that risk tells, by the books as shown. Pure.

The executor closes a position in a derivative at its venue, and what is left of spot at any venue
that holds enough of it; here it is the cheapest by price and fee. It is an estimate: books move,
and what is in flight is in no holding yet.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from services.dashboard.market import Market
from services.dashboard.values import amount, money
from shared.domain.depth import walk_quantity
from shared.domain.fees import BPS
from shared.domain.instrument import InstrumentKind, split_instrument
from shared.domain.rounding import exact
from shared.messages.base import Certainty, Side
from shared.messages.execution import RiskReport
from shared.messages.market import DepthView

ROWS_MAX: Final = 20
ZERO: Final = Decimal(0)
Cost = tuple[Decimal, Decimal]
"""Of one holding, in its quote asset: to the middle of the book, and fees."""


def flatten_cost(risk: RiskReport | None, market: Market, now_ns: int) -> dict[str, Any] | None:
    """Return the cost by quote asset, and of which holdings it is not known; ``None``: of none is.

    A quote asset with a holding that cannot be estimated has no total.
    """
    if risk is None:
        return None
    known: dict[str, Cost] = {}
    unknown: list[dict[str, Any]] = []
    doubted: set[str] = set()
    for held in risk.positions:
        if not held.qty:
            continue
        quote = split_instrument(held.instrument).quote
        found = _of_holding(held.venue, held.instrument, held.qty, market, now_ns)
        spread, fees = known.get(quote, (ZERO, ZERO))
        if isinstance(found, str):
            doubted.add(quote)
            place = {"venue": held.venue, "instrument": held.instrument}
            unknown.append({**place, "qty": amount(held.qty), "why": found})
            found = (ZERO, ZERO)
        known[quote] = spread + found[0], fees + found[1]
    totals = [
        {
            "quote": quote,
            "cost": money(
                None if quote in doubted else spread + fees,
                Certainty.UNKNOWN if quote in doubted else Certainty.ESTIMATED,
            ),
            "spread": amount(spread),
            "fees": amount(fees),
        }
        for quote, (spread, fees) in sorted(known.items())
    ]
    return {"totals": totals, "unknown": unknown[:ROWS_MAX]}


def _of_holding(
    venue: str, instrument: str, qty: Decimal, market: Market, now_ns: int
) -> Cost | str:
    """Return what closing a holding costs, or why that is not known."""
    if split_instrument(instrument).kind is InstrumentKind.INVERSE:
        return "it is counted in contracts of another asset"
    views = [
        view
        for (at, name), view in market.views.items()
        if name == instrument and at in {venue or at} and market.is_live(view, now_ns)
    ]
    if not views:
        return "no LIVE book prices it"
    walked = [each for view in views if (each := _walk(view, qty)) is not None]
    if not walked:
        return "the books seen do not hold so much"
    costs = [
        (spread, worth * fee / BPS)
        for at, spread, worth in walked
        if (fee := market.fee_bps(at, instrument)) is not None
    ]
    return min(costs, key=sum) if costs else "the taker fee is not known"


def _walk(view: DepthView, qty: Decimal) -> tuple[str, Decimal, Decimal] | None:
    """Return a book's venue, what taking ``qty`` differs from its middle by, and what it trades."""
    if not view.bids or not view.asks:
        return None
    side, levels = (Side.SELL, view.bids) if qty > 0 else (Side.BUY, view.asks)
    taken = walk_quantity(levels, abs(qty), side)
    if taken is None:
        return None
    middle = (exact(view.bids[0][0]) + exact(view.asks[0][0])) / 2
    return view.venue, abs(middle - taken.price_avg) * abs(qty), taken.price_avg * abs(qty)
