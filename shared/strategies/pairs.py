"""Books of one base asset on different venues, in directed pairs, and the gates of a comparison.

What a strategy that buys here and sells there is built from: it feeds views and rules in, gets the
pairs that a view touches, and asks for the opportunity of each. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from shared.domain.depth import (
    SIZE_MAX,
    SIZE_MIN,
    CrossedDepth,
    are_levels,
    exact_levels,
    obstacle_of,
    take_crossed_depth,
)
from shared.domain.instrument import InstrumentKind, split_instrument
from shared.domain.inventory import VenueAsset, plain
from shared.domain.rounding import exact
from shared.messages.arb import Opportunity
from shared.messages.base import BookState
from shared.messages.inventory import InventoryTold
from shared.messages.market import DepthView
from shared.messages.rules import InstrumentRules
from shared.strategies.gates import OF_OBSTACLE, Gate
from shared.strategies.inventory import KnownInventory
from shared.strategies.near_misses import ROUTES_MAX, NearMisses, Route, Stopped
from shared.strategies.port import RETRY_NS, Output
from shared.strategies.two_legs import (
    Offer,
    PairRules,
    Sizing,
    build_opportunity,
    pair_rules,
    size_opportunity,
)

_LIVE: Final = BookState.LIVE

BOOKS_MAX = 4_096
"""Books followed; more are refused and counted."""
PAIRS_MAX = ROUTES_MAX
"""Directed pairs compared; more are refused and counted."""

_MS = 1_000_000


class PairLimits(NamedTuple):
    """What a pair must earn, how large, and how fresh its books must be.

    Attributes:
        edge_bps_min: Net of both taker fees, on the last unit taken.
        notional_quote_max: Of one opportunity.
        book_age_ms_max: Of either view.
        cooldown_ms: From an opportunity of a pair to its next.
        ttl_ms: From an opportunity to its expiry.
        notional_quote_max_of: The same as ``notional_quote_max``, by quote asset, where that would
            be another worth: 10,000 USDT are not 10,000 BTC.
    """

    edge_bps_min: float
    notional_quote_max: float
    book_age_ms_max: int
    cooldown_ms: int
    ttl_ms: int
    notional_quote_max_of: Mapping[str, float] = MappingProxyType({})


class Book:
    """The newest view of one book, its rules, and the pairs it takes part in."""

    __slots__ = ("instrument", "is_live", "name", "pairs", "rules", "venue", "view")

    def __init__(self, venue: str, instrument: str) -> None:
        self.venue, self.instrument = venue, instrument
        self.name = split_instrument(instrument)
        self.view: DepthView | None = None
        self.is_live = False  # LIVE, and both sides begin with what can be a price
        self.rules: InstrumentRules | None = None
        self.pairs: list[Pair] = []

    @property
    def market(self) -> tuple[str, str]:
        """Its venue and instrument."""
        return self.venue, self.instrument


class Pair:
    """A directed pair: buy on one book, sell on the other."""

    __slots__ = (
        "blocked",
        "buy",
        "notional_max",
        "opens_position",
        "route",
        "rules",
        "sell",
        "skew_bps",
        "ts_cool_ns",
    )

    def __init__(self, buy: Book, sell: Book, route: Route, notional_max: float) -> None:
        self.buy, self.sell, self.route = buy, sell, route
        self.notional_max = notional_max  # in its quote asset
        self.rules: PairRules | None = None
        self.skew_bps = 0.0  # what its first unit must earn more, or less, for inventory
        self.ts_cool_ns = 0  # offered before; not again until then
        self.blocked: Stopped | None = None
        # A derivative bought or sold stays open until something closes it, and nothing does yet.
        kinds = (buy.name.kind, sell.name.kind)
        self.opens_position = any(kind is not InstrumentKind.SPOT for kind in kinds)

    def refresh(self, edge_bps_min: float) -> None:
        """Work out again what does not change from view to view."""
        buy, sell = self.buy, self.sell
        self.rules, self.blocked = None, None
        self.route.needs_bps = edge_bps_min + self.skew_bps
        if buy.name.quote != sell.name.quote:
            self.blocked = Stopped(Gate.QUOTE_MISMATCH, (buy.name.quote, sell.name.quote))
        elif InstrumentKind.INVERSE in (buy.name.kind, sell.name.kind):
            self.blocked = Stopped(Gate.INVERSE, ())
        elif buy.rules is None or sell.rules is None:
            known = (buy.rules is not None, sell.rules is not None)
            self.blocked = Stopped(Gate.NO_RULES, known)
        elif not (buy.rules.active and sell.rules.active):
            self.blocked = Stopped(Gate.INACTIVE, (buy.rules.active, sell.rules.active))
        else:
            self.rules = pair_rules(buy.rules, sell.rules, edge_bps_min + self.skew_bps)

    @property
    def taken(self) -> tuple[VenueAsset, VenueAsset]:
        """Where it takes from: money where it buys, coins where it sells."""
        return (self.buy.venue, self.buy.name.quote), (self.sell.venue, self.sell.name.base)

    @property
    def brought(self) -> tuple[VenueAsset, VenueAsset]:
        """Where it brings to: coins where it buys, money where it sells."""
        return (self.buy.venue, self.buy.name.base), (self.sell.venue, self.sell.name.quote)


class Crossed(NamedTuple):
    """Two books that crossed so that it pays, and what their venues ask."""

    asked: DepthView
    offered: DepthView
    buy_rules: InstrumentRules
    sell_rules: InstrumentRules
    rules: PairRules
    found: CrossedDepth


class Pairs:
    """All pairs of one strategy.

    Args:
        strategy_id: Of the strategy: part of what its opportunities are called.
        limits: What is asked of every pair.
        near_misses: The strategy's own; every pair is a route there.
    """

    def __init__(self, strategy_id: str, limits: PairLimits, near_misses: NearMisses) -> None:
        self._edge_bps_min = limits.edge_bps_min
        self._sizing = Sizing(
            strategy_id,
            exact(limits.edge_bps_min),
            exact(limits.notional_quote_max),
            limits.ttl_ms * _MS,
        )
        self._sizing_of = {
            quote: self._sizing._replace(notional_max=exact(most))
            for quote, most in limits.notional_quote_max_of.items()
        }
        self._age_ns_max = limits.book_age_ms_max * _MS
        self._cooldown_ns = limits.cooldown_ms * _MS
        self._near_misses = near_misses
        self._last: Crossed | None = None
        self._inventory = KnownInventory()
        self._books: dict[tuple[str, str], Book] = {}
        self._books_of_base: dict[str, list[Book]] = {}
        self._pairs = self._comparisons = 0
        self._refused = {"books_refused": 0, "pairs_refused": 0}

    def counters(self) -> dict[str, int]:
        """Return comparisons, and what was refused beyond bounds."""
        return {"comparisons": self._comparisons, **self._refused}

    def gauges(self) -> dict[str, float]:
        """Return the books and directed pairs followed."""
        return {"books": len(self._books), "pairs": self._pairs}

    def take_rules(self, rules: InstrumentRules) -> None:
        """Take the rules of an instrument in."""
        book = self._book(rules.venue, rules.instrument)
        if book is None or book.rules == rules:  # repeated every few seconds
            return
        book.rules = rules
        for pair in book.pairs:
            pair.refresh(self._edge_bps_min)

    def take_view(self, view: DepthView) -> Sequence[Pair]:
        """Take a view in, and return the pairs that it takes part in."""
        book = self._books.get((view.venue, view.instrument))
        if book is None:
            book = self._book(view.venue, view.instrument)
            if book is None:
                return ()
        book.view = view
        bids, asks = view.bids, view.asks
        book.is_live = (
            view.state is _LIVE
            and bool(bids and asks)
            and SIZE_MIN <= bids[0][0] <= SIZE_MAX
            and SIZE_MIN <= asks[0][0] <= SIZE_MAX
        )
        self._comparisons += len(book.pairs)
        return book.pairs

    def compare(self, pair: Pair, now_ns: int) -> Opportunity | Stopped | None:
        """Pass one pair through all gates; ``None`` where the other book is not there yet."""
        buy, sell = pair.buy, pair.sell
        asked, offered = buy.view, sell.view
        if asked is None or offered is None:
            return None
        rules = pair.rules
        if rules is None:
            return pair.blocked
        if not (buy.is_live and sell.is_live):
            return Stopped(Gate.BOOK_NOT_LIVE, (_trust(buy), _trust(sell)))
        oldest_ns = now_ns - self._age_ns_max
        if asked.ts_ns < oldest_ns or offered.ts_ns < oldest_ns:
            ages = ((now_ns - asked.ts_ns) // _MS, (now_ns - offered.ts_ns) // _MS)
            return Stopped(Gate.BOOK_AGE, ages)
        asks, bids = asked.asks, offered.bids
        costs, bid, ask = rules.costs, bids[0][0], asks[0][0]
        # Only where the best prices pay, which is rare: every level is looked at.
        if bid <= ask or bid * costs.sell_keep < ask * costs.buy_need:  # nearly always
            obstacle, edge_bps = obstacle_of(ask, bid, costs)
            return Stopped(OF_OBSTACLE[obstacle], (bid, ask), edge_bps)
        if not (are_levels(asks) and are_levels(bids)):
            return Stopped(Gate.BOOK_NOT_LIVE, (_trust(buy), _trust(sell)))
        found = take_crossed_depth(asks, bids, costs, notional_max=pair.notional_max)
        assert isinstance(found, CrossedDepth), "the best prices pay"
        if pair.opens_position:
            return Stopped(Gate.OPENS_POSITION, (bid, ask), found.edge_bps)
        if now_ns < pair.ts_cool_ns:
            return Stopped(Gate.COOLDOWN, ((pair.ts_cool_ns - now_ns) // _MS,), found.edge_bps)
        assert buy.rules is not None
        assert sell.rules is not None
        self._last = Crossed(asked, offered, buy.rules, sell.rules, rules, found)
        if self._inventory:
            offer = self._offer_within(pair, self._last, now_ns)
        else:
            offer = self._offer_of(self._last, now_ns)
        if isinstance(offer, Opportunity):
            pair.ts_cool_ns = now_ns + self._cooldown_ns
        return offer

    def take_inventory(self, told: InventoryTold) -> None:
        """Take in what venues hold: what pairs must earn follows it."""
        self._inventory.take(told)
        for books in self._books_of_base.values():
            for pair in (each for book in books for each in book.pairs if each.buy is book):
                skew_bps = self._inventory.first_bps(pair.taken, pair.brought)
                if skew_bps != pair.skew_bps:
                    pair.skew_bps = skew_bps
                    pair.refresh(self._edge_bps_min)

    def take_back(self, held: Output, now_ns: int) -> None:
        """Let the pair of an offer that was held back be offered again soon."""
        if not isinstance(held, Opportunity):
            return
        markets = [(leg.venue, leg.instrument) for leg in held.legs]
        book = self._books.get(markets[0])
        for pair in book.pairs if book is not None else ():
            if [pair.buy.market, pair.sell.market] == markets:
                pair.ts_cool_ns = min(pair.ts_cool_ns, now_ns + RETRY_NS)

    def offer_of_last(self, now_ns: int) -> Opportunity | Stopped | None:
        """Return what the last crossed books would be offered as; nothing is noted of it."""
        return None if self._last is None else self._offer_of(self._last, now_ns)

    def _offer_within(self, pair: Pair, crossed: Crossed, now_ns: int) -> Opportunity | Stopped:
        """Return an offer that leaves no venue below its band and pays for what it empties."""
        (buyer, seller), found = pair.taken, crossed.found
        cost = found.buy_worst * crossed.rules.costs.buy_cost
        most = min(self._inventory.spare(buyer) / cost, self._inventory.spare(seller))
        if most < SIZE_MIN:
            place = buyer if self._inventory.spare(buyer) / cost < SIZE_MIN else seller
            return Stopped(Gate.INVENTORY_BAND, self._inventory.told(place), found.edge_bps)
        if most < found.qty:
            again = take_crossed_depth(
                crossed.asked.asks,
                crossed.offered.bids,
                crossed.rules.costs,
                notional_max=pair.notional_max,
                qty_max=most,
            )
            assert isinstance(again, CrossedDepth), "a smaller size pays as well"
            crossed = crossed._replace(found=again)
        offer = self._offer_of(crossed, now_ns, min(0.0, pair.skew_bps))
        if isinstance(offer, Stopped):
            return offer
        skew, below = self._inventory.asks(offer)
        if below is not None:
            return Stopped(Gate.INVENTORY_BAND, self._inventory.told(below.place), found.edge_bps)
        needs = exact(self._edge_bps_min) + skew.net_bps
        if offer.edge_bps < needs:
            asked = (plain(needs), plain(skew.charge_bps), plain(skew.reward_bps))
            return Stopped(Gate.INVENTORY_EDGE, asked, float(offer.edge_bps))
        return offer

    def _offer_of(
        self, crossed: Crossed, now_ns: int, less_bps: float = 0.0
    ) -> Opportunity | Stopped:
        asked, offered, buy_rules, sell_rules, rules, found = crossed
        buys = Offer(asked, buy_rules, exact_levels(asked.asks, found.buy_levels))
        sells = Offer(offered, sell_rules, exact_levels(offered.bids, found.sell_levels))
        sizing = self._sizing_of.get(rules.quote, self._sizing)
        if less_bps:
            sizing = sizing._replace(edge_bps_min=sizing.edge_bps_min + exact(less_bps))
        qty = size_opportunity(buys, sells, rules.lot, found, sizing)
        if isinstance(qty, Stopped):
            return qty
        return build_opportunity(buys, sells, rules, qty, sizing, now_ns=now_ns)

    def _book(self, venue: str, instrument: str) -> Book | None:
        """Return the book, making it and its pairs at first sight; ``None`` beyond the bound."""
        book = self._books.get((venue, instrument))
        if book is not None:
            return book
        if len(self._books) >= BOOKS_MAX:
            self._refused["books_refused"] += 1
            return None
        try:
            book = Book(venue, instrument)
        except ValueError:  # no instrument's name
            self._refused["books_refused"] += 1
            return None
        others = self._books_of_base.setdefault(book.name.base, [])
        for other in others:
            if other.venue != venue:
                self._add_pair(book, other)
                self._add_pair(other, book)
        others.append(book)
        self._books[venue, instrument] = book
        return book

    def _add_pair(self, buy: Book, sell: Book) -> None:
        if self._pairs >= PAIRS_MAX:
            self._refused["pairs_refused"] += 1
            return
        markets = ((book.venue, book.instrument) for book in (buy, sell))
        sizing = self._sizing_of.get(buy.name.quote, self._sizing)
        pair = Pair(buy, sell, self._near_misses.route(*markets), float(sizing.notional_max))
        pair.refresh(self._edge_bps_min)
        self._pairs += 1
        buy.pairs.append(pair)
        sell.pairs.append(pair)


def _trust(book: Book) -> str:
    assert book.view is not None
    is_empty = book.view.state is _LIVE and not book.is_live
    return "EMPTY" if is_empty else book.view.state.value
