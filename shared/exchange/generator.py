"""Seeded market: correlated fair prices, venues that drift apart, and the quotes around them. Pure.

One call of ``step`` is one tick of market time; the caller paces it. The
fair prices and dislocations depend on the seed and the tick alone; the quotes also on what clients
took: a taken side keeps away from its old price and returns over about a second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from shared.exchange.crosses import Crosses, is_cross
from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.exchange.premiums import Premiums
from shared.messages.base import Side

TICK_MS = 50
"""The market moves this often, unless a ``Shape`` says otherwise."""

REFERENCE_PRICES = {"BTC": 64_000.0, "ETH": 3_100.0, "SOL": 150.0, "BNB": 600.0}
REFERENCE_PRICE_OTHER = 1.0
BETA = {"BTC": 1.0, "ETH": 1.15, "SOL": 1.4, "BNB": 0.8}
VOLATILITY_BPS = 0.16  # of the common factor, per 50 ms (about 60 % a year)
OWN_VOLATILITY_BPS = 0.08
BASIS_VOLATILITY_BPS = 0.05
BASIS_KEPT = 0.995  # of what a venue is apart from the others, after 50 ms

PAYING_GAP_S = (3.5, 7.0)  # between dislocations that pay after fees
IDLE_GAP_S = (0.7, 2.5)  # between dislocations that do not
FIRST_PAYING_S = 3.0
PAYING_EDGE_BPS = (8.0, 26.0)  # beyond both taker fees
IDLE_SIZE_BPS = (2.0, 9.0)
LIFE_S = (0.6, 2.5)
FADE = 0.94  # of a dislocation that somebody trades against, in 50 ms: half in 0.6 s
DISLOCATIONS_MAX = 32

STICKY_BPS = 0.4  # quotes stay while the fair price moves less than this: tops live some 0.2 s
JUMP_BPS = 3.0  # a move further than this is followed by fresh quotes behind the new best
JUMP_LEVELS = 10
RECOVERY = 0.965  # what is left of a client's price impact after 50 ms: half in 1 s


@dataclass(frozen=True, slots=True)
class Shape:
    """How fine the market is, and so what a second of it costs.

    Attributes:
        tick_ms: The market moves this often; prices wander as far per second whatever it is.
        levels_start: Per side of a background book.
        levels_max: The most per side.
        actions: Quotes set or withdrawn per side and tick, beside the best.
        thin_actions: The same while a side that was run over has fewer levels than at the start.
        trade_probability: Of a trade between others, per book and tick.
        premium_bps: How far at most a perpetual jumps away from spot; then it converges.
        depeg_bps: How far a stable coin falls when its peg breaks; 0: it never does.
    """

    tick_ms: int = TICK_MS
    levels_start: int = 60
    levels_max: int = 150
    actions: int = 3
    thin_actions: int = 12
    trade_probability: float = 0.08
    premium_bps: float = 0.0
    depeg_bps: float = 0.0

    @property
    def scale(self) -> float:
        """Length of a tick in units of 50 ms, which the constants are given for."""
        return self.tick_ms / 50

    def ticks(self, seconds: float) -> int:
        """Return a time in ticks."""
        return max(1, round(seconds * 1000 / self.tick_ms))


COARSE = Shape(
    tick_ms=100, levels_start=12, levels_max=24, actions=1, thin_actions=4, trade_probability=0.1
)
"""For thousands of seeds: books of a dozen levels, ten moves a second."""


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

    def __init__(
        self, exchanges: Sequence[Exchange], seed: int, shape: Shape | None = None
    ) -> None:
        self._shape = shape = shape or Shape()
        self._random = Random(f"{seed}/fair")
        self._spread = math.sqrt(shape.scale)  # of a random walk, against one of 50 ms
        self._basis_kept, self._fade = BASIS_KEPT**shape.scale, FADE**shape.scale
        self._markets = [
            (exchange.venue, listing)
            for exchange in exchanges
            for listing in exchange.by_instrument.values()
            if not is_cross(listing)
        ]
        bases = sorted({listing.base for _, listing in self._markets})
        self.price = {base: REFERENCE_PRICES.get(base, REFERENCE_PRICE_OTHER) for base in bases}
        self._basis = {(v, listing.base): 0.0 for v, listing in self._markets}
        self._shared = [b for b in bases if sum(b == m.base for _, m in self._markets) > 1]
        self._premiums = Premiums(
            [(venue, listing.base) for venue, listing in self._markets if listing.perpetual],
            seed,
            tick_ms=shape.tick_ms,
            size_bps=shape.premium_bps,
        )
        self.dislocations: list[Dislocation] = []
        self.tick = 0
        self._next_paying = shape.ticks(FIRST_PAYING_S)
        self._next_idle = shape.ticks(1.0)

    def step(self) -> None:
        """Move to the next tick."""
        self.tick += 1
        gauss, spread = self._random.gauss, self._spread
        common = gauss(0.0, VOLATILITY_BPS * spread)
        for base, price in self.price.items():
            move = BETA.get(base, 1.0) * common + gauss(0.0, OWN_VOLATILITY_BPS * spread)
            self.price[base] = price * math.exp(move / 10_000)
        for key, basis in self._basis.items():
            move = gauss(0.0, BASIS_VOLATILITY_BPS * spread)
            self._basis[key] = basis * self._basis_kept + move
        self.dislocations = [d for d in self.dislocations if d.ends_tick > self.tick]
        for dislocation in self.dislocations:
            if dislocation.taken:
                dislocation.bps *= self._fade
        self._dislocate()
        self._premiums.step(self.tick)

    def fair(self, venue: str, base: str) -> float:
        """Return the venue's mid price in quote units."""
        bps = self._basis[venue, base]
        if self._premiums.bps:
            bps += self._premiums.bps.get((venue, base), 0.0)
        for dislocation in self.dislocations:
            if dislocation.venue == venue and dislocation.base == base:
                bps += dislocation.bps
        return self.price[base] * (1 + bps / 10_000)

    def absorb(self, venue: str, base: str, side: Side) -> None:
        """A client traded against a dislocation: it fades."""
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
            self._next_paying = self.tick + self._shape.ticks(draw.uniform(*PAYING_GAP_S))
        if self.tick >= self._next_idle and self._add(paying=False):
            self._next_idle = self.tick + self._shape.ticks(draw.uniform(*IDLE_GAP_S))

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
        ends = self.tick + self._shape.ticks(draw.uniform(*LIFE_S))
        if any(d.base == base and d.venue == venue for d in self.dislocations):
            return False
        self.dislocations.append(Dislocation(venue, base, sign * size, ends))
        return True


