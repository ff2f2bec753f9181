"""Buys spot and sells the perpetual where that is dearer, and undoes both later. Pure.

    open basis  = F_bid / S_ask - 1        opens at ``open_bps`` or more
    close basis = F_ask / S_bid - 1        closes at ``close_bps`` or less

Both at the prices the quantity would trade at. A perpetual never expires, so the basis need not
close: a round also ends by time (``held_hours_max``), and when its short comes near its
liquidation (``distance_bps_min``, for the margin stated). Thresholds closer together than what a
round costs are refused. What it holds, only risk says (``on_position``).

Against an inverse perpetual it sells as many contracts as pay, and buys the coins that they are at
the price they sell at, which hedge them at every price. Fees, funding and result are in coins.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, ClassVar

from msgspec import Meta

from shared.domain.basis import (
    Bases,
    BasisLimits,
    LegFees,
    Move,
    Sides,
    decide_held,
    executable_bases,
    round_trip_cost_bps,
    takeable,
    threshold_problem,
)
from shared.domain.contracts import Contract
from shared.domain.instrument import MarketKey, is_spot, split_instrument
from shared.domain.margin import Isolated, distance_bps
from shared.domain.quantities import base_of
from shared.domain.rounding import exact, is_enough
from shared.messages.base import Side
from shared.messages.rounds import RoundLeg, StrategyPosition
from shared.strategies.demo import Demo
from shared.strategies.near_misses import Stopped
from shared.strategies.port import Depth, Params
from shared.strategies.round_plans import (
    Wanted,
    hedged_sizes,
    is_uneven,
    taken_side,
)
from shared.strategies.rounds import RoundMarkets, RoundPair, RoundStrategy, RoundTiming

_ZERO, _ONE_BP = Decimal(0), Decimal("0.0001")
_MS, _HOUR_MS = 1_000_000, 3_600_000


DEMO = Demo(
    params={"open_bps": 40.0, "close_bps": 4.0, "held_hours_max": 0.0125},  # 45 s
    more_markets=True,  # dollars, against which an inverse perpetual is quoted
    more_venues=True,  # the one that has it
    premium_bps=90.0,
)


class SpotPerpBasisParams(Params, frozen=True, kw_only=True):
    """Empty venues and instruments stand for every one. Fees are those expected of each trade.

    ``margin_fraction`` is the margin of the short as a share of its worth, ``maintenance_fraction``
    what of it must be kept.
    """

    spot_venue: str = ""
    spot_instrument: str = ""
    perp_venue: str = ""
    perp_instrument: str = ""
    open_bps: Annotated[float, Meta(ge=-1_000, le=100_000)] = 50.0
    close_bps: Annotated[float, Meta(ge=-100_000, le=100_000)] = 0.0
    notional_quote_max: Annotated[float, Meta(gt=0, le=1e9)] = 5_000.0
    spot_fee_bps: Annotated[float, Meta(ge=0, le=1_000)] = 10.0
    perp_fee_bps: Annotated[float, Meta(ge=0, le=1_000)] = 5.0
    slippage_bps: Annotated[float, Meta(ge=0, le=1_000)] = 4.0
    held_hours_max: Annotated[float, Meta(gt=0, le=100_000)] = 72.0
    margin_fraction: Annotated[float, Meta(gt=0, le=10)] = 1.0
    maintenance_fraction: Annotated[float, Meta(ge=0, le=1)] = 0.005
    distance_bps_min: Annotated[float, Meta(ge=0, le=10_000)] = 1_000.0
    book_age_ms_max: Annotated[int, Meta(ge=1, le=60_000)] = 1_000
    cooldown_ms: Annotated[int, Meta(ge=0, le=10**9)] = 5_000
    opportunity_ttl_ms: Annotated[int, Meta(ge=1, le=60_000)] = 500


class _Markets(RoundMarkets):
    """Pairs of which spot is bought."""

    takes_inverse = True

    def is_wanted(self, bought: MarketKey, sold: MarketKey) -> bool:
        """Tell whether the one is spot that is to be bought against the other."""
        return is_spot(bought[1]) and super().is_wanted(bought, sold)


class SpotPerpBasis(RoundStrategy[SpotPerpBasisParams]):
    """See the module's first lines."""

    gates: ClassVar = {
        "BASIS": ("open_bps", "needs_bps"),
        "COSTS": ("cost_bps", "earns_bps"),
        **RoundStrategy.gates,
    }

    def set_up(self) -> None:
        """Begin without books; refuse thresholds that cannot earn what a round costs."""
        given = self.params
        fees = LegFees(exact(given.spot_fee_bps), exact(given.perp_fee_bps))
        self._slippage_bps = exact(given.slippage_bps)
        self._limits = BasisLimits(
            exact(given.open_bps),
            exact(given.close_bps),
            round(given.held_hours_max * _HOUR_MS),
            exact(given.distance_bps_min),
        )
        cost_bps = round_trip_cost_bps(fees, self._slippage_bps)
        if problem := threshold_problem(self._limits.enter_bps, self._limits.exit_bps, cost_bps):
            raise ValueError(problem)
        spot = Depth(given.spot_venue, given.spot_instrument)
        perp = Depth(given.perp_venue, given.perp_instrument)
        self.begin(
            _Markets(self.near_misses, spot, perp),
            RoundTiming(
                given.book_age_ms_max,
                given.cooldown_ms,
                given.opportunity_ttl_ms,
                self._limits.held_ms_max,
            ),
        )

    def inputs(self) -> Sequence[Depth]:
        """Return both books, or all."""
        given = self.params
        spot = Depth(given.spot_venue, given.spot_instrument)
        return tuple(dict.fromkeys((spot, Depth(given.perp_venue, given.perp_instrument))))

    # Opening

    def look(self, pair: RoundPair, now_ns: int) -> Stopped | float:
        """Return the basis at the best prices, or what of it or of the costs opens nothing."""
        given = self.params
        (spot, of_spot), (perp, of_perp) = pair.bought.known(), pair.sold.known()
        here_bps = (perp.bids[0][0] / spot.asks[0][0] - 1) * 1e4
        if here_bps < given.open_bps:  # nearly always
            return Stopped("BASIS", (round(here_bps, 2), given.open_bps), here_bps)
        fees = LegFees(of_spot.taker_fee_bps, of_perp.taker_fee_bps)
        cost_bps = round_trip_cost_bps(fees, self._slippage_bps)
        earns_bps = self._limits.enter_bps - self._limits.exit_bps
        if cost_bps > earns_bps:
            return Stopped("COSTS", (cost_bps, earns_bps), here_bps)
        return here_bps

    def orders(self, pair: RoundPair, now_ns: int) -> Sequence[Wanted] | Stopped:
        """Return both orders of what pays to the last unit."""
        found = _size(pair, self._limits, self.params.notional_quote_max)
        return found if isinstance(found, Stopped) else pair.orders(*found)

    # Closing

    def is_due(self, held: StrategyPosition, now_ns: int) -> bool:
        """Tell whether basis, time or margin end a round, or the venue took a leg away."""
        if is_uneven(held, self.markets.books):
            return True
        decision = decide_held(
            self._bases(held, now_ns),
            self._limits,
            ts_opened_ns=held.ts_opened_ns,
            now_ns=now_ns,
            distance_bps=self._distance_bps(held),
        )
        return decision.move is Move.CLOSE

    def _bases(self, held: StrategyPosition, now_ns: int) -> Bases | None:
        """Return both bases at what the round holds; ``None`` where its books do not price it."""
        spot, perp = _leg(held, is_perp=False), _leg(held, is_perp=True)
        if spot is None or perp is None:
            return None
        sides: list[Sides] = []
        for market, _ in (spot, perp):
            book = self.markets.books.get(market)
            if book is None or not book.is_live(now_ns, self.params.book_age_ms_max):
                return None
            assert book.view is not None
            sides.append(Sides(taken_side(book.view, Side.SELL), taken_side(book.view, Side.BUY)))
        (_, instrument), contracts = perp
        entry = next((leg.entry for leg in held.legs if _market_of(leg) == perp[0]), None)
        if not entry:
            return None
        qty = min(abs(spot[1]), base_of(instrument, abs(contracts), entry))
        contract = Contract(split_instrument(instrument).kind)
        return executable_bases(sides[0], sides[1], qty, contract) if qty else None

    def _distance_bps(self, held: StrategyPosition) -> Decimal | None:
        """Return how far its short is from liquidation, with the margin stated."""
        perp = _leg(held, is_perp=True)
        book = self.markets.books.get(perp[0]) if perp else None
        entry = next((leg.entry for leg in held.legs if perp and _market_of(leg) == perp[0]), None)
        if perp is None or book is None or book.view is None or not book.view.asks or not entry:
            return None
        (_, instrument), qty = perp
        contract = Contract(split_instrument(instrument).kind)
        margin = contract.settled(abs(qty), entry) * exact(self.params.margin_fraction)
        kept = exact(self.params.maintenance_fraction)
        position = Isolated(contract, qty, entry, margin, kept)
        return distance_bps(position, exact(book.view.asks[0][0]))


