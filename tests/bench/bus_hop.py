"""One bus hop against a raw hiredis floor measured beside it, on one embedded server.

    python -m tests.bench.bus_hop [--json]

The floor is what Python can do at best: blocking sockets, RESP written by hand, ``hiredis.Reader``
and msgspec, no asyncio, no conflation, no accounting, no reconnecting. Both sides send the same
messages in the same batches through the same unix socket, reader and writer in a process each, in
alternating rounds; the median round counts. A second floor, on an event loop, tells how much of the
difference is the loop's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import hiredis
import uvloop

from shared.bus.opening import open_bus
from shared.bus.port import Input
from shared.bus.wire import pack
from shared.codec import decode, encode
from shared.config_sections import BusConfig
from shared.embedded import EmbeddedServer
from shared.messages.base import BookState
from shared.messages.market import BookDelta, DepthView
from shared.runner import calm_garbage_collector
from shared.streams import MD_BOOK, MD_DEPTH, StreamSpec

ROUNDS = 3
HOP_MESSAGES = 1_500
HOP_INTERVAL_S = 0.001
HOP_WARM_UP = 200
BATCH_MESSAGES = 64
BATCHES = 6_000
IN_FLIGHT = 64
READ_ENTRIES = 512

Part = Callable[[str, Connection], None]


def view(seq: int) -> DepthView:
    """A depth view of 20 levels a side that carries its time of departure."""
    now_ns = time.monotonic_ns()
    return DepthView(
        venue="bench",
        instrument="BTC/USDT",
        state=BookState.LIVE,
        epoch=1,
        seq=seq,
        bids=[(60_000.0 - n, 1.5) for n in range(20)],
        asks=[(60_001.0 + n, 1.5) for n in range(20)],
        ts_recv_ns=now_ns,
        ts_ns=now_ns,
    )


def deltas(start: int) -> list[BookDelta]:
    """A batch of book deltas of four levels."""
    return [
        BookDelta(
            venue="bench",
            instrument="BTC/USDT",
            epoch=1,
            seq_prev=seq - 1,
            seq=seq,
            bids=[(60_000.0, 1.5), (59_999.5, 0.25)],
            asks=[(60_001.0, 1.5), (60_001.5, 0.0)],
            ts_recv_ns=seq,
        )
        for seq in range(start, start + BATCH_MESSAGES)
    ]


# ------------------------------------------------------------------ the floor


class Floor:
    """A blocking connection: the least there is between Python and Redis."""

    def __init__(self, url: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(url.removeprefix("unix://"))
        self._reader = hiredis.Reader()

    def send(self, *args: bytes) -> None:
        self._socket.sendall(
            b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%s\r\n" % (len(a), a) for a in args)
        )

    def receive(self) -> Any:
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(65_536))
        return reply

    def add(self, spec: StreamSpec, payload: bytes) -> None:
        bound = str(spec.entries_max).encode()
        self.send(b"XADD", spec.key().encode(), b"MAXLEN", b"~", bound, b"*", b"m", payload)

    def read(self, spec: StreamSpec, last: bytes) -> list[Any]:
        self.send(
            b"XREAD",
            b"COUNT",
            str(READ_ENTRIES).encode(),
            b"BLOCK",
            b"5000",
            b"STREAMS",
            spec.key().encode(),
            last,
        )
        reply = self.receive()
        return reply[0][1] if reply else []


def floor_hop_writer(url: str, pipe: Connection) -> None:
    calm_garbage_collector()
    floor = Floor(url)
    pipe.recv()
    for seq in range(HOP_MESSAGES):
        floor.add(MD_DEPTH, encode(MD_DEPTH, [view(seq)]))
        floor.receive()
        time.sleep(HOP_INTERVAL_S)


def floor_hop_reader(url: str, pipe: Connection) -> None:
    calm_garbage_collector()
    floor, last, taken = Floor(url), b"0-0", []
    pipe.send("ready")
    while len(taken) < HOP_MESSAGES:
        for entry_id, fields in floor.read(MD_DEPTH, last):
            last = entry_id
            for message in decode(MD_DEPTH, fields[1]):
                taken.append(time.monotonic_ns() - message.ts_recv_ns)
    pipe.send(statistics.median(taken[HOP_WARM_UP:]))


def floor_batch_writer(url: str, pipe: Connection) -> None:
    calm_garbage_collector()
    floor, batch, in_flight = Floor(url), deltas(1), 0
    pipe.recv()
    for _ in range(BATCHES):
        floor.add(MD_BOOK, encode(MD_BOOK, batch))
        in_flight += 1
        while in_flight >= IN_FLIGHT:
            floor.receive()
            in_flight -= 1
    for _ in range(in_flight):
        floor.receive()


def floor_batch_reader(url: str, pipe: Connection) -> None:
    calm_garbage_collector()
    floor, last, count, started_ns = Floor(url), b"0-0", 0, 0
    pipe.send("ready")
    while count < BATCHES * BATCH_MESSAGES:
        entries = floor.read(MD_BOOK, last)
        started_ns = started_ns or time.monotonic_ns()
        for entry_id, fields in entries:
            last = entry_id
            count += len(decode(MD_BOOK, fields[1]))
    pipe.send(count / (time.monotonic_ns() - started_ns) * 1e9)


class LoopFloor(asyncio.Protocol):
    """The same on an event loop, as a service needs it: a bare protocol, nothing else."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self.reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            if not self.reply.done():
                self.reply.set_result(reply)


