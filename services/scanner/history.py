"""Trades older than the bus keeps: asked of the recorder's store, and joined to those of the bus.

A strategy with a warm-up must have seen all of its span before it may trade. Until it is clear that
the bus keeps that much, its trades are held back; what the bus lacks is asked of the store, and is
delivered in parts before what was held back. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from services.scanner.catch_up import CatchUp
from services.scanner.hosted import Hosted
from shared.domain.instrument import MarketKey
from shared.engine import Action, Result
from shared.messages.market import Trade, TradesMissed
from shared.strategies.port import Bars, Trades

READ_NS_MAX = 60_000_000_000
"""How long the store is waited for, each time until it delivers more."""
NO_STORE = "and nothing is recorded (recorder.enabled)"
_S = 1_000_000_000


class ReadHistory(Action, frozen=True):
    """Read trades from the store; ``opened_ns`` tells this request from an earlier one."""

    strategy_id: str
    opened_ns: int
    from_ns: int
    markets: tuple[MarketKey, ...]


class ReadOn(Action, frozen=True):
    """Go on with the next part, now that what came before it is taken in."""

    strategy_id: str
    opened_ns: int


class HistoryFound(Result, frozen=True):
    """What the store has, which comes in ``parts``; ``problem`` says why it cannot be read.

    Each part is asked for with ``ReadOn``. With a problem this may come after some of the parts:
    then the rest does not come.

    Attributes:
        since: Market -> when its stored trades begin.
        until: Market -> up to when all of its trades are stored.
    """

    strategy_id: str
    opened_ns: int
    since: Mapping[MarketKey, int] = {}
    until: Mapping[MarketKey, int] = {}
    parts: int = 0
    problem: str = ""


class HistoryPart(Result, frozen=True):
    """Trades of the store, in the order in which they were received."""

    strategy_id: str
    opened_ns: int
    trades: Sequence[Trade | TradesMissed]


class History:
    """Decides what is asked of the store.

    Args:
        markets: Those whose trades are subscribed.
        place: Where the store is, for operators; empty where nothing is recorded.
    """

    def __init__(self, markets: Sequence[MarketKey] = (), place: str = "") -> None:
        self._markets = tuple(markets)
        self.place = place

    def begin(self, hosted: Hosted, shard_of: Callable[[str], int], now_ns: int) -> CatchUp:
        """Return the catch-up of a strategy; what comes is held while the store may be asked."""
        behind = CatchUp(now_ns, hosted.traded, shard_of)
        inputs: list[Trades | Bars] = [*hosted.trades, *hosted.bars]
        wanted = tuple(
            market for market in self._markets if any(each.covers(*market) for each in inputs)
        )
        if hosted.warmup_ns and wanted:
            behind.warm_up(wanted, hosted.history_ns, holds=bool(self.place))
            behind.problem = "" if self.place else NO_STORE
        return behind

    def ask(self, hosted: Hosted, behind: CatchUp) -> ReadHistory | None:
        """Return what to ask of the store; ``None`` where the bus is enough, or all there is."""
        if behind.held is None or behind.bus_suffices():
            return None
        behind.is_reading = True
        hosted.warming = f"reading what was traded since {time_of(behind.from_ns)}: {self.place}"
        return ReadHistory(hosted.id, behind.opened_ns, behind.from_ns, behind.markets)


def note_readiness(hosted: Hosted, behind: CatchUp, now_ns: int) -> None:
    """Set until when a strategy warms up, by how far back its trades are known without a hole."""
    hosted.warming = ""
    if not behind.markets:
        return
    start = behind.known_since()
    if start.ts_ns:
        before_ns = hosted.ts_ready_ns if behind.seen else None
        hosted.ts_ready_ns = max(start.ts_ns + hosted.warmup_ns, before_ns or 0)
    if hosted.is_warming_up(now_ns):
        assert hosted.ts_ready_ns is not None
        why = start.why or "its warm-up was not over when its state was saved"
        hosted.warming = f"until {time_of(hosted.ts_ready_ns)}: {why}"


def time_of(ts_ns: int) -> str:
    """Return a time for operators: UTC, to the second."""
    return f"{datetime.fromtimestamp(ts_ns // _S, UTC):%Y-%m-%d %H:%M:%S} UTC"
