"""Tables of a store as messages of market data, in order of the time of receipt.

Depth, trades and funding are what the recorder's sessions emitted. A bar becomes its open, at its
begin, and its low and high (the nearer one first) and its close, together at its end: each a trade
of a quarter of the volume and a book around that price. Bars of marks are played in the same way,
with what the index was then.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from shared.messages.base import Message, Side
from shared.messages.market import (
    BookDelta,
    BookSnapshot,
    Funding,
    FundingSettled,
    Level,
    Mark,
    Trade,
)
from shared.store.manifest import Manifest, part_of
from shared.store.parquet import read_rows
from shared.store.reading import manifests_in

STEPS = 4
"""Prices that a bar is played by."""
APART_NS = 1_000_000
"""Prices at the end of a bar are that far apart, and from the next one's open."""
BAR_QTY = 1e6
"""Base units of the one level on each side of a book made of bars."""
Timed = tuple[int, Message]


class Market(NamedTuple):
    """One table of one instrument at one venue, with its files in order."""

    table: str
    venue: str
    instrument: str
    files: Sequence[tuple[Path, Manifest]]


def markets_in(root: Path, table: str) -> list[Market]:
    """Return the markets of a table."""
    found: dict[tuple[str, str], list[tuple[Path, Manifest]]] = {}
    for file, manifest in manifests_in(root, table):
        key = part_of(file, "venue"), part_of(file, "instrument")
        found.setdefault(key, []).append((file, manifest))
    return [
        Market(table, *key, sorted(files, key=lambda each: (each[1].ts_first_ns, each[0].name)))
        for key, files in sorted(found.items())
    ]


def rows_of(market: Market) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a market's files."""
    for file, _ in market.files:
        for _, row in read_rows(file, market.table):
            yield row


def messages_of(
    markets: Sequence[Market], spread_bps: float, ticks: Mapping[tuple[str, str], int]
) -> Iterator[Timed]:
    """Yield the messages of all tables by their time; of one time in the order of the markets.

    Args:
        markets: The tables.
        spread_bps: Of books made of bars.
        ticks: Decimals of a price of such a book.
    """
    indices = {each[1:3]: each for each in markets if each.table == "index"}
    readers = {"depth": _depth, "trade": _trades, "funding": _funding}
    streams: list[Iterator[Timed]] = []
    for each in markets:
        if each.table == "bar":
            streams.append(_bars(each, spread_bps / 2e4, ticks[each.venue, each.instrument]))
        elif each.table == "mark":
            streams.append(_marks(each, indices.get(each[1:3])))
        elif each.table in readers:
            streams.append(readers[each.table](each))
    return heapq.merge(*streams, key=lambda timed: timed[0])


def _depth(market: Market) -> Iterator[Timed]:
    for head, rows in groupby(rows_of(market), key=lambda row: row[:6]):
        recv_ns, venue_ns, epoch, seq_prev, seq, is_snapshot = head
        bids: list[Level] = []
        asks: list[Level] = []
        for row in rows:
            if row[6] is not None:
                (bids if row[6] else asks).append((row[7], row[8]))
        given: dict[str, Any] = {
            "venue": market.venue,
            "instrument": market.instrument,
            "epoch": epoch,
            "seq": seq,
            "bids": bids,
            "asks": asks,
            "ts_recv_ns": recv_ns,
            "ts_venue_ns": venue_ns,
        }
        yield (
            recv_ns,
            BookSnapshot(**given) if is_snapshot else BookDelta(**given, seq_prev=seq_prev),
        )


def _trades(market: Market) -> Iterator[Timed]:
    for recv_ns, venue_ns, trade_id, is_buy, price, qty, count in rows_of(market):
        at_ns = recv_ns or venue_ns
        yield (
            at_ns,
            Trade(
                venue=market.venue,
                instrument=market.instrument,
                trade_id=trade_id,
                side=Side.BUY if is_buy else Side.SELL,
                price=price,
                qty=qty,
                ts_recv_ns=at_ns,
                ts_venue_ns=venue_ns,
                trades=count or 1,
            ),
        )


