"""``python -m services.scanner.read_history``: trades of a store, for a scanner that warms up.

It reads a ``Request`` (JSON) and writes an ``Answer`` and that many parts (msgpack), each after its
length.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from shared.domain.instrument import MarketKey
from shared.errors import ArbError
from shared.messages.market import Trade, TradesMissed
from shared.store.trades import read_trades

LENGTH = 8
"""Bytes of a length, little-endian."""
PART_TRADES = 200


class Request(msgspec.Struct, frozen=True):
    """Whose trades are wanted, since when (UNIX ns), from which store."""

    root: str
    adapters: dict[str, str]
    markets: tuple[MarketKey, ...]
    from_ns: int


class Answer(msgspec.Struct, frozen=True):
    """How many parts follow; and of each market, since when and until when the store has it."""

    parts: int
    spans: list[tuple[str, str, int, int]]


ANSWER = msgspec.msgpack.Decoder(Answer)
PART = msgspec.msgpack.Decoder(list[Trade | TradesMissed])


def main() -> int:
    """Answer one request; what is wrong is one line, and exit 1."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    try:
        found = read_trades(Path(request.root), request.adapters, request.markets, request.from_ns)
    except (ArbError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    trades = found.trades
    parts = [trades[at : at + PART_TRADES] for at in range(0, len(trades), PART_TRADES)]
    spans = [(*market, since, found.until[market]) for market, since in found.since.items()]
    for each in (Answer(len(parts), spans), *parts):
        _write(each)
    return 0


def _write(value: Any) -> None:
    data = msgspec.msgpack.encode(value)
    sys.stdout.buffer.write(len(data).to_bytes(LENGTH, "little") + data)


if __name__ == "__main__":
    raise SystemExit(main())
