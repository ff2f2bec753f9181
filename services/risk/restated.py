"""Books a fill again whose report turned out to be in the wrong asset. Pure."""

from __future__ import annotations

from services.risk.equity import Equity
from services.risk.exposure import Ledger, is_first_restating, note_prices
from shared.domain.restating import restating_of
from shared.messages.restated import FillRestated


def apply_restated(ledger: Ledger, told: FillRestated) -> bool:
    """Book a restated fill; return False if it was never booked, or is restated already."""
    fill = told.fill
    if not is_first_restating(ledger, told):
        return False
    held = ledger.reservations.get(fill.plan_id)
    strategy = (held.strategy if held is not None else "") or fill.strategy
    for done in restating_of(told):
        if done.cash not in ledger.books.results:
            ledger.equity.setdefault(done.cash, Equity())
        note_prices(ledger, done)
        ledger.books.trade(done)
        ledger.strategies.trade(done, strategy)
    return True
