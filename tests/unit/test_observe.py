"""Heartbeat and health of a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.clock import ManualClock
from shared.codec import decode, encode
from shared.errors import ConfigError
from shared.health import HealthServer
from shared.histogram import percentile
from shared.observe import STALL_NS, Observer
from shared.streams import SYS_HEALTH


def observer(clock: ManualClock | None = None) -> Observer:
    made = Observer("orderbook", "o1", clock)
    made.count("gaps", 2)
    made.count("gaps")
    made.gauge("books_live", 4)
    made.latency("tick_to_depth").record(1_500_000, count=99)
    made.latency("tick_to_depth").record(20_000_000)
    made.set_ready(True)
    return made


def test_a_heartbeat_carries_everything_over_the_wire() -> None:
    beat = observer().heartbeat(pid=1)
    (read,) = decode(SYS_HEALTH, encode(SYS_HEALTH, [beat]))
    assert read == beat
    assert read.counters == {"gaps": 3}
    assert percentile(read.latency["tick_to_depth"], 0.5) == pytest.approx(1_500_000, rel=0.05)


@pytest.fixture
async def served() -> AsyncIterator[tuple[Observer, ManualClock, int]]:
    clock = ManualClock()
    watched = observer(clock)
    server = HealthServer(watched)
    port = await server.start("127.0.0.1", 0)
    assert watched.http_port == port > 0
    yield watched, clock, port
    await server.close()


async def get(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_probes(served: tuple[Observer, ManualClock, int]) -> None:
    watched, clock, port = served
    assert (await get(port, b"GET /readyz HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    watched.set_ready(False, "recovering")
    answer = await get(port, b"GET /readyz HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"recovering" in answer
    watched.advance()
    assert (await get(port, b"GET /healthz HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    clock.advance(STALL_NS)
    assert (await get(port, b"GET /healthz HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 503 ")
    answer = await get(port, b"GET /metrics HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"exporter" in answer


async def test_what_is_no_probe_does_no_harm(served: tuple[Observer, ManualClock, int]) -> None:
    _, _, port = served
    assert b" 404 " in await get(port, b"GET / HTTP/1.1\r\n\r\n")
    assert b" 405 " in await get(port, b"POST /healthz HTTP/1.1\r\n\r\n")
    assert await get(port, b"x" * 20_000) == b""
    assert b" 200 " in await get(port, b"GET /healthz HTTP/1.1\r\n\r\n")


async def test_a_port_in_use_is_one_clear_line(served: tuple[Any, Any, int]) -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.0\.1:\d+.*ARB_HTTP_PORT"):
        await HealthServer(observer()).start("127.0.0.1", served[2])
