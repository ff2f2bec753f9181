"""Round trips of a backtest: fills grouped into what was opened and closed again. Pure.

A round of a strategy is one, from its first fill until risk says that it is closed; so is a plan
without a round, from its first fill to its end. What an operator's FLATTEN or the venue itself
closes belongs to the round that it closes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from shared.domain.accounting import worst_certainty
from shared.domain.order import ZERO
from shared.domain.quantities import is_inverse
from shared.messages.base import Certainty, Message
from shared.messages.execution import RESERVED_STRATEGIES, Fill, PlanDone
from shared.messages.rounds import RoundState, StrategyPosition, round_key

TRIPS_MAX = 10_000
"""Round trips kept one by one; older ones are in the sums only."""
Amounts = dict[str, Decimal]
"""By asset."""


class RoundTrip(msgspec.Struct, kw_only=True):
    """One round trip. ``profit`` is after fees and with funding; ``sides`` are its orders."""

    strategy: str
    name: str
    is_round: bool
    opened_ns: int
    closed_ns: int | None = None
    orders: set[str] = msgspec.field(default_factory=set)
    profit: Amounts = msgspec.field(default_factory=dict)
    fees: Amounts = msgspec.field(default_factory=dict)
    funding: Amounts = msgspec.field(default_factory=dict)
    certainty: Certainty = Certainty.KNOWN
    funding_certainty: Certainty = Certainty.KNOWN
    ending: str = ""

    def told(self) -> dict[str, Any]:
        """Return it for a report."""
        return {
            "strategy": self.strategy,
            "id": self.name,
            "kind": "round" if self.is_round else "plan",
            "opened_ns": self.opened_ns,
            "closed_ns": self.closed_ns,
            "held_s": None if self.closed_ns is None else (self.closed_ns - self.opened_ns) / 1e9,
            "sides": len(self.orders),
            "profit": self.profit,
            "fees": self.fees,
            "funding": self.funding,
            "certainty": str(self.certainty),
            "funding_certainty": str(self.funding_certainty),
            "ending": self.ending,
        }


class Total(msgspec.Struct, kw_only=True):
    """What the closed round trips of a strategy came to in one asset.

    ``not_certain`` are those whose profit is not known for sure, ``funding_unknown`` those that
    may have been paid or charged more funding than was told.
    """

    trips: int = 0
    won: int = 0
    lost: int = 0
    not_certain: int = 0
    funding_unknown: int = 0
    held_s: float = 0.0
    profit: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO


class RoundTrips:
    """Follows fills, ends of plans and positions of rounds.

    Args:
        first_ns: Begin of the run; time in the market is counted from there,
        last_ns: and up to here.
    """

    def __init__(self, first_ns: int, last_ns: int) -> None:
        self._first_ns, self._last_ns = first_ns, last_ns
        self._open: dict[str, RoundTrip] = {}
        self._closed: OrderedDict[str, RoundTrip] = OrderedDict()
        self._old: dict[tuple[str, str], Total] = {}
        self._since_ns = self._held_ns = 0
        self.count = self.sides = 0

    def on_message(self, message: Message) -> None:
        """Take what concerns round trips."""
        if isinstance(message, Fill):
            self._on_fill(message)
        elif isinstance(message, PlanDone):
            self._on_done(message)
        elif isinstance(message, StrategyPosition):
            self._on_position(message)

    def _on_fill(self, fill: Fill) -> None:
        if not fill.strategy or fill.strategy in RESERVED_STRATEGIES:
            return
        key = round_key(fill.strategy, fill.round_id) if fill.round_id else fill.plan_id
        trip = self._open.get(key) or self._closed.get(key)
        if trip is None:
            trip = RoundTrip(
                strategy=fill.strategy,
                name=fill.round_id or fill.plan_id,
                is_round=bool(fill.round_id),
                opened_ns=fill.ts_ns,
            )
        if fill.client_order_id not in trip.orders:
            trip.orders.add(fill.client_order_id)
            self.sides += 1
        if not trip.is_round and is_inverse(fill.instrument):
            trip.certainty = Certainty.UNKNOWN  # what its coins realize is not in the plan's result
        if key not in self._open and (trip.is_round or key not in self._closed):
            self._reopen(key, trip, fill.ts_ns)

    def _reopen(self, key: str, trip: RoundTrip, now_ns: int) -> None:
        if self._closed.pop(key, None) is not None:
            self.count -= 1
            trip.closed_ns = None
        if not self._open:
            self._since_ns = now_ns
        self._open[key] = trip

    def _on_done(self, done: PlanDone) -> None:
        trip = self._open.get(done.plan_id)
        if trip is None:
            return
        trip.profit, trip.fees = {done.quote: done.realized}, {done.quote: done.fees}
        trip.certainty = worst_certainty(trip.certainty, done.certainty)
        trip.ending = str(done.outcome)
        self._close(done.plan_id, trip, done.ts_ns)

    def _on_position(self, told: StrategyPosition) -> None:
        is_closed = told.state is RoundState.CLOSED
        trip = self._open.get(told.key) or (self._closed.get(told.key) if is_closed else None)
        if trip is None:
            return
        trip.profit, trip.funding = dict(told.realized), dict(told.funding)
        trip.fees = _fees_of(told)
        trip.certainty, trip.funding_certainty = told.certainty, told.funding_certainty
        trip.ending = told.ending
        if is_closed and told.key in self._open:
            self._close(told.key, trip, told.ts_ns)

    def _close(self, key: str, trip: RoundTrip, now_ns: int) -> None:
        trip.closed_ns = now_ns
        del self._open[key]
        self._closed[key] = trip
        self.count += 1
        if not self._open:
            self._held_ns += self._inside_ns(now_ns)
        if len(self._closed) > TRIPS_MAX:
            _add(self._old, self._closed.popitem(last=False)[1])

    def _inside_ns(self, now_ns: int) -> int:
        begin_ns, end_ns = max(self._since_ns, self._first_ns), min(now_ns, self._last_ns)
        return max(0, end_ns - begin_ns)

    def told(self, listed_max: int) -> dict[str, Any]:
        """Return all of it for a report; the newest trips one by one, those still open last."""
        held_ns = self._held_ns + (self._inside_ns(self._last_ns) if self._open else 0)
        length_ns = self._last_ns - self._first_ns
        totals = {key: msgspec.structs.replace(total) for key, total in self._old.items()}
        for trip in self._closed.values():
            _add(totals, trip)
        listed = [*[*self._closed.values()][-listed_max:], *self._open.values()]
        return {
            "closed": self.count,
            "open": len(self._open),
            "sides": self.sides,
            "in_market": held_ns / length_ns if length_ns > 0 else None,
            "totals": [
                {"strategy": strategy, "asset": asset, **msgspec.structs.asdict(total)}
                for (strategy, asset), total in sorted(totals.items())
            ],
            "trips": [trip.told() for trip in listed],
        }


def _fees_of(told: StrategyPosition) -> Amounts:
    fees: Amounts = {}
    for leg in told.legs:
        for asset, amount in leg.fees.items():
            fees[asset] = fees.get(asset, ZERO) + amount
    return fees


def _add(totals: dict[tuple[str, str], Total], trip: RoundTrip) -> None:
    for asset in sorted({*trip.profit, *trip.fees, *trip.funding}):
        total = totals.setdefault((trip.strategy, asset), Total())
        profit = _of(trip.profit, asset)
        total.trips += 1
        total.won += profit > 0
        total.lost += profit < 0
        total.not_certain += trip.certainty is not Certainty.KNOWN
        total.funding_unknown += trip.funding_certainty is Certainty.UNKNOWN
        total.held_s += ((trip.closed_ns or trip.opened_ns) - trip.opened_ns) / 1e9
        total.profit += profit
        total.fees += _of(trip.fees, asset)
        total.funding += _of(trip.funding, asset)


def _of(amounts: Mapping[str, Decimal], asset: str) -> Decimal:
    return amounts.get(asset, ZERO)
