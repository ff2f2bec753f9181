"""Decode and apply real Binance deltas: our feed and book, ccxt.pro's handler, cryptofeed's.

    python -m tests.bench.decode [--json] [--rounds N]

Every path gets the same recorded frames, as text or bytes as its own socket would hand them over,
and must end with the same book, compared level by level. Rounds take turns and CPU time counts, the
best round of each, so that other work on the machine disturbs all alike. ``ours`` is parser,
sequence rule and book, as in the others' handlers; ``our_session`` adds routing and the message for
the bus. The headline ratios weigh every message alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ccxt.pro

from shared.capture import Kind, read_capture
from shared.domain.book import Book
from shared.messages.market import BookDelta, BookSnapshot
from shared.venues.binance.feed import DIALECT as SPOT
from shared.venues.binance.parse import parse_rest_book
from shared.venues.binanceusdm.feed import DIALECT as LINEAR
from shared.venues.port import Emit, FrameRole
from shared.venues.registry import load_recordings
from shared.venues.rest_join import Verdict
from tests.support import ROOT, data_dir

ROUNDS = 5
DIALECTS = {"binance": SPOT, "binanceusdm": LINEAR}
CRYPTOFEED = ROOT / ".bench-venv" / "bin" / "python"
Levels = list[list[float]]


@dataclass(frozen=True)
class Market:
    """Recorded deltas of one book, from the first that joins its snapshot."""

    name: str
    adapter: str
    instrument: str
    snapshot: bytes
    frames: list[bytes]


MARKETS = (
    ("spot", "binance", "BTC/USDT", "spot_btcusdt_20240808.gz"),
    ("linear", "binanceusdm", "BTC/USDT:USDT", "usdm_btcusdt_20240808.gz"),
    ("linear_2023", "binanceusdm", "BTC/USDT:USDT", "usdm_btcusdt_20230404.dat.gz"),
)


def load(name: str, adapter: str, instrument: str, file: str) -> Market:
    """Read the deltas that a book applies; what comes before the snapshot joins is left out."""
    recordings = load_recordings(adapter)
    snapshot, frames = b"", []
    for item in read_capture([data_dir() / "hftbacktest" / file]):
        if item.kind is Kind.REST:
            snapshot = item.payload
        elif item.kind is Kind.FRAME and recordings.role_of_frame(item.payload) is FrameRole.DELTA:
            frames.append(item.payload)
    last_id = json.loads(snapshot)["lastUpdateId"]
    frames = [frame for frame in frames if json.loads(frame)["data"]["u"] > last_id]
    return Market(name, adapter, instrument, snapshot, frames)


class Ours:
    """Bytes -> parser -> sequence rule -> book: what the other libraries' handlers do."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.dialect = DIALECTS[market.adapter]
        self.book = Book()

    def round(self) -> int:
        """Run all frames through a fresh book; return the nanoseconds."""
        rest = parse_rest_book(self.market.snapshot)
        self.book = book = Book()
        book.replace(rest.bids, rest.asks)
        parse, rule, seq = self.dialect.parse_depth, self.dialect.sequence, rest.last_id
        judge = rule.join
        started = time.thread_time_ns()
        for frame in self.market.frames:
            update = parse(frame)
            if judge(seq, update) is not Verdict.APPLY:
                raise SystemExit(f"a gap at {update.last_id}: not the recording this is for")
            book.apply(update.bids, update.asks)
            seq, judge = update.last_id, rule.follow
        return time.thread_time_ns() - started

    def final(self) -> dict[str, Levels]:
        """Return the book of the last round."""
        depth = max(self.book.depth())
        sides = {"bids": self.book.bids(depth), "asks": self.book.asks(depth)}
        return {side: [list(level) for level in levels] for side, levels in sides.items()}


class OurSession(Ours):
    """The same by way of the ingestor's session: routing, and the message for the bus, besides."""

    def round(self) -> int:
        """Run all frames through a fresh session and book; return the nanoseconds."""
        recordings = load_recordings(self.market.adapter)
        recordings.instrument_of_frame(self.market.frames[0])
        session = recordings.session(self.market.adapter, self.market.instrument)
        session.on_open(1)
        self.book = book = Book()
        for effect in session.on_snapshot(self.market.instrument, self.market.snapshot, 2):
            if isinstance(effect, Emit) and isinstance(effect.message, BookSnapshot):
                book.replace(effect.message.bids, effect.message.asks)
        started = time.thread_time_ns()
        for frame in self.market.frames:
            for effect in session.on_frame(frame, 3):
                if type(effect) is Emit and type(effect.message) is BookDelta:
                    book.apply(effect.message.bids, effect.message.asks)
        return time.thread_time_ns() - started


