"""The order that trades away what a plan has too much or too little of, at one market. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from services.executor.market import Markets
from services.executor.order_record import OrderRecord
from services.executor.reduce_only import closes_position
from services.executor.state import PlanKind, PlanRecord
from services.executor.weakness import weak_venues
from shared.domain.contracts import Contract
from shared.domain.depth import base_worth, exact_levels, qty_of, walk_quantity
from shared.domain.fees import BPS
from shared.domain.instrument import InstrumentKind, split_instrument
from shared.domain.order import ZERO
from shared.domain.quantities import base_of, is_inverse, qty_of_base
from shared.domain.rounding import (
    exact,
    is_enough,
    is_multiple,
    price_to_tick,
    qty_accepted,
    qty_to_lot,
)
from shared.messages.base import Side
from shared.messages.execution import OrderPurpose
from shared.messages.market import DepthView, Level
from shared.messages.rules import InstrumentRules
from shared.messages.terms import OrderTerms

ATTEMPTS_MAX = 8
"""Orders that may be tried to even out one plan, or one asset of a plan of several."""
ENLARGE_ATTEMPTS = 3
"""Attempts that must be left before dust is enlarged: the rest must surely be traded back."""
MINIMUM_MARGIN = Decimal("1.25")
"""Above the least size, so that the rest is enough at a somewhat lower price too."""
SLIPPAGE_BPS = Decimal(2)
"""Room beyond the walked price at the first attempt; doubles with each one, never past the cap."""
_INVERSE: Final = Contract(InstrumentKind.INVERSE)
_ANY_PRICE: Final = Decimal("1e15")

StandsDown = Callable[[str, str], object]
"""Venue and instrument -> what stands down there."""


def attempts_max(plan: PlanRecord) -> int:
    """Return how many orders may be tried to even a plan out."""
    return ATTEMPTS_MAX * max(1, len(plan.values))


class NoOrder(StrEnum):
    """Why there is nothing to trade."""

    EVEN = "EVEN"
    DUST = "DUST"  # too small for every venue
    NO_PRICE = "NO_PRICE"  # no LIVE book, or none within the loss cap


class OrderIntent(msgspec.Struct, frozen=True, kw_only=True):
    """An order to be: a leg, or one that would make the plan (more) even.

    One that rests may do so for ``rest_ms``; ``price_arrival`` is as in ``OrderEvent``.
    """

    terms: OrderTerms
    fee_bps: Decimal
    purpose: OrderPurpose
    reduce_only: bool = False
    rest_ms: int = 0
    price_arrival: Decimal = ZERO


class Uneven(NamedTuple):
    """What a plan has to trade away of one asset, and what is known about that.

    ``net`` is in units of the asset (positive: too many), ``cash`` what everything else of the plan
    has brought in, in quote units, ``reference`` a price that makes sense; ``orders`` are those of
    the plan that may have, ``candidates`` the instruments that may trade it, ``attempts`` how often
    that was tried.
    """

    plan: PlanRecord
    orders: Sequence[OrderRecord]
    candidates: Sequence[InstrumentRules]
    net: Decimal
    cash: Decimal
    reference: Decimal
    attempts: int


def price_bound(net: Decimal, cash: Decimal, loss_cap: Decimal, fee_bps: Decimal) -> Decimal:
    """Return the worst price at which trading ``net`` away loses no more than ``loss_cap``.

    For a sale the least price (may be below zero: any price will do), for a purchase the highest
    (may be below zero: none will do).
    """
    qty, fee = abs(net), fee_bps / BPS
    if net > 0:
        return (-loss_cap - cash) / (qty * (1 - fee))
    return (cash + loss_cap) / (qty * (1 + fee))


def is_dust(
    uneven: Uneven,
    net: Decimal,
    candidates: Sequence[InstrumentRules],
    markets: Markets,
    now_ns: int,
) -> bool:
    """Tell whether none of these candidates accepts an order as small as ``net``.

    An instrument without rules cannot be judged: it is then not dust, the cautious reading.
    """
    known = False
    for rules in candidates:
        known = True
        price = markets.mid((rules.venue, rules.instrument), now_ns)
        qty = abs(net)
        if is_turned(rules, uneven.plan):
            price = price or 1 / uneven.reference
            qty /= price
        else:
            price = price or uneven.reference
            entry = uneven.plan.inverse_entry_of(rules.venue, rules.instrument)
            qty = qty_of_base(rules.instrument, qty, entry or price)
        if _is_enough(rules, uneven.plan, qty_accepted(rules, qty), price):
            return False
    return known


def _is_enough(rules: InstrumentRules, plan: PlanRecord, qty: Decimal, price: Decimal) -> bool:
    """Tell whether a venue takes so little; an order that may only reduce has no least notional."""
    if closes_position(plan, rules.instrument):
        return qty >= rules.qty_min
    return is_enough(rules, qty, price)


def is_turned(rules: InstrumentRules, plan: PlanRecord) -> bool:
    """Tell whether an instrument trades the plan's quote asset against the asset to be evened out.

    Dollars that a plan in tethers has left are traded away by buying tethers in USDT/USD.
    """
    return bool(plan.values) and split_instrument(rules.instrument).base == plan.quote


def trade_at(
    rules: InstrumentRules, uneven: Uneven, view: DepthView
) -> tuple[Decimal, Decimal, OrderIntent] | None:
    """Return what can be had at one instrument: price after fees, units of the asset, and order."""
    if is_turned(rules, uneven.plan):
        return _turned_trade_at(rules, uneven, view)
    plan, net = uneven.plan, uneven.net
    side = Side.SELL if net > 0 else Side.BUY
    bound = price_bound(net, uneven.cash, plan.loss_cap, rules.taker_fee_bps)
    levels = _levels_within(view.bids if net > 0 else view.asks, bound, side)
    if is_inverse(rules.instrument):
        return _inverse_trade_at(rules, uneven, levels, bound, side)
    qty = qty_accepted(rules, min(abs(net), qty_of(levels, len(levels))))
    walked = walk_quantity(levels, qty, side) if qty > 0 else None
    if walked is None or not _is_enough(rules, plan, qty, walked.price_worst):
        return None
    limit = _limit(walked.price_worst, bound, rules.tick_size, side, uneven.attempts)
    fee = rules.taker_fee_bps / BPS
    effective = walked.price_avg * (1 - fee if net > 0 else 1 + fee)
    return effective, qty, _intent(plan, rules, side, qty, limit)


def _inverse_trade_at(
    rules: InstrumentRules, uneven: Uneven, levels: Sequence[Level], bound: Decimal, side: Side
) -> tuple[Decimal, Decimal, OrderIntent] | None:
    """Return the same for an inverse contract: levels and order are in quote units.

    So many make the coins that are uneven, at the entry of those that are closed, else at the
    prices of the levels.
    """
    plan, held = uneven.plan, exact_levels(levels, len(levels))
    entry = plan.inverse_entry_of(rules.venue, rules.instrument)
    wanted, coins = ZERO, abs(uneven.net)
    for price, there in held:
        least = qty_of_base(rules.instrument, coins, entry or price)
        taken = min(there, least)
        wanted += taken
        coins -= min(coins, base_of(rules.instrument, taken, entry or price))
        if taken == least:
            break
    qty = qty_accepted(rules, wanted)
    walked = _INVERSE.walk(held, qty, side) if qty > 0 else None
    if walked is None or not _is_enough(rules, plan, qty, walked.price_worst):
        return None
    limit = _limit(walked.price_worst, bound, rules.tick_size, side, uneven.attempts)
    fee = rules.taker_fee_bps / BPS
    effective = walked.price_avg * (1 - fee if side is Side.SELL else 1 + fee)
    done = min(base_of(rules.instrument, qty, entry or walked.price_avg), abs(uneven.net))
    return effective, done, _intent(plan, rules, side, qty, limit)


def _turned_trade_at(
    rules: InstrumentRules, uneven: Uneven, view: DepthView
) -> tuple[Decimal, Decimal, OrderIntent] | None:
    """Return the same where the asset is the instrument's quote asset: prices are one over those.

    A fee comes on top of what a purchase spends, and off what a sale brings in.
    """
    plan, net, fee = uneven.plan, uneven.net, rules.taker_fee_bps / BPS
    side = Side.BUY if net > 0 else Side.SELL
    least_worth = price_bound(net, uneven.cash, plan.loss_cap, rules.taker_fee_bps)
    if least_worth > 0:
        bound = 1 / least_worth
    elif net > 0:
        bound = _ANY_PRICE
    else:
        return None
    levels = _levels_within(view.asks if net > 0 else view.bids, bound, side)
    held = exact_levels(levels, len(levels))
    wanted = abs(net) / (1 + fee if net > 0 else 1 - fee)
    qty = base_worth(held, wanted)
    qty = qty_accepted(rules, sum((there for _, there in held), ZERO) if qty is None else qty)
    walked = walk_quantity(levels, qty, side) if qty > 0 else None
    if walked is None or not is_enough(rules, qty, walked.price_worst):
        return None
    limit = _limit(walked.price_worst, bound, rules.tick_size, side, uneven.attempts)
    done = qty * walked.price_avg * (1 + fee if net > 0 else 1 - fee)
    return qty / done, min(done, abs(net)), _intent(plan, rules, side, qty, limit)


def enlarging_order(
    uneven: Uneven,
    candidates: Sequence[InstrumentRules],
    markets: Markets,
    now_ns: int,
    *,
    stands_down: StandsDown,
) -> OrderIntent | None:
    """Return an order that turns dust into a rest that can be traded, if its cost is in the cap.

    Only where the dust lies on the venue's lot grid, so that both orders together leave nothing.
    """
    plan, net, weak = uneven.plan, uneven.net, weak_venues(uneven.orders)
    if uneven.attempts > ATTEMPTS_MAX - ENLARGE_ATTEMPTS:
        return None
    for rules in candidates:
        if is_turned(rules, plan) or closes_position(plan, rules.instrument):
            continue
        if is_inverse(rules.instrument):  # its lot is finer than any dust is worth
            continue
        view = markets.live_view((rules.venue, rules.instrument), now_ns)
        price = markets.mid((rules.venue, rules.instrument), now_ns)
        if view is None or price is None or rules.venue in weak:
            continue
        if stands_down(rules.venue, rules.instrument):
            continue
        if not is_multiple(net, rules.lot_size):
            continue
        least = _least_qty(rules, price)
        cost = 2 * (least + abs(net)) * price * (rules.taker_fee_bps + SLIPPAGE_BPS) / BPS
        if uneven.cash + net * price - cost < -plan.loss_cap:
            continue
        side = Side.SELL if net > 0 else Side.BUY
        levels = view.bids if net > 0 else view.asks
        walked = walk_quantity(levels, least + abs(net), side)
        if walked is None:
            continue
        room = walked.price_worst * SLIPPAGE_BPS * 2**uneven.attempts / BPS
        limit = walked.price_worst + (room if side is Side.BUY else -room)
        limit = price_to_tick(limit, rules.tick_size, side, aggressive=True)
        return _intent(plan, rules, side, least + abs(net), limit)
    return None


def _least_qty(rules: InstrumentRules, price: Decimal) -> Decimal:
    """Return the least quantity the venue accepts at this price, with some margin, on its grid."""
    wanted = max(rules.qty_min, rules.notional_min / price, rules.lot_size) * MINIMUM_MARGIN
    return qty_to_lot(wanted, rules.lot_size) + rules.lot_size


def _levels_within(levels: Sequence[Level], bound: Decimal, side: Side) -> list[Level]:
    """Return the levels not worse than the bound."""
    if side is Side.SELL:
        return [level for level in levels if exact(level[0]) >= bound]
    return [level for level in levels if exact(level[0]) <= bound]


def _limit(worst: Decimal, bound: Decimal, tick: Decimal, side: Side, attempts: int) -> Decimal:
    """Return the limit price: the walked price with some room, never past the bound."""
    room = worst * SLIPPAGE_BPS * 2**attempts / BPS
    wanted = worst + room if side is Side.BUY else worst - room
    bounded = min(wanted, bound) if side is Side.BUY else max(wanted, bound, tick)
    limit = price_to_tick(bounded, tick, side, aggressive=False)
    # The walked level itself lies within the bound, so rounding must not fall short of it.
    return max(limit, worst) if side is Side.BUY else min(limit, worst)


def _intent(
    plan: PlanRecord, rules: InstrumentRules, side: Side, qty: Decimal, limit: Decimal
) -> OrderIntent:
    terms = OrderTerms(
        venue=rules.venue, instrument=rules.instrument, side=side, qty=qty, price_limit=limit
    )
    return OrderIntent(
        terms=terms, fee_bps=rules.taker_fee_bps, purpose=_purpose(plan, rules, side)
    )


def _purpose(plan: PlanRecord, rules: InstrumentRules, side: Side) -> OrderPurpose:
    if plan.kind is PlanKind.FLATTEN:
        return OrderPurpose.FLATTEN
    undoes = any(
        leg.market == (rules.venue, rules.instrument) and leg.side is not side for leg in plan.legs
    )
    return OrderPurpose.UNWIND if undoes else OrderPurpose.HEDGE
