"""Recordings of OKX: whose they are, what they prove, and how they are played."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from services.cli.venues import Addresses
from services.cli.verdict import State
from services.cli.verification import verify_paths
from services.lab.recorded import survey
from shared.messages.base import BookState
from shared.simulated.context import Context
from shared.simulated.direct import DirectVenue
from shared.simulated.faults import FaultTable
from shared.venues.okx.feed import FEED
from shared.venues.okx.recordings import OkxRecordings
from shared.venues.okx.simulated.venue import open_recorded
from shared.venues.okx.symbols import spelled, to_instrument
from shared.venues.port import (
    BookStatus,
    FrameRole,
    Send,
)

NOW = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
BIDS, ASKS = [["3366.1", "7", "0", "3"], ["3366", "6", "0", "1"]], [["3366.8", "9", "0", "1"]]
SUBSCRIBED = b'{"id":"1","event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"}}'


def book(
    action: str, bids: Any = (), asks: Any = (), ts: int = 1652459236119, **more: Any
) -> bytes:
    arg = {"channel": "books", "instId": "BTC-USDT"}
    row = {"asks": asks, "bids": bids, "ts": str(ts), **more}
    return json.dumps({"arg": arg, "action": action, "data": [row]}).encode()


def update(prev_seq: int, seq: int, bids: Any = BIDS, asks: Any = (), **more: Any) -> bytes:
    more = {"checksum": 0, **more}
    return book("update", bids, asks, prevSeqId=prev_seq, seqId=seq, **more)


@pytest.mark.parametrize(
    ("symbol", "instrument"),
    [
        ("BTC-USDT", "BTC/USDT"),
        ("BTC-USDT-SWAP", "BTC/USDT:USDT"),
        ("UNI-USD-SWAP", "UNI/USD:UNI"),
        ("BTC-USD-220527", "BTC/USD:BTC-220527"),
        ("BTC-USDC-220527", "BTC/USDC:USDC-220527"),
    ],
)
def test_every_book_of_a_recording_has_a_name(symbol: str, instrument: str) -> None:
    assert (to_instrument(symbol), spelled(instrument)) == (instrument, symbol)


def test_what_is_no_book_has_none() -> None:
    assert to_instrument("BTC-USD-220514-22000-C") is None
    assert to_instrument("BTCUSDT") is None


@pytest.mark.parametrize(
    ("url", "venue"),
    [
        ("wss://ws.okx.com:8443/ws/v5/public", "okx"),
        ("wss://wspap.okx.com:8443/ws/v5/public", "okx"),
        ("https://www.okx.com/api/v5/public/instruments?instType=SPOT", "okx"),
        ("wss://ws.okx.com:8443/ws/v5/private", None),
        ("wss://notokx.com/ws/v5/public", None),
    ],
)
def test_recorded_urls_tell_the_venue(url: str, venue: str | None) -> None:
    assert OkxRecordings().venue_of_url(url) == venue


@pytest.mark.parametrize(
    ("raw", "role", "instrument"),
    [
        (update(1, 2), FrameRole.DELTA, "BTC/USDT"),
        (update(1, 2)[:90], FrameRole.DELTA, "BTC/USDT"),
        (book("snapshot"), FrameRole.SNAPSHOT, "BTC/USDT"),
        (SUBSCRIBED, FrameRole.OTHER, None),
        (b"pong", FrameRole.OTHER, None),
        (book("").replace(b"books", b"tickers"), FrameRole.QUOTE, "BTC/USDT"),
        (book("").replace(b"books", b"trades"), FrameRole.TRADE, "BTC/USDT"),
    ],
)
def test_recorded_frames_tell_what_they_are(raw: bytes, role: FrameRole, instrument: Any) -> None:
    reader = OkxRecordings()
    assert (reader.role_of_frame(raw), reader.instrument_of_frame(raw)) == (role, instrument)


def recording(tmp_path: Any, frames: list[bytes]) -> Any:
    lines = ["wss://ws.okx.com:8443/ws/v5/public <-> 1652459224.5"]
    lines += [f"{1652459225 + n / 10}: {raw.decode()}" for n, raw in enumerate(frames)]
    path = tmp_path / "OKX.ws.1.0"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_contracts_of_a_recording_are_read_and_not_traded(tmp_path: Any) -> None:
    """Their sizes are no base units."""
    frames = [book("snapshot", BIDS, ASKS, checksum=0, seqId=1, prevSeqId=-1), update(1, 2)]
    frames += [raw.replace(b"BTC-USDT", b"BTC-USDT-SWAP") for raw in frames]
    rules = survey([recording(tmp_path, frames)]).rules
    assert rules["okx", "BTC/USDT"].active
    perpetual = rules["okx", "BTC/USDT:USDT"]
    assert (perpetual.active, perpetual.reason) == (
        False,
        "sizes are contracts of an unknown value",
    )


def test_a_recording_is_proved_and_the_line_after_a_lost_one_is_named(tmp_path: Any) -> None:
    frames = [SUBSCRIBED, book("snapshot", BIDS, ASKS, checksum=0, seqId=1, prevSeqId=-1), b"pong"]
    frames += [update(n, n + 1) for n in range(1, 9)]
    (found,) = verify_paths([recording(tmp_path, frames)]).books
    assert (found.state, found.gaps_total) == (State.LIVE, 0)
    del frames[6]
    (found,) = verify_paths([recording(tmp_path, frames)]).books
    assert found.state is State.GAP
    assert [(gap.line, gap.expected, gap.got) for gap in found.gaps] == [(8, 4, 5)]


def test_of_a_recording_the_pairs_are_played() -> None:
    """Contracts are not: their sizes are no base units, and nobody here subscribes to them."""
    whole = book("snapshot", BIDS, ASKS, checksum=0, seqId=1, prevSeqId=-1)
    later = update(1, 2, bids=[["3366.1", "0", "0", "0"]])
    lost = update(5, 6, bids=[["3366.1", "9", "0", "0"]])
    samples = {"BTC/USDT": [whole], "BTC/USDT:USDT": [whole.replace(b"-USDT", b"-USDT-SWAP")]}
    now_ns = [NOW]
    context = Context(1, FaultTable({}), lambda: now_ns[0], lambda *_: 0.0, lambda *_: None)
    venue = open_recorded(context, samples)
    assert list(venue.exchange.by_instrument) == ["BTC/USDT"]
    direct = DirectVenue(venue, context.faults)
    link = direct.connect("/ws/v5/public")
    session = OkxRecordings().session("okx", "BTC/USDT")
    for effect in FEED.connections("okx", ["BTC/USDT"])[0].session.on_open(NOW):
        if isinstance(effect, Send):
            link.send(effect.frame)
    session.on_open(NOW)
    states = []
    for raw in (whole, later, lost, whole):
        venue.recorded.play_frame("BTC/USDT", raw, 0, NOW)
        for frame in link.frames():
            states += [e for e in session.on_frame(frame, NOW) if isinstance(e, BookStatus)]
    assert [status.state for status in states] == [BookState.LIVE, BookState.LIVE]
    assert venue.recorded.unusable == 0
    best = venue.exchange.books["BTC/USDT"].bids.best()
    assert best == 33661, "the snapshot's"


def test_a_simulated_venue_without_keys_is_started_with() -> None:
    line = {"http": "h", "ws": "w", "control": "c", "instruments": []}
    line["credentials"] = {"okx": {}, "binance": {"apiKey": "k", "secret": "s"}}
    found = msgspec.json.decode(json.dumps(line).encode(), type=Addresses).credentials
    assert (found["okx"].api_key, found["binance"].api_key) == ("", "k")
