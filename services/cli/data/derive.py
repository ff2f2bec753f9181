"""`arb data derive`: depth, trades, funding and bars made of raw frames, by the venues' sessions.

What is derived can be made again: the same raw files give the same bytes. Depth is one table per
recording, because its messages continue each other; trades of several recordings of one market are
put together by their numbers, and bars are made of them by the venue's time. An interval without a
trade is an empty bar only where somebody was recording; elsewhere it is a hole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import fsum
from pathlib import Path
from typing import Any

from services.cli.data.verify import IMPORTED
from services.cli.verification import Verifier
from shared.capture import Capture, CaptureItem
from shared.errors import ConfigError
from shared.messages.base import Message, Side
from shared.messages.market import (
    BookDelta,
    BookSnapshot,
    Funding,
    FundingSettled,
    Trade,
    TradesMissed,
)
from shared.store.manifest import Source, files_in, folder_of, read_manifest
from shared.store.parquet import Made, write_table
from shared.store.reading import Lines, StoredRecording, recordings_in
from shared.store.rows import partition_of
from shared.store.staging import staged

SECOND_NS = 1_000_000_000
STEP_NS = 60 * SECOND_NS
ROWS_MAX = 500_000
"""Rows of one file of depth."""
DERIVED = "derived"
_Key = tuple[str, str]


@dataclass(slots=True)
class _Market:
    """What was received of one instrument."""

    trades: list[Trade] = field(default_factory=list)
    funding: list[tuple[Any, ...]] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    """When it was recorded, one span per recording and hole."""
    missed_ns: list[int] = field(default_factory=list)


class _Depth:
    """Levels of one recording, written as they come."""

    def __init__(self, stage: Path, recording: str, sources: list[Source]) -> None:
        self._stage, self._recording, self._sources = stage, recording, sources
        self._rows: dict[tuple[str, str, str], list[tuple[Any, ...]]] = {}
        self._parts: dict[tuple[str, str, str], int] = {}

    def take(self, message: BookSnapshot | BookDelta) -> None:
        """Add a message."""
        key = (message.venue, message.instrument, partition_of(message.ts_recv_ns)[0])
        is_snapshot = isinstance(message, BookSnapshot)
        head = (
            message.ts_recv_ns,
            message.ts_venue_ns,
            message.epoch,
            message.seq if isinstance(message, BookSnapshot) else message.seq_prev,
            message.seq,
            is_snapshot,
        )
        rows = self._rows.setdefault(key, [])
        if not (message.bids or message.asks):  # it continues the others all the same
            rows.append((*head, None, None, None))
        for is_bid, levels in ((True, message.bids), (False, message.asks)):
            rows += [(*head, is_bid, price, qty) for price, qty in levels]
        if len(rows) >= ROWS_MAX:
            self._write(key)

    def finish(self) -> None:
        """Write what is left."""
        for key in list(self._rows):
            self._write(key)

    def _write(self, key: tuple[str, str, str]) -> None:
        part = self._parts[key] = self._parts.get(key, -1) + 1
        venue, instrument, date = key
        folder = folder_of(self._stage, "depth", venue=venue, instrument=instrument, date=date)
        file = folder / f"{DERIVED}-{self._recording}-{part:04d}.parquet"
        write_table(file, "depth", self._rows.pop(key), Made(sources=self._sources), is_staged=True)


class _Deriver:
    """Takes what the sessions emit."""

    def __init__(self, stage: Path) -> None:
        self._stage = stage
        self._markets: dict[_Key, _Market] = {}
        self._sources: dict[str, Source] = {}
        self.rows: dict[str, int] = {}

    def take_recording(self, recording: StoredRecording) -> None:
        """Read one recording through the sessions of its venues."""
        sources = [
            Source(name=file.name, sha256=read_manifest(file).sha256) for file, _ in recording.files
        ]
        self._sources |= {source.name: source for source in sources}
        lines = Lines({recording.name: recording})
        is_imported = recording.name.startswith(IMPORTED)
        parts = {None: lines.paths} if is_imported else lines.by_venue()
        depth = _Depth(self._stage, recording.name, sources)
        seen: dict[_Key, tuple[int, int]] = {}

        def on_message(message: Message, item: CaptureItem) -> None:
            if isinstance(message, BookSnapshot | BookDelta):
                self.rows["depth"] = self.rows.get("depth", 0) + len(message.bids + message.asks)
                depth.take(message)
            else:
                self._take(message)

        for venue, paths in parts.items():
            try:
                capture = Capture(paths, venue, lines.read)
            except ConfigError:
                continue  # nobody here knows what it says; it stays as it was received
            verifier = Verifier(capture, on_message)
            for item in capture:
                if item.venue is not None and item.instrument is not None:
                    key = (item.venue, item.instrument)
                    first_ns = seen.get(key, (item.ts_recv_ns, 0))[0]
                    seen[key] = (first_ns, item.ts_recv_ns)
                verifier.take(item)
            verifier.close()
        depth.finish()
        for key, span in seen.items():
            self._market(key).spans.append(span)
        for file, _ in recording.files:
            for missing in read_manifest(file).missing:
                for key in seen:
                    self._market(key).missed_ns += [missing.ts_from_ns, missing.ts_to_ns]

    def finish(self) -> None:
        """Write trades, funding and bars."""
        for (venue, instrument), market in sorted(self._markets.items()):
            parts = {"venue": venue, "instrument": instrument}
            trades = _once(market.trades)
            self._write("trade", parts, [_trade_row(trade) for trade in trades])
            self._write("funding", parts, sorted(market.funding, key=lambda row: row[0]))
            self._write("bar", parts, bars_of(trades, market.spans, market.missed_ns))

    def _take(self, message: Message) -> None:
        if isinstance(message, Trade):
            self._market((message.venue, message.instrument)).trades.append(message)
        elif isinstance(message, TradesMissed):
            market = self._market((message.venue, message.instrument))
            market.missed_ns.append(message.ts_recv_ns)
        elif isinstance(message, Funding | FundingSettled):
            market = self._market((message.venue, message.instrument))
            market.funding.append(_funding_row(message))

    def _market(self, key: _Key) -> _Market:
        return self._markets.setdefault(key, _Market())

    def _write(self, table: str, parts: dict[str, str], rows: Sequence[tuple[Any, ...]]) -> None:
        by_date: dict[str, list[tuple[Any, ...]]] = {}
        for row in rows:
            by_date.setdefault(partition_of(row[0])[0], []).append(row)
        sources = [self._sources[name] for name in sorted(self._sources)]
        for date, of_date in by_date.items():
            folder = folder_of(self._stage, table, **parts, date=date)
            made = Made(sources=sources, step_ns=STEP_NS if table == "bar" else 0)
            write_table(folder / f"{DERIVED}.parquet", table, of_date, made, is_staged=True)
        if rows:
            self.rows[table] = self.rows.get(table, 0) + len(rows)


def derive(root: Path) -> dict[str, Any]:
    """Derive everything again from a store's raw frames, replacing what was derived before.

    Raises:
        ConfigError: There are no raw frames.
        StoreFault: A file is damaged; nothing has changed.
    """
    found = recordings_in(root)
    if not found:
        raise ConfigError(f"{root}: there are no raw frames in it; record or import some")
    tables = ("depth", "trade", "funding", "bar")
    old = [file for file in files_in(root, tables) if file.name.startswith(DERIVED)]
    with staged(root, DERIVED, instead_of=old) as stage:
        deriver = _Deriver(stage)
        for recording in found.values():
            deriver.take_recording(recording)
        deriver.finish()
    rows = {table: deriver.rows.get(table, 0) for table in tables}
    return {"recordings": len(found), "rows": rows}


def _once(trades: Iterable[Trade]) -> list[Trade]:
    """Return trades by the time they were received, those of two connections once."""
    found: dict[str, Trade] = {}
    for trade in sorted(trades, key=lambda trade: trade.ts_recv_ns):
        found.setdefault(trade.trade_id, trade)
    return list(found.values())


def _trade_row(trade: Trade) -> tuple[Any, ...]:
    return (
        trade.ts_recv_ns,
        trade.ts_venue_ns,
        trade.trade_id,
        trade.side is Side.BUY,
        trade.price,
        trade.qty,
        trade.trades,
    )


def _funding_row(message: Funding | FundingSettled) -> tuple[Any, ...]:
    is_settled = isinstance(message, FundingSettled)
    return (
        message.ts_recv_ns,
        None if isinstance(message, FundingSettled) else message.ts_venue_ns,
        message.ts_funding_ns,
        message.rate,
        message.mark_price,
        None if isinstance(message, FundingSettled) else message.index_price,
        message.interval_ns,
        None if isinstance(message, FundingSettled) else message.rate_cap,
        None if isinstance(message, FundingSettled) else message.rate_floor,
        is_settled,
    )


def bars_of(
    trades: Iterable[Trade], spans: Sequence[tuple[int, int]], missed_ns: Sequence[int]
) -> list[tuple[Any, ...]]:
    """Return bars of a minute, of all trades by the venue's time, however late they came.

    Args:
        trades: Those without a venue's time are left out.
        spans: When somebody was recording.
        missed_ns: Times at which trades are known to be missing.
    """
    by_start: dict[int, list[Trade]] = {}
    for trade in trades:
        if trade.ts_venue_ns is not None:
            by_start.setdefault(trade.ts_venue_ns // STEP_NS * STEP_NS, []).append(trade)
    rows: list[tuple[Any, ...]] = []
    spoiled = {ns // STEP_NS * STEP_NS for ns in missed_ns}
    close = 0.0
    starts = sorted(by_start)
    for index, start_ns in enumerate(starts):
        if index:
            for empty_ns in range(starts[index - 1] + STEP_NS, start_ns, STEP_NS):
                if _is_covered(empty_ns, spans) and empty_ns not in spoiled:
                    prices = (close, close, close, close)
                    rows.append((empty_ns, STEP_NS, *prices, 0.0, 0.0, 0.0, 0, True, True))
        found = sorted(by_start[start_ns], key=lambda trade: trade.ts_venue_ns or 0)
        prices_ = [trade.price for trade in found]
        close = prices_[-1]
        rows.append(
            (
                start_ns,
                STEP_NS,
                prices_[0],
                max(prices_),
                min(prices_),
                close,
                fsum(trade.qty for trade in found),
                fsum(trade.qty for trade in found if trade.side is Side.BUY),
                fsum(trade.qty * trade.price for trade in found),
                sum(trade.trades for trade in found),
                False,
                _is_covered(start_ns, spans) and start_ns not in spoiled,
            )
        )
    return rows


def _is_covered(start_ns: int, spans: Sequence[tuple[int, int]]) -> bool:
    return any(first <= start_ns and start_ns + STEP_NS <= last for first, last in spans)
