"""Recordings served by the simulated venues: unchanged frames, in step, never from the future."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from zlib import crc32

import aiohttp
import pytest

from services.venuesim.app import Options, serve
from shared.errors import ConfigError
from shared.exchange.matching import MatchingBook, Sequence
from shared.messages.base import Side
from shared.simulated.config import CLIENT_QUEUE_MAX
from shared.venues.kraken.simulated.book import BookWindow
from shared.venues.kraken.simulated.listing import LISTINGS as KRAKEN
from tests.integration.venuesim_clients import client, simulation, within
from tests.support import eventually

T0_NS = 1_723_161_254_000_000_000


def spot_event(first: int, last: int, bids: list, asks: list) -> dict:
    event = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": first, "u": last}
    return {"stream": "btcusdt@depth@100ms", "data": {**event, "b": bids, "a": asks}}


ROWS = [
    spot_event(5, 7, [["100.00", "1.000"]], []),
    spot_event(8, 9, [["100.10", "2.000"]], []),
    {"lastUpdateId": 8, "bids": [["100.00", "1.000"]], "asks": [["101.25", "3.000"]]},
    spot_event(10, 12, [["100.10", "0.000"]], [["101.00", "1.500"]]),
    {
        "stream": "btcusdt@trade",
        "data": {
            "e": "trade",
            "E": 1,
            "s": "BTCUSDT",
            "t": 1,
            "p": "101.00",
            "q": "0.5",
            "T": 1,
            "m": False,
            "M": True,
        },
    },
    spot_event(13, 13, [], [["101.00", "1.250"]]),
]


def write(path: Path, rows: list) -> None:
    """Write a recording, a row each 100 ms."""
    lines = [
        f"{T0_NS + number * 100_000_000} {json.dumps(row, separators=(',', ':'))}"
        for number, row in enumerate(rows)
    ]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def capture(tmp_path):
    """A recording of one book."""
    write(tmp_path / "spot.txt", ROWS)
    return tmp_path / "spot.txt"


async def test_lockstep_sends_frames_unchanged_and_no_book_from_the_future(capture):
    async with (
        simulation(Options(capture=(str(capture),), lockstep=True)) as (server, control),
        aiohttp.ClientSession() as session,
    ):
        assert server.description["instruments"] == [{"venue": "binance", "instrument": "BTC/USDT"}]
        assert (await control.get("replay"))["unheard"] == {"binance": ["BTC/USDT"]}
        await control.post("market", {"moves": False}, status=409)
        streams = "/stream?streams=btcusdt@depth@100ms/btcusdt@trade"
        async with session.ws_connect(server.description["ws"] + streams) as socket:

            async def depth() -> dict:
                url = server.description["http"] + "/api/v3/depth?symbol=BTCUSDT"
                async with session.get(url) as response:
                    return await response.json()

            snapshot = asyncio.create_task(depth())
            step = await control.post("replay/advance", {"frames_max": 2})
            assert (step["played"], step["sent"], step["done"]) == (2, {"binance": 2}, False)
            assert [json.loads(await within(socket.receive_str())) for _ in range(2)] == ROWS[:2]
            assert not snapshot.done(), "its time has not come"
            step = await control.post("replay/advance", {"frames_max": 10, "span_ms": 50})
            assert (step["played"], step["ts_ns"]) == (1, T0_NS + 200_000_000)
            assert await within(snapshot) == ROWS[2]
            step = await control.post("replay/advance", {"frames_max": 10, "span_ms": 250})
            assert step["played"] == 3
            assert step["done"]
            assert [json.loads(await within(socket.receive_str())) for _ in range(3)] == ROWS[3:]
            late = await depth()
            assert late["lastUpdateId"] == 13
            assert [[float(x) for x in row] for row in late["bids"]] == [[100.0, 1.0]]
            assert [[float(x) for x in row] for row in late["asks"]] == [
                [101.0, 1.25],
                [101.25, 3.0],
            ]
            assert (await control.post("replay/advance", {}))["played"] == 0
            assert (await control.get("replay"))["unusable"] == 0


async def test_after_a_gap_no_book_is_made_up(tmp_path):
    recovery = {"lastUpdateId": 13, "bids": [["100.00", "1.000"]], "asks": [["101.00", "1.250"]]}
    again = spot_event(14, 14, [["100.00", "2.000"]], [])
    write(tmp_path / "gap.txt", [*ROWS[:3], *ROWS[4:], recovery, again])  # 10 to 12 are lost
    async with (
        simulation(Options(capture=(str(tmp_path / "gap.txt"),), lockstep=True)) as (
            server,
            control,
        ),
        aiohttp.ClientSession() as session,
    ):

        async def depth() -> dict:
            url = server.description["http"] + "/api/v3/depth?symbol=BTCUSDT"
            async with session.get(url) as response:
                return await response.json()

        await control.post("replay/advance", {"frames_max": 3})
        assert (await depth())["lastUpdateId"] == 9
        await control.post("replay/advance", {"frames_max": 2})
        waiting = asyncio.create_task(depth())
        await control.get("replay")
        assert not waiting.done(), "what 10 to 12 changed is not known"
        await control.post("replay/advance", {"frames_max": 1})
        assert await within(waiting) == recovery
        await control.post("replay/advance", {"frames_max": 1})
        assert (await depth())["lastUpdateId"] == 14


async def test_paced_replay_starts_when_somebody_listens(capture):
    async with (
        simulation(Options(capture=(str(capture),), rate=2.0)) as (server, control),
        client(server, "binance") as exchange,
    ):
        await exchange.load_markets()
        assert exchange.market("BTC/USDT")["precision"] == {
            "amount": 0.01,
            "price": 0.01,
            "base": 1e-08,
            "quote": 1e-08,
        }
        assert (await control.get("replay"))["frames_played"] == 0
        await within(exchange.watch_order_book("BTC/USDT"))

        async def at_the_end() -> bool:
            return bool((await control.get("replay"))["done"])

        await eventually(at_the_end)
        await eventually(lambda: exchange.orderbooks["BTC/USDT"]["nonce"] == 13)
        book = exchange.orderbooks["BTC/USDT"]
        assert [row[:2] for row in book["bids"]] == [[100.0, 1.0]]
        assert [row[:2] for row in book["asks"]] == [[101.0, 1.25], [101.25, 3.0]]


async def test_full_speed_is_as_fast_as_the_client_reads(tmp_path):
    count = CLIENT_QUEUE_MAX + 2_000
    rows = [spot_event(number, number, [["100.00", "1.000"]], []) for number in range(5, 5 + count)]
    write(tmp_path / "long.txt", rows)
    options = Options(capture=(str(tmp_path / "long.txt"),), lockstep=True)
    async with (
        simulation(options) as (server, control),
        aiohttp.ClientSession() as session,
        session.ws_connect(server.description["ws"] + "/stream?streams=btcusdt@depth") as socket,
    ):

        async def is_subscribed() -> bool:
            return not (await control.get("replay"))["unheard"]

        await eventually(is_subscribed)
        assert (await control.post("replay/play", {"speed": 0}, status=400))["error"]
        await control.post("replay/play", {"speed": 10_000})
        for row in rows:
            assert json.loads(await within(socket.receive_str()))["data"]["u"] == row["data"]["u"]
        assert (await control.get("state"))["venues"]["binance"]["slow_clients"] == 0


async def test_recording_without_a_snapshot_says_so(tmp_path):
    path = tmp_path / "none.txt"
    write(path, ROWS[:2])
    async with simulation(Options(capture=(str(path),), lockstep=True)) as (server, control):
        await control.post("replay/advance", {})
        async with aiohttp.ClientSession() as session:
            url = server.description["http"] + "/api/v3/depth?symbol=BTCUSDT"
            async with session.get(url) as response:
                assert response.status == 503
                assert "no snapshot" in (await response.json())["msg"]


async def test_bad_requests_of_the_control_port(capture):
    async with simulation(Options(capture=(str(capture),), lockstep=True)) as (_, control):
        for body in ({"frames_max": 0}, {"span_ms": -1}, {"faster": True}, []):
            answer = await control.post("replay/advance", body, status=400)
            assert "frames_max" in answer["error"]
    async with simulation(Options()) as (_, control):
        assert "--capture" in (await control.post("replay/advance", {}, status=409))["error"]


async def test_what_is_no_recording_is_refused(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("hello\n" * 30)
    with pytest.raises(ConfigError, match=r"x\.txt"):
        async with serve(Options(capture=(str(path),))):
            pass


def kraken_recording(path) -> bytes:
    """Write a recorded Kraken v2 book of depth 25; return the last frame."""
    book = MatchingBook(Sequence(1))
    for away in range(1, 60):
        book.set_background(Side.BUY, 600_000 - away, 10_000_000 + away)
        book.set_background(Side.SELL, 600_000 + away, 20_000_000 + away)
    window = BookWindow(KRAKEN[0], book, 25)
    frames = [window.snapshot()]
    for number in range(40):
        side, sign = (Side.BUY, -1) if number % 2 else (Side.SELL, 1)
        price = 600_000 + sign * (1 + number % 12)
        book.set_background(side, price, 0 if number % 3 == 0 else 30_000_000 + number)
        frame = window.update(f"2026-01-01T00:00:{number:02d}.000000Z")
        if frame:
            frames.append(frame)
    url = b"wss://ws.kraken.com/v2 <-> 1723161250.0\n"
    lines = [b"%d.%06d: %s" % (1_723_161_254 + n, n, frame) for n, frame in enumerate(frames)]
    path.write_bytes(url + b"\n".join(lines) + b"\n")
    return frames[-1]


@pytest.mark.parametrize("depth", [10, 25, 100])
async def test_recorded_kraken_book_at_any_depth(tmp_path, depth):
    path = tmp_path / "KRAKEN.ws.1.0"
    last = kraken_recording(path)
    async with (
        simulation(Options(capture=(str(path),), lockstep=True)) as (server, control),
        aiohttp.ClientSession() as session,
        session.ws_connect(server.description["ws"] + "/v2") as socket,
    ):
        params = {"channel": "book", "symbol": ["BTC/USDT"], "depth": depth}
        await socket.send_json({"method": "subscribe", "params": params})
        step = await control.post("replay/advance", {"frames_max": 2000})
        assert step["done"]
        checked = CheckedBook(depth)
        frames = []
        checksum = json.loads(last)["data"][0]["checksum"]
        while not frames or f'"checksum":{checksum}' not in frames[-1]:
            frames.append(await within(socket.receive_str()))
            checked.read(frames[-1].encode())
        if depth == 25:
            assert frames[-1].encode() == last, "sent as recorded"
        truth = (await control.get("books"))["kraken"]["BTC/USDT"]
        assert checked.best() == (truth["bids"][0][0], truth["asks"][0][0])


class CheckedBook:
    """A client's book that proves every checksum; keeps each level as the text it was sent as."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._texts: dict[str, dict[float, str]] = {"bids": {}, "asks": {}}

    def read(self, raw: bytes) -> None:
        message = json.loads(raw, parse_float=Decimal)
        if message.get("channel") != "book":
            return
        data = message["data"][0]
        for name, reverse in (("bids", True), ("asks", False)):
            if message["type"] == "snapshot":
                self._texts[name] = {}
            for row in data[name]:
                text = _digits(row["price"]) + _digits(row["qty"])
                self._texts[name][float(row["price"])] = text if row["qty"] else ""
            kept = sorted((p for p, t in self._texts[name].items() if t), reverse=reverse)
            self._texts[name] = {p: self._texts[name][p] for p in kept[: self._depth]}
        text = "".join(
            part for name in ("asks", "bids") for part in list(self._texts[name].values())[:10]
        )
        assert crc32(text.encode()) == data["checksum"]

    def best(self) -> tuple[float, float]:
        return next(iter(self._texts["bids"])), next(iter(self._texts["asks"]))


