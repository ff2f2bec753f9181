"""Turns a signal into a single leg: risk sizes it, not the strategy. Pure.

A signal states a direction; the position of its round decides what follows. If the round holds the
opposite direction, or the signal is FLAT, all of it is closed. If nothing is held, a position is
opened whose loss at its stop is within the strategy's budget (``shared/domain/sizing.py``).
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import msgspec

from services.risk.exposure import ZERO, Ledger
from services.risk.market import LatestBooks
from services.risk.reasons import Denial, DenyReason, deny
from services.risk.round_limits import is_stop
from shared.config_sections import StrategyConfig
from shared.domain.accounting import holding_key
from shared.domain.depth import ExactLevel
from shared.domain.fees import BPS, ONE_BP
from shared.domain.instrument import InstrumentKind, is_spot, split_instrument
from shared.domain.rounding import is_enough, qty_accepted
from shared.domain.sizing import RiskPerUnit, size_by_risk
from shared.messages.arb import Opportunity, Signal, Target
from shared.messages.base import BookState, Side
from shared.messages.market import DepthView
from shared.messages.rounds import Intent, RoundState
from shared.messages.rules import InstrumentRules
from shared.strategies.round_plans import RoundTerms, Wanted, plan_round, taken_side


class SignalContext(NamedTuple):
    """A signal with the configuration, book and rules that decide on it."""

    signal: Signal
    entry: StrategyConfig
    view: DepthView
    rules: InstrumentRules

    @property
    def per_unit(self) -> RiskPerUnit:
        """What a unit may lose: to the stop, both fees, and beyond the stop's price."""
        fee_bps, entry = self.rules.taker_fee_bps, self.entry
        return RiskPerUnit(self.signal.stop_bps, fee_bps, fee_bps, entry.directional_slippage_bps)

    def risk_of(self, found: Opportunity) -> Decimal:
        """Return what an opening may lose at its stop, in quote units."""
        return found.notional * self.per_unit.total_bps * ONE_BP


def look_up(signal: Signal, entry: StrategyConfig, market: LatestBooks) -> SignalContext | Denial:
    """Return a signal with its book and rules, or why it cannot be followed."""
    book = f"{signal.venue} {signal.instrument}"
    view = market.views.get((signal.venue, signal.instrument))
    rules = market.rules.get((signal.venue, signal.instrument))
    try:
        kind = split_instrument(signal.instrument).kind
    except ValueError as error:
        return deny(DenyReason.MALFORMED, instrument=error)
    if kind is InstrumentKind.INVERSE:
        return deny(DenyReason.MALFORMED, instrument=signal.instrument, target=signal.target)
    if view is None:
        return deny(DenyReason.BOOK_UNKNOWN, book=book)
    if view.state is not BookState.LIVE or not (view.bids and view.asks):
        return deny(DenyReason.BOOK_NOT_LIVE, book=book, state=view.state)
    if rules is None:
        return deny(DenyReason.NO_RULES, book=book)
    return SignalContext(signal, entry, view, rules)


def offer_of(
    context: SignalContext, ledger: Ledger, order_notional_max: Decimal, now_ns: int
) -> Opportunity | Denial:
    """Return the opportunity that follows from a signal now, or why none does.

    Args:
        context: The signal, its book and rules.
        ledger: What the rounds hold.
        order_notional_max: Of any order, in quote units.
        now_ns: Now.
    """
    signal, view, rules = context.signal, context.view, context.rules
    held = held_by(signal, ledger)
    wanted = {Target.LONG: 1, Target.SHORT: -1, Target.FLAT: 0}[signal.target]
    if held and held * wanted <= 0:
        side = Side.SELL if held > 0 else Side.BUY
        there = sum((size for _, size in taken_side(view, side)), ZERO)
        qty = qty_accepted(rules, min(abs(held), there))
        return _offer(signal, Intent.CLOSE, Wanted(view, rules, side, qty), now_ns)
    if held or not wanted:
        return deny(DenyReason.ROUND_STATE, round=signal.round_id, holds=held, wants=signal.target)
    if wanted < 0 and is_spot(signal.instrument):  # it would sell what it does not have
        return deny(DenyReason.MALFORMED, instrument=signal.instrument, target=signal.target)
    side = Side.BUY if wanted > 0 else Side.SELL
    qty_or_not = _sized(context, ledger, order_notional_max, side)
    if isinstance(qty_or_not, Denial):
        return qty_or_not
    return _offer(signal, Intent.OPEN, Wanted(view, rules, side, qty_or_not), now_ns)


