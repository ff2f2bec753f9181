"""Readings of every few seconds share one connection to Redis, and outlive its absence."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.sentinel.requests import LagsRead, ReadLags
from services.sentinel.transport import SentinelTransport, VenueGateways
from shared.config_sections import BusConfig
from shared.embedded import EmbeddedServer
from shared.engine import Result
from shared.errors import BusUnavailable
from shared.runtime.tasks import Tasks
from shared.watch.kept_link import KeptLink
from shared.watch.link import Link, Target


async def connections(link: Link) -> int:
    return int((await link.info("stats"))["total_connections_received"])


async def test_lag_readings_of_the_sentinel_share_one_connection(
    link: Link, server: EmbeddedServer
) -> None:
    target, tasks = Target(BusConfig(url=server.url)), Tasks()
    transport = SentinelTransport(VenueGateways({}, timeout_s=1.0), target, 1, tasks.spawn)
    before = await connections(link)
    results: asyncio.Queue[Result] = asyncio.Queue()
    try:
        for _ in range(20):
            transport.carry_out(ReadLags(), results.put_nowait)
            assert isinstance(await results.get(), LagsRead)
    finally:
        await transport.close()
    assert await connections(link) - before == 1


async def test_a_reading_that_failed_or_was_canceled_is_no_connection_for_the_next(
    link: Link, server: EmbeddedServer
) -> None:
    kept = KeptLink(server.url)
    failures: list[Any] = [BusUnavailable("lost"), asyncio.CancelledError()]
    try:
        async with kept.lent() as first:
            assert await first.last_id("{arb}:exec.plan") == "0-0"
        for failure in failures:
            with pytest.raises(type(failure)):
                async with kept.lent():
                    raise failure
            before = await connections(link)
            async with kept.lent() as another:
                assert await another.last_id("{arb}:exec.plan") == "0-0"
            assert await connections(link) - before == 1
    finally:
        await kept.close()


async def test_closed_while_nothing_reads_it_leaves_no_client(
    link: Link, server: EmbeddedServer
) -> None:
    before = len(await link._redis.client_list())
    kept = KeptLink(server.url)
    async with kept.lent() as one:
        await one.positions()
    await kept.close()
    async with asyncio.timeout(10):
        while len(await link._redis.client_list()) > before:
            await asyncio.sleep(0.01)
