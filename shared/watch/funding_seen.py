"""What the streams tell of funding: payments, each once, and how far they are known. Pure."""

from __future__ import annotations

from shared.domain.accounting import Books, funding_unknown
from shared.domain.strategy_books import StrategyBooks, payment_of
from shared.messages.execution import FundingKnown, FundingPaid
from shared.watch.remembered import Remembered


class FundingSeen:
    """Books payments to the accounts of the whole and of the strategies."""

    def __init__(self, books: Books, strategies: StrategyBooks) -> None:
        self._books, self._strategies = books, strategies
        self.payments: Remembered[FundingPaid] = Remembered()
        self.reasons: dict[str, str] = {}

    def on_paid(self, paid: FundingPaid) -> None:
        """Book a payment once."""
        key = (paid.venue, paid.instrument, paid.payment_id)
        if key not in self.payments:
            self.payments.put(key, paid)
            self._books.fund(paid.venue, paid.instrument, paid.amount, paid.asset)
            self._strategies.fund(payment_of(paid), self._books)

    def on_known(self, known: FundingKnown) -> None:
        """Note how far a venue's payments are known."""
        self.reasons[known.venue] = known.reason

    def unknown(self) -> dict[str, str]:
        """Return by venue why more may have been paid for what was held than was told."""
        return funding_unknown(self._books, self.reasons)