def _size(
    pair: RoundPair, limits: BasisLimits, notional_max: float
) -> tuple[Decimal, Decimal] | Stopped:
    """Return what pays to the last unit, as both venues accept it: of spot and the perpetual."""
    (spot, of_spot), (perp, of_perp) = pair.bought.known(), pair.sold.known()
    asks, bids = taken_side(spot, Side.BUY), taken_side(perp, Side.SELL)
    if not (asks and bids):
        return Stopped("BOOK_NOT_LIVE", ("EMPTY", "EMPTY"))
    bound = limits.enter_bps * _ONE_BP
    contract = Contract(split_instrument(perp.instrument).kind)
    most = exact(notional_max) / max(asks[0][0], bids[0][0])
    if of_spot.qty_max is not None:
        most = min(most, of_spot.qty_max)
    if of_perp.qty_max is not None:
        most = min(most, contract.base(of_perp.qty_max, bids[0][0]))
    found = takeable(asks, contract.in_base(bids), bound, at_least=True, qty_max=most)
    sized = hedged_sizes(found, of_spot, of_perp, bids)
    if sized is None:
        return Stopped("LOT", (found, max(of_spot.lot_size, of_perp.lot_size)))
    for rules, qty, price in ((of_spot, sized[0], asks[0][0]), (of_perp, sized[1], bids[-1][0])):
        if not is_enough(rules, qty, price):
            return Stopped("NOTIONAL_MIN", (qty, price))
    return sized


def _market_of(leg: RoundLeg) -> MarketKey:
    return leg.venue, leg.instrument


def _leg(held: StrategyPosition, *, is_perp: bool) -> tuple[MarketKey, Decimal] | None:
    """Return where a round holds most of its spot or its perpetual, and how much."""
    legs = [leg for leg in held.legs if leg.qty and is_spot(leg.instrument) is not is_perp]
    if not legs:
        return None
    most = max(legs, key=lambda leg: abs(leg.qty))
    return _market_of(most), most.qty
