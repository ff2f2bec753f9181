"""Seeded market: correlated fair prices, venues that drift apart, and the quotes around them. Pure.

One call of ``step`` is one tick of ``TICK_MS`` of market time; the wall clock only paces it. The
fair prices and dislocations depend on the seed and the tick alone; the quotes also on what clients
took: a taken side keeps away from its old price and returns over about a second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.messages.base import Side

TICK_MS = 50
"""The market moves this often."""

REFERENCE_PRICES = {"BTC": 64_000.0, "ETH": 3_100.0, "SOL": 150.0, "BNB": 600.0}
REFERENCE_PRICE_OTHER = 1.0
BETA = {"BTC": 1.0, "ETH": 1.15, "SOL": 1.4, "BNB": 0.8}
VOLATILITY_BPS = 0.16  # of the common factor, per tick (about 60 % a year)
OWN_VOLATILITY_BPS = 0.08

PAYING_GAP_S = (3.5, 7.0)  # between dislocations that pay after fees
IDLE_GAP_S = (0.7, 2.5)  # between dislocations that do not
FIRST_PAYING_S = 3.0
PAYING_EDGE_BPS = (8.0, 26.0)  # beyond both taker fees
IDLE_SIZE_BPS = (2.0, 9.0)
LIFE_S = (0.6, 2.5)
FADE_PER_TICK = 0.94  # of a dislocation that somebody trades against: half in 0.6 s
DISLOCATIONS_MAX = 32

LEVELS_MAX = 150  # per side of a background book
LEVELS_START = 60
ACTIONS_PER_TICK = 3
THIN_ACTIONS_PER_TICK = 12  # while a side that was run over has fewer levels than at the start
STICKY_BPS = 0.4  # quotes stay while the fair price moves less than this: tops live some 0.2 s
JUMP_BPS = 3.0  # a move further than this is followed by fresh quotes behind the new best
JUMP_LEVELS = 10
RECOVERY_PER_TICK = 0.965  # what is left of a client's price impact after one tick: half in 1 s
TRADE_PROBABILITY = 0.08


@dataclass(slots=True)
class Dislocation:
    """One venue's price of one asset pushed away from the others for a while."""

    venue: str
    base: str
    bps: float
    ends_tick: int
    taken: bool = False  # a client traded against it: it fades


