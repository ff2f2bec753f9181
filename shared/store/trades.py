"""Trades of a store, decoded from raw frames as an ingestor does: of finished files and segments.

An ingestor receives trades on connections of their own, and a store has every frame of those. So
the frames of each are fed to the venue's own session, which returns the same trades as then, with
the times at which they were received. What is missing between comes as ``TradesMissed``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from shared.domain.instrument import MarketKey
from shared.errors import ConfigError
from shared.messages.market import Trade, TradesMissed
from shared.messages.raw import RawKind
from shared.store.manifest import files_in, part_of, read_manifest
from shared.store.parquet import read_raw
from shared.store.rows import HOUR_NS, Missing, RawRow, partition_of
from shared.store.segments import read_segment, segments_in
from shared.venues.port import Emit, FeedKind, FeedSession, FrameRole, Recordings
from shared.venues.registry import load_feed, load_recordings

TRADES_MAX = 1_000_000
"""Of one reading; a span with more is refused."""
WAITING_MAX = 1_000
"""Frames of a connection that are kept until one shows what it carries."""
BEFORE_NS = HOUR_NS
"""How much earlier reading begins, so that it shows who was connected at the first moment."""
_NO_TRADES = frozenset(
    (FrameRole.DELTA, FrameRole.SNAPSHOT, FrameRole.QUOTE, FrameRole.FUNDING, FrameRole.REST_BOOK)
)


class StoredTrades(msgspec.Struct, kw_only=True):
    """What a store has of some markets.

    Attributes:
        from_ns: From when on it was read, UNIX ns.
        trades: In the order in which they were received.
        since: Market -> when its trades, or notices of missing ones, begin (UNIX ns); without the
            markets of which the store has none.
        until: Market -> up to when every trade that was received is stored.
    """

    from_ns: int
    trades: list[Trade | TradesMissed] = []
    since: dict[MarketKey, int] = {}
    until: dict[MarketKey, int] = {}


def read_trades(
    root: Path, adapters: Mapping[str, str], markets: Sequence[MarketKey], from_ns: int
) -> StoredTrades:
    """Read the trades of some markets since a moment.

    Args:
        root: Of the store.
        adapters: Configured venue -> the adapter that knows its frames.
        markets: A venue and an instrument each.
        from_ns: UNIX ns.

    Raises:
        ConfigError: There is no store, what reads it is not installed, or there are too many.
        StoreFault: A file is damaged.
    """
    if not root.is_dir():
        raise ConfigError(f"there is no store at {root}")
    found = StoredTrades(from_ns=from_ns)
    for venue in sorted({venue for venue, _ in markets}):
        instruments = [instrument for name, instrument in markets if name == venue]
        reader = _VenueReader(venue, adapters[venue], instruments, found)
        for kept in _rows_of(root, venue, from_ns - BEFORE_NS):
            reader.take(kept)
    found.trades.sort(key=lambda each: each.ts_recv_ns)  # stable: one frame's stay in order
    return found


class _Connection:
    """One connection of one recording; its frames show what it carries."""

    def __init__(self, first_ns: int) -> None:
        self.first_ns = first_ns
        self.sessions: Sequence[FeedSession] | None = None
        """Of a connection of trades; ``None`` while that is not known."""
        self.is_other = False
        self.waiting: deque[RawRow] = deque(maxlen=WAITING_MAX)
        self.instruments: dict[str, None] = {}


class _VenueReader:
    """Takes a venue's rows as they were stored."""

    def __init__(
        self, venue: str, adapter: str, instruments: Sequence[str], found: StoredTrades
    ) -> None:
        self._venue, self._adapter, self._found = venue, adapter, found
        self._instruments = instruments
        self._recordings: Recordings = load_recordings(adapter)
        self._connections: dict[tuple[str, str], _Connection] = {}

    def take(self, kept: RawRow | Missing) -> None:
        """Take a row, or a notice that rows are missing."""
        if isinstance(kept, Missing):
            for instrument in self._instruments:
                self._add(
                    TradesMissed(
                        venue=self._venue,
                        instrument=instrument,
                        ongoing=False,
                        ts_recv_ns=kept.ts_to_ns,
                        reason=f"not recorded: {kept.reason}",
                    )
                )
            return
        key = kept.recording, kept.connection
        connection = self._connections.get(key)
        if connection is None:
            connection = self._connections[key] = _Connection(kept.ts_recv_ns)
        if connection.is_other:
            return
        if connection.sessions is None:
            self._recognize(connection, kept)
            return
        self._feed(connection, connection.sessions, kept)

    def _recognize(self, connection: _Connection, row: RawRow) -> None:
        connection.waiting.append(row)
        if row.kind != RawKind.FRAME:
            return
        role = self._recordings.role_of_frame(row.frame)
        if role in _NO_TRADES:
            connection.is_other = True
            connection.waiting.clear()
        elif role is FrameRole.TRADE:
            feed = load_feed(self._adapter)
            links = feed.extra_connections(self._venue, FeedKind.TRADES, self._instruments)
            connection.sessions = [each.session for each in links]
            for session in connection.sessions:
                session.on_open(connection.first_ns)
            waiting, connection.waiting = connection.waiting, deque()
            for each in waiting:
                self._feed(connection, connection.sessions, each)

    def _feed(self, connection: _Connection, sessions: Sequence[FeedSession], row: RawRow) -> None:
        for session in sessions if row.kind == RawKind.FRAME else ():
            for effect in session.on_frame(row.frame, row.ts_recv_ns):
                if isinstance(effect, Emit) and isinstance(effect.message, Trade | TradesMissed):
                    self._add(effect.message)
                    self._note(connection, effect.message)
        for instrument in connection.instruments:
            market = self._venue, instrument
            until = self._found.until
            until[market] = max(until.get(market, 0), row.ts_recv_ns)

    def _note(self, connection: _Connection, message: Trade | TradesMissed) -> None:
        """Note that a connection carries an instrument, from its own first row on."""
        market = self._venue, message.instrument
        if message.instrument not in connection.instruments:
            connection.instruments[message.instrument] = None
            self._found.since.setdefault(market, connection.first_ns)

    def _add(self, message: Trade | TradesMissed) -> None:
        if message.ts_recv_ns < self._found.from_ns:
            return
        if len(self._found.trades) >= TRADES_MAX:
            raise ConfigError(f"the span has more than {TRADES_MAX} trades")
        self._found.trades.append(message)


