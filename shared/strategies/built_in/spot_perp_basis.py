"""Buys spot and sells the perpetual where that is dearer, and undoes both later. Pure.

    open basis  = F_bid / S_ask - 1        opens at ``open_bps`` or more
    close basis = F_ask / S_bid - 1        closes at ``close_bps`` or less

Both at what the quantity would trade at. A perpetual never expires, so nothing owes us that the
basis closes: a round also ends by time (``held_hours_max``), and when its short comes near its
liquidation (``distance_bps_min``, for the margin stated). Thresholds closer together than what a
round costs are refused. What it holds, only risk says (``on_position``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from shared.domain.instrument import InstrumentKind, split_instrument
from shared.domain.margin import Isolated, distance_bps
from shared.domain.rounding import exact, is_enough, lot_common, qty_to_lot
from shared.messages.arb import Opportunity
from shared.messages.base import Side
from shared.messages.market import DepthView
from shared.messages.rounds import Intent, RoundLeg, RoundState, StrategyPosition
from shared.messages.rules import InstrumentRules
from shared.strategies.demo import Demo
from shared.strategies.near_misses import NearMisses, Route, Stopped
from shared.strategies.port import Depth, Params, Strategy
from shared.strategies.round_plans import (
    KnownBook,
    Place,
    RoundTerms,
    Wanted,
    close_round,
    is_uneven,
    plan_round,
    taken_side,
)

BOOKS_MAX, PAIRS_MAX = 1_024, 256
"""Books, and pairs of spot and perpetual followed; more are refused and counted."""
PENDING_NS = 3_000_000_000
"""After an offer without a word of risk about its round, the next one may be made."""
_ZERO, _ONE_BP = Decimal(0), Decimal("0.0001")
_MS, _HOUR_MS = 1_000_000, 3_600_000
_LINEAR = Contract(InstrumentKind.LINEAR)


DEMO = Demo(params={"open_bps": 40.0, "close_bps": 4.0}, premium_bps=90.0)


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


class _Pair:
    """Spot and perpetual of one base and quote asset."""

    __slots__ = ("pending_ns", "perp", "perp_at", "route", "spot", "spot_at", "ts_cool_ns")

    def __init__(self, spot: tuple[Place, KnownBook], perp: tuple[Place, KnownBook]) -> None:
        self.spot_at, self.spot = spot
        self.perp_at, self.perp = perp
        self.route: Route | None = None
        self.ts_cool_ns = self.pending_ns = 0


class _Markets:
    """The books that are wanted, and their pairs."""

    def __init__(self, given: SpotPerpBasisParams, near_misses: NearMisses) -> None:
        self._given, self._near_misses = given, near_misses
        self.books: dict[Place, KnownBook] = {}
        self.pairs_of: dict[Place, list[_Pair]] = {}
        self.pairs: list[_Pair] = []
        self.refused = 0

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
        given = self._given
        book = self.books[place] = KnownBook()
        self.pairs_of[place] = []
        for other, known in list(self.books.items()):
            its = split_instrument(other[1])
            if (its.base, its.quote) != (name.base, name.quote) or its.kind is name.kind:
                continue
            is_spot = name.kind is InstrumentKind.SPOT
            spot, perp = ((place, book), (other, known))[:: 1 if is_spot else -1]
            if Depth(given.spot_venue, given.spot_instrument).covers(*spot[0]) and Depth(
                given.perp_venue, given.perp_instrument
            ).covers(*perp[0]):
                self._add(_Pair(spot, perp))
        return book

    def _add(self, pair: _Pair) -> None:
        if len(self.pairs) >= PAIRS_MAX:
            self.refused += 1
            return
        pair.route = self._near_misses.route(pair.spot_at, pair.perp_at)
        self.pairs.append(pair)
        for place in (pair.spot_at, pair.perp_at):
            self.pairs_of[place].append(pair)


class SpotPerpBasis(Strategy[SpotPerpBasisParams]):
    """See the module's first lines."""

    gates: ClassVar = {
        "BASIS": ("open_bps", "needs_bps"),
        "COSTS": ("cost_bps", "earns_bps"),
        "HELD": ("round",),
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
        self._markets = _Markets(given, self.near_misses)
        self._rounds: dict[str, StrategyPosition] = {}
        self._tried_ns: dict[str, int] = {}
        self._counts = {"opens": 0, "closes": 0}
        self._next_ns = 0

    def inputs(self) -> Sequence[Depth]:
        """Return both books, or all."""
        given = self.params
        spot = Depth(given.spot_venue, given.spot_instrument)
        return tuple(dict.fromkeys((spot, Depth(given.perp_venue, given.perp_instrument))))

    def on_rules(self, rules: InstrumentRules, now_ns: int) -> Sequence[Opportunity]:
        """Note what an instrument's orders must look like, and what they cost."""
        book = self._markets.book((rules.venue, rules.instrument))
        if book is not None:
            book.rules = rules
        return ()

    def on_depth(self, view: DepthView, now_ns: int) -> Sequence[Opportunity]:
        """Look at the pairs and rounds of a book."""
        place = view.venue, view.instrument
        book = self._markets.book(place)
        if book is None:
            return ()
        book.view = view
        out: list[Opportunity] = []
        for pair in self._markets.pairs_of[place]:
            held = self._round_of(pair)
            found = self._close(held, now_ns) if held else self._open(pair, now_ns)
            if isinstance(found, Stopped):
                assert pair.route is not None
                self.near_misses.count(pair.route, found, now_ns)
            elif found is not None:
                out.append(found)
        return out

    def on_position(self, position: StrategyPosition, now_ns: int) -> Sequence[Opportunity]:
        """Take what risk says about a round."""
        if position.state is RoundState.CLOSED:
            if self._rounds.pop(position.round_id, None) is not None:
                self._cool(position, now_ns)
            self._tried_ns.pop(position.round_id, None)
        else:
            self._rounds[position.round_id] = position
        return ()

    def on_timer(self, now_ns: int) -> Sequence[Opportunity]:
        """Look at every round: time passes without views, too."""
        self._next_ns = now_ns + 1_000 * _MS
        found = [self._close(held, now_ns) for held in self._rounds.values()]
        return [each for each in found if isinstance(each, Opportunity)]

    def next_deadline_ns(self) -> int | None:
        """Every second while a round is open."""
        return self._next_ns if self._rounds else None

    def counters(self) -> Mapping[str, int]:
        """Return offers to open and to close, and pairs beyond the bound."""
        return {**self._counts, "pairs_refused": self._markets.refused}

    def gauges(self) -> Mapping[str, float]:
        """Return pairs and open rounds."""
        return {"pairs": len(self._markets.pairs), "rounds": len(self._rounds)}

    # Opening

    def _open(self, pair: _Pair, now_ns: int) -> Opportunity | Stopped | None:
        given, spot, perp = self.params, pair.spot, pair.perp
        if spot.rules is None or perp.rules is None:
            return Stopped("NO_RULES", (spot.rules is not None, perp.rules is not None))
        are_live = [book.is_live(now_ns, given.book_age_ms_max) for book in (spot, perp)]
        if not all(are_live):
            return Stopped("BOOK_NOT_LIVE", tuple("LIVE" if live else "NOT" for live in are_live))
        assert spot.view is not None
        assert perp.view is not None
        here_bps = (perp.view.bids[0][0] / spot.view.asks[0][0] - 1) * 1e4
        if here_bps < given.open_bps:  # nearly always
            return Stopped("BASIS", (round(here_bps, 2), given.open_bps), here_bps)
        fees = LegFees(spot.rules.taker_fee_bps, perp.rules.taker_fee_bps)
        cost_bps = round_trip_cost_bps(fees, self._slippage_bps)
        earns_bps = self._limits.enter_bps - self._limits.exit_bps
        if cost_bps > earns_bps:
            return Stopped("COSTS", (cost_bps, earns_bps), here_bps)
        left_ns = max(pair.ts_cool_ns, pair.pending_ns) - now_ns
        if left_ns > 0:
            return Stopped("COOLDOWN", (left_ns // _MS,), here_bps)
        qty = _size(pair, spot.view, perp.view, self._limits, given.notional_quote_max)
        if isinstance(qty, Stopped):
            return qty
        orders = [
            Wanted(spot.view, spot.rules, Side.BUY, qty),
            Wanted(perp.view, perp.rules, Side.SELL, qty),
        ]
        base = split_instrument(spot.view.instrument).base
        terms = RoundTerms(
            self.id,
            f"{base}.{pair.spot_at[0]}.{pair.perp_at[0]}.{now_ns // _MS}",
            Intent.OPEN,
            given.opportunity_ttl_ms,
            self._limits.held_ms_max,
        )
        found = plan_round(terms, orders, now_ns)
        if found is not None:
            pair.pending_ns = now_ns + PENDING_NS
            self._counts["opens"] += 1
        return found

    # Closing

    def _close(self, held: StrategyPosition, now_ns: int) -> Opportunity | Stopped | None:
        """Close a round whose basis, time or margin says so; nothing while a plan is in flight."""
        if held.state not in {RoundState.OPEN, RoundState.HALTED}:
            return Stopped("HELD", (held.round_id,))
        if not (is_uneven(held, self._markets.books) or self._is_due(held, now_ns)):
            return Stopped("HELD", (held.round_id,))
        if now_ns < self._tried_ns.get(held.round_id, 0):
            return Stopped("HELD", (held.round_id,))
        age_ms_max, ttl_ms = self.params.book_age_ms_max, self.params.opportunity_ttl_ms
        found = close_round(held, self._markets.books, now_ns, age_ms_max=age_ms_max, ttl_ms=ttl_ms)
        if found is not None:
            self._tried_ns[held.round_id] = now_ns + ttl_ms * _MS
            self._counts["closes"] += 1
        return found

    def _is_due(self, held: StrategyPosition, now_ns: int) -> bool:
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
        for place, _ in (spot, perp):
            book = self._markets.books.get(place)
            if book is None or not book.is_live(now_ns, self.params.book_age_ms_max):
                return None
            assert book.view is not None
            sides.append(Sides(taken_side(book.view, Side.SELL), taken_side(book.view, Side.BUY)))
        qty = min(abs(spot[1]), abs(perp[1]))
        return executable_bases(sides[0], sides[1], qty, _LINEAR) if qty else None

    def _distance_bps(self, held: StrategyPosition) -> Decimal | None:
        """Return how far its short is from liquidation, with the margin stated."""
        perp = _leg(held, is_perp=True)
        book = self._markets.books.get(perp[0]) if perp else None
        entry = next((leg.entry for leg in held.legs if perp and _place(leg) == perp[0]), None)
        if perp is None or book is None or book.view is None or not book.view.asks or not entry:
            return None
        qty = perp[1]
        margin = abs(qty) * entry * exact(self.params.margin_fraction)
        kept = exact(self.params.maintenance_fraction)
        position = Isolated(_LINEAR, qty, entry, margin, kept)
        return distance_bps(position, exact(book.view.asks[0][0]))

    # What is known

    def _cool(self, position: StrategyPosition, now_ns: int) -> None:
        for pair in self._markets.pairs:
            if pair.perp_at in {_place(leg) for leg in position.legs} or not position.legs:
                pair.ts_cool_ns = now_ns + self.params.cooldown_ms * _MS
                pair.pending_ns = 0

    def _round_of(self, pair: _Pair) -> StrategyPosition | None:
        """Return the round that a pair holds; one whose legs are not there yet holds every pair."""
        for held in self._rounds.values():
            if not held.legs or pair.perp_at in {_place(leg) for leg in held.legs}:
                return held
        return None


def _size(
    pair: _Pair, spot: DepthView, perp: DepthView, limits: BasisLimits, notional_max: float
) -> Decimal | Stopped:
    """Return what pays to the last unit, as both venues accept it."""
    of_spot, of_perp = pair.spot.rules, pair.perp.rules
    assert of_spot is not None
    assert of_perp is not None
    asks, bids = taken_side(spot, Side.BUY), taken_side(perp, Side.SELL)
    if not (asks and bids):
        return Stopped("BOOK_NOT_LIVE", ("EMPTY", "EMPTY"))
    bound = limits.enter_bps * _ONE_BP
    most = exact(notional_max) / max(asks[0][0], bids[0][0])
    most = min([most, *(r.qty_max for r in (of_spot, of_perp) if r.qty_max is not None)])
    found = takeable(asks, bids, bound, at_least=True, qty_max=most)
    lot = lot_common(of_spot.lot_size, of_perp.lot_size)
    qty = qty_to_lot(found, lot)
    if qty <= 0:
        return Stopped("LOT", (found, lot))
    for rules, price in ((of_spot, asks[0][0]), (of_perp, bids[-1][0])):
        if not is_enough(rules, qty, price):
            return Stopped("NOTIONAL_MIN", (qty, price))
    return qty


def _place(leg: RoundLeg) -> Place:
    return leg.venue, leg.instrument


def _leg(held: StrategyPosition, *, is_perp: bool) -> tuple[Place, Decimal] | None:
    """Return where a round holds most of its spot or its perpetual, and how much."""
    kind = InstrumentKind.LINEAR if is_perp else InstrumentKind.SPOT
    legs = [leg for leg in held.legs if leg.qty and split_instrument(leg.instrument).kind is kind]
    if not legs:
        return None
    most = max(legs, key=lambda leg: abs(leg.qty))
    return _place(most), most.qty
