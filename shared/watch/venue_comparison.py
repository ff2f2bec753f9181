"""Compare our ledger with what the simulated venues themselves hold. Pure.

Fills are compared one by one: order, side, price and quantity (a venue may name a trade differently
on its different interfaces); orders by their names, both ways; balances by what they changed since
the run began.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from shared.domain.accounting import ZERO, Books
from shared.domain.executions import execution_of
from shared.domain.quantities import is_inverse
from shared.messages.balances import Balance
from shared.messages.base import Side
from shared.messages.execution import Fill
from shared.watch.collector import Collector
from shared.watch.money import Balances, VenuePosition, balance_changes, perpetuals

DIFFERENCES_SHOWN = 10
ORDERS_TOLD_MAX = 10_000
"""The newest orders that a simulated venue tells."""


class VenueFill(msgspec.Struct, frozen=True):
    """One execution as the venue booked it."""

    instrument: str
    client_order_id: str
    side: Side
    price: Decimal
    qty: Decimal


class VenueOrder(msgspec.Struct, frozen=True):
    """One order that the venue has taken, whatever became of it."""

    client_order_id: str
    instrument: str
    side: Side
    qty: Decimal


class VenueFunding(msgspec.Struct, frozen=True):
    """One payment of funding as the venue booked it."""

    ts_ms: int
    asset: str
    amount: Decimal


class Account(msgspec.Struct, frozen=True):
    """One venue's account; ``position_costs`` are what its positions cost in quote units,
    ``funding`` what fundings paid in all, by asset, ``fundings`` the newest of them. ``orders`` are
    the newest; ``None`` where they are not told.
    """

    balances: dict[str, Balance]
    positions: dict[str, Decimal]
    open_orders: list[Any]
    fills: list[VenueFill]
    position_costs: dict[str, Decimal] = {}
    funding: dict[str, Decimal] = {}
    fundings: list[VenueFunding] = []
    orders: list[VenueOrder] | None = None


@dataclass(slots=True)
class VenueComparison:
    """What the comparison found; ``accounts`` are what our books were compared with."""

    open_orders: int = 0
    ledger_equal: bool = True
    differences: list[str] = field(default_factory=list)
    accounts: Mapping[str, Account] = field(default_factory=dict)

    def differ(self, text: str) -> None:
        """Note one difference; only so many are listed, but any makes the comparison fail."""
        self.ledger_equal = False
        if len(self.differences) < DIFFERENCES_SHOWN:
            self.differences.append(text)


def read_accounts(raw: Any) -> dict[str, Account]:
    """Return the control port's answer about accounts, typed."""
    return msgspec.convert(raw, dict[str, Account], strict=False)


def compare(
    collector: Collector,
    before: Mapping[str, Account],
    after: Mapping[str, Account],
    *,
    ended_ns: int | None = None,
) -> VenueComparison:
    """Return whether fills, positions and balances agree with the fills that we know of.

    From ``ended_ns`` on nobody asked what funding paid: what settled since, and is not booked here,
    is left out.
    """
    if ended_ns is not None:
        after = {v: _until(ended_ns, v, collector, account) for v, account in after.items()}
    comparison = VenueComparison(accounts=after)
    ours: dict[str, list[Fill]] = {venue: [] for venue in after}
    for fill in collector.fills.items.values():
        ours.setdefault(fill.venue, []).append(fill)
    for venue, account in after.items():
        comparison.open_orders += len(account.open_orders)
        _compare_fills(comparison, venue, ours[venue], account)
        _compare_orders(comparison, venue, collector, before.get(venue), account)
        books = Books()
        for fill in _in_their_order(ours[venue], account.fills):
            books.trade(execution_of(fill))
        for paid in collector.funding.payments.items.values():
            if paid.venue == venue:
                books.fund(venue, paid.instrument, paid.amount, paid.asset)
        _compare_funding(comparison, venue, collector, before.get(venue), account)
        _compare_positions(comparison, venue, books, account)
        _compare_balances(comparison, venue, books, before.get(venue), account)
    return comparison


def _compare_fills(
    comparison: VenueComparison, venue: str, ours: list[Fill], account: Account
) -> None:
    mine, theirs = Counter(map(_comparable, ours)), Counter(map(_comparable, account.fills))
    for fill, count in sorted((theirs - mine).items()):
        comparison.differ(f"{venue} has {count} fill(s) that we do not know: {' '.join(fill)}")
    for fill, count in sorted((mine - theirs).items()):
        comparison.differ(f"{venue} does not know {count} fill(s) of ours: {' '.join(fill)}")


