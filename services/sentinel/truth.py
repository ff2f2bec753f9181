"""Readings of the venues' accounts, compared with risk's figures. Pure.

Risk knows how trading, and what is recorded as moved beside it, changed the balances, a venue the
balances themselves. Their difference at the first quiet reading is the initial balance, and must
stay the same while risk's figures are right. A deposit or a withdrawal changes it until it is
recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from services.sentinel.facts import booked_of, positions_of
from services.sentinel.requests import TruthRead
from shared.domain.booked_balances import booked_at
from shared.domain.instrument import is_spot, split_instrument
from shared.domain.order import ZERO
from shared.messages.execution import RiskReport

DAY_NS: Final = 86_400_000_000_000


@dataclass(slots=True)
class Account:
    """One venue's newest reading.

    Attributes:
        before: What risk had reported when it was asked for; ``asking``: the same of the next.
        read_ns: When it was answered, 0: never.
        problem: Why a newer one is missing; empty where it is not.
        unowned: Venue's order id -> an order without an owner in words, and since when it is seen.
        differences: Base asset -> place -> by how much the venue differs from risk there, as last
            compared; ``None``: never.
    """

    truth: TruthRead | None = None
    before: RiskReport | None = None
    asking: RiskReport | None = None
    read_ns: int = 0
    problem: str = "not read yet"
    is_asked: bool = False
    due_ns: int = 0
    unowned: dict[str, tuple[str, int]] = field(default_factory=dict)
    differences: dict[str, dict[str, Decimal]] | None = None


class Truth:
    """All venues' readings."""

    def __init__(self, venues: Mapping[str, tuple[str, ...]]) -> None:
        self.venues = venues
        self.accounts = {venue: Account() for venue in venues}
        self.bases = sorted(
            {split_instrument(name).base for names in venues.values() for name in names}
        )
        self._before: dict[tuple[str, str], Decimal] = {}
        """Venue and asset -> balance less what is on record."""

    def settle(self, risk: RiskReport | None) -> None:
        """Compare the readings at which nothing moved with risk's figures."""
        for account in self.accounts.values():
            if account.truth is not None and risk is not None and is_quiet(account, risk):
                account.differences = self._compared(account.truth, risk)

    def _compared(self, truth: TruthRead, risk: RiskReport) -> dict[str, dict[str, Decimal]]:
        held, found = positions_of(risk), dict[str, dict[str, Decimal]]()
        for name in self.venues[truth.venue]:
            base = split_instrument(name).base
            if is_spot(name):
                changed = booked_of(risk, (truth.venue,), base)
                there = truth.balances.get(base, ZERO) - changed
                differs = there - self._before.setdefault((truth.venue, base), there)
                place = f"spot at {truth.venue}"
            else:
                place = f"{name} at {truth.venue}"
                differs = truth.positions.get(name, ZERO) - held.get((truth.venue, name), ZERO)
            if differs:
                found.setdefault(base, {})[place] = differs
        return found

    def spot_changed(self, base: str) -> Decimal | None:
        """Return by how much an asset's balances changed beside what was on record at first."""
        total = ZERO
        for venue, names in self.venues.items():
            if not any(is_spot(name) and split_instrument(name).base == base for name in names):
                continue
            truth, before = self.accounts[venue].truth, self._before.get((venue, base))
            if truth is None or before is None:
                return None
            total += truth.balances.get(base, ZERO) - before
        return total

    def differences(self, base: str) -> dict[str, Decimal] | None:
        """Return where venues and risk differ in an asset; ``None`` where that is not known yet."""
        found: dict[str, Decimal] = {}
        for venue, names in self.venues.items():
            if any(split_instrument(name).base == base for name in names):
                told = self.accounts[venue].differences
                if told is None:
                    return None
                found |= told.get(base, {})
        return found


def is_quiet(account: Account, risk: RiskReport) -> bool:
    """Tell whether risk's figures of a venue were the same before and after it was read."""
    before, truth = account.before, account.truth
    if before is None or truth is None or risk.ts_ns <= account.read_ns:
        return False
    was, now = (booked_at(truth.venue, r.inventory, r.transfers) for r in (before, risk))
    return was == now and positions_of(before) == positions_of(risk)
