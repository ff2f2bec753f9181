"""How many trades one connection may publish, so that no flood of them delays a book. Pure.

Trades beyond it are dropped, counted, and reported once per instrument and second on ``md.trade``.
"""

from __future__ import annotations

from shared.messages.market import Trade, TradesMissed
from shared.ratelimit import TokenBucket

TRADES_PER_S_MAX = 5_000
"""Ten times the busiest second that is known of one instrument; as many may come at once."""
SAID_AGAIN_NS = 1_000_000_000


class TradeLimit:
    """The trades of one connection; ``dropped`` is how many were not published."""

    def __init__(self, per_s: float = TRADES_PER_S_MAX) -> None:
        self._per_s = per_s
        self._bucket = TokenBucket(per_s, per_s, 0.0, 0)
        self._said_ns: dict[str, int] = {}
        self.dropped = 0

    def take(self, trade: Trade, now_ns: int) -> Trade | TradesMissed | None:
        """Return what to publish for a trade."""
        if self._bucket.wait_s(1, now_ns) <= 0:
            return trade
        self.dropped += 1
        said_ns = self._said_ns.get(trade.instrument)
        if said_ns is not None and now_ns - said_ns < SAID_AGAIN_NS:
            return None
        self._said_ns[trade.instrument] = now_ns
        return TradesMissed(
            venue=trade.venue,
            instrument=trade.instrument,
            ongoing=False,
            ts_recv_ns=now_ns,
            reason=f"more than {self._per_s:.0f} trades a second",
        )
