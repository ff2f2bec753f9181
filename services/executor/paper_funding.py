"""Funding of a paper account: what the venue's settled rates pay to the positions held. Pure.

A settlement pays position times rate times mark price: the position at that instant, the rate from
the venue's history, and its mark price or, where it has none, the last one seen before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from shared.accounts.gateway import PaymentReport
from shared.domain.accounting import Books
from shared.domain.contracts import Contract
from shared.domain.fees import MONEY_STEP
from shared.domain.funding import SECOND_NS, to_second
from shared.domain.instrument import split_instrument
from shared.domain.rounding import exact
from shared.errors import Cause, Unavailable
from shared.messages.market import Funding, FundingSettled

PAYMENTS_MAX: Final = 1_000
"""Payments that can be asked for, the newest."""


class PaperFunding:
    """The funding payments of one venue's paper account.

    Args:
        venue: Whose rates count.
        books: The account.
    """

    def __init__(self, venue: str, books: Books) -> None:
        self._venue, self._books = venue, books
        self._marks: dict[str, tuple[int, float]] = {}
        """Instrument -> the coming settlement, and the newest mark price before it."""
        self._before: dict[str, tuple[int, float]] = {}
        """The same of the last settlement."""
        self._paid_ns: dict[str, int] = {}
        self._payments: deque[PaymentReport] = deque(maxlen=PAYMENTS_MAX)

    def on_rate(self, rate: Funding) -> None:
        """Note the mark price of the moment."""
        if rate.venue != self._venue:
            return
        instant_ns = to_second(rate.ts_funding_ns)
        known = self._marks.get(rate.instrument)
        if known is not None and known[0] < instant_ns:
            self._before[rate.instrument] = known
        self._marks[rate.instrument] = instant_ns, rate.mark_price

    def on_settled(self, settled: FundingSettled) -> None:
        """Book a settlement once; the venue's history repeats it."""
        name, instant_ns = settled.instrument, to_second(settled.ts_funding_ns)
        if settled.venue != self._venue or instant_ns <= self._paid_ns.get(name, 0):
            return
        mark = settled.mark_price or self._mark_at(name, instant_ns)
        if mark is None:
            return  # the history is told again
        self._paid_ns[name] = instant_ns
        held = self._books.held_at(self._venue, name, instant_ns)
        kind = split_instrument(name).kind
        amount = Contract(kind).funding(held, exact(mark), exact(settled.rate))
        amount = amount.quantize(MONEY_STEP)
        if not held:
            return
        self._books.fund(self._venue, name, amount)
        self._payments.append(payment_report(name, amount, instant_ns))

    def since(self, instruments: Sequence[str], since_ns: int) -> list[PaymentReport]:
        """Return what was paid since.

        Raises:
            Unavailable: A position is held, and no rates come from its venue.
        """
        check_rates(self._venue, instruments, self._books, self._marks)
        return [
            paid
            for paid in self._payments
            if paid.instrument in instruments and paid.ts_venue_ns >= since_ns
        ]

    def _mark_at(self, instrument: str, instant_ns: int) -> float | None:
        for known in (self._before.get(instrument), self._marks.get(instrument)):
            if known is not None and known[0] == instant_ns:
                return known[1]
        return None


def payment_report(instrument: str, amount: Decimal, ts_ns: int) -> PaymentReport:
    """Return a payment of an account on paper, named by the second of its settlement."""
    name = split_instrument(instrument)
    instant_ns = to_second(ts_ns)
    return PaymentReport(
        payment_id=f"paper-{instant_ns // SECOND_NS}",
        instrument=instrument,
        amount=amount.quantize(MONEY_STEP),
        asset=name.settle or name.quote,
        ts_venue_ns=instant_ns,
    )


def check_rates(
    venue: str, instruments: Sequence[str], books: Books, rates: Mapping[str, object]
) -> None:
    """Check that funding rates are received for every position held.

    Raises:
        Unavailable: They do not, so what funding cost is not known.
    """
    held = books.quantities
    blind = [name for name in instruments if held.get(f"{venue}|{name}") and name not in rates]
    if blind:
        raise Unavailable(
            f"{venue}: no funding rates of {', '.join(blind)} are received; "
            f'set venues.{venue}.feeds = ["depth", "funding"]',
            cause=Cause.SERVICE,
        )
