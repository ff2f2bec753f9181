"""What the venues' accounts have lost since the day began (UTC). Pure.

The change of every balance since the first full reading of the day, at present prices: what was
there before earns and loses nothing by a move of the market. Dollars and coins that stand for one
count one each. Some venues include the unrealized profit of derivatives in the balance and some do
not; so equity is computed both ways, and the better result is used: a reported drop is real.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from services.sentinel.facts import Facts
from services.sentinel.truth import DAY_NS, Truth
from shared.config_limits import DOLLARS
from shared.domain.instrument import InstrumentKind, split_instrument
from shared.domain.order import ZERO


@dataclass(frozen=True, slots=True)
class _Morning:
    day: int
    balances: Mapping[str, Mapping[str, Decimal]]
    unrealized: Decimal


class Equity:
    """Remembers the day's start."""

    def __init__(self) -> None:
        self._start: _Morning | None = None

    def change(self, truth: Truth, facts: Facts, now_ns: int) -> Decimal | None:
        """Return the change in dollars, ``None`` where it is not known."""
        balances = {
            venue: account.truth.balances
            for venue, account in truth.accounts.items()
            if account.truth is not None and not account.problem
        }
        unrealized = _unrealized(facts, truth)
        if len(balances) < len(truth.accounts) or unrealized is None:
            return None
        if self._start is None or self._start.day != now_ns // DAY_NS:
            self._start = _Morning(now_ns // DAY_NS, balances, unrealized)
        total = ZERO
        for asset in sorted({a for told in balances.values() for a in told}):
            change = sum(
                (told.get(asset, ZERO) - self._start.balances[venue].get(asset, ZERO))
                for venue, told in balances.items()
            )
            if asset in DOLLARS:
                total += change
            elif change and asset in truth.bases:
                price = facts.price(asset, DOLLARS)
                if price is None:
                    return None
                total += change * price
        return max(total, total + unrealized - self._start.unrealized)


def _unrealized(facts: Facts, truth: Truth) -> Decimal | None:
    """Return what open derivatives would earn in dollars, as risk has it; ``None``: not known."""
    if facts.risk is None:
        return None
    held = {
        (venue, name): qty
        for venue, account in truth.accounts.items()
        for name, qty in (account.truth.positions.items() if account.truth else ())
        if qty
    }
    total, told = ZERO, {(each.venue, each.instrument): each for each in facts.risk.positions}
    for place, qty in held.items():
        each, name = told.get(place), split_instrument(place[1])
        if name.kind is InstrumentKind.INVERSE or name.cash not in DOLLARS:
            return None
        if each is None or each.qty != qty or each.unrealized is None:
            return None
        total += each.unrealized
    return total