async def _loop_floor(url: str) -> tuple[Any, LoopFloor]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_unix_connection(LoopFloor, url.removeprefix("unix://"))
    return transport, protocol


async def _loop_hop_writer(url: str, pipe: Connection) -> None:
    transport, _ = await _loop_floor(url)
    pipe.recv()
    for seq in range(HOP_MESSAGES):
        payload = encode(MD_DEPTH, [view(seq)])
        bound = MD_DEPTH.entries_max
        transport.write(pack("XADD", MD_DEPTH.key(), "MAXLEN", "~", bound, "*", "m", payload))
        await asyncio.sleep(HOP_INTERVAL_S)


async def _loop_hop_reader(url: str, pipe: Connection) -> None:
    transport, protocol = await _loop_floor(url)
    last, taken = b"0-0", []
    key = MD_DEPTH.key()
    pipe.send("ready")
    while len(taken) < HOP_MESSAGES:
        protocol.reply = asyncio.get_running_loop().create_future()
        transport.write(pack("XREAD", "COUNT", READ_ENTRIES, "BLOCK", 5000, "STREAMS", key, last))
        for entry_id, fields in (await protocol.reply)[0][1]:
            last = entry_id
            for message in decode(MD_DEPTH, fields[1]):
                taken.append(time.monotonic_ns() - message.ts_recv_ns)
    pipe.send(statistics.median(taken[HOP_WARM_UP:]))


def loop_hop_writer(url: str, pipe: Connection) -> None:
    calm_garbage_collector()
    uvloop.run(_loop_hop_writer(url, pipe))


def loop_hop_reader(url: str, pipe: Connection) -> None:
    calm_garbage_collector()
    uvloop.run(_loop_hop_reader(url, pipe))


# ------------------------------------------------------------------ the bus


async def _bus_hop_writer(url: str, pipe: Connection) -> None:
    bus = await open_bus(BusConfig(url=url), service="orderbook", instance="bench")
    pipe.recv()
    for seq in range(HOP_MESSAGES):
        await bus.commit(None, [view(seq)])
        await asyncio.sleep(HOP_INTERVAL_S)
    await bus.close()


async def _bus_hop_reader(url: str, pipe: Connection) -> None:
    bus = await open_bus(BusConfig(url=url), service="scanner", instance="bench")
    inbox = await bus.open_inbox([Input(MD_DEPTH)], service="scanner", instance="bench")
    taken: list[int] = []
    seq = -1
    pipe.send("ready")
    while seq < HOP_MESSAGES - 1:
        for message in (await inbox.read(1.0)).messages:
            seq = message.seq
            taken.append(time.monotonic_ns() - message.ts_recv_ns)
    pipe.send(statistics.median(taken[HOP_WARM_UP:]))
    await inbox.close()
    await bus.close()


