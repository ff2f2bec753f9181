"""An opportunity before risk, everything it is judged by, and what it is worth. Pure.

Limits hold per quote asset: dollars and tethers are not added up. Spot inventory that moved from
one venue to another is not exposure (what is owned is the same, and balances bound it); positions
in perpetuals are, and so is every base unit that is not hedged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from services.risk.exposure import ZERO, Ledger, ReservedLeg, reserve_leg
from shared.config import RiskConfig
from shared.domain.fees import share_of
from shared.domain.instrument import InstrumentKind, InstrumentRules, split_instrument
from shared.domain.rounding import exact
from shared.messages.arb import Opportunity, OpportunityLeg
from shared.messages.base import Side, TradingState
from shared.messages.market import DepthView

BookKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """An opportunity and everything it is judged by. ``venues`` are those that may be traded."""

    opportunity: Opportunity
    now_ns: int
    config: RiskConfig
    ledger: Ledger
    state: TradingState
    state_reason: str
    executor_obstacle: str
    venues: frozenset[str]
    views: Mapping[BookKey, DepthView]
    rules: Mapping[BookKey, InstrumentRules]

    @property
    def legs(self) -> list[OpportunityLeg]:
        """The two legs, the buy first (``well_formed`` is asked before anything that uses it)."""
        return self.opportunity.legs

    def position(self, leg: OpportunityLeg | ReservedLeg) -> Decimal:
        """Net base units of our fills in the leg's instrument."""
        return self.ledger.positions.get(f"{leg.venue}|{leg.instrument}", ZERO)

    def reserved_legs(self) -> list[ReservedLeg]:
        """What this plan would reserve."""
        return [reserve_leg(as_reserved(leg), leg.fee_bps, self.position(leg)) for leg in self.legs]


def notional_of(leg: OpportunityLeg) -> Decimal:
    """Return a leg's worth in quote units at the dearer of its limit and its expected price."""
    return leg.qty * max(leg.price_limit, leg.price_avg)


def plan_notional(opportunity: Opportunity) -> Decimal:
    """Return what is at stake if only one of the legs trades: the dearer leg, quote units."""
    return max(notional_of(leg) for leg in opportunity.legs)


def loss_cap(opportunity: Opportunity, config: RiskConfig) -> Decimal:
    """Return what hedging or unwinding the plan may cost, in quote units."""
    return share_of(plan_notional(opportunity), config.loss_cap_bps)


def as_reserved(leg: OpportunityLeg) -> ReservedLeg:
    """Return a leg as reservations see it; what it spends is filled in by ``reserve_leg``."""
    return ReservedLeg(
        venue=leg.venue,
        instrument=leg.instrument,
        side=leg.side,
        qty=leg.qty,
        notional=notional_of(leg),
        asset="",
        amount=ZERO,
    )


def open_exposure(case: Case) -> Decimal:
    """Return open exposure over all base assets that were traded against this quote asset.

    Per asset the larger of what is not hedged and the gross of its perpetual positions.
    """
    quote, total = case.opportunity.quote, ZERO
    gross: dict[str, Decimal] = {}
    price: dict[str, Decimal] = {}
    for key, position in case.ledger.positions.items():
        venue, _, instrument = key.partition("|")
        name = split_instrument(instrument)
        if name.quote != quote:
            continue
        price[name.base] = max(price.get(name.base, ZERO), _mark(case, venue, instrument))
        if name.kind is InstrumentKind.LINEAR:
            gross[name.base] = gross.get(name.base, ZERO) + abs(position)
    for base, mark in price.items():
        net = abs(case.ledger.exposure.get(base, ZERO))
        total += max(net, gross.get(base, ZERO)) * mark
    return total


def _mark(case: Case, venue: str, instrument: str) -> Decimal:
    """The dearest idea of a price we have: the view's best ask, the last fill, this plan's legs."""
    view = case.views.get((venue, instrument))
    known = [case.ledger.prices.get(f"{venue}|{instrument}", ZERO)]
    if view is not None and view.asks:
        known.append(exact(view.asks[0][0]))
    known += [
        max(leg.price_limit, leg.price_avg)
        for leg in case.legs
        if (leg.venue, leg.instrument) == (venue, instrument)
    ]
    return max(known)


def instruments_of(case: Case, venue: str) -> list[str]:
    """Return a venue's instruments in this quote asset with a position, reservation or leg."""
    names = [key.partition("|")[2] for key in case.ledger.positions if key.startswith(f"{venue}|")]
    for plan in case.ledger.reservations.values():
        names += [leg.instrument for leg in plan.legs if leg.venue == venue]
    names += [leg.instrument for leg in case.legs if leg.venue == venue]
    quote = case.opportunity.quote
    return [n for n in dict.fromkeys(names) if split_instrument(n).quote == quote]


def instrument_worst(
    case: Case, venue: str, instrument: str, legs: list[OpportunityLeg]
) -> Decimal:
    """Return an instrument's notional if the worst of its reservations and ``legs`` fills."""
    held = [leg for plan in case.ledger.reservations.values() for leg in plan.legs]
    mine = [
        leg
        for leg in [*held, *map(as_reserved, legs)]
        if (leg.venue, leg.instrument) == (venue, instrument)
    ]
    if split_instrument(instrument).kind is InstrumentKind.SPOT:
        return sum((leg.notional for leg in mine), ZERO)
    position = case.ledger.positions.get(f"{venue}|{instrument}", ZERO)
    buys = sum((leg.qty for leg in mine if leg.side is Side.BUY), ZERO)
    sells = sum((leg.qty for leg in mine if leg.side is Side.SELL), ZERO)
    worst = max(abs(position), abs(position + buys), abs(position - sells))
    return worst * _mark(case, venue, instrument)
