"""What one connection carries beside books: trades, rate-limited, and notices of gaps. Pure."""

from __future__ import annotations

from services.ingestor.engine.requests import LogLevel
from services.ingestor.engine.step_builder import StepBuilder
from services.ingestor.engine.trade_limit import TradeLimit
from shared.messages.market import Trade, TradesMissed
from shared.venues.port import FeedConnection, FeedKind, FeedRefused


class ExtraFeed:
    """Trades, funding and marks of one connection."""

    def __init__(self, connection: FeedConnection, out: StepBuilder) -> None:
        self._connection, self._out = connection, out
        self._has_trades = connection.kind is FeedKind.TRADES
        self._limit = TradeLimit()
        self._refused: dict[str, None] = {}

    def on_open(self) -> None:
        """The connection is new: everything is asked for again."""
        self._refused.clear()

    def publish(self, trade: Trade, now_ns: int) -> None:
        """Publish a trade, within the limit."""
        limit, out = self._limit, self._out
        dropped = limit.dropped
        message = limit.take(trade, now_ns)
        if message is not None:
            out.messages.append(message)
        if limit.dropped != dropped:
            out.count("trades_dropped")

    def miss_trades(self, reason: str, now_ns: int, *, ongoing: bool) -> None:
        """Tell readers of trades that some are missing, if this connection carries any."""
        if self._has_trades:
            self._out.messages += [
                self._missed(instrument, reason, now_ns, ongoing=ongoing)
                for instrument in self._connection.instruments
            ]

    def silent_trades(self, now_ns: int, *, is_open: bool) -> list[TradesMissed]:
        """Return a notice for each instrument without trades, for readers that come late."""
        if not self._has_trades:
            return []
        silent, reason = list(self._refused), "the venue refused the subscription"
        if not is_open:
            silent, reason = list(self._connection.instruments), "not connected"
        return [self._missed(each, reason, now_ns, ongoing=True) for each in silent]

    def on_refused(self, refused: FeedRefused) -> None:
        """Log it once; the instrument's book goes on."""
        self._out.count("extras_refused")
        if refused.instrument not in self._refused:
            self._refused[refused.instrument] = None
            self._out.log(
                LogLevel.WARNING,
                "feed_refused",
                venue=self._connection.venue,
                instrument=refused.instrument,
                feed=self._connection.kind.value,
                reason=refused.reason,
            )

    def _missed(self, instrument: str, reason: str, now_ns: int, *, ongoing: bool) -> TradesMissed:
        return TradesMissed(
            venue=self._connection.venue,
            instrument=instrument,
            ongoing=ongoing,
            ts_recv_ns=now_ns,
            reason=reason,
        )