class FairPrices:
    """What each asset is worth at each venue at each tick."""

    def __init__(self, exchanges: Sequence[Exchange], seed: int) -> None:
        self._random = Random(f"{seed}/fair")
        self._markets = [
            (exchange.venue, listing)
            for exchange in exchanges
            for listing in exchange.by_instrument.values()
        ]
        bases = sorted({listing.base for _, listing in self._markets})
        self.price = {base: REFERENCE_PRICES.get(base, REFERENCE_PRICE_OTHER) for base in bases}
        self._basis = {(v, listing.base): 0.0 for v, listing in self._markets}
        self._shared = [b for b in bases if sum(b == m.base for _, m in self._markets) > 1]
        self.dislocations: list[Dislocation] = []
        self.tick = 0
        self._next_paying = _ticks(FIRST_PAYING_S)
        self._next_idle = _ticks(1.0)

    def step(self) -> None:
        """Move to the next tick."""
        self.tick += 1
        gauss = self._random.gauss
        common = gauss(0.0, VOLATILITY_BPS)
        for base, price in self.price.items():
            move = BETA.get(base, 1.0) * common + gauss(0.0, OWN_VOLATILITY_BPS)
            self.price[base] = price * math.exp(move / 10_000)
        for key, basis in self._basis.items():
            self._basis[key] = basis * 0.995 + gauss(0.0, 0.05)
        self.dislocations = [d for d in self.dislocations if d.ends_tick > self.tick]
        for dislocation in self.dislocations:
            if dislocation.taken:
                dislocation.bps *= FADE_PER_TICK
        self._dislocate()

    def fair(self, venue: str, base: str) -> float:
        """Return the venue's mid price in quote units."""
        bps = self._basis[venue, base]
        for dislocation in self.dislocations:
            if dislocation.venue == venue and dislocation.base == base:
                bps += dislocation.bps
        return self.price[base] * (1 + bps / 10_000)

    def absorb(self, venue: str, base: str, side: Side) -> None:
        """A client traded against a dislocation: others notice, and it fades."""
        for dislocation in self.dislocations:
            leans_up = dislocation.bps > 0
            if dislocation.base == base and leans_up == (
                (side is Side.SELL) == (dislocation.venue == venue)
            ):
                dislocation.taken = True

    def _dislocate(self) -> None:
        draw = self._random
        if not self._shared or len(self.dislocations) >= DISLOCATIONS_MAX:
            return
        if self.tick >= self._next_paying and self._add(paying=True):
            self._next_paying = self.tick + _ticks(draw.uniform(*PAYING_GAP_S))
        if self.tick >= self._next_idle and self._add(paying=False):
            self._next_idle = self.tick + _ticks(draw.uniform(*IDLE_GAP_S))

    def _add(self, *, paying: bool) -> bool:
        """Push one venue's price away, unless the one drawn is dislocated already."""
        draw = self._random
        base = draw.choice(self._shared)
        here = [(v, listing) for v, listing in self._markets if listing.base == base]
        if paying:  # only what is bought and sold on spot closes at once
            here = [(v, listing) for v, listing in here if not listing.perpetual]
        if len(here) < 2:
            return False
        venue, listing = draw.choice(here)
        size = draw.uniform(*IDLE_SIZE_BPS)
        if paying:
            # The cheapest partner decides whether it pays: the best pair earns this edge.
            partner = min(float(m.taker_bps) for v, m in here if v != venue)
            size = float(listing.taker_bps) + partner + draw.uniform(*PAYING_EDGE_BPS)
        sign = draw.choice((-1, 1))
        ends = self.tick + _ticks(draw.uniform(*LIFE_S))
        if any(d.base == base and d.venue == venue for d in self.dislocations):
            return False
        self.dislocations.append(Dislocation(venue, base, sign * size, ends))
        return True


