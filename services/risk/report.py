"""Risk's report of every second, from its ledger. Pure."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable

from services.risk.exposure import ZERO, Ledger
from services.risk.trading import TradingControl
from shared.domain.accounting import (
    ClosingPrice,
    Position,
    funding_unknown,
    unrealized,
    worst_certainty,
)
from shared.domain.booked_balances import by_venue
from shared.domain.strategy_books import StrategyFigures
from shared.domain.valuation import known_part
from shared.messages.base import Certainty, TradingState
from shared.messages.execution import RiskReport
from shared.messages.limits import LimitsReport
from shared.messages.position_reports import PositionReport, StrategyReport


def risk_report(
    ledger: Ledger,
    control: TradingControl,
    price: ClosingPrice,
    now_ns: int,
    limits: LimitsReport | None = None,
) -> RiskReport:
    """Return the figures of the moment, valued at ``price``, and how certain they are."""
    certainty = ledger.certainty
    if not control.is_informed():
        certainty = Certainty.UNKNOWN
    elif certainty is Certainty.KNOWN and ledger.has_unknown_fees():
        certainty = Certainty.ESTIMATED
    unknown = funding_unknown(ledger.books, {v: k.reason for v, k in ledger.funding.items()})
    if unknown:
        certainty = Certainty.UNKNOWN
    reserved = ledger.reserved_by_quote()
    positions = ledger.books.positions(price)
    results = ledger.books.results
    return RiskReport(
        ts_ns=now_ns,
        state=control.published,
        exposure=dict(ledger.exposure),
        realized={quote: result.realized for quote, result in results.items()},
        fees={quote: result.fees for quote, result in results.items()},
        realized_today={quote: ledger.realized_today(quote) for quote in results},
        reserved=max(reserved.values(), default=ZERO),
        plans_in_flight=len(ledger.reservations),
        certainty=certainty,
        unrealized=unrealized(known_part(ledger.books, positions)),
        positions=[_position_report(position) for position in positions],
        inventory=ledger.books.inventory_change(),
        transfers=by_venue(ledger.books.transfers),
        by_strategy={
            name: _strategy_report(figures)
            for name, figures in ledger.strategies.figures(ledger.books, price).items()
        },
        funding={quote: result.funding for quote, result in results.items() if result.funding},
        funding_unknown=unknown,
        reserved_by_quote=reserved,
        today={quote: each.today for quote, each in ledger.equity.items()},
        drawdown={quote: each.drawdown for quote, each in ledger.equity.items()},
        marks_estimated=dict(ChainMap(*(each.reasons for each in ledger.valued.values()))),
        paused=ledger.streaks.paused(now_ns),
        fees_unpriced={q: dict(each.unpriced) for q, each in results.items() if each.unpriced},
        equity={quote: each.now for quote, each in ledger.equity.items()},
        limits=limits,
    )


def _strategy_report(figures: StrategyFigures) -> StrategyReport:
    earned = figures.earned
    return StrategyReport(
        realized={quote: each.realized for quote, each in earned.items()},
        fees={quote: each.fees for quote, each in earned.items()},
        unrealized={quote: each.unrealized for quote, each in earned.items()},
        certainty=worst_certainty(*(each.certainty for each in earned.values())),
        positions=[_position_report(position) for position in figures.positions],
        funding={quote: each.funding for quote, each in earned.items() if each.funding},
    )


def _position_report(position: Position) -> PositionReport:
    return PositionReport(
        venue=position.venue,
        instrument=position.instrument,
        qty=position.qty,
        entry=position.entry,
        close_price=position.close_price,
        unrealized=position.unrealized,
    )


def risk_gauges(ledger: Ledger, quotes: Iterable[str], state: TradingState) -> dict[str, float]:
    """Return plans in flight, what they reserve of each quote asset, and whether all may trade."""
    reserved = {quote: float(ledger.reserved_notional(quote)) for quote in quotes}
    return {
        "plans_in_flight": len(ledger.reservations),
        "active": float(state is TradingState.ACTIVE),
        **{f"reserved_notional_{quote}": held for quote, held in reserved.items()},
    }
