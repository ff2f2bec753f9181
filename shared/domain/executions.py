"""Executions in the form that accounts book. Pure, Decimal."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import msgspec

from shared.domain.fees import MONEY_STEP
from shared.domain.instrument import split_instrument
from shared.domain.quantities import base_of, is_inverse
from shared.messages.base import Side
from shared.messages.execution import Fill

ZERO = Decimal(0)


def cost_of(instrument: str, qty: Decimal, price: Decimal) -> Decimal:
    """Return what a quantity costs at a price, in the asset it is settled in.

    Of an inverse contract, whose quantity is in quote units, that is coins: a venue keeps them with
    eight decimals, so each execution is rounded to ``MONEY_STEP``, half to even.
    """
    return base_of(instrument, qty, price) if is_inverse(instrument) else price * qty


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """What was traded: base units, and what they cost together in quote units.

    Of an inverse contract ``qty`` is in quote units (contracts times their size), and ``cost`` is
    what they are worth in coins at the price (see ``cost_of``).

    ``fee`` is ``None`` while the venue has not reported it; ``fee_quote`` is its value in quote
    units, ``None`` where it has no price (not needed for a fee in the quote or base asset).
    ``report_asset`` is what the result is stated in (empty: the quote asset), ``report_price`` what
    a unit of the quote asset counts in it. ``ts_ns`` is the venue's time of it, 0 where that does
    not matter.
    """

    venue: str
    instrument: str
    side: Side
    qty: Decimal
    cost: Decimal
    fee: Decimal | None = None
    fee_asset: str = ""
    fee_quote: Decimal | None = None
    report_asset: str = ""
    report_price: Decimal = ZERO
    ts_ns: int = 0

    @property
    def cash(self) -> str:
        """The asset that its result is stated in."""
        return self.report_asset or split_instrument(self.instrument).cash


def plain_trades(done: Execution) -> tuple[Execution, ...]:
    """Return an execution as trades against the asset its result is stated in: itself, mostly.

    An exchange of two other assets is two, spot both; the fee belongs to what it is charged in.
    """
    cash = done.report_asset
    base, quote, _ = split_instrument(done.instrument)
    if not cash or cash == quote:
        return (done,)
    price = done.report_price
    worth = (done.cost * price).quantize(MONEY_STEP, ROUND_HALF_EVEN)
    fee_asset = done.fee_asset or quote
    of_quote = Execution(
        venue=done.venue,
        instrument=f"{quote}/{cash}",
        side=done.side.opposite,
        qty=done.cost,
        cost=done.qty if base == cash else worth,
        fee=done.fee,
        fee_asset=fee_asset,
        fee_quote=None if done.fee_quote is None else done.fee_quote * price,
    )
    if base == cash:
        return (of_quote,)
    of_base = msgspec.structs.replace(
        of_quote, instrument=f"{base}/{cash}", side=done.side, qty=done.qty, cost=worth
    )
    if fee_asset == base:
        return msgspec.structs.replace(of_quote, fee=ZERO), of_base
    return of_quote, msgspec.structs.replace(of_base, fee=ZERO)


def execution_of(fill: Fill) -> Execution:
    """Return a fill as the accounts take it."""
    return Execution(
        venue=fill.venue,
        instrument=fill.instrument,
        side=fill.side,
        qty=fill.qty,
        cost=cost_of(fill.instrument, fill.qty, fill.price),
        fee=fill.fee,
        fee_asset=fill.fee_asset,
        fee_quote=fill.fee_quote,
        report_asset=fill.report_asset,
        report_price=fill.report_price,
        ts_ns=fill.ts_venue_ns or fill.ts_ns,
    )
