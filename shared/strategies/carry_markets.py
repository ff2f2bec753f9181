"""The pairs of a carry: their books, rates, costs and sizes, and how far liquidation is. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Final

from msgspec import Meta

from shared.domain.basis import Sides, executable_bases, takeable
from shared.domain.carry import CarryCost, fees_bps
from shared.domain.contracts import Contract
from shared.domain.funding import Below, Predicted
from shared.domain.instrument import InstrumentKind, is_spot, split_instrument
from shared.domain.margin import Isolated, distance_bps
from shared.domain.rounding import exact, is_enough, lot_common, qty_to_lot
from shared.messages.base import Side
from shared.messages.rounds import StrategyPosition
from shared.strategies.features.perp_rates import PerpRates, net_predicted
from shared.strategies.near_misses import NearMisses, Route, Stopped
from shared.strategies.port import Depth, Params
from shared.strategies.round_plans import KnownBook, Place, taken_side

BOOKS_MAX, PAIRS_MAX = 1_024, 256
"""Books, and pairs followed; more are refused and counted."""
FAR_BPS: Final = Decimal(1_000_000)
"""How far liquidation is where no price liquidates a position."""
_ZERO, _BPS = Decimal(0), Decimal(10_000)
_LINEAR = Contract(InstrumentKind.LINEAR)


class FundingCarryParams(Params, frozen=True, kw_only=True):
    """Empty venues and instruments stand for every one; rates are to us, of the notional.

    ``basis_credit_bps_max`` is how much of what the basis may bring counts against the cost: 0, for
    nothing owes us that it closes at ``close_basis_bps``; where it is open against us, it costs.
    ``margin_fraction`` is the margin of a perpetual as a share of its worth.
    """

    short_venue: str = ""
    short_instrument: str = ""
    long_venue: str = ""
    long_instrument: str = ""
    settled_count: Annotated[int, Meta(ge=1, le=512)] = 3
    enter_bps_per_hour: Annotated[float, Meta(ge=0, le=10_000)] = 0.25
    exit_bps_per_hour: Annotated[float, Meta(ge=-10_000, le=10_000)] = 0.05
    exit_count: Annotated[int, Meta(ge=1, le=512)] = 2
    flip_bps: Annotated[float, Meta(ge=0, le=10_000)] = 5.0
    hold_hours_max: Annotated[float, Meta(gt=0, le=100_000)] = 336.0
    apr_bps_min: Annotated[float, Meta(ge=0, le=1e9)] = 300.0
    borrow_apr_bps: Annotated[float, Meta(ge=0, le=100_000)] = 0.0
    guard_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 60_000
    close_basis_bps: Annotated[float, Meta(ge=-10_000, le=10_000)] = 0.0
    basis_credit_bps_max: Annotated[float, Meta(ge=0, le=10_000)] = 0.0
    slippage_bps_max: Annotated[float, Meta(ge=0, le=1_000)] = 3.0
    notional_quote_max: Annotated[float, Meta(gt=0, le=1e9)] = 5_000.0
    margin_fraction: Annotated[float, Meta(gt=0, le=10)] = 1.0
    maintenance_fraction: Annotated[float, Meta(ge=0, lt=1)] = 0.005
    distance_bps_min: Annotated[float, Meta(ge=0, le=9_999)] = 1_000.0
    book_age_ms_max: Annotated[int, Meta(ge=1, le=60_000)] = 1_000
    cooldown_ms: Annotated[int, Meta(ge=0, le=10**9)] = 60_000
    opportunity_ttl_ms: Annotated[int, Meta(ge=1, le=60_000)] = 500


class CarryPair:
    """A perpetual to be sold, and what is bought against it."""

    __slots__ = (
        "below",
        "long",
        "long_at",
        "pending_ns",
        "route",
        "short",
        "short_at",
        "ts_cool_ns",
    )

    def __init__(
        self, short: tuple[Place, KnownBook], long: tuple[Place, KnownBook], exit_rate: Decimal
    ) -> None:
        self.short_at, self.short = short
        self.long_at, self.long = long
        self.below = Below(exit_rate)
        self.route: Route | None = None
        self.ts_cool_ns = self.pending_ns = 0


class CarryMarkets:
    """What is known of every pair that is wanted."""

    def __init__(self, given: FundingCarryParams, near_misses: NearMisses) -> None:
        self._given, self._near_misses = given, near_misses
        self.books: dict[Place, KnownBook] = {}
        self.rates: dict[Place, PerpRates] = {}
        self.pairs: list[CarryPair] = []
        self.pairs_of: dict[Place, list[CarryPair]] = {}
        self.pairs_refused = 0

    def book(self, place: Place) -> KnownBook | None:
        """Return a book, making it and its pairs at first sight; ``None`` if it is not wanted."""
        book = self.books.get(place)
        if book is not None:
            return book
        try:
            name = split_instrument(place[1])
        except ValueError:  # no instrument's name
            return None
        if name.kind is InstrumentKind.INVERSE or len(self.books) >= BOOKS_MAX:
            return None
        book = self.books[place] = KnownBook()
        self.pairs_of[place] = []
        if name.kind is InstrumentKind.LINEAR:
            self.rates[place] = PerpRates()
        for other, known in list(self.books.items()):
            its = split_instrument(other[1])
            if other != place and (its.base, its.quote) == (name.base, name.quote):
                self._pair((place, book), (other, known))
                self._pair((other, known), (place, book))
        return book

    def _pair(self, short: tuple[Place, KnownBook], long: tuple[Place, KnownBook]) -> None:
        given = self._given
        is_wanted = Depth(given.short_venue, given.short_instrument).covers(*short[0]) and Depth(
            given.long_venue, given.long_instrument
        ).covers(*long[0])
        if is_spot(short[0][1]) or not is_wanted:
            return
        if len(self.pairs) >= PAIRS_MAX:
            self.pairs_refused += 1
            return
        pair = CarryPair(short, long, exact(given.exit_bps_per_hour) / _BPS)
        pair.route = self._near_misses.route(long[0], short[0])
        self.pairs.append(pair)
        for place in (short[0], long[0]):
            self.pairs_of[place].append(pair)

    # Rates

    def predicted(self, pair: CarryPair) -> Predicted | None:
        receive = self.rates[pair.short_at].predicted
        pay = self.paying(pair)
        if receive is None or (pay is None and pair.long_at in self.rates):
            return None
        return net_predicted(receive, pay)

    def paying(self, pair: CarryPair) -> Predicted | None:
        rates = self.rates.get(pair.long_at)
        return None if rates is None else rates.predicted

    def settled_per_hour(self, pair: CarryPair, now_ns: int) -> Decimal | None:
        count, pays = self._given.settled_count, self.rates.get(pair.long_at)
        received = self.rates[pair.short_at].settled_per_hour(count, now_ns)
        paid = _ZERO if pays is None else pays.settled_per_hour(count, now_ns)
        return None if received is None or paid is None else received - paid

    def pair_of(self, held: StrategyPosition) -> CarryPair | None:
        shorts = {(leg.venue, leg.instrument) for leg in held.legs if leg.qty < 0}
        longs = {(leg.venue, leg.instrument) for leg in held.legs if leg.qty > 0}
        found = (p for p in self.pairs if p.short_at in shorts and p.long_at in longs)
        return next(found, None)

    # Costs, size and margin

    def cost(self, pair: CarryPair, qty: Decimal) -> CarryCost | None:
        """Return what a round of this quantity costs; ``None`` where a side does not hold it."""
        given, (short, long) = self._given, (pair.short, pair.long)
        assert short.rules is not None
        assert long.rules is not None
        bases = executable_bases(_sides(long), _sides(short), qty, _LINEAR)
        if bases is None:
            return None
        opening_bps, closing_bps = bases.opening * _BPS, bases.closing * _BPS
        middle_bps = (opening_bps + closing_bps) / 2
        expected_bps = exact(given.close_basis_bps)
        credit_bps = min(middle_bps - expected_bps, exact(given.basis_credit_bps_max))
        return CarryCost(
            fees_bps=fees_bps(short.rules.taker_fee_bps, long.rules.taker_fee_bps),
            spreads_bps=closing_bps - opening_bps,
            open_basis_bps=expected_bps + credit_bps,
            close_basis_bps=expected_bps,
        )

    def size(self, pair: CarryPair) -> Decimal | Stopped:
        """Return what trades within ``slippage_bps_max`` of the best basis, as both accept it."""
        given, (short, long) = self._given, (pair.short, pair.long)
        assert short.view is not None and long.view is not None
        assert short.rules is not None and long.rules is not None
        asks, bids = taken_side(long.view, Side.BUY), taken_side(short.view, Side.SELL)
        if not (asks and bids):
            return Stopped("BOOK_NOT_LIVE", ("EMPTY", "EMPTY"))
        bound = bids[0][0] / asks[0][0] - 1 - exact(given.slippage_bps_max) / _BPS
        most = exact(given.notional_quote_max) / max(asks[0][0], bids[0][0])
        most = min([most, *(r.qty_max for r in (long.rules, short.rules) if r.qty_max is not None)])
        found = takeable(asks, bids, bound, at_least=True, qty_max=most)
        lot = lot_common(long.rules.lot_size, short.rules.lot_size)
        qty = qty_to_lot(found, lot)
        if qty <= 0:
            return Stopped("LOT", (found, lot))
        for rules, price in ((long.rules, asks[0][0]), (short.rules, bids[-1][0])):
            if not is_enough(rules, qty, price):
                return Stopped("NOTIONAL_MIN", (qty, price))
        return qty

    def distance_at_opening(self, pair: CarryPair, qty: Decimal) -> Decimal:
        assert pair.short.view is not None
        assert pair.long.view is not None
        found = [self.distance(-qty, exact(pair.short.view.bids[0][0]), pair.short)]
        if not is_spot(pair.long_at[1]):
            found.append(self.distance(qty, exact(pair.long.view.asks[0][0]), pair.long))
        return min(FAR_BPS if each is None else each for each in found)

    def distances(self, held: StrategyPosition) -> Iterator[Decimal]:
        """Return how far each perpetual that is held is from liquidation, where that is known."""
        for leg in held.legs:
            book = self.books.get((leg.venue, leg.instrument))
            if not leg.qty or is_spot(leg.instrument) or book is None or leg.entry is None:
                continue
            if book.view is None or not (book.view.bids and book.view.asks):
                continue
            found = self.distance(leg.qty, leg.entry, book)
            yield FAR_BPS if found is None else found

    def distance(self, qty: Decimal, entry: Decimal, book: KnownBook) -> Decimal | None:
        assert book.view is not None
        margin = abs(qty) * entry * exact(self._given.margin_fraction)
        kept = exact(self._given.maintenance_fraction)
        levels = book.view.asks if qty < 0 else book.view.bids
        return distance_bps(Isolated(_LINEAR, qty, entry, margin, kept), exact(levels[0][0]))


def _sides(book: KnownBook) -> Sides:
    assert book.view is not None
    return Sides(taken_side(book.view, Side.SELL), taken_side(book.view, Side.BUY))