class Maker:
    """All other participants in one book: quotes around the fair price, and small trades."""

    def __init__(
        self, exchange: Exchange, listing: Listing, seed: int, shape: Shape | None = None
    ) -> None:
        self._exchange, self._listing = exchange, listing
        self._shape = shape or Shape()
        self._recovery = RECOVERY**self._shape.scale
        self._book = exchange.books[listing.instrument]
        self._random = Random(f"{seed}/{exchange.venue}/{listing.instrument}")
        self._impact = {Side.BUY: 0.0, Side.SELL: 0.0}  # ticks that side's quotes keep away
        self._best = {Side.BUY: 0, Side.SELL: 0}
        self._anchor = 0.0  # the fair price that is quoted around
        self._step, self._lot = float(listing.tick), float(listing.lot)
        self._unit = self._step / listing.tick_units
        self._quote_worth = REFERENCE_PRICES.get(listing.quote, 1.0)
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
        half = max(fair * self._half_spread_bps / 10_000, self._step / 2)
        units = self._listing.tick_units
        for side in (Side.BUY, Side.SELL):
            self._impact[side] *= self._recovery
        bid = math.floor((fair - half) / self._step) - int(self._impact[Side.BUY] / units)
        ask = math.ceil((fair + half) / self._step) + int(self._impact[Side.SELL] / units)
        bid, ask = bid * units, ask * units
        self._withdraw(Side.BUY, bid, now_ms)
        self._withdraw(Side.SELL, ask, now_ms)
        self._quote(Side.BUY, bid, fair, now_ms)
        self._quote(Side.SELL, ask, fair, now_ms)
        self._best = {Side.BUY: bid, Side.SELL: ask}
        if self._random.random() < self._shape.trade_probability:
            side = self._random.choice((Side.BUY, Side.SELL))
            lot_units = self._listing.lot_units
            lots = max(1, self._size(fair, 0.0) // lot_units // 12) * lot_units
            self._exchange.background_trade(self._listing, side, lots, now_ms)

    def _withdraw(self, side: Side, best: int, now_ms: int) -> None:
        """Cancel quotes that are better than the new best, and the worst if there are too many."""
        book = self._book.side(side)
        keys, sign, limit = book.keys, book.sign, self._shape.levels_max
        if keys and keys[0] < best * sign:
            for key in _until(keys, best * sign):
                self._exchange.background_quote(self._listing, side, key * sign, 0, now_ms)
        if len(keys) > limit:
            for key in keys[limit:]:
                self._exchange.background_quote(self._listing, side, key * sign, 0, now_ms)

    def _quote(self, side: Side, best: int, fair: float, now_ms: int) -> None:
        draw, resting, shape = self._random, self._book.side(side), self._shape
        sign, levels = resting.sign, resting.levels
        if best != self._best[side] or best not in levels:
            self._set(side, best, self._size(fair, 0.0), now_ms)
        count = shape.actions
        if not self._best[side]:
            count = shape.levels_start
        elif abs(best - self._best[side]) * self._unit > fair * JUMP_BPS / 10_000:
            count = max(count, min(JUMP_LEVELS, shape.levels_start))
        thin = len(resting.keys) < shape.levels_start
        if thin:
            count = max(count, shape.thin_actions)
        for _ in range(count):
            # Most activity is near the top, some far away: distances are log-normal.
            distance_bps = math.exp(draw.gauss(0.3, 1.3))
            steps = 1 + int(distance_bps * fair / 10_000 / self._step)
            price = best + sign * steps * self._listing.tick_units
            lots = self._size(fair, distance_bps)
            if price in levels and not thin and draw.random() < 0.5:
                lots = 0
            if price > 0:
                self._set(side, price, lots, now_ms)

    def _set(self, side: Side, price: int, lots: int, now_ms: int) -> None:
        self._exchange.background_quote(self._listing, side, price, lots, now_ms)

    def _size(self, fair: float, distance_bps: float) -> int:
        """Return a level's size in lots: a few thousand quote units at the top, more behind."""
        notional = math.exp(self._random.gauss(8.3, 0.8)) * (1 + min(distance_bps, 20.0) / 8)
        unit = 1.0 if self._listing.inverse else fair
        lots = notional / (unit * self._quote_worth) / self._lot
        return max(1, round(lots)) * self._listing.lot_units


class MarketGenerator:
    """All makers of all venues, moved tick by tick."""

    def __init__(
        self, exchanges: Sequence[Exchange], seed: int, shape: Shape | None = None
    ) -> None:
        self.prices = FairPrices(exchanges, seed, shape)
        shape = shape or Shape()
        self.crosses = Crosses(
            [
                (exchange.venue, listing)
                for exchange in exchanges
                for listing in exchange.by_instrument.values()
                if is_cross(listing)
            ],
            self.prices.fair,
            seed,
            tick_ms=shape.tick_ms,
            depeg_bps=shape.depeg_bps,
        )
        self._makers: dict[tuple[str, str], tuple[Exchange, Listing, Maker]] = {}
        for exchange in exchanges:
            for listing in exchange.by_instrument.values():
                maker = Maker(exchange, listing, seed, shape)
                self._makers[exchange.venue, listing.instrument] = (exchange, listing, maker)
            exchange.took_listeners.append(self._took)

    def step(self, now_ms: int) -> None:
        """Move every book by one tick."""
        self.prices.step()
        self.crosses.step(self.prices.tick)
        for exchange, listing, maker in self._makers.values():
            if is_cross(listing):
                fair = self.crosses.fair(exchange.venue, listing)
            else:
                fair = self.prices.fair(exchange.venue, listing.base)
            maker.step(fair, now_ms)

    def fair(self, venue: str, base: str) -> float:
        """Return a venue's present fair price."""
        return self.prices.fair(venue, base)

    def index(self, base: str) -> float:
        """Return what an asset is worth beside any venue."""
        return self.prices.price[base]

    def _took(self, listing: Listing, side: Side, last_ticks: int) -> None:
        self._makers[listing.venue, listing.instrument][2].took(side, last_ticks)
        if is_cross(listing):
            self.crosses.absorb(listing.venue, listing.instrument)
        else:
            self.prices.absorb(listing.venue, listing.base, side)


def _until(keys: list[int], best: int) -> list[int]:
    """Return a copy of the leading keys that are better than ``best``."""
    count = 0
    while count < len(keys) and keys[count] < best:
        count += 1
    return keys[:count]