class CcxtPro:
    """Text -> ``client.handle_text_or_binary_message`` -> ``handle_message`` -> ccxt's book."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.frames = [frame.decode() for frame in market.frames]
        self.exchange = ccxt.pro.binance()
        kind = "spot" if market.adapter == "binance" else "swap"
        self.exchange.set_markets([self._market(kind)])
        self.rest = json.loads(market.snapshot)

    def _market(self, kind: str) -> dict[str, Any]:
        return {
            "id": "BTCUSDT",
            "symbol": self.market.instrument,
            "base": "BTC",
            "quote": "USDT",
            "baseId": "BTC",
            "quoteId": "USDT",
            "type": kind,
            "spot": kind == "spot",
            "swap": kind == "swap",
            "linear": kind == "swap",
            "contract": kind == "swap",
            "settle": "USDT" if kind == "swap" else None,
            "precision": {},
            "limits": {},
        }

    def round(self) -> int:
        """Run all frames through a fresh order book; return the nanoseconds."""
        return asyncio.run(self._round())

    async def _round(self) -> int:
        spot = self.market.adapter == "binance"
        host = "stream.binance.com:9443/stream" if spot else "fstream.binance.com/public/stream"
        self.exchange.clients = {}
        client = self.exchange.client(f"wss://{host}")
        book = self.exchange.order_book({}, None)
        levels = {
            side: [[float(p), float(q)] for p, q in self.rest[side]] for side in ("bids", "asks")
        }
        book.reset({**levels, "nonce": self.rest["lastUpdateId"]})
        self.exchange.orderbooks = {self.market.instrument: book}
        started = time.thread_time_ns()
        for frame in self.frames:
            client.handle_text_or_binary_message(frame)
        elapsed_ns = time.thread_time_ns() - started
        self.exchange.clients = {}
        return elapsed_ns

    def final(self) -> dict[str, Levels]:
        """Return the book of the last round."""
        book = self.exchange.orderbooks[self.market.instrument]
        return {side: [list(level[:2]) for level in book[side]] for side in ("bids", "asks")}


class Cryptofeed:
    """Text -> ``message_handler`` -> cryptofeed's book, in its own environment."""

    def __init__(self, market: Market, folder: Path) -> None:
        frames = folder / f"{market.name}.frames"
        frames.write_bytes(b"\n".join([market.snapshot, *market.frames]) + b"\n")
        kind = "spot" if market.adapter == "binance" else "linear"
        script = Path(__file__).with_name("cryptofeed_path.py")
        self.process = subprocess.Popen(
            [str(CRYPTOFEED), str(script), str(frames), kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def round(self) -> int:
        """Let the process run one round; return its nanoseconds."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("round\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"cryptofeed's path ended with exit code {self.process.wait()}")
        return int(answer)

    def final(self) -> dict[str, Levels]:
        """End the process and return the book of its last round."""
        answer, _ = self.process.communicate(timeout=60)
        final: dict[str, Levels] = json.loads(answer)
        return final


def measure(market: Market, rounds: int, folder: Path) -> dict[str, Any]:
    """Let every path take turns; return microseconds per message and whether all books agree."""
    paths: dict[str, Any] = {
        "ours": Ours(market),
        "our_session": OurSession(market),
        "ccxt_pro": CcxtPro(market),
    }
    if CRYPTOFEED.exists():
        paths["cryptofeed"] = Cryptofeed(market, folder)
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, path in paths.items():
            us = path.round() / 1_000 / len(market.frames)
            best[name] = min(us, best.get(name, us))
    final = paths["ours"].final()
    levels = sum(
        len(data[side])
        for frame in market.frames
        for data in (json.loads(frame)["data"],)
        for side in ("b", "a")
    )
    others = {name: path for name, path in paths.items() if name != "ours"}
    return {
        "messages": len(market.frames),
        "levels_per_message": round(levels / len(market.frames), 1),
        "us_per_message": {name: round(us, 3) for name, us in best.items()},
        "books_equal": {name: path.final() == final for name, path in others.items()},
        "ratios": {name: round(best[name] / best["ours"], 2) for name in others},
    }


def run(rounds: int) -> dict[str, Any]:
    """Measure all markets; the headline ratios weigh every message alike."""
    with tempfile.TemporaryDirectory() as folder:
        markets = {entry[0]: measure(load(*entry), rounds, Path(folder)) for entry in MARKETS}
    report: dict[str, Any] = {}
    for name in ("ccxt_pro", "cryptofeed"):
        totals = [
            sum(m["messages"] * m["us_per_message"][path] for m in markets.values())
            for path in (name, "ours")
            if all(path in m["us_per_message"] for m in markets.values())
        ]
        if len(totals) == 2:
            report[f"ratio_{name}"] = round(totals[0] / totals[1], 2)
    report["books_equal"] = all(all(m["books_equal"].values()) for m in markets.values())
    return {**report, "markets": markets}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    report = run(arguments.rounds)
    print(json.dumps(report, indent=None if arguments.json else 2))
    if not report["books_equal"]:
        sys.exit("the paths ended with different books")


if __name__ == "__main__":
    main()