def _compare_orders(
    comparison: VenueComparison,
    venue: str,
    collector: Collector,
    before: Account | None,
    after: Account,
) -> None:
    """Compare orders that the venue has taken since the run began with those on record.

    A venue tells its newest only, and the record forgets its oldest: where either has happened the
    other way round is not asked. An order that fills is found by its fills either way.
    """
    if after.orders is None:
        return
    told = () if before is None else before.orders or ()
    earlier = {each.client_order_id for each in told}
    theirs = {each.client_order_id: each for each in after.orders}
    if not collector.orders.forgotten:
        for name in sorted(theirs.keys() - earlier - collector.orders.items.keys()):
            order = theirs[name]
            what = f"{name or 'unnamed'} {order.side} {order.qty.normalize():f} {order.instrument}"
            comparison.differ(f"{venue} has an order that we do not know: {what}")
    if len(after.orders) >= ORDERS_TOLD_MAX:
        return
    for name, news in sorted(collector.orders.items.items()):
        if news.venue == venue and news.is_taken and name not in theirs:
            comparison.differ(f"{venue} does not know an order of ours: {name}")


def _compare_funding(
    comparison: VenueComparison,
    venue: str,
    collector: Collector,
    before: Account | None,
    after: Account,
) -> None:
    ours: dict[str, Decimal] = {}
    for paid in collector.funding.payments.items.values():
        if paid.venue == venue:
            ours[paid.asset] = ours.get(paid.asset, ZERO) + paid.amount
    earlier = {} if before is None else before.funding
    for asset in sorted(ours.keys() | after.funding.keys()):
        here = ours.get(asset, ZERO)
        there = after.funding.get(asset, ZERO) - earlier.get(asset, ZERO)
        if here != there:
            comparison.differ(f"{venue} paid {there} {asset} of funding, and {here} is booked here")


def _until(ended_ns: int, venue: str, collector: Collector, account: Account) -> Account:
    """Return the account without what settled from a time on and is not booked here."""
    booked = {
        (paid.ts_funding_ns // 1_000_000, paid.asset, paid.amount)
        for paid in collector.funding.payments.items.values()
        if paid.venue == venue
    }
    balances, funding = dict(account.balances), dict(account.funding)
    for paid in account.fundings:
        asset, amount = paid.asset, paid.amount
        if paid.ts_ms * 1_000_000 < ended_ns or (paid.ts_ms, asset, amount) in booked:
            continue
        funding[asset] -= amount
        balances[asset] = Balance(free=balances[asset].free - amount, used=balances[asset].used)
    return msgspec.structs.replace(account, balances=balances, funding=funding)


def _in_their_order(ours: list[Fill], theirs: list[VenueFill]) -> list[Fill]:
    """Sort our fills as the venue booked them: what a position realizes depends on the order."""
    place = {fill: index for index, fill in enumerate(map(_comparable, theirs))}
    return sorted(ours, key=lambda fill: place.get(_comparable(fill), len(place)))


def _comparable(fill: Fill | VenueFill) -> tuple[str, str, str, str, str]:
    """Return what both sides know of a fill, with numbers in one spelling."""
    numbers = (f"{fill.qty.normalize():f}", f"{fill.price.normalize():f}")
    return (fill.instrument, fill.client_order_id, fill.side, *numbers)


def _compare_positions(
    comparison: VenueComparison, venue: str, books: Books, account: Account
) -> None:
    ours = perpetuals(
        {
            key.partition("|")[2]: qty
            for key, qty in books.quantities.items()
            if key.startswith(f"{venue}|")
        }
    )
    theirs = perpetuals(account.positions)
    for name in sorted(ours.keys() | theirs.keys()):
        here, there = ours.get(name, ZERO), theirs.get(name, ZERO)
        if here != there:
            comparison.differ(f"{venue} position {name} is {there} there and {here} here")


def _compare_balances(
    comparison: VenueComparison, venue: str, books: Books, before: Account | None, after: Account
) -> None:
    if before is None:
        return
    changes = balance_changes(totals({venue: before}), totals({venue: after}))[venue]
    ours = books.inventory_change().get(venue, {})
    for asset in sorted(changes.keys() | ours.keys()):
        here, there = ours.get(asset, ZERO), changes.get(asset, ZERO)
        if here != there:
            comparison.differ(f"{venue} {asset} changed by {there} there and by {here} here")


def totals(accounts: Mapping[str, Account]) -> Balances:
    """Return every balance, free and used together."""
    return {
        venue: {asset: balance.free + balance.used for asset, balance in account.balances.items()}
        for venue, account in accounts.items()
    }


def open_positions(accounts: Mapping[str, Account]) -> list[VenuePosition]:
    """Return the perpetual positions that the venues hold.

    Venues count the coins of an inverse contract with its quantity's sign, our books with the
    other: who is short owes quote units for coins that he has received.
    """
    return [
        VenuePosition(venue, name, qty, -cost if is_inverse(name) else cost)
        for venue, account in accounts.items()
        for name, qty in perpetuals(account.positions).items()
        for cost in (account.position_costs.get(name, ZERO),)
    ]