def _digits(number) -> str:
    return format(Decimal(number), "f").replace(".", "").lstrip("0")


@pytest.mark.recorded
async def test_recorded_spot_and_futures_as_ccxt_sees_them(recorded):
    """The books that ccxt.pro builds from what is served are those rebuilt from the recording."""
    paths = tuple(
        str(recorded / "hftbacktest" / name)
        for name in ("spot_btcusdt_20240808.gz", "usdm_btcusdt_20230404.dat.gz")
    )
    async with (
        simulation(Options(capture=paths, lockstep=True)) as (server, control),
        client(server, "binance") as spot,
        client(server, "binanceusdm") as futures,
    ):
        wanted = {spot: "BTC/USDT", futures: "BTC/USDT:USDT"}

        async def watch(exchange, symbol) -> None:
            while True:
                await exchange.watch_order_book(symbol)

        tasks = [asyncio.create_task(watch(*pair)) for pair in wanted.items()]

        async def subscribed() -> bool:
            return not (await control.get("replay"))["unheard"]

        await eventually(subscribed)
        for _ in range(700):
            step = await control.post("replay/advance", {"frames_max": 2000, "span_ms": 200})
        books = await control.get("books")
        for exchange, symbol in wanted.items():
            truth = books[exchange.id][symbol]

            def caught_up(exchange=exchange, symbol=symbol, truth=truth) -> bool:
                return exchange.orderbooks[symbol]["nonce"] == truth["seq"]

            await eventually(caught_up)
            mine = exchange.orderbooks[symbol]
            assert [row[:2] for row in mine["bids"]][:50] == truth["bids"][:50]
            assert [row[:2] for row in mine["asks"]][:50] == truth["asks"][:50]
        for task in tasks:
            task.cancel()
    assert step["unusable"] == step["faulty_lines"] == 0


