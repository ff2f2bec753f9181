"""Trades buying in one quote asset and selling in another, converted at a real price. Pure.

All three legs go out at once, from inventory; see docs/strategies/conversion.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from shared.domain.conversion import (
    ConversionLimits,
    FxBook,
    FxLimits,
    FxObstacle,
    fx_obstacle,
    price_conversion,
)
from shared.domain.depth import Obstacle, exact_levels
from shared.domain.fees import ONE_BP
from shared.domain.path import Outcome
from shared.domain.rounding import exact
from shared.messages.arb import Opportunity
from shared.messages.base import Side
from shared.messages.market import DepthView
from shared.messages.rules import InstrumentRules
from shared.strategies.demo import Demo
from shared.strategies.gates import Gate
from shared.strategies.misses import Misses
from shared.strategies.near_misses import ROUTES_MAX, NearMisses, Stopped
from shared.strategies.path_books import PathBook, PathBooks, fees_bps, oldest_age_ms
from shared.strategies.path_plans import (
    PathFlaw,
    Publisher,
    conversion_terms,
    plan_path,
    steps_of,
)
from shared.strategies.port import RETRY_NS, Output, Params, Strategy

LOTS_TRIED = 8
"""Of the coarsest order: lots of three books that convert are mostly fine, and each costs time."""
PRICED_PER_CALL_MAX = 2
"""Routes priced at every level for one view, the best first: the next view is for the others."""
DEMO = Demo(
    params={
        "quote_asset": "USDT",
        "is_buy_fee_in_base": False,
        "notional_quote_max": 5_000.0,
        "slack_bps": 2.0,
    },
    more_markets=True,
    depeg_bps=150.0,
)
_MS = 1_000_000


class ConversionParams(Params, frozen=True, kw_only=True):
    """What is asked of a trade, and of the book that converts.

    ``quote_asset`` is what every trade begins and ends with; empty: any.
    """

    quote_asset: str = ""
    edge_bps_min: Annotated[float, Meta(ge=-1_000, le=1_000)] = 2.0
    rebalance_bps: Annotated[float, Meta(ge=0, le=1_000)] = 0.0
    watch_bps_min: Annotated[float, Meta(ge=-10_000, le=1_000)] = -30.0
    notional_quote_max: Annotated[float, Meta(gt=0, le=1e15)] = 10_000.0
    book_age_ms_max: Annotated[int, Meta(ge=1, le=10**12)] = 2_000
    fx_age_ms_max: Annotated[int, Meta(ge=1, le=10**12)] = 5_000
    fx_older_ms_max: Annotated[int, Meta(ge=0, le=10**12)] = 2_000
    fx_depth_base_min: Annotated[float, Meta(ge=0, le=1e15)] = 10_000.0
    fx_depth_bps: Annotated[float, Meta(ge=0, le=1_000)] = 5.0
    fx_reference_ratio: Annotated[float, Meta(gt=0, le=1e9)] = 1.0
    fx_deviation_bps_max: Annotated[float, Meta(gt=0, le=10_000)] = 50.0
    is_buy_fee_in_base: bool = True
    cooldown_ms: Annotated[int, Meta(ge=0, le=10**9)] = 1_000
    ttl_ms: Annotated[int, Meta(ge=1, le=10**6)] = 500
    slack_bps: Annotated[float, Meta(ge=0, le=100)] = 0.0
    miss_fraction: Annotated[float, Meta(ge=0, le=0.9)] = 0.25
    miss_drift_bps: Annotated[float, Meta(ge=0, le=1_000)] = 5.0


class _Route:
    """Buy here, sell there, convert on a third book; not offered again before ``ts_cool_ns``."""

    __slots__ = ("buy", "fx", "fx_side", "route", "sell", "ts_cool_ns")

    def __init__(
        self, buy: PathBook, sell: PathBook, fx: PathBook, near_misses: NearMisses
    ) -> None:
        self.buy, self.sell, self.fx = buy, sell, fx
        # What was sold for is the base asset of the conversion, or its quote asset.
        self.fx_side = Side.SELL if fx.name.base == sell.name.quote else Side.BUY
        self.route = near_misses.route(buy.market, sell.market)
        self.ts_cool_ns = 0

    def stopped(self, gate: str, values: tuple[object, ...], edge_bps: float) -> Stopped:
        """Return what stopped an edge, with the fees in it."""
        steps = (self.buy, Side.BUY), (self.sell, Side.SELL), (self.fx, self.fx_side)
        return Stopped(gate, values, edge_bps, fees_bps(edge_bps, steps))

    @property
    def steps(self) -> list[tuple[str, str, Side]]:
        """Venue, instrument and side of each order."""
        orders = (self.buy, Side.BUY), (self.sell, Side.SELL), (self.fx, self.fx_side)
        return [(*book.market, side) for book, side in orders]


class Conversion(Strategy[ConversionParams]):
    """See the module's first lines."""

    gates: ClassVar = {
        **{obstacle.value: ("fx",) for obstacle in FxObstacle},
        "CONVERSION_LOSES": ("fx",),
        "CONVERSION_EDGE_MIN": ("fx",),
        "CONVERSION_MISSES": ("fx", "needs_bps"),
        **{f"CONVERSION_{flaw}": ("fx",) for flaw in PathFlaw},
    }

    def set_up(self) -> None:
        """Begin without books."""
        given = self.params
        self._books = PathBooks()
        self._routes: dict[int, list[_Route]] = {}
        self._by_base: dict[str, list[PathBook]] = {}
        self._by_quote: dict[str, list[PathBook]] = {}
        self._by_pair: dict[frozenset[str], list[PathBook]] = {}
        self._count = self._refused = self._comparisons = 0
        self._watch = 1.0 + given.watch_bps_min / 1e4
        self._least = 1.0 + (given.edge_bps_min + given.rebalance_bps) / 1e4
        self._misses = Misses(given.miss_fraction, given.miss_drift_bps)
        self._notional_max = exact(given.notional_quote_max)
        self._fx_limits = FxLimits(
            given.fx_age_ms_max,
            given.fx_older_ms_max,
            exact(given.fx_depth_base_min),
            exact(given.fx_depth_bps),
            exact(given.fx_deviation_bps_max),
        )
        self._reference = exact(given.fx_reference_ratio)
        self._publisher = Publisher(self.id, given.ttl_ms * _MS, exact(given.slack_bps) * ONE_BP)

    def on_rules(self, rules: InstrumentRules, now_ns: int) -> Sequence[Opportunity]:
        """Note what an instrument's orders must look like, and what they cost."""
        self._books.take_rules(rules)
        return ()

    def on_depth(self, view: DepthView, now_ns: int) -> Sequence[Opportunity]:
        """Look at the routes that a view's book is part of."""
        book = self._books.take_view(view)
        if book is None:
            return ()
        routes = self._routes.get(book.number)
        if routes is None:
            routes = self._add(book)
        if not book.is_live:
            return ()
        out: list[Opportunity] = []
        paying: list[tuple[float, int, _Route]] = []
        for number, route in enumerate(routes):
            found = self._compare(route, now_ns)
            if isinstance(found, Stopped):
                self.near_misses.count(route.route, found, now_ns)
            elif found is not None:
                paying.append((-found, number, route))
        for edge_bps, _, route in sorted(paying)[:PRICED_PER_CALL_MAX]:
            offer = self._offer(route, -edge_bps, now_ns)
            if isinstance(offer, Opportunity):
                out.append(offer)
            else:
                self.near_misses.count(route.route, offer, now_ns)
        return out

    def on_held_back(self, held: Output, now_ns: int) -> None:
        """Let the route be offered again soon."""
        if not isinstance(held, Opportunity):
            return
        for route in chain.from_iterable(self._routes.values()):
            if route.steps == steps_of(held):
                route.ts_cool_ns = min(route.ts_cool_ns, now_ns + RETRY_NS)

    def counters(self) -> Mapping[str, int]:
        """Return comparisons, and what was refused beyond bounds."""
        return {
            "comparisons": self._comparisons,
            "books_refused": self._books.refused,
            "routes_refused": self._refused,
        }

    def gauges(self) -> Mapping[str, float]:
        """Return what is watched."""
        return {"books": len(self._books), "routes": self._count}

    def _add(self, new: PathBook) -> list[_Route]:
        """Make the routes that a book makes possible, and return those it is part of."""
        self._routes[new.number] = []
        self._by_base.setdefault(new.name.base, []).append(new)
        self._by_quote.setdefault(new.name.quote, []).append(new)
        self._by_pair.setdefault(frozenset(new.name[:2]), []).append(new)
        for buy, sell, fx in self._ways(new):
            if self.params.quote_asset not in ("", buy.name.quote):
                continue
            if self._count >= ROUTES_MAX:
                self._refused += 1
                continue
            route = _Route(buy, sell, fx, self.near_misses)
            self._count += 1
            for book in (buy, sell, fx):
                self._routes[book.number].append(route)
        return self._routes[new.number]

    def _ways(self, new: PathBook) -> Iterator[tuple[PathBook, PathBook, PathBook]]:
        """Yield the routes through a new book and those seen before; three of one venue are none.

        Three markets of one venue are a triangle, which ``triangular`` watches.
        """
        for other in self._by_base[new.name.base]:
            quotes = frozenset((new.name.quote, other.name.quote))
            for fx in self._by_pair.get(quotes, ()):
                for buy, sell in ((new, other), (other, new)):
                    if not buy.venue == sell.venue == fx.venue:
                        yield buy, sell, fx
        # And as the book that converts what others are bought with into what they are sold for.
        for paid, got in (new.name[:2], new.name[1::-1]):
            for buy in self._by_quote.get(paid, ()):
                for sell in self._by_base.get(buy.name.base, ()):
                    if sell.name.quote == got and not buy.venue == sell.venue == new.venue:
                        yield buy, sell, new

    def _compare(self, route: _Route, now_ns: int) -> float | Stopped | None:
        """Return the edge of the best prices, or what stops it; ``None``: not worth a word."""
        buy, sell, fx = route.buy, route.sell, route.fx
        if not (buy.is_live and sell.is_live and fx.is_live):
            return None
        self._comparisons += 1
        price = fx.best(route.fx_side)
        rate = price * (1.0 - fx.fee) if route.fx_side is Side.SELL else 1 / price / (1.0 + fx.fee)
        bid, ask = sell.best(Side.SELL), buy.best(Side.BUY)
        product = bid * (1.0 - sell.fee) * rate / (ask * (1.0 + buy.fee))
        if product < self._watch:
            return None
        edge_bps = (product - 1.0) * 1e4
        if product < self._least:
            gate = "CONVERSION_LOSES" if product < 1.0 else "CONVERSION_EDGE_MIN"
            return route.stopped(gate, (fx.instrument,), edge_bps)
        age_ms = oldest_age_ms((buy, sell), now_ns)
        if age_ms > self.params.book_age_ms_max:
            ages = _age_ms(buy, now_ns), _age_ms(sell, now_ns)
            return route.stopped(Gate.BOOK_AGE, ages, edge_bps)
        if now_ns < route.ts_cool_ns:
            return route.stopped(Gate.COOLDOWN, ((route.ts_cool_ns - now_ns) // _MS,), edge_bps)
        return edge_bps

    def _offer(self, route: _Route, edge_bps: float, now_ns: int) -> Opportunity | Stopped:
        """Walk the three books; return what may be traded of them, or what stops it."""
        buy, sell, fx = route.buy, route.sell, route.fx
        given = self.params
        needs_bps = self._misses.needs_bps((buy, sell, fx), given.edge_bps_min)
        rebalance_bps = exact(given.rebalance_bps)
        if edge_bps < needs_bps + rebalance_bps:
            return route.stopped("CONVERSION_MISSES", (fx.instrument, needs_bps), edge_bps)
        limits = ConversionLimits(needs_bps, rebalance_bps, self._notional_max, LOTS_TRIED)
        found = self._priced(route, limits, now_ns)
        if isinstance(found, FxObstacle):
            return route.stopped(found.value, (fx.instrument,), edge_bps)
        if found is None:
            return route.stopped(Gate.LOT, (buy.instrument, sell.instrument), edge_bps)
        if isinstance(found, Obstacle):
            return route.stopped("CONVERSION_EDGE_MIN", (fx.instrument,), edge_bps)
        plan = plan_path(
            [(buy, Side.BUY), (sell, Side.SELL), (fx, route.fx_side)],
            found,
            (buy, fx),
            buy.name.quote,
            self._publisher,
            is_buy_fee_in_base=self.params.is_buy_fee_in_base,
            now_ns=now_ns,
        )
        if isinstance(plan, PathFlaw):
            return route.stopped(f"CONVERSION_{plan}", (fx.instrument,), edge_bps)
        route.ts_cool_ns = now_ns + self.params.cooldown_ms * _MS
        terms = conversion_terms(plan, len(plan.legs) - 1, fx)
        return msgspec.structs.replace(plan, conversions=[terms])

    def _priced(
        self, route: _Route, limits: ConversionLimits, now_ns: int
    ) -> Outcome | Obstacle | FxObstacle | None:
        """Return what the three books together give, or why they must not be used."""
        buy, sell, fx = route.buy, route.sell, route.fx
        asked, offered, rate = buy.view, sell.view, fx.view
        assert asked is not None
        assert offered is not None
        assert rate is not None
        in_base = self.params.is_buy_fee_in_base
        legs = [
            book.leg(side, is_buy_fee_in_base=in_base)
            for book, side in ((buy, Side.BUY), (sell, Side.SELL), (fx, route.fx_side))
        ]
        first, second, third = legs
        if first is None or second is None or third is None:
            return FxObstacle.FX_NOT_LIVE if third is None else None
        bids, asks = (exact_levels(side, len(side)) for side in (rate.bids, rate.asks))
        obstacle = fx_obstacle(
            FxBook(fx.instrument, rate.state, rate.ts_ns, bids, asks),
            self._fx_limits,
            reference=self._reference,
            ts_legs_ns=min(asked.ts_ns, offered.ts_ns),
            now_ns=now_ns,
        )
        return obstacle or price_conversion(first, second, third, limits)


def _age_ms(book: PathBook, now_ns: int) -> int:
    assert book.view is not None
    return (now_ns - book.view.ts_ns) // _MS
