"""What a replay serves at its end is the book that `arb verify` finds in the same recording."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest

from services.cli.verdict import State
from services.cli.verification import verify_paths
from services.venuesim.app import Options
from tests.integration.test_venuesim_replay import CheckedBook
from tests.integration.venuesim_clients import simulation, within
from tests.kraken_frames import Rows, book_frame, subscribed

T0_NS = 1_723_161_254_000_000_000


def write(path: Path, frames: list[str]) -> Path:
    """Write a recording, a frame each 100 ms."""
    path.write_text("".join(f"{T0_NS + n * 100_000_000} {one}\n" for n, one in enumerate(frames)))
    return path


def kraken_frames(bids: Rows, asks: Rows, changes: list[tuple[str, str, str]]) -> list[str]:
    """Return a snapshot and changes of one level each: side, price, quantity."""
    sides = {"bids": dict(bids), "asks": dict(asks)}
    frames = [book_frame("snapshot", "ABC/USD", (bids, asks), (bids, asks))]
    for side, price, qty in changes:
        sides[side][price] = qty
        kept = {
            name: sorted(
                ((p, q) for p, q in levels.items() if float(q)),
                key=lambda row: float(row[0]),
                reverse=name == "bids",
            )
            for name, levels in sides.items()
        }
        row = [(price, qty)]
        changed: tuple[Rows, Rows] = (row, []) if side == "bids" else ([], row)
        frames.append(book_frame("update", "ABC/USD", changed, (kept["bids"], kept["asks"])))
    return frames


def rewritten(frames: list[str]) -> list[str]:
    """Write the numbers anew, as a program that parses and dumps JSON does."""
    return [json.dumps(json.loads(frame), separators=(",", ":")) for frame in frames]


SMALL = kraken_frames(
    [(f"0.00001{n}0", "1000.50000000") for n in (9, 8, 7)],
    [(f"0.00002{n}0", "2000.00000000") for n in (1, 2)],
    [
        ("asks", "0.0000210", "0.00000000"),
        ("bids", "0.0000200", "10.00000000"),
        ("asks", "0.0000215", "0.10000000"),
    ],
)
# Three levels in the snapshot, then twelve: a depth of ten would have lost what comes back.
THIN = kraken_frames(
    [("99.0", "1.00000000"), ("98.0", "1.00000000")],
    [("101.0", "1.00000000")],
    [("bids", f"{price}.0", "2.00000000") for price in range(80, 92)]
    + [("bids", f"{price}.0", "0.00000000") for price in (99, 98, 91, 90, 89, 88, 87, 86)],
)
WHOLE = kraken_frames(
    [("15000100", "1.00000000")], [("15000200", "1.00000000")], [("bids", "15000150", "0.50000000")]
)


def binance_frames() -> list[str]:
    """Return a book whose frames have other orders of keys, white space, escapes and no wrapper."""
    one = {"e": "depthUpdate", "E": 1, "s": "\u5e01USDT", "U": 101, "u": 102}
    one |= {"b": [["0.00002", "5"]], "a": []}
    two = one | {"U": 103, "u": 104, "b": [], "a": [["0.0000300", "0.5"]]}
    three = one | {"U": 105, "u": 105, "b": [["0.00002", "0"]]}
    book = {"lastUpdateId": 100, "bids": [["0.0000100", "2"]], "asks": [["0.00004", "1"]]}
    name = "\u5e01usdt@depth@100ms"
    return [
        json.dumps(book),
        json.dumps({"data": one, "stream": name}),
        '{ "stream" : ' + json.dumps(name) + ', "data" : ' + json.dumps(two) + " }",
        json.dumps(three, ensure_ascii=False),
    ]


RECORDINGS = {
    "small": SMALL,
    "small rewritten": rewritten(SMALL),
    "thin": THIN,
    "thin rewritten": rewritten(THIN),
    "thin granted": [subscribed("ABC/USD", 25), *THIN],
    "whole numbers": WHOLE,
    "binance": binance_frames(),
}


@pytest.mark.parametrize("name", RECORDINGS)
async def test_the_end_is_the_same(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "recording.txt", RECORDINGS[name])
    (found,) = verify_paths([path], None).books
    assert found.state is State.LIVE
    async with simulation(Options(capture=(str(path),), lockstep=True)) as (_, control):
        step = await control.post("replay/advance", {"frames_max": 2000})
        book = (await control.get("books"))[found.venue][found.instrument]
    assert step["done"]
    assert step["unusable"] == 0
    assert book["bids"][0][0] == found.best_bid
    assert book["asks"][0][0] == found.best_ask


@pytest.mark.parametrize("name", [name for name in RECORDINGS if name != "binance"])
@pytest.mark.parametrize("depth", [10, 25, 100])
async def test_a_client_that_proves_checksums_has_it(tmp_path: Path, name: str, depth: int) -> None:
    path = write(tmp_path / "recording.txt", RECORDINGS[name])
    (found,) = verify_paths([path], None).books
    async with (
        simulation(Options(capture=(str(path),), lockstep=True)) as (server, control),
        aiohttp.ClientSession() as session,
        session.ws_connect(server.description["ws"] + "/v2") as socket,
    ):
        params = {"channel": "book", "symbol": ["ABC/USD"], "depth": depth}
        await socket.send_json({"method": "subscribe", "params": params})
        await within(socket.receive_str())
        await within(socket.receive_str())
        step = {"done": False}
        checked = CheckedBook(depth)
        while not step["done"]:
            step = await control.post("replay/advance", {"frames_max": 1})
        await socket.send_json({"method": "ping"})
        while "pong" not in (text := await within(socket.receive_str())):
            checked.read(text.encode())
        assert checked.best() == (found.best_bid, found.best_ask)


async def test_after_a_failed_checksum_there_is_no_book_until_the_next(tmp_path: Path) -> None:
    lost = [SMALL[0], *SMALL[2:]]
    for frames, is_live in ((lost, False), ([*lost, SMALL[0]], True)):
        path = write(tmp_path / "gap.txt", frames)
        (found,) = verify_paths([path], None).books
        assert (found.state is State.LIVE) is is_live
        async with simulation(Options(capture=(str(path),), lockstep=True)) as (_, control):
            await control.post("replay/advance", {"frames_max": 2000})
            book = (await control.get("books"))["kraken"]["ABC/USD"]
        assert bool(book["bids"] or book["asks"]) is is_live


async def test_a_recording_of_binance_us_is_replayed_as_binances(tmp_path: Path) -> None:
    book = {"lastUpdateId": 100, "bids": [["100.00", "2"]], "asks": [["100.10", "1"]]}
    event = {"e": "depthUpdate", "E": 1, "s": "BTCUSD", "U": 101, "u": 101}
    event |= {"b": [["100.05", "1"]], "a": []}
    frame = json.dumps({"stream": "btcusd@depth@100ms", "data": event})
    path = tmp_path / "us.txt"
    path.write_text(
        "wss://stream.binance.us:9443/stream?streams=btcusd@depth@100ms <-> 1767225600.0\n"
        f"https://api.binance.us/api/v3/depth?symbol=BTCUSD -> 1767225600.1: {json.dumps(book)}\n"
        f"1767225600.2: {frame}\n"
    )
    (found,) = verify_paths([path], None).books
    assert (found.venue, found.instrument, found.state) == ("binance", "BTC/USD", State.LIVE)
    async with simulation(Options(capture=(str(path),), lockstep=True)) as (_, control):
        await control.post("replay/advance", {"frames_max": 2000})
        served = (await control.get("books"))["binance"]["BTC/USD"]
    assert (served["bids"][0][0], served["asks"][0][0]) == (100.05, 100.1)
    assert (found.best_bid, found.best_ask) == (100.05, 100.1)
