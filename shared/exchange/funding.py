"""Funding of the perpetuals of one simulated venue: rates, settlements, and what they pay. Pure.

The rate of an interval comes from how far the perpetual was above its index, later samples weighing
more: ``F = P + clamp(I - P, +-5 bps)`` with interest I of 1 bp in 8 h, within cap and floor. It is
settled at the multiples of the interval on the position then held: longs pay a positive rate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from shared.exchange.accounts import UNIT, AccountLedger
from shared.exchange.listing import Listing

HOUR_MS = 3_600_000
INTEREST_HOURS = Decimal(8)
INTEREST, DAMPER = Decimal("0.0001"), Decimal("0.0005")
RATE_UNIT = Decimal("1e-8")
SAMPLE_MS = 1_000
HISTORY_MAX = 1_000
"""Settlements, and payments, that are remembered per instrument."""
HISTORY_START = 3
"""Settlements before the simulation began, at the rate of no premium."""


@dataclass(frozen=True, slots=True)
class FundingTerms:
    """How often a perpetual settles and within what its rate is kept.

    Where time is compressed, rates are those of ``rate_interval_ms``, and only settle more often.
    """

    interval_ms: int = 8 * HOUR_MS
    rate_cap: Decimal = Decimal("0.02")
    rate_floor: Decimal = Decimal("-0.02")
    rate_interval_ms: int | None = None

    @property
    def interval_hours(self) -> Decimal:
        """The interval in hours."""
        return Decimal(self.interval_ms) / HOUR_MS

    @property
    def rate_hours(self) -> Decimal:
        """The hours that a rate is for."""
        return Decimal(self.rate_interval_ms or self.interval_ms) / HOUR_MS

    @property
    def interest(self) -> Decimal:
        """The rate without a premium."""
        return (INTEREST * self.rate_hours / INTEREST_HOURS).quantize(RATE_UNIT)

    def rate_of(self, premium: Decimal) -> Decimal:
        """Return the rate of an average premium."""
        damper = DAMPER * self.rate_hours / INTEREST_HOURS
        share = premium * self.rate_hours / INTEREST_HOURS
        rate = share + max(-damper, min(damper, self.interest - share))
        return max(self.rate_floor, min(self.rate_cap, rate)).quantize(RATE_UNIT)


@dataclass(frozen=True, slots=True)
class Settled:
    """One settlement."""

    rate: Decimal
    mark: Decimal
    ts_ms: int


@dataclass(frozen=True, slots=True)
class Payment:
    """What a settlement gave the account (negative: took), in the asset of its positions."""

    id: int
    listing: Listing
    amount: Decimal
    asset: str
    ts_ms: int


@dataclass(slots=True)
class _Premium:
    """The average so far of one interval; the k-th sample weighs k."""

    total: Decimal = Decimal(0)
    weight: int = 0
    count: int = 0

    def add(self, premium: Decimal) -> None:
        self.count += 1
        self.total += premium * self.count
        self.weight += self.count

    @property
    def average(self) -> Decimal:
        return self.total / self.weight if self.weight else Decimal(0)


Price = Callable[[Listing], Decimal]


class Funding:
    """Funding of one venue's account.

    Args:
        ledger: The account.
        listings: The venue's perpetuals.
        mark: Mark price.
        index: Index price.
        terms: The same for every perpetual.
    """

    def __init__(
        self,
        ledger: AccountLedger,
        listings: Sequence[Listing],
        *,
        mark: Price,
        index: Price,
        terms: FundingTerms,
    ) -> None:
        self._ledger = ledger
        self._listings = {x.instrument: x for x in listings if x.perpetual}
        self.mark, self.index, self.terms = mark, index, terms
        self._premiums = {instrument: _Premium() for instrument in self._listings}
        self.settled: dict[str, deque[Settled]] = {
            instrument: deque(maxlen=HISTORY_MAX) for instrument in self._listings
        }
        self.payments: deque[Payment] = deque(maxlen=HISTORY_MAX * max(1, len(self._listings)))
        self.listeners: list[Callable[[Payment], None]] = []
        self.due_ms = 0
        """When the next settlement is due; 0: nothing happened yet."""
        self._sample_ms = 0
        self.next_payment_id = 1

    def next_ms(self, now_ms: int) -> int:
        """Return the next settlement."""
        interval_ms = self.terms.interval_ms
        return (now_ms // interval_ms + 1) * interval_ms

    def rate(self, listing: Listing) -> Decimal:
        """Return the rate that would settle if the interval were over now."""
        return self.terms.rate_of(self._premiums[listing.instrument].average)

    def history(self, listing: Listing, now_ms: int) -> Sequence[Settled]:
        """Return its settlements, oldest first."""
        self._begin(now_ms)
        return self.settled[listing.instrument]

    def on_time(self, now_ms: int) -> None:
        """Take a sample of every premium when one is due, and settle what is due."""
        self._settle_until(now_ms)
        if now_ms >= self._sample_ms:
            self._sample_ms = now_ms + SAMPLE_MS
            for instrument, listing in self._listings.items():
                index = self.index(listing)
                if index:
                    premium = (self.mark(listing) - index) / index
                    self._premiums[instrument].add(premium)

    def settle_before(self, now_ms: int) -> None:
        """Settle what was due before an order comes, which changes nothing of it."""
        self._settle_until(now_ms - 1)

    def _settle_until(self, now_ms: int) -> None:
        self._begin(now_ms)
        while self.due_ms <= now_ms:
            self._settle(self.due_ms)
            # After a long pause only the last settlement counts: nobody was there for the others.
            interval_ms = self.terms.interval_ms
            self.due_ms = max(self.due_ms + interval_ms, self.next_ms(now_ms) - interval_ms)

    def _begin(self, now_ms: int) -> None:
        if self.due_ms:
            return
        self.due_ms = self.next_ms(now_ms)
        for instrument, listing in self._listings.items():
            for back in range(HISTORY_START, 0, -1):
                ts_ms = self.due_ms - back * self.terms.interval_ms
                settled = Settled(self.terms.interest, self.mark(listing), ts_ms)
                self.settled[instrument].append(settled)

    def _settle(self, ts_ms: int) -> None:
        for instrument, listing in self._listings.items():
            settled = Settled(self.rate(listing), self.mark(listing), ts_ms)
            self.settled[instrument].append(settled)
            self._premiums[instrument] = _Premium()
            position = self._ledger.positions.get(instrument)
            if position is None or not position.qty:
                continue
            amount = (-listing.worth(position.qty, settled.mark) * settled.rate).quantize(UNIT)
            self._ledger.settle_funding(listing.settle, amount, ts_ms)
            payment = Payment(self.next_payment_id, listing, amount, listing.settle, ts_ms)
            self.next_payment_id += 1
            self.payments.append(payment)
            for listener in self.listeners:
                listener(payment)
