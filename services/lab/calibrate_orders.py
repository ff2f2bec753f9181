"""The orders of a calibration: drawn by seed, priced from the book that the account sees. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from random import Random

from shared.exchange.listing import Listing
from shared.messages.base import Side
from shared.messages.market import DepthView
from shared.messages.terms import OrderTerms, TimeInForce

BPS = Decimal(10_000)
START_S = (1.0, 5.0)
"""When the first order is decided, in seconds of its market."""
AGAIN_S = (0.1, 2.0)
"""How long after a sweep the same side of the book is taken once more."""
REST_S = (0.5, 8.0)
"""How long an order rests before it is canceled."""
BEHIND_TICKS_MAX = 3


class OrderKind(StrEnum):
    """What is told apart in a report."""

    IOC = "ioc"  # close to the best price
    SWEEP = "ioc_sweep"  # through many levels
    AGAIN = "ioc_again"  # on the side that a sweep has taken from
    FOK = "fok"
    POST_ONLY = "post_only"  # rests at the best price, inside the spread or behind


NOTIONAL: dict[OrderKind, tuple[float, float]] = {
    OrderKind.IOC: (500.0, 20_000.0),
    OrderKind.SWEEP: (20_000.0, 100_000.0),
    OrderKind.AGAIN: (2_000.0, 20_000.0),
    OrderKind.FOK: (1_000.0, 10_000.0),
    OrderKind.POST_ONLY: (500.0, 3_000.0),
}
"""Worth of an order, in quote units."""
BEYOND_BPS: dict[OrderKind, Decimal] = {
    OrderKind.IOC: Decimal("0.5"),
    OrderKind.SWEEP: Decimal(20),
    OrderKind.AGAIN: Decimal(20),
    OrderKind.FOK: Decimal(3),
}
"""How far its limit is beyond the best price that is seen."""
_FIRST = (OrderKind.IOC, OrderKind.SWEEP, OrderKind.FOK, OrderKind.POST_ONLY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An order before its price is known.

    Attributes:
        kind: Which.
        at_s: When it is decided, in seconds of its market.
        side: Of the order.
        notional: What it is worth, in quote units.
        step: For one that rests: ticks from the best price of its side, less than 0 is behind it.
        rest_s: How long it rests, in seconds.
    """

    kind: OrderKind
    at_s: float
    side: Side
    notional: float
    step: int = 0
    rest_s: float = 0.0


def drafts(draw: Random) -> list[Draft]:
    """Return the orders of one book of one market."""
    kind = draw.choice(_FIRST)
    side = draw.choice((Side.BUY, Side.SELL))
    at_s = draw.uniform(*START_S)
    step = draw.choice((0, 0, 1, -draw.randint(1, BEHIND_TICKS_MAX)))
    rest_s = draw.uniform(*REST_S) if kind is OrderKind.POST_ONLY else 0.0
    notional = _notional(draw, kind)
    first = Draft(kind=kind, at_s=at_s, side=side, notional=notional, step=step, rest_s=rest_s)
    if kind is not OrderKind.SWEEP:
        return [first]
    again = OrderKind.AGAIN
    later_s = at_s + draw.uniform(*AGAIN_S)
    return [first, Draft(kind=again, at_s=later_s, side=side, notional=_notional(draw, again))]


def terms_of(draft: Draft, listing: Listing, view: DepthView) -> OrderTerms | None:
    """Return what a draft asks for, by the book as it is seen; ``None`` if a side is empty."""
    if not view.bids or not view.asks:
        return None
    bid, ask = (Decimal(str(levels[0][0])) for levels in (view.bids, view.asks))
    is_buy = draft.side is Side.BUY
    if draft.kind is OrderKind.POST_ONLY:
        own, other = (bid, ask) if is_buy else (ask, bid)
        price = own + draft.side.signed(listing.tick * draft.step)
        if (other - price) * draft.side.signed(Decimal(1)) <= 0:
            price = own  # the spread has no room
        tif = TimeInForce.PO
    else:
        best = ask if is_buy else bid
        beyond = best * draft.side.signed(BEYOND_BPS[draft.kind]) / BPS
        price = ((best + beyond) / listing.tick).to_integral_value() * listing.tick
        tif = TimeInForce.FOK if draft.kind is OrderKind.FOK else TimeInForce.IOC
    lots = max(1, int(Decimal(draft.notional) / price / listing.lot))
    qty = max(lots * listing.lot, listing.qty_min)
    return listing.terms(draft.side, qty, price, time_in_force=tif)


def _notional(draw: Random, kind: OrderKind) -> float:
    return draw.uniform(*NOTIONAL[kind])