def _rows_of(root: Path, venue: str, from_ns: int) -> Iterator[RawRow | Missing]:
    """Yield a venue's rows of every file that ends after a moment, in the order of files."""
    date_hour = "-".join(partition_of(max(from_ns, 0)))
    segments = [  # looked for first: one that is finished meanwhile is among the files then
        path
        for path in segments_in(root)
        if part_of(path, "venue") == venue
        and f"{part_of(path, 'date')}-{part_of(path, 'hour')}" >= date_hour
    ]
    files = [
        (manifest.ts_first_ns, path, manifest)
        for path in files_in(root, ("raw",))
        if part_of(path, "venue") == venue
        and (manifest := read_manifest(path)).ts_last_ns >= from_ns
    ]
    for _, path, manifest in sorted(files, key=lambda each: (each[0], str(each[1]))):
        yield from manifest.missing
        yield from (row for _, row in read_raw(path))
    read = {path for _, path, _ in files}
    for path in segments:
        try:
            segment = read_segment(path)
        except FileNotFoundError:  # it was finished since: its rows are in the file that it became
            file = path.with_suffix(".parquet")
            if file not in read:
                yield from read_manifest(file).missing
                yield from (row for _, row in read_raw(file))
            continue
        yield from segment.missing
        yield from segment.rows