def held_by(signal: Signal, ledger: Ledger) -> Decimal:
    """Return the signed base units that the signal's round holds of its instrument."""
    known = ledger.rounds.get(signal.strategy_id, signal.round_id)
    key = holding_key(signal.venue, signal.instrument)
    return ZERO if known is None else known.held.get(key, ZERO)


def open_risk(strategy: str, quote: str, ledger: Ledger) -> Decimal:
    """Return what the open rounds of a strategy in a quote asset may lose at their stops."""
    in_flight = ledger.rounds_in_flight
    return sum(
        (
            each.risk_quote
            for key, each in ledger.rounds.rounds.items()
            if (each.strategy, each.quote) == (strategy, quote)
            and each.state(in_flight.get(key)) is not RoundState.CLOSED
        ),
        ZERO,
    )


def _sized(
    context: SignalContext, ledger: Ledger, order_notional_max: Decimal, side: Side
) -> Decimal | Denial:
    signal, entry, rules = context.signal, context.entry, context.rules
    if not is_stop(signal.stop_bps):
        return deny(DenyReason.DIRECTIONAL_STOP, stop_bps=signal.stop_bps)
    levels = _within(taken_side(context.view, side), entry.directional_slippage_bps)
    if not levels:
        return deny(DenyReason.BOOK_NOT_LIVE, book=f"{signal.venue} {signal.instrument}")
    best, worst = levels[0][0], max(levels[0][0], levels[-1][0])
    share = min(signal.strength, Decimal(1)) * entry.directional_risk_bps / BPS
    of_equity = entry.directional_equity * share
    quote = split_instrument(signal.instrument).quote
    sized = size_by_risk(
        max(ZERO, of_equity - open_risk(signal.strategy_id, quote, ledger)),
        best,
        context.per_unit,
        lot_size=rules.lot_size,
        notional_quote_max=min(entry.directional_notional_max, order_notional_max) * best / worst,
        depth_qty=sum((size for _, size in levels), ZERO),
    )
    qty = qty_accepted(rules, sized.qty)
    if qty <= 0 or not is_enough(rules, qty, min(best, levels[-1][0])):
        return deny(DenyReason.DIRECTIONAL_SIZE, qty=sized.qty_exact, bound=sized.bound)
    return qty


def _within(levels: list[ExactLevel], slippage_bps: Decimal) -> list[ExactLevel]:
    """Return the levels no further from the best than the slippage that is counted with."""
    if not levels:
        return []
    room = levels[0][0] * slippage_bps * ONE_BP
    return [level for level in levels if abs(level[0] - levels[0][0]) <= room]


def _offer(signal: Signal, intent: Intent, order: Wanted, now_ns: int) -> Opportunity | Denial:
    terms = RoundTerms(signal.strategy_id, signal.round_id, intent)
    found = plan_round(terms, [order], now_ns) if order.qty > 0 else None
    if found is None:
        return deny(DenyReason.DIRECTIONAL_SIZE, qty=order.qty, bound="depth")
    return msgspec.structs.replace(
        found,
        ts_ns=signal.ts_ns,
        opportunity_id=signal.signal_id,
        detector=signal.detector,
        ts_recv_ns=signal.ts_recv_ns,
        ts_depth_ns=signal.ts_depth_ns,
        ts_expire_ns=signal.ts_expire_ns,
        strategy_hash=signal.strategy_hash,
        horizon_ns=signal.horizon_ns,
        stop_bps=signal.stop_bps,
    )
