"""The rules on what may be held of an asset over all venues, one function each. Pure.

Both are in units of the asset, so that no price is needed, and count the worst: that of all plans
in flight and of this one only the purchases fill, or only the sales. What closes a round is never
asked for them, and what adds nothing passes.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final, NamedTuple

from services.risk.decision_context import DecisionContext, market_of
from services.risk.exposure import ZERO, Ledger
from services.risk.reasons import Denial, DenyReason, deny
from shared.domain.instrument import is_spot, split_instrument
from shared.domain.quantities import base_of
from shared.messages.base import Side
from shared.messages.terms import OrderTerms

_BUY: Final = Side.BUY
SPOT: Final = ""
"""Spot is held over all venues together; a derivative by ``venue|instrument``."""


class Flow(NamedTuple):
    """What one order would bring in of an asset (negative: take out), and where."""

    asset: str
    holding: str
    amount: Decimal


def net_of_asset(context: DecisionContext) -> Denial | None:
    """What is not hedged of an asset stays within its ``net_max``."""
    held, wanted = _flows(context)
    for asset in sorted({flow.asset for flow in wanted}):
        limit, exposure = context.config.per_asset[asset].net_max, context.ledger.exposure
        now = exposure.get(asset, ZERO)
        before = _worst(now, [flow.amount for flow in held if flow.asset == asset])
        after = _worst(now, [f.amount for f in (*held, *wanted) if f.asset == asset])
        if limit and after > limit and after > before:
            denial = deny(DenyReason.ASSET_NET, asset=asset, net=after, max=limit)
            return denial.with_room(limit - before, after - before)
    return None


def gross_of_asset(context: DecisionContext) -> Denial | None:
    """Spot and every derivative's position of an asset, added up whatever their sides, too."""
    held, wanted = _flows(context)
    for asset in sorted({flow.asset for flow in wanted}):
        limit = context.config.per_asset[asset].gross_max
        if not limit:
            continue
        holdings = holdings_of(context.ledger, asset)
        before = _gross(holdings, [flow for flow in held if flow.asset == asset])
        after = _gross(holdings, [f for f in (*held, *wanted) if f.asset == asset])
        if after > limit and after > before:
            denial = deny(DenyReason.ASSET_GROSS, asset=asset, gross=after, max=limit)
            return denial.with_room(limit - before, after - before)
    return None


def _worst(now: Decimal, amounts: Iterable[Decimal]) -> Decimal:
    bought = sold = ZERO
    for amount in amounts:
        if amount > 0:
            bought += amount
        else:
            sold += amount
    return max(abs(now), abs(now + bought), abs(now + sold))


def _gross(holdings: dict[str, Decimal], flows: list[Flow]) -> Decimal:
    total = ZERO
    for holding in {**holdings, **{flow.holding: ZERO for flow in flows}}:
        amounts = [flow.amount for flow in flows if flow.holding == holding]
        total += _worst(holdings.get(holding, ZERO), amounts)
    return total


def holdings_of(ledger: Ledger, asset: str) -> dict[str, Decimal]:
    """Return the signed units held of an asset: of spot together, and of each derivative.

    Inverse contracts are the coins that they were worth at the last fill. In the exposure of the
    asset they are those of their entry, so that much is taken from it for what is spot.
    """
    holdings: dict[str, Decimal] = {}
    derivatives = ZERO
    for key, position in ledger.positions.items():
        market = market_of(key)
        if market.base == asset and not market.is_spot and position:
            holdings[key] = base_of(market.book[1], position, ledger.prices[key])
            held = ledger.books.holdings.get(key) if market.is_inverse else None
            derivatives += position if held is None else -held.cost
    holdings[SPOT] = ledger.exposure.get(asset, ZERO) - derivatives
    return holdings


def _flows(context: DecisionContext) -> tuple[list[Flow], list[Flow]]:
    """Return what the plans in flight, and this one, would do to assets that have limits."""
    if not context.config.per_asset:
        return [], []
    held: list[Flow] = []
    for plan in context.ledger.reservations.values():
        for reserved in plan.legs:
            held += _flows_of(context, reserved.terms, plan.values)
    wanted: list[Flow] = []
    for leg in context.legs:
        wanted += _flows_of(context, leg.offered, context.values)
    return held, wanted


def _flows_of(
    context: DecisionContext, terms: OrderTerms, on_the_way: dict[str, Decimal]
) -> Iterable[Flow]:
    """Yield what an order does to its base asset and, on a way of several assets, to both."""
    name = split_instrument(terms.instrument)
    sign = 1 if terms.side is _BUY else -1
    if name.base in context.config.per_asset:
        holding = SPOT if is_spot(terms.instrument) else f"{terms.venue}|{terms.instrument}"
        yield Flow(
            name.base, holding, sign * base_of(terms.instrument, terms.qty, terms.price_limit)
        )
    if name.quote in on_the_way and name.quote in context.config.per_asset:
        yield Flow(name.quote, SPOT, -sign * terms.notional)
