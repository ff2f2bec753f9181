"""Funding of the lab's perpetuals: settled every few seconds, paid to the holders at that time.

A venue announces each settlement on the bus, once a second, as an ingestor does; announcements that
the bus does not take are lost. Payments are reported when asked for, some of them late.
"""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING

from services.executor.actions import FetchFunding
from services.lab.kinds import PAID
from services.lab.publishing import publish
from shared.accounts.gateway import PaymentReport
from shared.domain.funding import HOUR_NS, SECOND_NS
from shared.domain.rounding import exact
from shared.errors import BusUnavailable
from shared.exchange.exchange import Exchange
from shared.exchange.funding import HOUR_MS, Funding, FundingTerms, Payment
from shared.exchange.listing import Listing
from shared.messages import market
from shared.messages.base import MarketMessage

if TYPE_CHECKING:
    from services.lab.world import World

_MS = 1_000_000
INTERVALS_MS = (1_000, 2_000, 3_000)
RATE_INTERVAL_MS = 8 * HOUR_MS
CARRY_PREMIUM = 0.005
"""What makes holding a perpetual pay: so far above its index it is, until that turns."""
FLIP_CHANCE = 0.2
"""That it does at a settlement, or turns back."""
SETTLED_TOLD = 2
"""So many of the newest settlements are told again and again."""
PREMIUM = 0.003
"""How far a perpetual may be from its index, as a share."""
TOLD_LATE_CHANCE = 0.5
TOLD_LATE_MS = (100, 3_000)
"""So long after its settlement a payment may be told for the first time."""


class PerpetualFunding:
    """What the perpetuals of one venue pay.

    Args:
        world: Whose time and bus they have.
        exchange: The venue.
    """

    def __init__(self, world: World, exchange: Exchange) -> None:
        self._world, self._exchange = world, exchange
        self._random = Random(f"{world.seed}/funding")
        self._marks: dict[str, Decimal] = {}
        self._told_ms: dict[int, int] = {}
        self._is_ending = self._is_over = False
        self._tells_settled = world.kind in PAID
        self._level = CARRY_PREMIUM if self._tells_settled else 0.0
        """How far the perpetual is above its index on average, as a share."""
        interval_ms = self._random.choice(INTERVALS_MS)
        self._settled = Funding(
            exchange.ledger,
            list(exchange.by_instrument.values()),
            mark=self._mark,
            index=self._index,
            terms=FundingTerms(interval_ms, rate_interval_ms=RATE_INTERVAL_MS),
        )
        self._settled.listeners.append(self._on_payment)

    def start(self) -> None:
        """Settle and announce from now on."""
        now_ns = self._world.kernel.now_ns()
        self._world.kernel.at((now_ns // SECOND_NS + 1) * SECOND_NS, self._on_second)

    def end(self) -> None:
        """Settle once more, and then no longer; all that was paid is told."""
        self._is_ending = True

    def paid(self) -> list[PaymentReport]:
        """Return all payments, told or not."""
        return [_report(each) for each in self._settled.payments]

    def answer(self, asked: FetchFunding) -> tuple[PaymentReport, ...]:
        """Return what the venue tells now."""
        now_ms = self._world.kernel.now_ns() // _MS
        return tuple(
            _report(each)
            for each in self._settled.payments
            if each.listing.instrument in asked.instruments
            and each.ts_ms * _MS >= asked.since_ns
            and (self._is_over or now_ms >= self._told_ms.get(each.id, 0))
        )

    def _on_second(self) -> None:
        now_ms = self._world.kernel.now_ns() // _MS
        is_instant = self._settled.next_ms(now_ms - 1) == now_ms
        if not self._is_over:
            self._settled.on_time(now_ms)
            if self._tells_settled and is_instant and self._random.random() < FLIP_CHANCE:
                self._level = -self._level
            self._is_over = self._is_ending and is_instant
        self._announce(now_ms)
        self._world.kernel.after(SECOND_NS, self._on_second)

    def _announce(self, now_ms: int) -> None:
        now_ns, interval_ns = now_ms * _MS, self._settled.terms.interval_ms * _MS
        next_ns = self._settled.next_ms(now_ms) * _MS
        if self._is_over:
            next_ns = (now_ns // HOUR_NS + 1) * HOUR_NS
            interval_ns = HOUR_NS
        rates: list[MarketMessage] = [
            market.Funding(
                venue=self._exchange.venue,
                instrument=listing.instrument,
                mark_price=float(self._mark(listing)),
                index_price=None,
                rate=float(self._settled.rate(listing)),
                ts_funding_ns=next_ns,
                ts_recv_ns=now_ns,
                interval_ns=interval_ns,
            )
            for listing in self._exchange.by_instrument.values()
        ]
        if self._tells_settled:
            rates += self._told_settled(now_ms)
        try:
            publish(self._world, "ingestor", rates)
        except BusUnavailable:
            return

    def _told_settled(self, now_ms: int) -> list[MarketMessage]:
        return [
            market.FundingSettled(
                venue=self._exchange.venue,
                instrument=listing.instrument,
                rate=float(settled.rate),
                ts_funding_ns=settled.ts_ms * _MS,
                ts_recv_ns=now_ms * _MS,
                mark_price=float(settled.mark),
                interval_ns=self._settled.terms.interval_ms * _MS,
            )
            for listing in self._exchange.by_instrument.values()
            for settled in list(self._settled.history(listing, now_ms))[-SETTLED_TOLD:]
        ]

    def _mark(self, listing: Listing) -> Decimal:
        """Return the middle of its book; while a side is empty, the last one."""
        book = self._exchange.books[listing.instrument]
        bid, ask = book.bids.best(), book.asks.best()
        if bid is not None and ask is not None:
            self._marks[listing.instrument] = listing.price(bid + ask) / 2
        return self._marks.get(listing.instrument) or exact(self._world.prices[listing.base])

    def _index(self, listing: Listing) -> Decimal:
        spread = self._random.uniform(-PREMIUM, PREMIUM)
        premium = round(self._level + spread, 6)
        return self._mark(listing) * (1 - exact(premium))

    def _on_payment(self, payment: Payment) -> None:
        late_ms = 0
        if self._random.random() < TOLD_LATE_CHANCE:
            late_ms = self._random.randrange(*TOLD_LATE_MS)
        self._told_ms[payment.id] = payment.ts_ms + late_ms
        name = payment.listing.instrument
        self._world.note(f"{self._exchange.venue}: funding of {name} pays {payment.amount}")


def _report(payment: Payment) -> PaymentReport:
    return PaymentReport(
        payment_id=str(payment.id),
        instrument=payment.listing.instrument,
        amount=payment.amount,
        asset=payment.asset,
        ts_venue_ns=payment.ts_ms * _MS,
    )
