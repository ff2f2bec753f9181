"""Trades cycles of markets on each venue that bring in more than they take. Pure.

All legs go out at once, from inventory; see docs/strategies/triangular.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, ClassVar

from msgspec import Meta

from shared.domain.cycles import Cycle, CycleBoard, Cycles, Market, Paying, enumerate_cycles
from shared.domain.fees import ONE_BP
from shared.domain.path import Outcome, best_outcome
from shared.domain.rounding import exact
from shared.messages.arb import Opportunity
from shared.messages.base import Side
from shared.messages.market import DepthView
from shared.messages.rules import InstrumentRules
from shared.strategies.demo import Demo
from shared.strategies.gates import Gate
from shared.strategies.misses import Misses
from shared.strategies.near_misses import ROUTES_MAX, NearMisses, Stopped
from shared.strategies.path_books import PathBook, PathBooks, fees_bps, newest_age_ms, oldest_age_ms
from shared.strategies.path_plans import PathFlaw, Publisher, plan_path, steps_of
from shared.strategies.port import RETRY_NS, Output, Params, Strategy

DEMO = Demo(
    params={
        "is_buy_fee_in_base": False,
        "notional_quote_max": 5_000.0,
        "slack_bps": 2.0,
        "apart_ms_max": 45,
    },
    more_markets=True,
)
SETTLE_NS = 1_000_000_000
"""Cycles are enumerated once no new market has come for so long."""
CYCLES_MAX = 8_192
"""Of one venue: as many as can be listed without holding the scanner up."""
_MS = 1_000_000


class TriangularParams(Params, frozen=True, kw_only=True):
    """What is watched, and what counts."""

    start_asset: str = "USDT"
    legs_count_max: Annotated[int, Meta(ge=3, le=5)] = 3
    edge_bps_min: Annotated[float, Meta(ge=-1_000, le=1_000)] = 2.0
    watch_bps_min: Annotated[float, Meta(ge=-10_000, le=1_000)] = -30.0
    notional_quote_max: Annotated[float, Meta(gt=0, le=1e15)] = 10_000.0
    book_age_ms_max: Annotated[int, Meta(ge=1, le=10**12)] = 2_000
    is_buy_fee_in_base: bool = True
    cooldown_ms: Annotated[int, Meta(ge=0, le=10**9)] = 1_000
    ttl_ms: Annotated[int, Meta(ge=1, le=10**6)] = 500
    apart_ms_max: Annotated[int, Meta(ge=0, le=10**9)] = 250
    slack_bps: Annotated[float, Meta(ge=0, le=100)] = 0.0
    miss_fraction: Annotated[float, Meta(ge=0, le=0.9)] = 0.25
    miss_drift_bps: Annotated[float, Meta(ge=0, le=1_000)] = 5.0


class _Way:
    """One cycle one way round, begun at the start asset, and where its near misses are counted.

    It is not offered again before ``ts_cool_ns``.
    """

    __slots__ = ("assets", "books", "route", "sides", "ts_cool_ns")

    def __init__(self, cycle: Cycle, books: Sequence[PathBook], near_misses: NearMisses) -> None:
        self.books = [books[leg.market] for leg in cycle.legs]
        self.sides = [leg.side for leg in cycle.legs]
        self.assets = "-".join((*cycle.assets, cycle.assets[0]))
        self.route = near_misses.route(self.books[0].market, self.books[-1].market)
        self.ts_cool_ns = 0

    @property
    def steps(self) -> list[tuple[str, str, Side]]:
        """Venue, instrument and side of each order."""
        return [(*book.market, side) for book, side in zip(self.books, self.sides, strict=True)]


class _Venue:
    """The cycles of one venue."""

    __slots__ = ("board", "books", "cycles", "is_whole", "numbers", "ways")

    def __init__(self, books: Sequence[PathBook], found: Cycles) -> None:
        self.books, self.cycles, self.board = books, found.cycles, CycleBoard(found)
        self.is_whole = found.is_whole
        self.numbers = {book.number: number for number, book in enumerate(books)}
        self.ways: dict[tuple[int, bool], _Way] = {}


class Triangular(Strategy[TriangularParams]):
    """See the module's first lines."""

    gates: ClassVar = {
        "CYCLE_LOSES": ("assets",),
        "CYCLE_EDGE_MIN": ("assets",),
        "CYCLE_MISSES": ("assets", "needs_bps"),
        "CYCLE_AGE": ("assets", "age_ms"),
        "CYCLE_APART": ("assets", "apart_ms"),
        "CYCLE_LOTS": ("assets",),
        **{f"CYCLE_{flaw}": ("assets",) for flaw in PathFlaw},
    }

    def set_up(self) -> None:
        """Begin without markets."""
        given = self.params
        self._books = PathBooks()
        self._venues: dict[str, _Venue] = {}
        self._due_ns: int | None = None
        self._evaluated = self._ways = self._refused = 0
        self._watch = 1.0 + given.watch_bps_min / 1e4
        self._least = 1.0 + given.edge_bps_min / 1e4
        self._misses = Misses(given.miss_fraction, given.miss_drift_bps)
        self._amount_max = exact(given.notional_quote_max)
        self._publisher = Publisher(self.id, given.ttl_ms * _MS, exact(given.slack_bps) * ONE_BP)

    def on_rules(self, rules: InstrumentRules, now_ns: int) -> Sequence[Opportunity]:
        """Note a market; its cycles are looked for once the list has settled."""
        book = self._books.take_rules(rules)
        if book is None:
            return ()
        venue = self._venues.get(book.venue)
        if venue is None or book.number not in venue.numbers:
            self._due_ns = now_ns + SETTLE_NS
        return ()

    def next_deadline_ns(self) -> int | None:
        """Return when cycles are to be enumerated."""
        return self._due_ns

    def on_timer(self, now_ns: int) -> Sequence[Opportunity]:
        """Enumerate the cycles of all venues."""
        if self._due_ns is None or now_ns < self._due_ns:
            return ()
        self._due_ns = None
        by_venue: dict[str, list[PathBook]] = {}
        for book in self._books.all():
            if book.rules is not None:
                by_venue.setdefault(book.venue, []).append(book)
        for name, books in by_venue.items():
            before = self._venues.get(name)
            if before is not None:
                if len(before.books) == len(books):
                    continue
                self._evaluated += before.board.evaluations
            found = enumerate_cycles(
                [Market(*book.market) for book in books],
                legs_max=self.params.legs_count_max,
                cycles_max=CYCLES_MAX,
                through=self.params.start_asset,
            )
            venue = self._venues[name] = _Venue(books, found)
            for book in books:
                self._price(venue, book)
        return ()

    def on_depth(self, view: DepthView, now_ns: int) -> Sequence[Opportunity]:
        """Look at the cycles that a view's market is in."""
        book = self._books.take_view(view)
        if book is None:
            return ()
        venue = self._venues.get(view.venue)
        if venue is None or book.number not in venue.numbers:
            return ()
        out: list[Opportunity] = []
        for paying in self._price(venue, book):
            way = self._way(venue, paying)
            if way is None:
                continue
            found = self._look(venue, way, paying.product, now_ns)
            if isinstance(found, Opportunity):
                out.append(found)
            else:
                self.near_misses.count(way.route, found, now_ns)
        return out

    def on_held_back(self, held: Output, now_ns: int) -> None:
        """Let the way be offered again soon."""
        if not isinstance(held, Opportunity):
            return
        venue = self._venues.get(held.legs[0].venue)
        for way in venue.ways.values() if venue is not None else ():
            if way.steps == steps_of(held):
                way.ts_cool_ns = min(way.ts_cool_ns, now_ns + RETRY_NS)

    def counters(self) -> Mapping[str, int]:
        """Return products worked out, and what was refused beyond bounds."""
        now = sum(venue.board.evaluations for venue in self._venues.values())
        return {
            "evaluations": self._evaluated + now,
            "books_refused": self._books.refused,
            "ways_refused": self._refused,
        }

    def gauges(self) -> Mapping[str, float]:
        """Return what is watched."""
        return {
            "books": len(self._books),
            "cycles": sum(len(venue.cycles) for venue in self._venues.values()),
            "venues_cut": sum(not venue.is_whole for venue in self._venues.values()),
        }

    def _price(self, venue: _Venue, book: PathBook) -> Sequence[Paying]:
        """Note a market's best prices, and return the ways that are worth a look."""
        number = venue.numbers[book.number]
        if not book.is_live:
            venue.board.forget(number)
            return ()
        bid, ask = book.best(Side.SELL), book.best(Side.BUY)
        return venue.board.update(number, bid, ask, book.fee, least=self._watch)

    def _way(self, venue: _Venue, found: Paying) -> _Way | None:
        """Return the way, making it and its route at first sight; ``None`` beyond the bound."""
        key = found.cycle, found.is_backwards
        way = venue.ways.get(key)
        if way is None:
            if self._ways >= ROUTES_MAX:
                self._refused += 1
                return None
            cycle = venue.cycles[found.cycle]
            if found.is_backwards:
                cycle = cycle.backwards()
            way = venue.ways[key] = _Way(cycle, venue.books, self.near_misses)
            self._ways += 1
        return way

    def _look(self, venue: _Venue, way: _Way, product: float, now_ns: int) -> Opportunity | Stopped:
        """Return what a way whose best prices give ``product`` comes to, or what stops it."""
        edge_bps = (product - 1.0) * 1e4

        def stopped(gate: str, *values: object) -> Stopped:
            return Stopped(
                gate, values, edge_bps, fees_bps(edge_bps, zip(way.books, way.sides, strict=True))
            )

        if product < self._least:
            gate = "CYCLE_LOSES" if product < 1.0 else "CYCLE_EDGE_MIN"
            return stopped(gate, way.assets)
        needs_bps = self._misses.needs_bps(way.books, self.params.edge_bps_min)
        if edge_bps < needs_bps:
            return stopped("CYCLE_MISSES", way.assets, needs_bps)
        age_ms = oldest_age_ms(way.books, now_ns)
        if age_ms > self.params.book_age_ms_max:
            return stopped("CYCLE_AGE", way.assets, age_ms)
        apart_ms = age_ms - newest_age_ms(way.books, now_ns)
        if apart_ms > self.params.apart_ms_max:
            return stopped("CYCLE_APART", way.assets, apart_ms)
        if now_ns < way.ts_cool_ns:
            return stopped(Gate.COOLDOWN, (way.ts_cool_ns - now_ns) // _MS)
        found = self._sized(way, 1 + needs_bps * ONE_BP)
        if found is None or found.edge_bps < needs_bps:
            return stopped("CYCLE_LOTS", way.assets)
        plan = plan_path(
            list(zip(way.books, way.sides, strict=True)),
            found,
            _ways_back(way, venue.books),
            self.params.start_asset,
            self._publisher,
            is_buy_fee_in_base=self.params.is_buy_fee_in_base,
            now_ns=now_ns,
        )
        if isinstance(plan, PathFlaw):
            return stopped(f"CYCLE_{plan}", way.assets)
        way.ts_cool_ns = now_ns + self.params.cooldown_ms * _MS
        return plan

    def _sized(self, way: _Way, need: Decimal) -> Outcome | None:
        legs = []
        for book, side in zip(way.books, way.sides, strict=True):
            leg = book.leg(side, is_buy_fee_in_base=self.params.is_buy_fee_in_base)
            if leg is None:
                return None
            legs.append(leg)
        return best_outcome(legs, need, self._amount_max)


def _ways_back(way: _Way, books: Sequence[PathBook]) -> Iterator[PathBook]:
    """Yield books that may price what is on the way: its own first, then the venue's others."""
    yield from way.books
    if len(way.books) > 3:
        yield from books
