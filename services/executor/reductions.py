"""Fills that nobody here ordered: the venue liquidated a position of ours, or deleveraged it. Pure.

The venue's own order says so (``OrderReport.forced``). What it closed of our position is booked and
reported as a fill of the account, once by its natural key, with a critical alert. What it closed of
a position that others opened in the account is reported by the alert alone and not booked.

Ours is what we held at that time, less what reduce-only orders of ours have closed since: that the
account held after it. It is known only when all our own executions at the venue are known. After a
loss of records a fill is therefore kept until the orders that are still looked up are answered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from services.executor.actions import QueryAnswered
from services.executor.journal import alert
from services.executor.reduce_only import of_others, take_over
from services.executor.state import ExecutorState
from services.executor.venue_account import VenueAccount
from shared.accounts.gateway import BY_SENTINEL, FillReport, OrderReport
from shared.domain.executions import execution_of
from shared.domain.fees import MONEY_STEP
from shared.domain.instrument import split_instrument
from shared.domain.order import ZERO
from shared.engine import Step
from shared.messages.control import Severity
from shared.messages.execution import Fill

SEEN_MAX: Final = 256
"""Such fills remembered, the newest."""
_NOT_OF_AN_ID: Final = re.compile(r"[^A-Za-z0-9_-]")
ID_LENGTH_MAX: Final = 36
LOOK_BACK_NS: Final = 30_000_000_000
"""Beyond the last positions told: covers venue clocks."""


class Reductions:
    """Finds what venues closed by themselves, and books our part of it."""

    def __init__(self, state: ExecutorState) -> None:
        self._state = state
        self._closed_twice: list[tuple[str, FillReport]] = []

    def take_closed_twice(self) -> list[tuple[str, FillReport]]:
        """Return and clear what both the venue and a plan of ours have closed."""
        closed, self._closed_twice = self._closed_twice, []
        return closed

    def on_positions(
        self, account: VenueAccount, positions: Mapping[str, Decimal], now_ns: int
    ) -> None:
        """Read executions again where the difference between the venue's position and ours changed.

        Executions are otherwise read when a plan ends, which a liquidation does not wait for. A
        difference that stays the same is what others hold in the account, and needs no reading.
        """
        before_ns, account.positions_ns = account.positions_ns or now_ns, now_ns
        held, has_changed = self._state.books.quantities, False
        for name, qty in positions.items():
            differs = qty - held.get(f"{account.venue}|{name}", ZERO)
            has_changed |= differs != account.odd.get(name, ZERO)
            account.odd[name] = differs
        if has_changed:
            account.sweep_later(before_ns - LOOK_BACK_NS, now_ns)

    def look_up(self, account: VenueAccount, fill: FillReport, now_ns: int, out: Step) -> None:
        """Handle a fill whose order is not on record: query it unless its owner is known."""
        forced = account.forced.get(fill.venue_order_id)
        if forced is not None:
            account.reductions[fill.key_at(account.venue)] = forced, fill
            return
        question = account.look_up(fill.venue_order_id, fill.instrument, fill.ts_venue_ns)
        out.actions.extend([question] if question else [])

    def not_ours(self, account: VenueAccount, reply: QueryAnswered, now_ns: int, out: Step) -> None:
        """Handle the answer about an order that is not ours: keep the fills of the venue's own."""
        order_id, report = reply.key.venue_order_id, reply.report
        if report is None or not report.forced:
            account.remember_foreign(order_id)
        else:
            account.remember_forced(order_id, report)
            for fill in report.fills:
                account.reductions[fill.key_at(account.venue)] = report, fill
        self.settle(account, now_ns, out)

    def settle(self, account: VenueAccount, now_ns: int, out: Step) -> None:
        """Book the fills kept, oldest first, once all our own executions there are known."""
        if not account.reductions or account.lookups or not account.has_fills:
            return
        found, account.reductions = list(account.reductions.values()), {}
        for order, fill in sorted(found, key=lambda each: each[1].ts_venue_ns):
            self.book(order, fill, now_ns, out)

    def book(self, order: OrderReport, fill: FillReport, now_ns: int, out: Step) -> None:
        """Book and report the part of a fill of the venue's own order that closed our position."""
        venue, name = order.terms.venue, fill.instrument
        key, seen = fill.key_at(venue), self._state.reductions
        if key.text in seen or "|".join(key.trade) in seen:
            return
        seen[key.text] = fill.ts_venue_ns
        for oldest in list(seen)[: max(0, len(seen) - SEEN_MAX)]:
            del seen[oldest]
        # Judged by what we held at the time of the fill, and have not closed ourselves since.
        held = self._state.books.held_at(venue, name, fill.ts_venue_ns)
        qty = min(fill.qty, abs(held)) if fill.side.signed(fill.qty) * held < 0 else ZERO
        qty -= of_others(self._state, venue, fill, qty)
        who = f"{venue} closed a position by itself ({order.forced})"
        if order.forced == BY_SENTINEL:
            who = f"the sentinel closed a position at {venue}"
        text = f"{who}: {fill.side} {fill.qty} {name} at {fill.price}"
        if qty != fill.qty:
            text += f", {qty} of it ours, of {held} held"
        ours = msgspec.structs.replace(fill, qty=qty)
        taken = take_over(self._state, venue, ours) if qty else None
        if taken is not None and taken.closed_twice:
            text += f"; {taken.closed_twice} of it we have closed as well, which is traded back"
            rest = msgspec.structs.replace(fill, qty=taken.closed_twice)
            self._closed_twice.append((venue, rest))
        alert(out, Severity.CRITICAL, "POSITION_REDUCED", text, now_ns, f"{venue} {name}")
        if taken is None:
            return
        told = msgspec.structs.replace(
            self._message(order, fill, qty, now_ns),
            of_no_round=taken.of_no_round,
            of_rounds=taken.of_rounds,
        )
        self._state.books.trade(execution_of(told))
        out.messages.append(told)

    @staticmethod
    def _message(order: OrderReport, fill: FillReport, qty: Decimal, now_ns: int) -> Fill:
        fee, quote = fill.fee, split_instrument(fill.instrument).quote
        if fee is not None and qty != fill.qty:
            fee = (fee * qty / fill.qty).quantize(MONEY_STEP)
        name = _NOT_OF_AN_ID.sub("_", order.client_order_id or fill.venue_order_id)
        return Fill(
            ts_ns=now_ns,
            plan_id=f"venue-{_NOT_OF_AN_ID.sub('_', fill.venue_order_id)}"[:ID_LENGTH_MAX],
            client_order_id=name[:ID_LENGTH_MAX],
            venue=order.terms.venue,
            instrument=fill.instrument,
            side=fill.side,
            trade_id=fill.trade_id,
            price=fill.price,
            qty=qty,
            fee=fee,
            fee_asset=fill.fee_asset,
            fee_quote=fee if fill.fee_asset in {"", quote} else None,
            ts_venue_ns=fill.ts_venue_ns,
            reduced_by=order.forced,
        )
