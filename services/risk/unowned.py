"""Positions that a venue opened by closing what was closed already: no round holds them. Pure.

The executor trades back what a plan of ours had closed as well (``Fill.of_no_round``). What is told
as closed of rounds, and none of them holds, would be closed by nobody: trading halts for it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from services.risk.border import reduced_alerts
from services.risk.exposure import ZERO, Ledger
from services.risk.halt_causes import HaltCause
from shared.domain.ownership import reduced_text
from shared.messages.base import Message
from shared.messages.execution import Fill

if TYPE_CHECKING:
    from services.risk.trading import TradingControl


def held_by_none(ledger: Ledger, fill: Fill) -> Decimal:
    """Return what we hold in the instrument of a venue's own fill and no round does, signed."""
    if not fill.reduced_by:  # asked for every fill, and most are of our orders
        return ZERO
    market = f"{fill.venue}|{fill.instrument}"
    return ledger.positions.get(market, ZERO) - ledger.rounds.held_on(market)


def opened_text(fill: Fill, before: Decimal, after: Decimal) -> str:
    """Return what a venue's own fill opened that nobody will close; empty if there is nothing.

    ``before`` and ``after`` it are what no round held, signed. It may have closed of that, too.
    """
    if not fill.reduced_by or before == after:
        return ""
    opened = after - before - fill.side.signed(fill.of_no_round)
    if before * opened < 0:
        opened = opened + before if abs(opened) > abs(before) else ZERO
    if not opened:
        return ""
    held = f"{opened} {fill.instrument} at {fill.venue}"
    return (
        f"{reduced_text(fill)}, which was closed already: that leaves {held}, which no round holds"
    )


def alerts_of_reduction(
    ledger: Ledger, fill: Fill, before: Decimal, control: TradingControl, now_ns: int
) -> list[Message]:
    """Alert for a fill that the venue made; halt if it opened what nobody closes.

    ``before`` it no round held so much of what we held there, signed.
    """
    out = reduced_alerts(fill, ledger.rounds.touched, now_ns)
    if opened := opened_text(fill, before, held_by_none(ledger, fill)):
        out.append(control.trip(HaltCause.POSITION_UNOWNED, opened, now_ns))
    return out