@pytest.mark.recorded
@pytest.mark.parametrize(
    ("venue", "files"), [("binance", "BINANCE.*"), ("binanceusdm", "BINANCE_FUTURES.*")]
)
async def test_capture_set_of_several_books_is_served_to_its_end(recorded, venue, files):
    paths = tuple(str(path) for path in sorted((recorded / "cryptofeed").glob(files)))
    async with (
        simulation(Options(capture=paths, lockstep=True)) as (server, control),
        client(server, venue) as exchange,
    ):
        symbols = [row["instrument"] for row in server.description["instruments"]]
        assert len(symbols) == 4
        await exchange.load_markets()

        async def watch() -> None:
            while True:
                await exchange.watch_order_book_for_symbols(symbols)

        task = asyncio.create_task(watch())

        async def subscribed() -> bool:
            return not (await control.get("replay"))["unheard"]

        await eventually(subscribed)
        step = {"done": False}
        while not step["done"]:
            step = await control.post("replay/advance", {"frames_max": 200, "span_ms": 500})
        assert step["unusable"] == 0
        truth = (await control.get("books"))[venue]
        for symbol in symbols:
            await eventually(
                lambda s=symbol: exchange.orderbooks[s]["nonce"] == truth[s]["seq"], what=symbol
            )
            mine = exchange.orderbooks[symbol]
            assert [row[:2] for row in mine["bids"]][:20] == truth[symbol]["bids"][:20]
            assert [row[:2] for row in mine["asks"]][:20] == truth[symbol]["asks"][:20]
        task.cancel()
