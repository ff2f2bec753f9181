"""Pairs of a carry: books, rates, costs, sizes, and distance from liquidation. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Final

from msgspec import Meta

from shared.domain.basis import Sides, executable_bases, takeable
from shared.domain.carry import CarryCost, fees_bps
from shared.domain.contracts import Contract
from shared.domain.funding import Below, Predicted
from shared.domain.instrument import MarketKey, is_spot, split_instrument
from shared.domain.margin import Isolated, distance_bps
from shared.domain.quantities import is_inverse
from shared.domain.rounding import exact, is_enough
from shared.messages.base import Side
from shared.messages.rounds import StrategyPosition
from shared.strategies.features.perp_rates import PerpRates, net_predicted
from shared.strategies.near_misses import NearMisses, Stopped
from shared.strategies.port import Depth, Params
from shared.strategies.round_plans import KnownBook, hedged_sizes, taken_side
from shared.strategies.rounds import RoundMarkets, RoundPair

FAR_BPS: Final = Decimal(1_000_000)
"""How far liquidation is where no price liquidates a position."""
_ZERO, _BPS = Decimal(0), Decimal(10_000)


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


class CarryMarkets(RoundMarkets):
    """What is known of every pair that is wanted: the perpetual is sold, an inverse one too."""

    takes_inverse = True

    def __init__(self, given: FundingCarryParams, near_misses: NearMisses) -> None:
        bought = Depth(given.long_venue, given.long_instrument)
        super().__init__(near_misses, bought, Depth(given.short_venue, given.short_instrument))
        self._given = given
        self._exit_rate = exact(given.exit_bps_per_hour) / _BPS
        self.rates: dict[MarketKey, PerpRates] = {}
        self._below: dict[tuple[MarketKey, MarketKey], Below] = {}

    def book(self, market: MarketKey) -> KnownBook | None:
        """Return a book, making it, its rates and its pairs at first sight."""
        is_new = market not in self.books
        book = super().book(market)
        if book is not None and is_new and not is_spot(market[1]):
            self.rates[market] = PerpRates()
        return book

    def is_wanted(self, bought: MarketKey, sold: MarketKey) -> bool:
        """Tell whether the one is to be bought against the other: no inverse contract is bought."""
        return not is_inverse(bought[1]) and super().is_wanted(bought, sold)

    def below(self, pair: RoundPair) -> Below:
        """Return how many settlements in a row were predicted below what keeps it open."""
        key = pair.bought_at, pair.sold_at
        found = self._below.get(key)
        if found is None:
            found = self._below[key] = Below(self._exit_rate)
        return found

    # Rates

    def predicted(self, pair: RoundPair) -> Predicted | None:
        receive = self.rates[pair.sold_at].predicted
        pay = self.paying(pair)
        if receive is None or (pay is None and pair.bought_at in self.rates):
            return None
        return net_predicted(receive, pay)

    def paying(self, pair: RoundPair) -> Predicted | None:
        rates = self.rates.get(pair.bought_at)
        return None if rates is None else rates.predicted

    def settled_per_hour(self, pair: RoundPair, now_ns: int) -> Decimal | None:
        count, pays = self._given.settled_count, self.rates.get(pair.bought_at)
        received = self.rates[pair.sold_at].settled_per_hour(count, now_ns)
        paid = _ZERO if pays is None else pays.settled_per_hour(count, now_ns)
        return None if received is None or paid is None else received - paid

    def pair_of(self, held: StrategyPosition) -> RoundPair | None:
        shorts = {(leg.venue, leg.instrument) for leg in held.legs if leg.qty < 0}
        longs = {(leg.venue, leg.instrument) for leg in held.legs if leg.qty > 0}
        found = (p for p in self.pairs if p.sold_at in shorts and p.bought_at in longs)
        return next(found, None)

    # Costs, size and margin

    def cost(self, pair: RoundPair, qty: Decimal) -> CarryCost | None:
        """Return what a round of this quantity costs; ``None`` where a side does not hold it."""
        given, (short, long) = self._given, (pair.sold, pair.bought)
        assert short.rules is not None
        assert long.rules is not None
        contract = Contract(split_instrument(pair.sold_at[1]).kind)
        bases = executable_bases(_sides(long), _sides(short), qty, contract)
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

    def size(self, pair: RoundPair) -> tuple[Decimal, Decimal] | Stopped:
        """Return what trades within ``slippage_bps_max`` of the best basis, as both accept it.

        That is what is bought and what is sold, each in its instrument's own quantity.
        """
        given, (short, long) = self._given, (pair.sold, pair.bought)
        assert short.view is not None and long.view is not None
        assert short.rules is not None and long.rules is not None
        asks, bids = taken_side(long.view, Side.BUY), taken_side(short.view, Side.SELL)
        if not (asks and bids):
            return Stopped("BOOK_NOT_LIVE", ("EMPTY", "EMPTY"))
        bound = bids[0][0] / asks[0][0] - 1 - exact(given.slippage_bps_max) / _BPS
        contract = Contract(split_instrument(pair.sold_at[1]).kind)
        most = exact(given.notional_quote_max) / max(asks[0][0], bids[0][0])
        if long.rules.qty_max is not None:
            most = min(most, long.rules.qty_max)
        if short.rules.qty_max is not None:
            most = min(most, contract.base(short.rules.qty_max, bids[0][0]))
        found = takeable(asks, contract.in_base(bids), bound, at_least=True, qty_max=most)
        sized = hedged_sizes(found, long.rules, short.rules, bids)
        if sized is None:
            return Stopped("LOT", (found, max(long.rules.lot_size, short.rules.lot_size)))
        bought, sold = sized
        for rules, qty, price in (
            (long.rules, bought, asks[0][0]),
            (short.rules, sold, bids[-1][0]),
        ):
            if not is_enough(rules, qty, price):
                return Stopped("NOTIONAL_MIN", (qty, price))
        return sized

    def distance_at_opening(self, pair: RoundPair, sized: tuple[Decimal, Decimal]) -> Decimal:
        assert pair.sold.view is not None
        assert pair.bought.view is not None
        found = [self.distance(-sized[1], exact(pair.sold.view.bids[0][0]), pair.sold)]
        if not is_spot(pair.bought_at[1]):
            found.append(self.distance(sized[0], exact(pair.bought.view.asks[0][0]), pair.bought))
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
        contract = Contract(split_instrument(book.view.instrument).kind)
        margin = contract.settled(abs(qty), entry) * exact(self._given.margin_fraction)
        kept = exact(self._given.maintenance_fraction)
        levels = book.view.asks if qty < 0 else book.view.bids
        return distance_bps(Isolated(contract, qty, entry, margin, kept), exact(levels[0][0]))


def _sides(book: KnownBook) -> Sides:
    assert book.view is not None
    return Sides(taken_side(book.view, Side.SELL), taken_side(book.view, Side.BUY))
