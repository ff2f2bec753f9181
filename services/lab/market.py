"""A thin market for the lab: fair prices that move, venues that drift apart, and quotes. Pure.

Cheap on purpose: thousands of seeds are run. Books have a few levels, all renewed at each move, so
what a book shows is often gone when an order arrives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from services.lab.kinds import CONVERTED, CROSSED, DEPEG_CHANCE, Kind
from services.lab.listings import STABLE
from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.messages.base import Side

_NS_PER_MS = 1_000_000
LEVELS = 4
MOVE_BPS, MOVE_BPS_NS = 1.5, 150 * _NS_PER_MS
"""Standard deviation of what the fair price moves by in so much time."""
APART_BPS = (20.0, 80.0)
"""Beyond both taker fees, when a venue's price leaves the others."""
APART_CHANCE = 0.9
"""That a venue's price leaves the others at one move."""
APART_LASTS_NS = (100 * _NS_PER_MS, 700 * _NS_PER_MS)
EMPTY_CHANCE = 0.01
"""That a side of a book has no level at all after a move."""
STABLE_SHARE = 0.02
"""Of a move, for what is stable."""
DEPEG_BPS = (60.0, 200.0)
DEPEG_AFTER_NS = (5_000 * _NS_PER_MS, 10_000 * _NS_PER_MS)
DEPEG_LASTS_NS = (900 * _NS_PER_MS, 3_800 * _NS_PER_MS)
"""A peg breaks after so long, for so long."""


@dataclass(slots=True)
class _Book:
    exchange: Exchange
    listing: Listing
    tick: float
    lot: float
    taker_bps: float
    legs: int
    """Of the plans that trade it against others: their fees are what it must be apart by."""
    apart_bps: float = 0.0
    apart_until_ns: int = 0


class MarketModel:
    """Moves all books of all exchanges."""

    def __init__(
        self,
        exchanges: Mapping[str, Exchange],
        prices: Mapping[str, float],
        random: Random,
        kind: Kind = Kind.PAIRS,
    ) -> None:
        self._random = random
        self._fair = dict(prices)
        self._start_ns = self._moved_ns = 0
        """When it moved first, and last."""
        self._depeg_bps, self._depeg_ns = 0.0, range(0)
        draw = self._random
        if kind in CONVERTED and draw.random() < DEPEG_CHANCE:
            begins_ns = draw.randrange(*DEPEG_AFTER_NS)
            self._depeg_ns = range(begins_ns, begins_ns + draw.randrange(*DEPEG_LASTS_NS))
            self._depeg_bps = draw.uniform(*DEPEG_BPS)
        self._books = [
            _Book(
                exchange,
                listing,
                float(listing.tick),
                float(listing.lot),
                float(listing.taker_bps),
                legs=3 if kind in CROSSED else 2,
            )
            for exchange in exchanges.values()
            for listing in exchange.by_instrument.values()
        ]

    def move(self, now_ns: int, *, is_calm: bool = False) -> None:
        """Move every fair price, and quote every book again around its own.

        While it is calm no venue's price leaves the others.
        """
        draw = self._random
        if not self._start_ns:
            self._start_ns = self._moved_ns = now_ns
        spread_bps = MOVE_BPS * math.sqrt((now_ns - self._moved_ns) / MOVE_BPS_NS)
        self._moved_ns = now_ns
        for base in self._fair:
            move_bps = draw.gauss(0.0, spread_bps)
            self._fair[base] *= math.exp(
                (move_bps * STABLE_SHARE if base in STABLE else move_bps) / 10_000
            )
        for book in self._books:
            if is_calm or book.listing.base in STABLE:
                book.apart_until_ns, book.apart_bps = 0, 0.0
            elif now_ns < book.apart_until_ns:
                pass
            elif draw.random() < APART_CHANCE:
                book.apart_until_ns = now_ns + draw.randrange(*APART_LASTS_NS)
                size = book.legs * book.taker_bps + draw.uniform(*APART_BPS)
                book.apart_bps = size * draw.choice((-1, 1))
            else:
                book.apart_bps = 0.0
            money = self._worth(book.listing.quote)
            fair = self._worth(book.listing.base) / money * (1 + book.apart_bps / 10_000)
            self._quote(book, fair, money, now_ns)

    def _worth(self, asset: str) -> float:
        """Return what an asset is worth in ``MONEY``, which itself is not among them."""
        worth = self._fair.get(asset, 1.0)
        if asset in STABLE and self._moved_ns - self._start_ns in self._depeg_ns:
            worth *= 1 - self._depeg_bps / 10_000
        return worth

    def _quote(self, book: _Book, fair: float, money: float, now_ns: int) -> None:
        """Quote a book around its fair price; a unit of its quote asset is worth ``money``."""
        draw, unit, lot = self._random, book.tick, book.lot
        gauss, uniform, exp, even = draw.gauss, draw.uniform, math.exp, draw.random
        half = max(unit, fair * uniform(0.5, 4.0) / 10_000)
        wanted: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        for side, levels in wanted.items():
            sign = -1 if side is Side.BUY else 1
            if even() < EMPTY_CHANCE:
                continue
            price = fair + sign * half
            for _ in range(LEVELS):
                lots = round(exp(gauss(7.0, 1.0)) / money / fair / lot)
                levels[round(price / unit)] = lots if lots > 1 else 1
                step = fair * (0.2 + (3.0 - 0.2) * even()) / 10_000  # uniform(0.2, 3.0)
                price += sign * (step if step > unit else unit)
        if book.exchange.open_orders:
            _replace_around(book.exchange, book.listing, wanted, now_ns // _NS_PER_MS)
        else:
            book.exchange.books[book.listing.instrument].replace_background(wanted)


def _replace_around(
    exchange: Exchange, listing: Listing, wanted: Mapping[Side, Mapping[int, int]], now_ms: int
) -> None:
    """Make these levels the book around our orders that rest; what crosses them fills them."""
    book = exchange.books[listing.instrument]
    for side, levels in wanted.items():
        for ticks in [price for price in book.side(side).levels if price not in levels]:
            exchange.background_quote(listing, side, ticks, 0, now_ms)
    for side, levels in wanted.items():
        for ticks, lots in levels.items():
            exchange.background_quote(listing, side, ticks, lots, now_ms)