def _funding(market: Market) -> Iterator[Timed]:
    venue, name = market.venue, market.instrument
    for recv_ns, venue_ns, settles_ns, rate, mark, index, interval, cap, floor, settled in rows_of(
        market
    ):
        at_ns = recv_ns or settles_ns
        if settled:
            yield (
                at_ns,
                FundingSettled(
                    venue=venue,
                    instrument=name,
                    rate=rate,
                    ts_funding_ns=settles_ns,
                    ts_recv_ns=at_ns,
                    mark_price=mark,
                    interval_ns=interval,
                ),
            )
        elif mark is not None:
            yield (
                at_ns,
                Funding(
                    venue=venue,
                    instrument=name,
                    mark_price=mark,
                    index_price=index,
                    rate=rate,
                    ts_funding_ns=settles_ns,
                    ts_recv_ns=at_ns,
                    ts_venue_ns=venue_ns,
                    interval_ns=interval,
                    rate_cap=cap,
                    rate_floor=floor,
                ),
            )


def _bars(market: Market, half: float, decimals: int) -> Iterator[Timed]:
    venue, name = market.venue, market.instrument
    last: tuple[float, float] | None = None
    seq = 0
    for open_ns, step_ns, *prices, volume, _, _, _, _, _ in rows_of(market):
        for step, price in enumerate(_path(*prices)):
            at_ns = _time_of(open_ns, step_ns, step)
            bid, ask = round(price * (1 - half), decimals), round(price * (1 + half), decimals)
            seq += 1
            yield at_ns, _book(venue, name, (bid, ask), last, seq=seq, at_ns=at_ns)
            last = bid, ask
            if volume:
                yield (
                    at_ns,
                    Trade(
                        venue=venue,
                        instrument=name,
                        trade_id=str(seq),
                        price=price,
                        side=Side.BUY if step % 2 == 0 else Side.SELL,
                        qty=volume / STEPS,
                        ts_recv_ns=at_ns,
                        ts_venue_ns=at_ns,
                    ),
                )


def _path(first: float, high: float, low: float, close: float) -> tuple[float, ...]:
    """Return the prices that a bar is played by."""
    return (first, low, high, close) if close >= first else (first, high, low, close)


def _time_of(open_ns: int, step_ns: int, step: int) -> int:
    return open_ns + (step_ns - (STEPS - step) * APART_NS if step else 0)


def _marks(market: Market, index: Market | None) -> Iterator[Timed]:
    """Yield marks, each with the index at the same step of the bar that began when its own did."""
    indices = rows_of(index) if index is not None else iter(())
    told: tuple[Any, ...] | None = next(indices, None)
    for open_ns, step_ns, first, high, low, close in rows_of(market):
        while told is not None and told[0] < open_ns:
            told = next(indices, None)
        beside = told[2:6] if told is not None and told[:2] == (open_ns, step_ns) else None
        opposite = close < first
        for step, price in enumerate(_path(first, high, low, close)):
            at_ns = _time_of(open_ns, step_ns, step)
            yield (
                at_ns,
                Mark(
                    venue=market.venue,
                    instrument=market.instrument,
                    mark_price=price,
                    index_price=None if beside is None else _at(beside, step, opposite),
                    ts_recv_ns=at_ns,
                    ts_venue_ns=at_ns,
                ),
            )


def _at(prices: tuple[float, ...], step: int, opposite: bool) -> float:
    """Return a bar's open, low, high or close; high before low where the mark's came so."""
    first, high, low, close = prices
    return (first, high, low, close)[step] if opposite else (first, low, high, close)[step]


def _book(
    venue: str,
    name: str,
    best: tuple[float, float],
    last: tuple[float, float] | None,
    *,
    seq: int,
    at_ns: int,
) -> Message:
    """Return a book of one level a side, or how it changes from the one before."""
    bids: list[Level] = [(best[0], BAR_QTY)]
    asks: list[Level] = [(best[1], BAR_QTY)]
    if last is None:
        return BookSnapshot(
            venue=venue, instrument=name, epoch=1, seq=seq, bids=bids, asks=asks, ts_recv_ns=at_ns
        )
    if last[0] != best[0]:
        bids.insert(0, (last[0], 0.0))
    if last[1] != best[1]:
        asks.insert(0, (last[1], 0.0))
    return BookDelta(
        venue=venue,
        instrument=name,
        epoch=1,
        seq_prev=seq - 1,
        seq=seq,
        bids=bids,
        asks=asks,
        ts_recv_ns=at_ns,
    )
