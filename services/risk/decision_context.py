"""An opportunity before risk, with everything the rules need to judge it. Pure.

Limits hold per quote asset: dollars and tethers are not added up. Spot inventory that moved from
one venue to another is not exposure (what is owned is the same, and balances bound it); positions
in perpetuals are, and so is every base unit that is not hedged.

Values that several rules need are computed once per decision, or once per instrument if they never
change: decisions are urgent, and so rare that their code is no longer in the processor's caches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from services.risk.exposure import ZERO, Ledger
from services.risk.reservations import ReservedLeg, reserve_leg
from services.risk.rounds import Round
from shared.config_limits import RiskConfig
from shared.domain.accounting import holding_place
from shared.domain.asset_paths import ONE, Stake, flow_of, stake_of
from shared.domain.depth import is_size
from shared.domain.instrument import InstrumentKind, MarketKey, split_instrument
from shared.domain.plan_cost import ExpectedLeg, expected_cost, loss_cap_of
from shared.domain.quantities import base_of, is_inverse, worth_of
from shared.domain.rounding import exact, lot_in_base
from shared.domain.windows import Window
from shared.messages.arb import Opportunity, OpportunityLeg
from shared.messages.base import Side, TradingState
from shared.messages.market import DepthView
from shared.messages.rounds import Intent
from shared.messages.rules import InstrumentRules
from shared.messages.terms import InventoryCost, LegPolicy

if TYPE_CHECKING:
    from services.risk.inventory_limits import InventoryLimits

_BUY: Final = Side.BUY
_INSTANT: Final = Intent.INSTANT
_CLOSE: Final = Intent.CLOSE
_CONCURRENT: Final = LegPolicy.CONCURRENT
_SEQUENTIAL: Final = LegPolicy.SEQUENTIAL
_MAKER_TAKER: Final = LegPolicy.MAKER_TAKER


class VenueMarket(NamedTuple):
    """What the key of a position says: ``venue|instrument``, and the instrument's parts.

    ``text`` is how a denial names the book.
    """

    key: str
    text: str
    book: MarketKey
    venue: str
    base: str
    quote: str
    is_spot: bool
    is_linear: bool
    is_inverse: bool


@lru_cache(maxsize=65_536)
def market_of(key: str) -> VenueMarket:
    """Return the parts of ``venue|instrument``.

    Raises:
        ValueError: The instrument's name is malformed.
    """
    venue, _, instrument = key.partition("|")
    name = split_instrument(instrument)
    return VenueMarket(
        key=key,
        text=f"{venue} {instrument}",
        book=(venue, instrument),
        venue=venue,
        base=name.base,
        quote=name.quote,
        is_spot=name.kind is InstrumentKind.SPOT,
        is_linear=name.kind is InstrumentKind.LINEAR,
        is_inverse=name.kind is InstrumentKind.INVERSE,
    )


class LegContext:
    """A leg as offered, and what rules ask of it. Notionals and prices are in quote units.

    ``price`` is the dearer of its limit and its expected price, ``position`` what is left there to
    be reduced (``Ledger.position_left``), ``reserved`` what the leg may use. ``price_counted`` is
    where inverse contracts count as coins: their entry where it closes some, else what is expected.
    ``base_qty`` is its quantity in base units.
    """

    __slots__ = (
        "base_qty",
        "market",
        "offered",
        "position",
        "price",
        "price_counted",
        "reserved",
    )

    def __init__(
        self, leg: OpportunityLeg, ledger: Ledger, inverse_entries: Mapping[MarketKey, Decimal]
    ) -> None:
        market = market_of(f"{leg.venue}|{leg.instrument}")
        price = max(leg.price_limit, leg.price_avg)
        self.offered, self.market, self.price = leg, market, price
        self.position = ZERO if market.is_spot else ledger.position_left(leg)
        self.price_counted = leg.price_avg
        if inverse_entries:
            self.price_counted = inverse_entries.get(market.book) or leg.price_avg
        if market.is_inverse:
            self.base_qty = base_of(leg.instrument, leg.qty, self.price_counted)
            notional = leg.qty
        else:
            self.base_qty, notional = leg.qty, leg.qty * price
        self.reserved = reserve_leg(leg, notional, self.position)


@dataclass(slots=True, kw_only=True)
class DecisionContext:
    """An opportunity and everything it is judged by. ``venues`` are those that may be traded,
    ``venues_down`` what of them the executor sends nothing to, with its reason. ``directional_max``
    is what its strategy may hold by single legs, ``strategy_max`` in all (0: any), in quote units.
    ``config`` are the limits in its quote asset, where ``has_limits``. ``wants_sequence``,
    ``wants_resting`` and ``hedge_deadline_ms`` are what its strategy asks for its plans,
    ``maintenance`` the windows of venues that have some, ``same_books`` those that are further
    accounts at another one, ``inventory`` what they should hold, where that is kept to.

    What stands below ``rules`` is there after ``look_up_legs``: the legs, and what they would
    reserve; the notional at stake if only the dearer side trades; the base units that they
    bring in together, and those that the round leaves unhedged before; what hedging or unwinding
    the plan may cost, in quote units; what the assets of a plan of several are worth in its quote
    asset, these and those of the plans in flight that are in it too, and what is at stake; the legs
    of the plans in flight; the positions in these quote assets; and, as rules work them out, the
    dearest prices and the worst notionals by key of their market, and what inventory will cost.
    """

    opportunity: Opportunity
    now_ns: int
    config: RiskConfig
    ledger: Ledger
    state: TradingState
    state_reason: str
    executor_obstacle: str
    venues: frozenset[str]
    venues_down: Mapping[str, str]
    views: Mapping[MarketKey, DepthView]
    rules: Mapping[MarketKey, InstrumentRules]
    directional_max: Decimal = ZERO
    strategy_max: Decimal = ZERO
    has_limits: bool = True
    wants_sequence: bool = False
    wants_resting: bool = False
    hedge_deadline_ms: int = 0
    maintenance: Mapping[str, Sequence[Window]] = field(default_factory=dict)
    same_books: Mapping[str, str] = field(default_factory=dict)
    inventory: InventoryLimits | None = None
    legs: list[LegContext] = field(init=False)
    reserved: list[ReservedLeg] = field(init=False)
    notional: Decimal = field(init=False)
    net: Decimal = field(init=False)
    opening: Decimal = field(init=False)
    cost: Decimal = field(init=False)
    loss_cap: Decimal = field(init=False)
    held: list[ReservedLeg] = field(init=False)
    positions: list[tuple[VenueMarket, Decimal]] = field(init=False)
    marks: dict[str, Decimal] = field(init=False)
    worst: dict[str, Decimal] = field(init=False)
    values: dict[str, Decimal] = field(init=False)
    worths: dict[str, Decimal] = field(init=False)
    inverse_entries: dict[MarketKey, Decimal] = field(init=False)
    stake: Stake | None = None
    inventory_cost: InventoryCost | None = None

    @property
    def round(self) -> Round | None:
        """The round that it opens or closes, where risk knows it."""
        found = self.opportunity
        return self.ledger.rounds.get(found.strategy_id, found.round_id)

    @property
    def is_directional(self) -> bool:
        """Whether it changes a position by one leg, which nothing hedges."""
        found = self.opportunity
        return found.intent is not _INSTANT and len(found.legs) == 1

    @property
    def policy(self) -> LegPolicy:
        """In which order its legs go: one after the other only where that are two of one asset."""
        found = self.opportunity
        if found.resting is not None:
            return _MAKER_TAKER
        in_turn = self.wants_sequence and len(found.legs) == 2 and not found.values
        return _SEQUENTIAL if in_turn else _CONCURRENT

    @property
    def evening_cap(self) -> Decimal:
        """What evening its plan out may cost, without the cash that a round is expected to cost."""
        most = self.config.plan_loss_max if self.has_limits else ZERO  # of another asset's limits
        return loss_cap_of(self.notional, self.config.loss_cap_bps, most)

    def value_of(self, asset: str) -> Decimal:
        """What a unit of an asset counts in the opportunity's quote asset."""
        return ONE if asset == self.opportunity.quote else self.worths[asset]

    def counts(self, quote: str) -> bool:
        """Tell whether amounts in a quote asset can be compared with those of the opportunity."""
        return quote == self.opportunity.quote or quote in self.worths

    def free_position(self, leg: OpportunityLeg) -> Decimal:
        """Net base units in the leg's instrument that no round holds."""
        return self.position(leg) - self.ledger.rounds.held_on(f"{leg.venue}|{leg.instrument}")

    def position(self, leg: OpportunityLeg) -> Decimal:
        """Net base units in the leg's instrument, once plans in flight on its side have filled."""
        return self.ledger.position_left(leg)

    def _entries_of_round(self) -> dict[MarketKey, Decimal]:
        """Return the entry of each inverse contract that its round holds."""
        entries: dict[MarketKey, Decimal] = {}
        if (known := self.round) is None:
            return entries
        for key in known.held:
            place = holding_place(key)
            if is_inverse(place[1]) and key in known.books.holdings:
                entries[place] = known.books.holdings[key].inverse_entry or ZERO
        return entries

    def look_up_legs(self) -> None:
        """Work out what the rules on limits ask; the opportunity must be well formed."""
        ledger, quote = self.ledger, self.opportunity.quote
        self.legs, self.reserved = [], []
        self.values = {each.asset: each.price for each in self.opportunity.values}
        bought = sold = net = ZERO
        closes = self.opportunity.intent is _CLOSE
        self.inverse_entries = entries = self._entries_of_round() if closes else {}
        for offered in self.opportunity.legs:
            leg = LegContext(offered, ledger, entries)
            self.legs.append(leg)
            self.reserved.append(leg.reserved)
            if offered.side is _BUY:
                bought += leg.reserved.notional
                net += leg.base_qty
            else:
                sold += leg.reserved.notional
                net -= leg.base_qty
        self.notional, self.net = max(bought, sold), net
        self._look_up_round()
        if self.values:
            self.stake = path_stake(self.opportunity, self.values)
            self.notional = self.stake.notional
        self.loss_cap = self.evening_cap + self.cost
        self.held, self.worths = [], {}
        for plan in ledger.reservations.values():
            self.held += plan.legs
            if plan.values and plan.quote == quote:
                self.worths |= plan.values
        self.worths |= self.values
        self.positions = []
        for key, position in ledger.positions.items():
            market = market_of(key)
            if self.counts(market.quote):
                self.positions.append((market, position))
        self.marks, self.worst = {}, {}

    def _look_up_round(self) -> None:
        self.opening = self.cost = ZERO
        found = self.opportunity
        if found.intent is _INSTANT:
            return
        if found.intent is _CLOSE and not self.is_directional and self.round is not None:
            self.opening = self.round.net
        legs = (
            ExpectedLeg(leg.offered.side, leg.base_qty, leg.offered.price_avg, leg.offered.fee_bps)
            for leg in self.legs
        )
        self.cost = expected_cost(legs, self.opening)


