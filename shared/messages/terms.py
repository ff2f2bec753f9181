"""The terms of an order: what it asks a venue for, the same from opportunity to request. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol

import msgspec

from shared.messages.base import Certainty, Side
from shared.messages.bounds import (
    AmountOrZero,
    Asset,
    Count,
    Instrument,
    Moment,
    Name,
    Price,
    Qty,
    Venue,
)


class OrderType(StrEnum):
    """How the price is meant."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"


_LIMIT: Final = OrderType.LIMIT
NO_SAME_BOOKS: Final[Mapping[str, str]] = MappingProxyType({})


class TimeInForce(StrEnum):
    """How long an order lives."""

    IOC = "IOC"  # what does not trade at once is canceled
    FOK = "FOK"  # all of it trades at once, or nothing
    GTC = "GTC"  # it rests until it is filled or canceled
    PO = "PO"  # the same, but post-only: what would trade at once is refused, or canceled


_IOC: Final = TimeInForce.IOC
_RESTING: Final = frozenset({TimeInForce.GTC, TimeInForce.PO})


class LegPolicy(StrEnum):
    """In which order the legs of a plan go."""

    CONCURRENT = "CONCURRENT"  # all at once
    SEQUENTIAL = "SEQUENTIAL"  # the one of the thinner book first, the other for what it filled
    MAKER_TAKER = "MAKER_TAKER"  # one rests, the other follows each fill of it at once


class Resting(msgspec.Struct, frozen=True, kw_only=True):
    """How long the resting leg of a MAKER_TAKER plan works; its fills are hedged whatever happens.

    It is canceled after ``rest_ms``, and before that where hedging all that is left of it would
    trade worse than the other leg's limit, or more than ``better_bps`` better than that leg
    expects (0: it stays), so that it can be placed again.
    """

    rest_ms: Count
    better_bps: AmountOrZero = Decimal(0)


class OrderTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What an order asks for: base units, at no worse a price than ``price_limit``.

    Of inverse contracts ``qty`` is in quote units, here and wherever an instrument's own quantity
    is told (fills, positions, books).

    The legs of opportunities and plans are terms with more said about them; whatever else speaks of
    an order holds its terms as one value.
    """

    venue: Venue
    instrument: Instrument
    side: Side
    qty: Qty
    price_limit: Price
    order_type: OrderType = OrderType.LIMIT
    time_in_force: TimeInForce = TimeInForce.IOC

    @property
    def terms(self) -> OrderTerms:
        """The terms alone, without what a leg says beside them."""
        return OrderTerms(
            venue=self.venue,
            instrument=self.instrument,
            side=self.side,
            qty=self.qty,
            price_limit=self.price_limit,
            order_type=self.order_type,
            time_in_force=self.time_in_force,
        )

    @property
    def market(self) -> tuple[str, str]:
        """Venue and instrument."""
        return self.venue, self.instrument

    @property
    def signed_qty(self) -> Decimal:
        """Base units that all of it brings in; negative: takes out."""
        return self.side.signed(self.qty)

    @property
    def notional(self) -> Decimal:
        """Quote units that all of it is worth at its limit."""
        return self.qty * self.price_limit

    @property
    def kind(self) -> str:
        """Order type and time in force in words."""
        return f"{self.order_type} {self.time_in_force}"

    @property
    def is_limit_ioc(self) -> bool:
        """Whether it trades within its limit at once, and nothing of it rests."""
        return self.order_type is _LIMIT and self.time_in_force is _IOC

    @property
    def rests(self) -> bool:
        """Whether it works until it is filled or canceled."""
        return self.time_in_force in _RESTING

    @property
    def text(self) -> str:
        """It in words."""
        return f"{self.side} {self.qty} {self.instrument} at {self.venue}"


class AssetPrice(msgspec.Struct, frozen=True, kw_only=True):
    """What a unit of an asset is worth in the quote asset of an opportunity or a plan.

    The middle of the book of ``instrument`` at ``venue``, whose view was made at ``ts_ns``.
    """

    asset: Asset
    price: Price
    venue: Venue
    instrument: Instrument
    ts_ns: Moment


class InventoryCost(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan will cost later: bringing back what it takes from venues below their targets.

    ``amount`` is in quote units of the plan (``None``: unknown), ``route`` how it is brought back.
    """

    amount: AmountOrZero | None
    certainty: Certainty
    route: str = ""


class Shrunk(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan was before risk made it smaller, and by which limits.

    ``qty`` and ``notional`` are the opportunity's. ``limits`` are codes of docs/denials.md, in the
    order in which they were exceeded, each once.
    """

    qty: Qty
    notional: AmountOrZero
    limits: list[Name]


class Traded(Protocol):
    """Anything that is traded somewhere: terms, an order, a fill."""

    @property
    def venue(self) -> str: ...

    @property
    def instrument(self) -> str: ...

    @property
    def side(self) -> Side: ...


def is_same_side(one: Traded, other: Traded) -> bool:
    """Tell whether both are on the same side of the same book."""
    return (
        one.venue == other.venue and one.instrument == other.instrument and one.side is other.side
    )


def would_meet(
    one: OrderTerms, other: OrderTerms, same_books: Mapping[str, str] = NO_SAME_BOOKS
) -> bool:
    """Tell whether two orders would trade with each other: one of both rests, and prices cross.

    Args:
        one: An order.
        other: Another one.
        same_books: Of venues that are further accounts at another one, which that is.
    """
    if one.instrument != other.instrument or one.side is other.side:
        return False
    if not (one.rests or other.rests):
        return False
    if same_books.get(one.venue, one.venue) != same_books.get(other.venue, other.venue):
        return False
    bought, sold = (one, other) if one.side is Side.BUY else (other, one)
    return bought.price_limit >= sold.price_limit