async def _bus_batch_writer(url: str, pipe: Connection) -> None:
    bus = await open_bus(BusConfig(url=url), service="ingestor", instance="bench")
    batch = deltas(1)
    pipe.recv()
    for _ in range(BATCHES):
        await bus.commit(None, batch)
    await bus.close()


async def _bus_batch_reader(url: str, pipe: Connection) -> None:
    bus = await open_bus(BusConfig(url=url), service="orderbook", instance="bench")
    inbox = await bus.open_inbox([Input(MD_BOOK)], service="orderbook", instance="bench")
    count, started_ns = 0, 0
    pipe.send("ready")
    while count < BATCHES * BATCH_MESSAGES:
        batch = await inbox.read(1.0)
        started_ns = started_ns or time.monotonic_ns()
        count += len(batch.messages)
    pipe.send(count / (time.monotonic_ns() - started_ns) * 1e9)
    await inbox.close()
    await bus.close()


def bus_hop_writer(url: str, pipe: Connection) -> None:
    calm_garbage_collector()
    uvloop.run(_bus_hop_writer(url, pipe))


def bus_hop_reader(url: str, pipe: Connection) -> None:
    calm_garbage_collector()
    uvloop.run(_bus_hop_reader(url, pipe))


def bus_batch_writer(url: str, pipe: Connection) -> None:
    calm_garbage_collector()
    uvloop.run(_bus_batch_writer(url, pipe))


def bus_batch_reader(url: str, pipe: Connection) -> None:
    calm_garbage_collector()
    uvloop.run(_bus_batch_reader(url, pipe))


# ------------------------------------------------------------------ measuring


def measure(writer: Part, reader: Part) -> float:
    """Run a writer and a reader in processes of their own on a fresh server; return the result."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as directory, EmbeddedServer(directory) as server:
        ends = [spawn.Pipe(), spawn.Pipe()]
        parts = [
            spawn.Process(target=part, args=(server.url, ends[n][1]))
            for n, part in enumerate((reader, writer))
        ]
        for part in parts:
            part.start()
        (from_reader, _), (to_writer, _) = ends
        assert from_reader.recv() == "ready"
        to_writer.send("go")
        assert from_reader.poll(60), "the benchmark's reader gave no result"
        result: float = from_reader.recv()
        for part in parts:
            part.join()
    return result


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """Return the figures; times in microseconds."""
    figures: dict[str, list[float]] = {
        "floor_hop": [],
        "loop": [],
        "hop": [],
        "floor_batch": [],
        "batch": [],
    }
    for _ in range(rounds):
        figures["floor_hop"].append(measure(floor_hop_writer, floor_hop_reader))
        figures["loop"].append(measure(loop_hop_writer, loop_hop_reader))
        figures["hop"].append(measure(bus_hop_writer, bus_hop_reader))
        figures["floor_batch"].append(measure(floor_batch_writer, floor_batch_reader))
        figures["batch"].append(measure(bus_batch_writer, bus_batch_reader))
    middle = {name: statistics.median(values) for name, values in figures.items()}
    return {
        "hop_p50_us": round(middle["hop"] / 1e3, 1),
        "floor_hop_p50_us": round(middle["floor_hop"] / 1e3, 1),
        "hop_ratio": round(middle["hop"] / middle["floor_hop"], 2),
        "loop_floor_hop_p50_us": round(middle["loop"] / 1e3, 1),
        "hop_ratio_on_a_loop": round(middle["hop"] / middle["loop"], 2),
        "batched_events_per_s": round(middle["batch"]),
        "floor_batched_events_per_s": round(middle["floor_batch"]),
        "throughput_ratio": round(middle["batch"] / middle["floor_batch"], 2),
        "rounds": rounds,
        "batch_messages": BATCH_MESSAGES,
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    figures = run(arguments.rounds)
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:30} {value}")


if __name__ == "__main__":
    main()