def open_exposure(context: DecisionContext) -> Decimal:
    """Return open exposure over all base assets that were traded against this quote asset.

    Per asset the larger of what is not hedged and the gross of its perpetual positions.
    """
    total = ZERO
    gross: dict[str, Decimal] = {}
    in_quote: dict[str, Decimal] = {}
    price: dict[str, Decimal] = {}
    for market, position in context.positions:
        if market.quote != context.opportunity.quote:
            continue
        base = market.base
        price[base] = max(price.get(base, ZERO), mark_of(context, market))
        if market.is_linear:
            gross[base] = gross.get(base, ZERO) + abs(position)
        elif not market.is_spot:
            in_quote[base] = in_quote.get(base, ZERO) + abs(position)
    for base, mark in price.items():
        net = abs(context.ledger.exposure.get(base, ZERO))
        total += max(net * mark, gross.get(base, ZERO) * mark + in_quote.get(base, ZERO))
    return total


def mark_of(context: DecisionContext, market: VenueMarket) -> Decimal:
    """The dearest price known: of the last fill, the view's best ask, or this plan's legs."""
    mark = context.marks.get(market.key)
    if mark is None:
        mark = context.ledger.prices.get(market.key, ZERO)
        view = context.views.get(market.book)
        if view is not None and view.asks and is_size(view.asks[0][0]):
            mark = max(mark, exact(view.asks[0][0]))
        for leg in context.legs:
            if leg.market.key == market.key:
                mark = max(mark, leg.price)
        context.marks[market.key] = mark
    return mark


