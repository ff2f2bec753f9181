"""What it takes to play a recording through a simulated venue: the port, and books rebuilt. Pure.

Frames are sent as they were recorded. Beside that each venue rebuilds its books from them, so that
a client that comes later, or must resynchronise, gets a snapshot that fits the frames that follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing, parse_decimal
from shared.exchange.matching import Level
from shared.messages.base import Side

Rows = Iterable[Sequence[Any]]
"""Price and quantity as written, or as numbers where a recorder wrote them again."""


class RecordedMarket(Protocol):
    """Plays one venue's part of a recording."""

    @property
    def unusable(self) -> int:
        """Frames and levels that could not be used for the rebuilt books (they were sent)."""

    def play_frame(self, instrument: str, payload: bytes, connection: int, now_ns: int) -> None:
        """Send a recorded frame to its subscribers, and update the rebuilt book."""

    def play_rest(self, instrument: str, body: bytes, now_ns: int) -> None:
        """A recorded answer of the venue's REST has come."""

    def end(self) -> None:
        """The recording is over."""

    def unsubscribed(self) -> list[str]:
        """Return the instruments whose book has no subscriber yet."""


def decimals(text: str) -> int:
    """Return how many decimals a number was written with.

    Raises:
        ValueError: Not a number that a market has.
    """
    return len(plain(text).partition(".")[2])


def plain(text: str) -> str:
    """Return a number without an exponent.

    Raises:
        ValueError: Not a number that a market has.
    """
    if "e" not in text and "E" not in text:
        return text
    value = parse_decimal(text)
    if value is None:
        raise ValueError(f"{text[:40]!r} is no number")
    return f"{value:f}"


def decimals_needed(texts: Iterable[str]) -> int:
    """Return the decimals that all these numbers need, trailing zeros aside."""
    return max((decimals(text.rstrip("0")) for text in map(plain, texts) if "." in text), default=0)


def listing_as_recorded(
    template: Listing,
    prices: Sequence[str],
    quantities: Sequence[str],
    *,
    decimals_unknown: tuple[int, int],
) -> tuple[Listing, Listing]:
    """Return a listing that allows these numbers, and one with the grid seen in them.

    ``decimals_unknown`` are those of a price and a quantity where there is none.
    """
    price_decimals = max(map(decimals, prices), default=decimals_unknown[0])
    qty_decimals = max(map(decimals, quantities), default=decimals_unknown[1])
    whole = replace(
        template,
        price_scale=price_decimals,
        qty_scale=qty_decimals,
        price_decimals=price_decimals,
        qty_decimals=qty_decimals,
    )
    shown = replace(
        whole,
        price_scale=min(decimals_needed(prices), price_decimals),
        qty_scale=min(decimals_needed(quantities), qty_decimals),
    )
    shown = replace(shown, qty_min=shown.lot)
    return replace(whole, qty_min=shown.lot), shown


def units(text: str, scale: int) -> int:
    """Return a number in units of ``10**-scale``, exactly.

    Raises:
        ValueError: Not a number, or finer than that.
    """
    whole, _, fraction = plain(text).partition(".")
    if len(fraction) > scale:
        if fraction[scale:].strip("0"):
            raise ValueError(f"{text} is finer than {scale} decimals")
        fraction = fraction[:scale]
    return int(whole + fraction.ljust(scale, "0"))


class BookRebuilder:
    """Puts recorded levels into a venue's books as background."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.unusable = 0

    def replace(self, listing: Listing, bids: Rows, asks: Rows, now_ms: int) -> None:
        """Make the book what a snapshot says."""
        book = self._exchange.books[listing.instrument]
        for side in (Side.BUY, Side.SELL):
            for price in tuple(book.side(side).prices()):
                self._exchange.background_quote(listing, side, price, 0, now_ms)
        self.change(listing, bids, asks, now_ms)

    def change(self, listing: Listing, bids: Rows, asks: Rows, now_ms: int) -> None:
        """Set changed levels: less before more, so that a moving market does not match itself."""
        book = self._exchange.books[listing.instrument]
        more: list[tuple[Side, int, int]] = []
        for side, rows in ((Side.BUY, bids), (Side.SELL, asks)):
            levels = book.side(side).levels
            for row in rows:
                try:
                    price = units(str(row[0]), listing.price_scale)
                    lots = units(str(row[1]), listing.qty_scale)
                except ValueError:
                    self.unusable += 1
                    continue
                if lots > _background(levels.get(price)):
                    more.append((side, price, lots))
                else:
                    self._exchange.background_quote(listing, side, price, lots, now_ms)
        for side, price, lots in more:
            self._exchange.background_quote(listing, side, price, lots, now_ms)

    def truncate(self, listing: Listing, depth: int, now_ms: int) -> None:
        """Forget levels beyond a depth, as a client of a limited book does."""
        book = self._exchange.books[listing.instrument]
        for side in (Side.BUY, Side.SELL):
            for price in list(book.side(side).prices())[depth:]:
                self._exchange.background_quote(listing, side, price, 0, now_ms)


def _background(level: Level | None) -> int:
    return level.background() if level is not None else 0
