"""Dead-man's switches of a simulated venue: open orders are canceled unless renewed in time. Pure.

Set for one instrument, or for the whole account. Each fires once, and is then unset: orders that
arrive later rest, as at the real venues, until it is set again.
"""

from __future__ import annotations

from shared.exchange.exchange import Exchange

WHOLE_ACCOUNT = ""


class Countdowns:
    """The switches of one venue; ``WHOLE_ACCOUNT`` or an instrument -> when it fires (UNIX ms)."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.until_ms: dict[str, int] = {}

    def set(self, instrument: str, after_ms: int, now_ms: int) -> None:
        """Cancel the open orders of an instrument so much later; 0: not at all."""
        assert instrument == WHOLE_ACCOUNT or instrument in self._exchange.by_instrument
        self.until_ms.pop(instrument, None)
        if after_ms:
            self.until_ms[instrument] = now_ms + after_ms

    def fire(self, now_ms: int, reason: str = "") -> int:
        """Cancel the open orders whose switch has run out, and return how many."""
        canceled = 0
        for instrument in [name for name, at_ms in self.until_ms.items() if at_ms <= now_ms]:
            del self.until_ms[instrument]
            for order in list(self._exchange.open_orders.values()):
                if instrument in {WHOLE_ACCOUNT, order.request.listing.instrument}:
                    self._exchange.cancel(order, now_ms, reason)
                    canceled += 1
        return canceled
