"""What is known of a perpetual's funding: the rates that settled and the one to come. Pure."""

from __future__ import annotations

from decimal import Decimal

from shared.domain.funding import (
    HOUR_NS,
    FundingHistory,
    Predicted,
    Settled,
    per_hour,
    to_second,
)
from shared.domain.rounding import exact
from shared.messages.market import Funding, FundingSettled

SETTLED_MAX = 512
"""Settled rates kept of each perpetual."""


class PerpRates:
    """The funding of one perpetual. A rate whose interval is not known counts for nothing."""

    __slots__ = ("history", "predicted")

    def __init__(self) -> None:
        self.history = FundingHistory(SETTLED_MAX)
        self.predicted: Predicted | None = None

    def take(self, told: Funding | FundingSettled) -> None:
        """Take a rate in; those that settled are repeated, oldest first."""
        rate, interval_ns = exact(told.rate), told.interval_ns
        if isinstance(told, Funding):
            self.predicted = None
            if interval_ns:
                instant_ns = to_second(told.ts_funding_ns)
                self.predicted = Predicted(told.ts_recv_ns, instant_ns, interval_ns, rate)
            return
        if interval_ns is None and self.predicted is not None:
            interval_ns = self.predicted.interval_ns
        if interval_ns:
            self.history.take(Settled(told.ts_funding_ns, interval_ns, rate))

    def settled_per_hour(self, count: int, now_ns: int) -> Decimal | None:
        """Return the realised rate of the last ``count``; ``None`` with a hole, or if one is due.

        A rate that should have been replaced two intervals ago is no rate of today.
        """
        last, found = self.history.last, self.history.realised(count)
        if last is None or found is None or now_ns - last.ts_funding_ns >= 2 * last.interval_ns:
            return None
        return found.per_hour


def net_predicted(receive: Predicted, pay: Predicted | None) -> Predicted:
    """Return what being short the first, and long the second, brings per interval of the first."""
    if pay is None:
        return receive
    net = per_hour(receive.rate, receive.interval_ns) - per_hour(pay.rate, pay.interval_ns)
    return receive._replace(rate=net * receive.interval_ns / HOUR_NS)


def due_to_us(receive: Predicted, pay: Predicted | None, now_ns: int, within_ns: int) -> Decimal:
    """Return the sum of the rates that settle within a time, as they count for us."""
    total = Decimal(0)
    if 0 <= receive.ts_funding_ns - now_ns <= within_ns:
        total += receive.rate
    if pay is not None and 0 <= pay.ts_funding_ns - now_ns <= within_ns:
        total -= pay.rate
    return total