class Maker:
    """Everybody else at one venue's book: quotes around the fair price, and small trades."""

    def __init__(self, exchange: Exchange, listing: Listing, seed: int) -> None:
        self._exchange, self._listing = exchange, listing
        self._book = exchange.books[listing.instrument]
        self._random = Random(f"{seed}/{exchange.venue}/{listing.instrument}")
        self._impact = {Side.BUY: 0.0, Side.SELL: 0.0}  # ticks that side's quotes keep away
        self._best = {Side.BUY: 0, Side.SELL: 0}
        self._anchor = 0.0  # the fair price that is quoted around
        self._unit = float(listing.tick)
        # Where fees are higher, spreads are wider.
        self._half_spread_bps = 0.02 + 0.015 * float(listing.taker_bps)

    def took(self, side: Side, last_ticks: int) -> None:
        """A client of ``side`` took the opposite quotes up to ``last_ticks``."""
        quoted = side.opposite
        away = abs(last_ticks - self._best[quoted]) + 1
        self._impact[quoted] = max(self._impact[quoted], float(away))

    def step(self, fair: float, now_ms: int) -> None:
        """Quote around ``fair`` (quote units)."""
        if abs(fair - self._anchor) > self._anchor * STICKY_BPS / 10_000:
            self._anchor = fair
        fair = self._anchor
        half = max(fair * self._half_spread_bps / 10_000, self._unit / 2)
        for side in (Side.BUY, Side.SELL):
            self._impact[side] *= RECOVERY_PER_TICK
        bid = math.floor((fair - half) / self._unit) - int(self._impact[Side.BUY])
        ask = math.ceil((fair + half) / self._unit) + int(self._impact[Side.SELL])
        self._withdraw(Side.BUY, bid, now_ms)
        self._withdraw(Side.SELL, ask, now_ms)
        self._quote(Side.BUY, bid, fair, now_ms)
        self._quote(Side.SELL, ask, fair, now_ms)
        self._best = {Side.BUY: bid, Side.SELL: ask}
        if self._random.random() < TRADE_PROBABILITY:
            side = self._random.choice((Side.BUY, Side.SELL))
            self._exchange.background_trade(
                self._listing, side, max(1, self._size(fair, 0.0) // 12), now_ms
            )

    def _withdraw(self, side: Side, best: int, now_ms: int) -> None:
        """Cancel quotes that are better than the new best, and the worst if there are too many."""
        book = self._book.side(side)
        sign = book.sign
        for key in _until(book.keys, best * sign):
            self._exchange.background_quote(self._listing, side, key * sign, 0, now_ms)
        for key in book.keys[LEVELS_MAX:]:
            self._exchange.background_quote(self._listing, side, key * sign, 0, now_ms)

    def _quote(self, side: Side, best: int, fair: float, now_ms: int) -> None:
        draw, sign = self._random, self._book.side(side).sign
        if best != self._best[side] or not self._book.lots_at(side, best):
            self._set(side, best, self._size(fair, 0.0), now_ms)
        count = ACTIONS_PER_TICK
        if not self._best[side]:
            count = LEVELS_START
        elif abs(best - self._best[side]) * self._unit > fair * JUMP_BPS / 10_000:
            count = JUMP_LEVELS
        thin = len(self._book.side(side).keys) < LEVELS_START
        if thin:
            count = max(count, THIN_ACTIONS_PER_TICK)
        for _ in range(count):
            # Most activity is near the top, some far away: distances are log-normal.
            distance_bps = math.exp(draw.gauss(0.3, 1.3))
            offset = 1 + int(distance_bps * fair / 10_000 / self._unit)
            price = best + sign * offset
            lots = self._size(fair, distance_bps)
            if self._book.lots_at(side, price) and not thin and draw.random() < 0.5:
                lots = 0
            if price > 0:
                self._set(side, price, lots, now_ms)

    def _set(self, side: Side, price: int, lots: int, now_ms: int) -> None:
        self._exchange.background_quote(self._listing, side, price, lots, now_ms)

    def _size(self, fair: float, distance_bps: float) -> int:
        """Return a level's size in lots: a few thousand quote units at the top, more behind."""
        notional = math.exp(self._random.gauss(8.3, 0.8)) * (1 + min(distance_bps, 20.0) / 8)
        return max(1, round(notional / fair / float(self._listing.lot)))


class Market:
    """All makers of all venues, moved tick by tick."""

    def __init__(self, exchanges: Sequence[Exchange], seed: int) -> None:
        self.prices = FairPrices(exchanges, seed)
        self._makers: dict[tuple[str, str], tuple[Exchange, Listing, Maker]] = {}
        for exchange in exchanges:
            for listing in exchange.by_instrument.values():
                maker = Maker(exchange, listing, seed)
                self._makers[exchange.venue, listing.instrument] = (exchange, listing, maker)
            exchange.took_listeners.append(self._took)

    def step(self, now_ms: int) -> None:
        """Move every book by one tick."""
        self.prices.step()
        for exchange, listing, maker in self._makers.values():
            maker.step(self.prices.fair(exchange.venue, listing.base), now_ms)

    def fair(self, venue: str, base: str) -> float:
        """Return a venue's present fair price."""
        return self.prices.fair(venue, base)

    def _took(self, listing: Listing, side: Side, last_ticks: int) -> None:
        self._makers[listing.venue, listing.instrument][2].took(side, last_ticks)
        self.prices.absorb(listing.venue, listing.base, side)


def _until(keys: list[int], best: int) -> list[int]:
    """Return a copy of the leading keys that are better than ``best``."""
    count = 0
    while count < len(keys) and keys[count] < best:
        count += 1
    return keys[:count]


def _ticks(seconds: float) -> int:
    return max(1, round(seconds * 1000 / TICK_MS))
