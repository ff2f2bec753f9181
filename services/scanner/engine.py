"""The scanner's decisions: depth views and instrument rules in, opportunities and near misses out.

Pure. Every view is compared, in both directions, with the books of the same base asset on the other
venues. What stops a comparison is counted per pair and gate and published as an aggregate, so the
stream of near misses is bounded whatever the tick rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from services.scanner.cross_venue import (
    DETECTOR,
    Offer,
    PairRules,
    Sizing,
    Stopped,
    build_opportunity,
    pair_rules,
    size_opportunity,
)
from services.scanner.gates import CONTEXT, OF_OBSTACLE, QUIET, Gate
from shared.config_sections import ScannerConfig
from shared.domain.depth import (
    SIZE_MAX,
    SIZE_MIN,
    Uncrossed,
    are_levels,
    exact_levels,
    take_crossed_depth,
)
from shared.domain.instrument import InstrumentKind, split_instrument
from shared.domain.rounding import exact
from shared.engine import NOTHING, EngineSpec, Result, Step
from shared.messages.arb import NearMiss, Opportunity
from shared.messages.base import BookState, Message
from shared.messages.market import DepthView, InstrumentInfo
from shared.messages.rules import InstrumentRules

BOOKS_MAX = 4_096
"""Books followed; more are refused and counted."""
PAIRS_MAX = 65_536
"""Directed pairs compared; more are refused and counted."""
NEAR_MISS_INTERVAL_NS = 1_000_000_000
"""Least time between two near misses of one pair and gate."""
NEAR_MISS_QUIET_INTERVAL_NS = 5_000_000_000
"""The same, for the gates that stop nearly every comparison."""
FLUSH_INTERVAL_NS = 500_000_000

_MS = 1_000_000


class _Miss:
    """Comparisons of one pair that one gate stopped since the last near miss was published."""

    __slots__ = ("count", "edge_bps_best", "ts_from_ns", "values")

    def __init__(self) -> None:
        self.count = 0
        self.edge_bps_best: float | None = None
        self.ts_from_ns = 0
        self.values: tuple[object, ...] = ()


class _Book:
    """The newest view of one book, its rules, and the pairs it takes part in."""

    __slots__ = ("instrument", "is_live", "name", "pairs", "rules", "venue", "view")

    def __init__(self, venue: str, instrument: str) -> None:
        self.venue, self.instrument = venue, instrument
        self.name = split_instrument(instrument)
        self.view: DepthView | None = None
        self.is_live = False  # LIVE with both sides present
        self.rules: InstrumentRules | None = None
        self.pairs: list[_Pair] = []


class _Pair:
    """A directed pair: buy on one book, sell on the other."""

    __slots__ = ("blocked", "buy", "misses", "opens_position", "rules", "sell", "ts_cool_ns")

    def __init__(self, buy: _Book, sell: _Book) -> None:
        self.buy, self.sell = buy, sell
        self.rules: PairRules | None = None
        self.ts_cool_ns = 0  # offered before; not again until then
        self.misses: dict[Gate, _Miss] = {}
        self.blocked: Stopped | None = None
        # A derivative bought or sold stays open until something closes it, and nothing does yet.
        kinds = (buy.name.kind, sell.name.kind)
        self.opens_position = any(kind is not InstrumentKind.SPOT for kind in kinds)

    def refresh(self, edge_bps_min: float) -> None:
        """Work out again what does not change from view to view."""
        buy, sell = self.buy, self.sell
        self.rules, self.blocked = None, None
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
            self.rules = pair_rules(buy.rules, sell.rules, edge_bps_min)


class _Totals(NamedTuple):
    """Counter names, so that a typing error cannot make a second counter."""

    depth_views: str = "depth_views"
    comparisons: str = "comparisons"
    opportunities: str = "opportunities"
    near_misses: str = "near_misses"
    books_refused: str = "books_refused"
    pairs_refused: str = "pairs_refused"


_T = _Totals()


class ScannerEngine:
    """Finds opportunities among the newest views of all books. See the module's first lines.

    Args:
        config: Edges, notionals (quote units), ages and cooldown.
    """

    def __init__(self, config: ScannerConfig) -> None:
        self._edge_bps_min, self._notional_max = config.edge_bps_min, config.notional_max
        self._sizing = Sizing(
            exact(config.edge_bps_min), exact(config.notional_max), config.opportunity_ttl_ms * _MS
        )
        self._age_ns_max = config.book_age_ms_max * _MS
        self._cooldown_ns = config.cooldown_ms * _MS
        self._books: dict[tuple[str, str], _Book] = {}
        self._books_of_base: dict[str, list[_Book]] = {}
        self._pairs: list[_Pair] = []
        self._ts_flush_ns: int | None = None
        self._counters: dict[str, int] = dict.fromkeys(_T, 0)
        self._gates: dict[Gate, int] = dict.fromkeys(Gate, 0)

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        """Nothing is saved: views and rules are repeated on the bus."""
        return NOTHING

    def checkpoints(self) -> Mapping[str, bytes]:
        """Nothing is saved."""
        return {}

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        """Take a view or an instrument's rules; return the opportunities it opens."""
        if isinstance(message, DepthView):
            found = self._on_depth_view(message, now_ns)
            return Step(messages=found) if found else NOTHING
        if isinstance(message, InstrumentInfo):
            self._on_instrument(message.rules)
        return NOTHING

    def on_timer(self, now_ns: int) -> Step:
        """Return the near misses whose window is over."""
        self._ts_flush_ns = None
        out: list[Message] = []
        for pair in self._pairs:
            for gate, miss in pair.misses.items():
                if not miss.count:
                    continue
                if now_ns - miss.ts_from_ns >= _interval_ns(gate):
                    out.append(_near_miss(pair, gate, miss, now_ns))
                    miss.count, miss.edge_bps_best = 0, None
                else:
                    self._ts_flush_ns = now_ns + FLUSH_INTERVAL_NS
        return Step(messages=out)

    def next_deadline_ns(self) -> int | None:
        """Return when ``on_timer`` has something to look at, or ``None``."""
        return self._ts_flush_ns

    def counters(self) -> Mapping[str, int]:
        """Return totals; ``near_misses_<GATE>`` counts comparisons, not messages."""
        gates = {f"near_misses_{gate}": count for gate, count in self._gates.items() if count}
        total = sum(self._gates.values())
        return {**self._counters, _T.near_misses: total, **gates}

    def gauges(self) -> Mapping[str, float]:
        """Return the books and directed pairs followed."""
        return {"books": len(self._books), "pairs": len(self._pairs)}

    def _on_instrument(self, rules: InstrumentRules) -> None:
        book = self._book(rules.venue, rules.instrument)
        if book is None or book.rules == rules:  # repeated every few seconds
            return
        book.rules = rules
        for pair in book.pairs:
            pair.refresh(self._edge_bps_min)

    def _on_depth_view(self, view: DepthView, now_ns: int) -> list[Message]:
        book = self._books.get((view.venue, view.instrument))
        if book is None:
            book = self._book(view.venue, view.instrument)
            if book is None:
                return []
        book.view = view
        book.is_live = view.state is BookState.LIVE and _has_prices(view)
        counters = self._counters
        counters[_T.depth_views] += 1
        counters[_T.comparisons] += len(book.pairs)
        out: list[Message] = []
        for pair in book.pairs:
            found = self._compare(pair, now_ns)
            if isinstance(found, Stopped):
                self._count_miss(pair, found, now_ns)
            elif found is not None:
                pair.ts_cool_ns = now_ns + self._cooldown_ns
                counters[_T.opportunities] += 1
                out.append(found)
        return out

    def _compare(self, pair: _Pair, now_ns: int) -> Opportunity | Stopped | None:
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
        if now_ns - asked.ts_ns > self._age_ns_max or now_ns - offered.ts_ns > self._age_ns_max:
            ages = ((now_ns - asked.ts_ns) // _MS, (now_ns - offered.ts_ns) // _MS)
            return Stopped(Gate.BOOK_AGE, ages)
        asks, bids = asked.asks, offered.bids
        # Only where they cross, which is rare: every level is looked at.
        if bids[0][0] > asks[0][0] and not (are_levels(asks) and are_levels(bids)):
            return Stopped(Gate.BOOK_NOT_LIVE, (_trust(buy), _trust(sell)))
        found = take_crossed_depth(asks, bids, rules.costs, notional_max=self._notional_max)
        if isinstance(found, Uncrossed):  # nearly always
            prices = (bids[0][0], asks[0][0])
            return Stopped(OF_OBSTACLE[found.obstacle], prices, found.edge_bps)
        if pair.opens_position:
            prices = (bids[0][0], asks[0][0])
            return Stopped(Gate.OPENS_POSITION, prices, found.edge_bps)
        if now_ns < pair.ts_cool_ns:
            return Stopped(Gate.COOLDOWN, ((pair.ts_cool_ns - now_ns) // _MS,), found.edge_bps)
        assert buy.rules is not None
        assert sell.rules is not None
        buys = Offer(asked, buy.rules, exact_levels(asks, found.buy_levels))
        sells = Offer(offered, sell.rules, exact_levels(bids, found.sell_levels))
        qty = size_opportunity(buys, sells, rules.lot, found, self._sizing)
        if isinstance(qty, Stopped):
            return qty
        return build_opportunity(buys, sells, rules, qty, self._sizing, now_ns=now_ns)

    def _count_miss(self, pair: _Pair, stopped: Stopped, now_ns: int) -> None:
        gate, edge = stopped.gate, stopped.edge_bps
        self._gates[gate] += 1
        miss = pair.misses.get(gate)
        if miss is None:
            miss = pair.misses[gate] = _Miss()
        if not miss.count:
            miss.ts_from_ns = now_ns
            if self._ts_flush_ns is None:
                self._ts_flush_ns = now_ns + FLUSH_INTERVAL_NS
        miss.count += 1
        miss.values = stopped.values
        if edge is not None and (miss.edge_bps_best is None or edge > miss.edge_bps_best):
            miss.edge_bps_best = edge

    def _book(self, venue: str, instrument: str) -> _Book | None:
        """Return the book, making it and its pairs at first sight; ``None`` beyond the bound."""
        book = self._books.get((venue, instrument))
        if book is not None:
            return book
        if len(self._books) >= BOOKS_MAX:
            self._counters[_T.books_refused] += 1
            return None
        try:
            book = _Book(venue, instrument)
        except ValueError:  # no instrument's name
            self._counters[_T.books_refused] += 1
            return None
        others = self._books_of_base.setdefault(book.name.base, [])
        for other in others:
            if other.venue != venue:
                self._add_pair(_Pair(book, other))
                self._add_pair(_Pair(other, book))
        others.append(book)
        self._books[venue, instrument] = book
        return book

    def _add_pair(self, pair: _Pair) -> None:
        if len(self._pairs) >= PAIRS_MAX:
            self._counters[_T.pairs_refused] += 1
            return
        pair.refresh(self._edge_bps_min)
        self._pairs.append(pair)
        pair.buy.pairs.append(pair)
        pair.sell.pairs.append(pair)


def _has_prices(view: DepthView) -> bool:
    """Tell whether both sides are there and begin with what can be a price."""
    bids, asks = view.bids, view.asks
    if not bids or not asks:
        return False
    return SIZE_MIN <= bids[0][0] <= SIZE_MAX and SIZE_MIN <= asks[0][0] <= SIZE_MAX


def _trust(book: _Book) -> str:
    assert book.view is not None
    is_empty = book.view.state is BookState.LIVE and not book.is_live
    return "EMPTY" if is_empty else book.view.state.value


def _interval_ns(gate: Gate) -> int:
    return NEAR_MISS_QUIET_INTERVAL_NS if gate in QUIET else NEAR_MISS_INTERVAL_NS


def _near_miss(pair: _Pair, gate: Gate, miss: _Miss, now_ns: int) -> NearMiss:
    return NearMiss(
        ts_ns=now_ns,
        detector=DETECTOR,
        buy_venue=pair.buy.venue,
        buy_instrument=pair.buy.instrument,
        sell_venue=pair.sell.venue,
        sell_instrument=pair.sell.instrument,
        gate=gate.value,
        count=miss.count,
        ts_from_ns=miss.ts_from_ns,
        edge_bps_best=miss.edge_bps_best,
        context=dict(zip(CONTEXT[gate], map(str, miss.values), strict=True)),
    )


ENGINE = EngineSpec(new=lambda config, given: ScannerEngine(config.scanner))
