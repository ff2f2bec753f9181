"""Compare our ledger with what the simulated venues themselves hold. Pure.

Fills are compared one by one: order, side, price and quantity (a venue may name a trade differently
on its different interfaces); balances by what they changed since the run began.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from services.cli.collector import Collector
from shared.domain.instrument import InstrumentKind, split_instrument
from shared.messages.base import Side
from shared.messages.execution import Balance, Fill

DIFFERENCES_SHOWN = 10


class VenueFill(msgspec.Struct, frozen=True):
    """One execution as the venue booked it."""

    instrument: str
    client_order_id: str
    side: Side
    price: Decimal
    qty: Decimal


class Account(msgspec.Struct, frozen=True):
    """One venue's account."""

    balances: dict[str, Balance]
    positions: dict[str, Decimal]
    open_orders: list[Any]
    fills: list[VenueFill]


@dataclass(slots=True)
class Truth:
    """What the comparison found."""

    open_orders: int = 0
    ledger_equal: bool = True
    differences: list[str] = field(default_factory=list)

    def differ(self, text: str) -> None:
        """Note one difference; the list is bounded, the verdict is not."""
        self.ledger_equal = False
        if len(self.differences) < DIFFERENCES_SHOWN:
            self.differences.append(text)


def read_accounts(raw: Any) -> dict[str, Account]:
    """Return the control port's answer about accounts, typed."""
    return msgspec.convert(raw, dict[str, Account], strict=False)


def compare(
    collector: Collector, before: Mapping[str, Account], after: Mapping[str, Account]
) -> Truth:
    """Return whether fills, positions and balances agree with the fills that we know of."""
    truth = Truth()
    ours: dict[str, list[Fill]] = {venue: [] for venue in after}
    for fill in collector.fills.items.values():
        ours.setdefault(fill.venue, []).append(fill)
    for venue, account in after.items():
        truth.open_orders += len(account.open_orders)
        _compare_fills(truth, venue, ours[venue], account)
        _compare_positions(truth, venue, ours[venue], account)
        _compare_balances(truth, venue, ours[venue], before.get(venue), account)
    return truth


def _compare_fills(truth: Truth, venue: str, ours: list[Fill], account: Account) -> None:
    mine, theirs = Counter(map(_told, ours)), Counter(map(_told, account.fills))
    for told, count in sorted((theirs - mine).items()):
        truth.differ(f"{venue} has {count} fill(s) that we do not know: {' '.join(told)}")
    for told, count in sorted((mine - theirs).items()):
        truth.differ(f"{venue} does not know {count} fill(s) of ours: {' '.join(told)}")


def _told(fill: Fill | VenueFill) -> tuple[str, str, str, str, str]:
    """Return a fill as both sides tell it; numbers in one spelling."""
    numbers = (f"{fill.qty.normalize():f}", f"{fill.price.normalize():f}")
    return (fill.instrument, fill.client_order_id, fill.side, *numbers)


def _compare_positions(truth: Truth, venue: str, ours: list[Fill], account: Account) -> None:
    expected: dict[str, Decimal] = {}
    for fill in ours:
        if split_instrument(fill.instrument).kind is not InstrumentKind.SPOT:
            signed = fill.qty if fill.side is Side.BUY else -fill.qty
            expected[fill.instrument] = expected.get(fill.instrument, Decimal(0)) + signed
    for name in sorted(expected.keys() | account.positions.keys()):
        here, there = expected.get(name, Decimal(0)), account.positions.get(name, Decimal(0))
        if here != there:
            truth.differ(f"{venue} position {name} is {there} there and {here} here")


def _compare_balances(
    truth: Truth, venue: str, ours: list[Fill], before: Account | None, after: Account
) -> None:
    if before is None or any(after.positions.values()):
        return  # an open position's margin and unrealized result are not ours to reckon
    expected: dict[str, Decimal] = {}
    for fill in ours:
        for asset, change in changes_of(fill):
            expected[asset] = expected.get(asset, Decimal(0)) + change
    for asset in sorted(after.balances.keys() | before.balances.keys() | expected.keys()):
        here = expected.get(asset, Decimal(0))
        there = _total(after, asset) - _total(before, asset)
        if here != there:
            truth.differ(f"{venue} {asset} changed by {there} there and by {here} here")


def changes_of(fill: Fill) -> list[tuple[str, Decimal]]:
    """Return what one fill does to which balances: cost, proceeds and fee.

    A linear perpetual moves only the quote asset, and over a closed position by exactly the
    difference of proceeds and cost.
    """
    name = split_instrument(fill.instrument)
    sign = 1 if fill.side is Side.BUY else -1
    changes = [(name.quote, -sign * fill.qty * fill.price)]
    if name.kind is InstrumentKind.SPOT:
        changes.append((name.base, sign * fill.qty))
    if fill.fee is not None and fill.fee_asset:
        changes.append((fill.fee_asset, -fill.fee))
    return changes


def _total(account: Account, asset: str) -> Decimal:
    balance = account.balances.get(asset)
    return balance.free + balance.used if balance else Decimal(0)
