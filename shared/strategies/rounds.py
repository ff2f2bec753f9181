"""Base of strategies that buy one market against another, hold both, and undo it later. Pure.

Common to all of them are: books and rules, the pairing of markets, the first checks of an opening,
positions as risk reports them, the timer that looks at open rounds, closing, counters. A strategy
defines what stops an opening (``look``), its orders (``orders``) and when a round is to be closed
(``is_due``); docs/strategies.md shows one.

Positions come from risk alone (``on_position``), also after a restart: none is remembered here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import ClassVar, NamedTuple, TypeVar

from shared.domain.instrument import InstrumentKind, MarketKey, is_spot, split_instrument
from shared.messages.arb import Opportunity
from shared.messages.base import Side
from shared.messages.market import DepthView
from shared.messages.rounds import Intent, RoundState, StrategyPosition
from shared.messages.rules import InstrumentRules
from shared.strategies.near_misses import NearMisses, Route, Stopped
from shared.strategies.port import RETRY_NS, Depth, Output, Params, Strategy
from shared.strategies.round_plans import (
    KnownBook,
    RoundTerms,
    Wanted,
    close_round,
    plan_round,
)

BOOKS_MAX, PAIRS_MAX = 1_024, 256
"""Books, and pairs followed; more are refused and counted."""
PENDING_NS = 3_000_000_000
"""After an offer without a word of risk about its round, the next one may be made."""
LOOK_NS = 1_000_000_000
"""Between two looks at the open rounds where no view comes."""
CAN_CLOSE = frozenset((RoundState.OPEN, RoundState.HALTED))
"""States of a round of which no plan is in flight."""
_MS = 1_000_000


class RoundPair:
    """A market to buy and one to sell against it, of the same base and quote asset.

    A round that holds something at ``sold_at`` is this pair's, and keeps another from opening.
    """

    __slots__ = ("bought", "bought_at", "pending_ns", "route", "sold", "sold_at", "ts_cool_ns")

    def __init__(
        self, bought: tuple[MarketKey, KnownBook], sold: tuple[MarketKey, KnownBook], route: Route
    ) -> None:
        self.bought_at, self.bought = bought
        self.sold_at, self.sold = sold
        self.route = route
        self.ts_cool_ns = self.pending_ns = 0

    def orders(self, qty: Decimal, sold: Decimal | None = None) -> list[Wanted]:
        """Return the orders that buy and sell a quantity; both books and rules were seen.

        ``sold`` is what to sell where that is not as much: quote units of an inverse contract.
        """
        return [
            Wanted(*self.bought.known(), Side.BUY, qty),
            Wanted(*self.sold.known(), Side.SELL, qty if sold is None else sold),
        ]


class RoundMarkets:
    """The books that are wanted, and their pairs: what is sold is a derivative.

    Inverse ones only where ``takes_inverse``: their quantity is another one than what they hedge.

    Args:
        near_misses: The strategy's own; every pair is a route there.
        bought: Where may be bought; empty is everywhere.
        sold: Where may be sold.
    """

    takes_inverse: ClassVar[bool] = False

    def __init__(self, near_misses: NearMisses, bought: Depth, sold: Depth) -> None:
        self._near_misses, self._bought, self._sold = near_misses, bought, sold
        self.books: dict[MarketKey, KnownBook] = {}
        self.pairs: list[RoundPair] = []
        self.pairs_of: dict[MarketKey, list[RoundPair]] = {}
        self.pairs_refused = 0

    def book(self, market: MarketKey) -> KnownBook | None:
        """Return a book, making it and its pairs at first sight; ``None`` if it is not wanted."""
        book = self.books.get(market)
        if book is not None:
            return book
        try:
            name = split_instrument(market[1])
        except ValueError:  # no instrument's name
            return None
        is_taken = self.takes_inverse or name.kind is not InstrumentKind.INVERSE
        if not is_taken or len(self.books) >= BOOKS_MAX:
            return None
        book = self.books[market] = KnownBook()
        self.pairs_of[market] = []
        for other, known in list(self.books.items()):
            its = split_instrument(other[1])
            if other != market and (its.base, its.quote) == (name.base, name.quote):
                self._add(bought=(other, known), sold=(market, book))
                self._add(bought=(market, book), sold=(other, known))
        return book

    def is_wanted(self, bought: MarketKey, sold: MarketKey) -> bool:
        """Tell whether the one is to be bought against the other."""
        return not is_spot(sold[1]) and self._bought.covers(*bought) and self._sold.covers(*sold)

    def _add(
        self, *, bought: tuple[MarketKey, KnownBook], sold: tuple[MarketKey, KnownBook]
    ) -> None:
        if not self.is_wanted(bought[0], sold[0]):
            return
        if len(self.pairs) >= PAIRS_MAX:
            self.pairs_refused += 1
            return
        pair = RoundPair(bought, sold, self._near_misses.route(bought[0], sold[0]))
        self.pairs.append(pair)
        for market in (bought[0], sold[0]):
            self.pairs_of[market].append(pair)


class RoundTiming(NamedTuple):
    """The ages and pauses of a strategy.

    Attributes:
        book_age_ms_max: Of a view that prices anything.
        cooldown_ms: From the end of a round to the next one of its pair.
        ttl_ms: From an offer to its expiry.
        held_ms_max: How long a round is meant to be held; risk and ``arb status`` are told.
    """

    book_age_ms_max: int
    cooldown_ms: int
    ttl_ms: int
    held_ms_max: int


P = TypeVar("P", bound=Params)


class RoundStrategy(Strategy[P]):
    """See the module's first lines; ``set_up`` ends with ``begin``."""

    gates: ClassVar[Mapping[str, tuple[str, ...]]] = {"HELD": ("round",)}

    def begin(self, markets: RoundMarkets, timing: RoundTiming) -> None:
        """Set which markets belong together, and the ages and pauses."""
        self.markets, self.timing = markets, timing
        self.rounds: dict[str, StrategyPosition] = {}
        self._tried_ns: dict[str, int] = {}
        self._counts = {"opens": 0, "closes": 0}
        self._next_ns = 0

    # What a strategy says

    def look(self, pair: RoundPair, now_ns: int) -> Stopped | float | None:
        """Return what stops an opening, before its size is worked out, or the edge if known."""
        return None

    def orders(self, pair: RoundPair, now_ns: int) -> Sequence[Wanted] | Stopped:
        """Return what would open a round in these two live books, or what stops it."""
        raise NotImplementedError(f"{type(self).__name__} has no orders()")

    def explained(self, pair: RoundPair, found: Opportunity, now_ns: int) -> Opportunity:
        """Return an opening with what else the strategy expects of it."""
        return found

    def is_due(self, held: StrategyPosition, now_ns: int) -> bool:
        """Tell whether to close a round of which no plan is in flight."""
        raise NotImplementedError(f"{type(self).__name__} has no is_due()")

    def horizon_ms(self) -> int:
        """Return how long a round is meant to be held."""
        return self.timing.held_ms_max

    # What happens

    def on_rules(self, rules: InstrumentRules, now_ns: int) -> Sequence[Opportunity]:
        """Note what an instrument's orders must look like, and what they cost."""
        book = self.markets.book((rules.venue, rules.instrument))
        if book is not None:
            book.rules = rules
        return ()

    def on_depth(self, view: DepthView, now_ns: int) -> Sequence[Opportunity]:
        """Look at the pairs of a book, and at what they hold."""
        market = view.venue, view.instrument
        book = self.markets.book(market)
        if book is None:
            return ()
        book.view = view
        out: list[Opportunity] = []
        for pair in self.markets.pairs_of[market]:
            held = self._round_of(pair)
            found = self._close(held, now_ns) if held else self._open(pair, now_ns)
            if isinstance(found, Opportunity):
                out.append(found)
            elif found is not None:
                self.near_misses.count(pair.route, found, now_ns)
        return out

    def on_position(self, position: StrategyPosition, now_ns: int) -> Sequence[Opportunity]:
        """Take risk's report of a round."""
        if position.state is not RoundState.CLOSED:
            self.rounds[position.round_id] = position
            return ()
        self._tried_ns.pop(position.round_id, None)
        if self.rounds.pop(position.round_id, None) is not None:
            traded = {(leg.venue, leg.instrument) for leg in position.legs}
            for pair in self.markets.pairs:
                if not traded or pair.sold_at in traded:
                    pair.ts_cool_ns = now_ns + self.timing.cooldown_ms * _MS
                    pair.pending_ns = 0
        return ()

    def on_held_back(self, held: Output, now_ns: int) -> None:
        """Let a pair whose opening was held back be offered again soon."""
        if isinstance(held, Opportunity) and held.intent is Intent.OPEN:
            traded = {(leg.venue, leg.instrument) for leg in held.legs}
            for pair in self.markets.pairs:
                if traded == {pair.bought_at, pair.sold_at}:
                    pair.pending_ns = min(pair.pending_ns, now_ns + RETRY_NS)

    def on_timer(self, now_ns: int) -> Sequence[Opportunity]:
        """Look at every round: time passes without views, too."""
        self._next_ns = now_ns + LOOK_NS
        found = [self._close(held, now_ns) for held in self.rounds.values()]
        return [each for each in found if isinstance(each, Opportunity)]

    def next_deadline_ns(self) -> int | None:
        """Every second while a round is open."""
        return self._next_ns if self.rounds else None

    def counters(self) -> Mapping[str, int]:
        """Return offers to open and to close, and pairs beyond the bound."""
        return {**self._counts, "pairs_refused": self.markets.pairs_refused}

    def gauges(self) -> Mapping[str, float]:
        """Return pairs and open rounds."""
        return {"pairs": len(self.markets.pairs), "rounds": len(self.rounds)}

    def _open(self, pair: RoundPair, now_ns: int) -> Opportunity | Stopped | None:
        books, timing = (pair.bought, pair.sold), self.timing
        if any(book.rules is None for book in books):
            return Stopped("NO_RULES", tuple(book.rules is not None for book in books))
        are_live = [book.is_live(now_ns, timing.book_age_ms_max) for book in books]
        if not all(are_live):
            return Stopped("BOOK_NOT_LIVE", tuple("LIVE" if live else "NOT" for live in are_live))
        edge_bps = self.look(pair, now_ns)
        if isinstance(edge_bps, Stopped):  # nearly always
            return edge_bps
        left_ns = max(pair.ts_cool_ns, pair.pending_ns) - now_ns
        if left_ns > 0:
            return Stopped("COOLDOWN", (left_ns // _MS,), edge_bps)
        orders = self.orders(pair, now_ns)
        if isinstance(orders, Stopped):
            return orders
        base = split_instrument(pair.sold_at[1]).base
        round_id = f"{base}.{pair.bought_at[0]}.{pair.sold_at[0]}.{now_ns // _MS}"
        terms = RoundTerms(self.id, round_id, Intent.OPEN, timing.ttl_ms, timing.held_ms_max)
        found = plan_round(terms, orders, now_ns)
        if found is not None:
            pair.pending_ns = now_ns + PENDING_NS
            self._counts["opens"] += 1
            return self.explained(pair, found, now_ns)
        return None

    def _close(self, held: StrategyPosition, now_ns: int) -> Opportunity | Stopped | None:
        """Close a round that is due; nothing while a plan of it is in flight."""
        is_early = now_ns < self._tried_ns.get(held.round_id, 0)
        if held.state not in CAN_CLOSE or is_early or not self.is_due(held, now_ns):
            return Stopped("HELD", (held.round_id,))
        age_ms_max, ttl_ms = self.timing.book_age_ms_max, self.timing.ttl_ms
        found = close_round(held, self.markets.books, now_ns, age_ms_max=age_ms_max, ttl_ms=ttl_ms)
        if found is not None:
            self._tried_ns[held.round_id] = now_ns + ttl_ms * _MS
            self._counts["closes"] += 1
        return found

    def _round_of(self, pair: RoundPair) -> StrategyPosition | None:
        """Return the round that a pair holds; one whose legs are not told yet holds every pair."""
        for held in self.rounds.values():
            if not held.legs or pair.sold_at in {(leg.venue, leg.instrument) for leg in held.legs}:
                return held
        return None
