"""One order of ours and what is known about it. Pure data."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from shared.domain.fees import BPS, cash_flow
from shared.domain.instrument import split_instrument
from shared.domain.order import ZERO, OrderLife
from shared.domain.quantities import base_of, is_inverse
from shared.errors import Cause
from shared.messages.base import Certainty, Side
from shared.messages.execution import OrderPurpose, OrderStatus
from shared.messages.terms import OrderTerms


class OrderRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One order and what is known about it.

    ``cost`` is quote units traded (price times base units of the fills), ``fee_quote`` fees charged
    in something else than the base asset, valued in quote (``fee_other`` of it in a third asset),
    ``fee_base`` fees charged in base units, ``fee_base_quote`` their value. ``ts_ended_ns`` is when
    the request ended (0: it is under way), ``ts_query_ns`` when it was last asked for, UNIX ns.
    ``cause`` is that of a refusal. ``is_overdue`` tells that its outcome should long be known.
    ``rest_until_ns`` is until when an order that rests may do so (UNIX ns; 0: not at all).
    ``price_arrival`` is as in ``OrderEvent``.

    Of inverse contracts, whose quantity is in quote units, ``coins`` are what the fills were worth
    at their prices. They count as coins at ``inverse_entry``, which those have that it closes, or
    at their own prices where that is 0; ``cost`` is of so many coins. Fees in coins are paid out of
    the collateral: they are a cost, and nothing that is to be evened out.
    """

    client_order_id: str
    plan_id: str
    leg_index: int
    attempt: int
    purpose: OrderPurpose
    terms: OrderTerms
    fee_bps: Decimal
    life: OrderLife
    ts_created_ns: int
    venue_order_id: str = ""
    reason: str = ""
    cause: Cause = Cause.ORDER
    cost: Decimal = ZERO
    fee_quote: Decimal = ZERO
    fee_base: Decimal = ZERO
    fee_base_quote: Decimal = ZERO
    certainty: Certainty = Certainty.KNOWN
    ts_sent_ns: int = 0
    ts_ended_ns: int = 0
    queries: int = 0
    not_found: int = 0
    next_query_ns: int = 0
    query_pending: bool = False
    is_overdue: bool = False
    ts_query_ns: int = 0
    fee_other: Decimal = ZERO
    reduce_only: bool = False
    rest_until_ns: int = 0
    coins: Decimal = ZERO
    inverse_entry: Decimal = ZERO
    price_arrival: Decimal = ZERO

    @property
    def venue(self) -> str:
        """Where it goes."""
        return self.terms.venue

    @property
    def instrument(self) -> str:
        """What it trades."""
        return self.terms.instrument

    @property
    def side(self) -> Side:
        """Whether it buys or sells."""
        return self.terms.side

    @property
    def signed_base(self) -> Decimal:
        """Base units this order brought in (negative: took out), after fees charged in base."""
        if is_inverse(self.instrument):
            return self.terms.side.signed(self._coins_counted)
        return self.signed_qty

    @property
    def signed_qty(self) -> Decimal:
        """The same in the instrument's own quantity, which of inverse contracts is quote units."""
        filled = self.terms.side.signed(self.life.filled_qty)
        return filled if is_inverse(self.instrument) else filled - self.fee_base

    @property
    def _coins_counted(self) -> Decimal:
        if self.inverse_entry:
            return self.base_of(self.life.filled_qty)
        return self.coins + self.base_of(self.life.filled_qty - self.life.traded_qty)

    def base_of(self, qty: Decimal) -> Decimal:
        """Return the base units that a quantity without a known fill counts as."""
        price = self.inverse_entry or self.terms.price_limit
        return base_of(self.instrument, qty, price)

    @property
    def cost_and_fee(self) -> tuple[Decimal, Decimal]:
        """Quote units traded, and fees in quote; unexplained fills count at the limit price."""
        fee = self.fee_quote + (self.fee_base_quote if is_inverse(self.instrument) else ZERO)
        unexplained = self.life.filled_qty - self.life.traded_qty
        if not unexplained:
            return self.cost, fee
        cost = self.base_of(unexplained) * self.terms.price_limit
        return self.cost + cost, fee + cost * self.fee_bps / BPS

    @property
    def coins_and_fee(self) -> tuple[Decimal, Decimal]:
        """Of inverse contracts: coins traded, and fees in coins; else as ``cost_and_fee``."""
        unexplained = self.life.filled_qty - self.life.traded_qty
        coins = base_of(self.instrument, unexplained, self.terms.price_limit)
        return self.coins + coins, self.fee_base + coins * self.fee_bps / BPS

    @property
    def signed_cash(self) -> Decimal:
        """Quote units it brought in, fees taken off."""
        cost, fee = self.cost_and_fee
        return cash_flow(self.terms.side, cost, fee)

    @property
    def flows(self) -> tuple[tuple[str, Decimal], tuple[str, Decimal]]:
        """What it changed of its base asset and of its quote asset, fees included."""
        base, quote, _ = split_instrument(self.instrument)
        return (base, self.signed_base), (quote, self.signed_cash + self.fee_other)

    @property
    def story(self) -> str:
        """What is known of it, in words."""
        return (
            f"{self.client_order_id} at {self.venue} {self.life.status}, filled "
            f"{self.life.filled_qty} of {self.life.qty}, {self.life.traded_qty} of it explained, "
            f"{self.queries} queries, {self.not_found} times not found, {self.reason!r}"
        )

    @property
    def is_doubtful(self) -> bool:
        """Whether the venue may or may not have it."""
        return self.life.status in {OrderStatus.SUBMITTED, OrderStatus.UNKNOWN}

    @property
    def is_working(self) -> bool:
        """Whether the venue has it, and it may be filled."""
        return self.life.status in {OrderStatus.ACCEPTED, OrderStatus.PARTIALLY_FILLED}

    def may_rest(self, now_ns: int) -> bool:
        """Tell whether it works, as it is meant to."""
        return now_ns < self.rest_until_ns and self.is_working
