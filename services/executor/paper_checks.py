"""What a venue refuses before it looks at its book, as a paper account does. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from shared.accounts.gateway import OrderRequest
from shared.domain.rounding import is_enough, is_multiple
from shared.errors import Cause, Rejected, Unavailable
from shared.messages.rules import InstrumentRules
from shared.messages.terms import OrderTerms, OrderType, TimeInForce


def check_kind(order: OrderRequest, *, lets_rest: bool) -> None:
    """Check that an order is of a kind that can be filled on paper.

    Raises:
        Unavailable: It is not.
    """
    terms = order.terms
    may_rest = lets_rest and terms.time_in_force is TimeInForce.PO
    is_usual = not terms.rests or (may_rest and not order.reduce_only)
    if terms.order_type is not OrderType.LIMIT or not is_usual:
        known = "FOK, IOC and PO" if lets_rest else "FOK, IOC"
        raise Unavailable(
            f"{terms.venue}: not sent, {terms.kind} orders cannot be filled on paper (LIMIT "
            f"with {known} can)",
            cause=Cause.ORDER,
        )


def checked_rules(
    request: OrderRequest, rules_of: Mapping[tuple[str, str], InstrumentRules]
) -> InstrumentRules:
    """Return the rules of an order's instrument, which it keeps.

    Raises:
        Rejected: It does not.
    """
    order = request.terms
    rules = rules_of.get((order.venue, order.instrument))
    if rules is None:
        raise Rejected(
            f"{order.venue}: unknown instrument {order.instrument}", "INSTRUMENT", Cause.INSTRUMENT
        )
    if not rules.active:
        text = f"{order.venue}: {order.instrument} is not traded: {rules.reason}"
        raise Rejected(text, "INSTRUMENT", Cause.INSTRUMENT)
    if rules.qty_max is not None and order.qty > rules.qty_max:
        raise Rejected(f"{order.qty} is more than {rules.qty_max}", "LOT_SIZE")
    if not is_multiple(order.qty, rules.lot_size):
        raise Rejected(f"{order.qty} is not a multiple of {rules.lot_size}", "LOT_SIZE")
    if not is_multiple(order.price_limit, rules.tick_size):
        raise Rejected(f"{order.price_limit} is not on tick {rules.tick_size}", "TICK_SIZE")
    is_small = not is_enough(rules, order.qty, order.price_limit)
    if is_small and not (request.reduce_only and order.qty >= rules.qty_min):
        raise Rejected(f"{order.qty} at {order.price_limit} is too small", "NOTIONAL")
    return rules


def reduced(order: OrderRequest, position: Decimal) -> OrderTerms:
    """Return what an order asks for, cut to the position that it may only reduce.

    Raises:
        Rejected: There is none.
    """
    terms = order.terms
    if not order.reduce_only:
        return terms
    left = -terms.side.signed(position)
    if left <= 0:
        raise Rejected(
            f"{terms.venue}: no position in {terms.instrument} that the order would reduce",
            "REDUCE_ONLY",
            Cause.NOTHING_TO_REDUCE,
        )
    return msgspec.structs.replace(terms, qty=min(terms.qty, left))
