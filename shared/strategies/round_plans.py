"""Opportunities that open or close a round, with the arithmetic that risk recomputes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_DOWN, Context, Decimal
from hashlib import blake2b
from typing import NamedTuple

from shared.domain.accounting import holding_key
from shared.domain.depth import ExactLevel, are_levels, exact_levels
from shared.domain.fees import edge_bps
from shared.domain.instrument import MarketKey, split_instrument
from shared.domain.quantities import base_of, is_inverse, qty_of_base
from shared.domain.rounding import exact, is_enough, lot_common, qty_accepted, qty_to_lot
from shared.messages.arb import Opportunity, OpportunityLeg
from shared.messages.base import BookState, Side
from shared.messages.market import DepthView
from shared.messages.rounds import Intent, StrategyPosition
from shared.messages.rules import InstrumentRules
from shared.strategies.two_legs import Offer, make_leg

_ZERO, _ONE = Decimal(0), Decimal(1)
_DOWN = Context(prec=28, rounding=ROUND_DOWN)
_MS = 1_000_000


class Wanted(NamedTuple):
    """One order of a round: a quantity the venue accepts, in a live book that holds it.

    ``qty`` is the instrument's own: of inverse contracts quote units.
    """

    view: DepthView
    rules: InstrumentRules
    side: Side
    qty: Decimal


class RoundTerms(NamedTuple):
    """The round, and whether it is opened or closed.

    Attributes:
        strategy_id: Of the strategy.
        round_id: Of the round; no two of a strategy have the same.
        intent: OPEN or CLOSE.
        ttl_ms: From the opportunity to its expiry.
        horizon_ms: How long it is meant to be held; 0 is not stated.
        stop_bps: How far from its entry a single leg that opens is closed again.
    """

    strategy_id: str
    round_id: str
    intent: Intent
    ttl_ms: int = 500
    horizon_ms: int = 0
    stop_bps: Decimal = _ZERO


class _Share(NamedTuple):
    """A part of a whole, kept apart so that the share of that very whole is that very part."""

    part: Decimal
    whole: Decimal

    def of(self, qty: Decimal) -> Decimal:
        """Return this share of a quantity, rounded down."""
        return _DOWN.divide(qty * self.part, self.whole)


class KnownBook:
    """The newest view of a book and its rules."""

    __slots__ = ("rules", "view")

    def __init__(self) -> None:
        self.view: DepthView | None = None
        self.rules: InstrumentRules | None = None

    def known(self) -> tuple[DepthView, InstrumentRules]:
        """Return its view and rules, where both were seen."""
        assert self.view is not None
        assert self.rules is not None
        return self.view, self.rules

    def is_live(self, now_ns: int, age_ms_max: int) -> bool:
        """Tell whether it may price anything now."""
        view = self.view
        return (
            view is not None
            and view.state is BookState.LIVE
            and now_ns - view.ts_ns <= age_ms_max * _MS
            and bool(view.bids and view.asks)
        )


def plan_round(terms: RoundTerms, orders: Sequence[Wanted], now_ns: int) -> Opportunity | None:
    """Return the opportunity of these orders; ``None`` where a book does not hold one of them."""
    legs: list[OpportunityLeg] = []
    bought = sold = _ZERO
    for order in sorted(orders, key=lambda each: each.side is Side.SELL):
        levels = taken_side(order.view, order.side)
        made = make_leg(Offer(order.view, order.rules, levels), order.side, order.qty)
        if made is None:
            return None
        leg, worth = made
        legs.append(leg)
        if order.side is Side.BUY:
            bought += worth
        else:
            sold += worth
    name = split_instrument(legs[0].instrument)
    fees = sum((leg.fee for leg in legs), _ZERO)
    notional, net = bought or sold, sold - bought - fees
    newest = max((order.view for order in orders), key=lambda view: view.ts_recv_ns)
    side = legs[0].side
    return Opportunity(
        ts_ns=now_ns,
        opportunity_id=_id(terms, legs),
        detector=terms.strategy_id,
        base=name.base,
        quote=name.quote,
        legs=legs,
        qty=sum((base_of(x.instrument, x.qty, x.price_avg) for x in legs if x.side is side), _ZERO),
        notional=notional,
        gross=net + fees,
        fees=fees,
        net=net,
        edge_bps=edge_bps(net, notional),
        ts_recv_ns=newest.ts_recv_ns,
        ts_depth_ns=newest.ts_ns,
        ts_expire_ns=now_ns + terms.ttl_ms * _MS,
        strategy_id=terms.strategy_id,
        intent=terms.intent,
        round_id=terms.round_id,
        horizon_ns=terms.horizon_ms * _MS,
        stop_bps=terms.stop_bps,
    )


def close_round(
    held: StrategyPosition,
    books: Mapping[MarketKey, KnownBook],
    now_ns: int,
    *,
    age_ms_max: int,
    ttl_ms: int = 500,
    share: Decimal = _ONE,
) -> Opportunity | None:
    """Return what closes as much of a round as its books hold now, all legs by the same share.

    ``None`` where a book that is needed is not live, or what is left is too small to trade.

    Args:
        held: The round as risk told it last.
        books: The newest view and rules by venue and instrument.
        now_ns: Now.
        age_ms_max: Of a view.
        ttl_ms: From the opportunity to its expiry.
        share: The most of it that is closed.
    """
    wanted: list[tuple[KnownBook, Side, Decimal]] = []
    least = _Share(share, _ONE)
    for market, side, qty in _open_legs(held):
        book = books.get(market)
        if book is None or not book.is_live(now_ns, age_ms_max) or book.rules is None:
            return None
        assert book.view is not None
        there = sum((size for _, size in taken_side(book.view, side)), _ZERO)
        most = min(there, qty if book.rules.qty_max is None else book.rules.qty_max)
        if not book.rules.active or most <= 0:
            return None
        if most * least.whole < least.part * qty:
            least = _Share(most, qty)
        wanted.append((book, side, qty))
    orders = [
        order
        for book, side, qty in wanted
        if (order := _part(book, side, least.of(qty))) is not None
    ]
    terms = RoundTerms(held.strategy_id, held.round_id, Intent.CLOSE, ttl_ms)
    return plan_round(terms, orders, now_ns) if orders else None


def is_uneven(held: StrategyPosition, books: Mapping[MarketKey, KnownBook]) -> bool:
    """Tell whether more of a round is unhedged than some market of it would take.

    Of inverse contracts that is two lots and more: how many coins one is depends on the price.
    """
    for leg in held.legs:
        book = books.get((leg.venue, leg.instrument))
        if book is None or book.rules is None or book.view is None or not book.view.bids:
            continue
        price = exact(book.view.bids[0][0])
        qty = qty_of_base(leg.instrument, abs(held.unhedged), leg.entry or price)
        if is_inverse(leg.instrument) and qty < 2 * book.rules.lot_size:
            continue
        accepted = qty_accepted(book.rules, qty)
        if accepted > 0 and is_enough(book.rules, accepted, price):
            return True
    return False


def hedged_sizes(
    base: Decimal, of_bought: InstrumentRules, of_sold: InstrumentRules, bids: list[ExactLevel]
) -> tuple[Decimal, Decimal] | None:
    """Return the quantities to buy and to sell that hedge each other; ``None`` for less than a lot.

    Of an inverse contract that is the lot nearest to the base units that are bought, at the prices
    of its levels: no more than half a lot is left unhedged.

    Args:
        base: The most, in base units.
        of_bought: Rules of what is bought; not of an inverse contract.
        of_sold: Rules of what is sold.
        bids: Of the book that is sold to, best first, in its own quantity.
    """
    if not is_inverse(of_sold.instrument):
        qty = qty_to_lot(base, lot_common(of_bought.lot_size, of_sold.lot_size))
        return (qty, qty) if qty > 0 else None
    qty = qty_to_lot(base, of_bought.lot_size)
    left, contracts = qty, _ZERO
    for price, there in bids:
        taken = min(there, left * price)
        contracts += taken
        left -= taken / price
        if taken < there:
            break
    contracts = qty_to_lot(contracts + of_sold.lot_size / 2, of_sold.lot_size)
    return (qty, contracts) if qty > 0 and contracts > 0 else None


def taken_side(view: DepthView, side: Side) -> list[ExactLevel]:
    """Return the levels that an order of this side takes; none where one cannot be a level."""
    levels = view.asks if side is Side.BUY else view.bids
    return exact_levels(levels, len(levels)) if are_levels(levels) else []


def _part(book: KnownBook, side: Side, qty: Decimal) -> Wanted | None:
    """Return the order of a leg; ``None`` where the venue takes none so small."""
    view, rules = book.view, book.rules
    assert view is not None
    assert rules is not None
    accepted = qty_accepted(rules, qty_to_lot(qty, rules.lot_size))
    levels = taken_side(view, side)
    if accepted <= 0 or not is_enough(rules, accepted, levels[0][0]):
        return None
    return Wanted(view, rules, side, accepted)


def _open_legs(held: StrategyPosition) -> list[tuple[MarketKey, Side, Decimal]]:
    """Return what would close a round, by place; spot is one holding over all venues."""
    net: dict[str, Decimal] = {}
    for leg in held.legs:
        key = holding_key(leg.venue, leg.instrument)
        net[key] = net.get(key, _ZERO) + leg.qty
    found: list[tuple[MarketKey, Side, Decimal]] = []
    for leg in held.legs:
        key = holding_key(leg.venue, leg.instrument)
        left = net[key]
        if leg.qty * left <= 0:
            continue
        qty = min(abs(leg.qty), abs(left))
        net[key] = left - qty if left > 0 else left + qty
        side = Side.SELL if leg.qty > 0 else Side.BUY
        found.append(((leg.venue, leg.instrument), side, qty))
    return found


def _id(terms: RoundTerms, legs: Sequence[OpportunityLeg]) -> str:
    """Return the id of doing this with a round against these states of the books."""
    books = ">".join(f"{leg.side}{leg.qty}@{leg.book_id}" for leg in legs)
    text = f"{terms.strategy_id}|{terms.round_id}|{terms.intent}>{books}"
    return blake2b(text.encode(), digest_size=8).hexdigest()