def markets_of(context: DecisionContext, venue: str) -> list[VenueMarket]:
    """Return a venue's markets in this quote asset with a position, reservation or leg."""
    markets: dict[str, VenueMarket] = {}
    for market, _ in context.positions:
        if market.venue == venue:
            markets[market.key] = market
    for held in context.held:
        if held.terms.venue == venue:
            market = market_of(f"{venue}|{held.terms.instrument}")
            if context.counts(market.quote):
                markets[market.key] = market
    for leg in context.legs:
        if leg.market.venue == venue:
            markets[leg.market.key] = leg.market
    return list(markets.values())


def worst_with_plan(context: DecisionContext, market: VenueMarket) -> Decimal:
    """Return a market's notional if the worst of its reservations and of this plan fills."""
    worst = context.worst.get(market.key)
    if worst is None:
        worst = context.worst[market.key] = worst_notional(context, market, context.reserved)
    return worst


def worst_notional(
    context: DecisionContext, market: VenueMarket, legs: Sequence[ReservedLeg] = ()
) -> Decimal:
    """Return a market's notional if the worst of its reservations and ``legs`` fills."""
    venue, instrument = market.book
    notional = buys = sells = ZERO
    for leg in (*context.held, *legs):
        terms = leg.terms
        if terms.instrument != instrument or terms.venue != venue:
            continue
        notional += leg.notional
        if terms.side is _BUY:
            buys += terms.qty
        else:
            sells += terms.qty
    value = context.value_of(market.quote)
    if market.is_spot:
        return notional * value
    position = context.ledger.positions.get(market.key, ZERO)
    worst = max(abs(position), abs(position + buys), abs(position - sells))
    return worth_of(instrument, worst, mark_of(context, market)) * value


def coarsest_lot(context: DecisionContext) -> Decimal:
    """Return the largest lot of the legs' instruments in base units."""
    return max(
        lot_in_base(context.rules[leg.market.book], leg.price_counted) for leg in context.legs
    )


def path_stake(found: Opportunity, values: Mapping[str, Decimal]) -> Stake:
    """Return what is at stake in an opportunity of several assets."""
    flows = [
        flow_of(
            leg.instrument,
            leg.side,
            leg.qty,
            max(leg.price_limit, leg.price_avg),
            leg.fee_bps,
            leg.fee_asset,
        )
        for leg in found.legs
    ]
    return stake_of(flows, values, found.quote, [leg.fee_bps for leg in found.legs])
