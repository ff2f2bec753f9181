"""What a plan in flight may use, until it ends. Pure."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import msgspec

from shared.domain.fees import ONE_BP
from shared.domain.instrument import split_instrument
from shared.domain.quantities import base_of
from shared.messages.arb import OpportunityLeg
from shared.messages.base import Side
from shared.messages.execution import PlanDone
from shared.messages.rounds import Intent, round_key
from shared.messages.terms import LegPolicy, OrderTerms, Resting, Traded, is_same_side

_BUY: Final = Side.BUY

ZERO, ONE = Decimal(0), Decimal(1)


class ReservedLeg(msgspec.Struct, frozen=True, kw_only=True):
    """What one leg may use: ``amount`` of ``asset`` to pay with, ``notional`` in quote units.

    Both are for what is left of it once ``filled_qty`` has been given back.
    """

    terms: OrderTerms
    notional: Decimal
    asset: str
    amount: Decimal
    filled_qty: Decimal = ZERO

    def after_fill(self, qty: Decimal) -> ReservedLeg:
        """Return what it may still use after a further quantity is filled."""
        left = self.terms.qty - self.filled_qty
        filled = min(qty, left)
        share = (left - filled) / left if left > 0 else ZERO
        return msgspec.structs.replace(
            self,
            notional=self.notional * share,
            amount=self.amount * share,
            filled_qty=self.filled_qty + filled,
        )


class Reservation(msgspec.Struct, kw_only=True):
    """A plan in flight. ``ts_fill_ns`` is the newest fill per venue.

    ``opening`` is what the round of the plan leaves unhedged before it, in signed base units.
    ``base`` is what all its legs trade or, where they are of several assets, the first on their
    way; ``values`` is what each of these is worth in ``quote``. ``resting`` is of a leg that rests.
    ``inverse_entries`` are the entries of inverse contracts that a closing plan's round holds, by
    ``venue|instrument``.
    """

    plan_id: str
    opportunity_id: str
    quote: str
    notional: Decimal
    loss_cap: Decimal
    legs: list[ReservedLeg]
    ts_expire_ns: int
    is_overdue: bool = False
    ts_fill_ns: dict[str, int] = {}
    strategy: str = ""
    intent: Intent = Intent.INSTANT
    round_id: str = ""
    opening: Decimal = ZERO
    base: str = ""
    values: dict[str, Decimal] = {}
    policy: LegPolicy = LegPolicy.CONCURRENT
    hedge_deadline_ms: int = 0
    resting: Resting | None = None
    inverse_entries: dict[str, Decimal] = {}

    def __post_init__(self) -> None:
        if not self.base:  # saved before a plan said it
            self.base = split_instrument(self.legs[0].terms.instrument).base

    @property
    def ts_due_ns(self) -> int:
        """Until when it may take: the latest start plus the time it may rest (UNIX ns)."""
        rest_ms = self.resting.rest_ms if self.resting is not None else 0
        return self.ts_expire_ns + rest_ms * 1_000_000

    def give_back(self, fill: Traded, qty: Decimal) -> list[tuple[ReservedLeg, Decimal]]:
        """Release what is filled of legs; return those legs, and the amounts of their assets.

        Only where a leg rests: other plans have ended before that matters.
        """
        spent = []
        for index, leg in enumerate(self.legs) if self.resting is not None else ():
            if is_same_side(leg.terms, fill):
                self.legs[index] = after = leg.after_fill(qty)
                spent.append((after, leg.amount - after.amount))
        if spent:
            self.notional = max(
                sum((leg.notional for leg in self.legs if leg.terms.side is side), ZERO)
                for side in Side
            )
        return spent

    @property
    def round_key(self) -> str:
        """The name of the round that it belongs to; empty for none."""
        return round_key(self.strategy, self.round_id) if self.round_id else ""


def opened_qty(position: Decimal, side: Side, qty: Decimal) -> Decimal:
    """Return how much of an order opens or extends a position (the rest reduces it)."""
    reducible = max(ZERO, -position if side is _BUY else position)
    return max(ZERO, qty - reducible)


def reserve_leg(leg: OpportunityLeg, notional: Decimal, position: Decimal) -> ReservedLeg:
    """Return what a leg may spend at worst, in the asset it spends.

    Spot spends the quote asset with its fee, or the base asset. A perpetual spends margin: the full
    notional of what it opens (no leverage is assumed) and the fee, in the settlement asset.

    Args:
        leg: As offered; well formed.
        notional: What it is worth at most, in quote units.
        position: Net base units held in its instrument.
    """
    base, quote, settle = split_instrument(leg.instrument)
    side, qty = leg.side, leg.qty
    if settle is not None and settle == quote:  # linear
        share = opened_qty(position, side, qty) / qty
        asset, amount = settle, notional * (share + leg.fee_bps * ONE_BP)
    elif settle is not None:  # inverse: the lower the price, the more coins it is
        share = opened_qty(position, side, qty) / qty
        coins = base_of(leg.instrument, qty, min(leg.price_limit, leg.price_avg))
        asset, amount = settle, coins * (share + leg.fee_bps * ONE_BP)
    elif side is _BUY:
        asset, amount = quote, notional * (ONE + leg.fee_bps * ONE_BP)
    else:
        asset, amount = base, qty
    return ReservedLeg(terms=leg.terms, notional=notional, asset=asset, amount=amount)


@lru_cache(maxsize=64)  # asked for twice in a decision
def plan_id_of(opportunity_id: str) -> str:
    """Return the plan's id: 12 hex digits leave client order ids room for leg and attempt."""
    return blake2b(opportunity_id.encode(), digest_size=6).hexdigest()


class InFlight(msgspec.Struct, kw_only=True):
    """The plans in flight, and what they hold back; a part of the ledger."""

    reservations: dict[str, Reservation] = {}

    def reserved_amount(self, venue: str, asset: str) -> Decimal:
        """Return how much of an asset the plans in flight may spend on a venue."""
        total = ZERO
        for held in self.reservations.values():
            for leg in held.legs:
                if leg.terms.venue == venue and leg.asset == asset:
                    total += leg.amount
        return total

    def reserved_notional(self, quote: str) -> Decimal:
        """Return the notional of the plans in flight in a quote asset."""
        total = ZERO
        for held in self.reservations.values():
            if held.quote == quote:
                total += held.notional
        return total

    def reserved_by_quote(self) -> dict[str, Decimal]:
        """Return the notional of the plans in flight by quote asset; those with none are absent."""
        quotes = sorted({held.quote for held in self.reservations.values()})
        return {quote: self.reserved_notional(quote) for quote in quotes}

    def plan_of_ours(self, plan_id: str) -> str:
        """Return the id if it is of a plan in flight that was approved here, else empty."""
        return plan_id if plan_id in self.reservations else ""

    def refuses_end(self, done: PlanDone) -> str:
        """Return why an end cannot be that of the plan in flight it names; empty if it can."""
        held = self.reservations.get(done.plan_id)
        if held is None:
            return ""
        agrees = (held.base, held.quote) == (done.base, done.quote)
        if held.values:  # of orders found without their plan nobody says where it began
            agrees = {done.base, done.quote} <= {held.quote, *held.values}
        return "" if agrees else f"its plan trades {held.base}/{held.quote}"
