"""`arb chart` on a real Redis: it draws what is told, and names what there is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli import commands_chart
from services.cli.chart.subject import Subject
from services.cli.chart.window import Window
from services.cli.settings import target
from shared.cancel import cancel_and_wait
from shared.embedded import EmbeddedServer
from shared.errors import ConfigError
from shared.streams import STREAM_OF
from shared.watch.link import open_link
from tests.decision_builders import PERP, SPOT, make_info, make_view

ALPHA, BETA = ("alpha", SPOT), ("beta", SPOT)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    made = EmbeddedServer(tmp_path / "valkey")
    made.start()
    yield made
    made.stop()


async def tell(server: EmbeddedServer) -> None:
    """Tell books again and again, as the orderbook service does."""
    async with open_link(server.url) as link:
        while True:
            now_ns = time.time_ns()
            for venue in ("alpha", "beta"):
                for message in (make_view(venue, ts_ns=now_ns), make_info(venue)):
                    await link.publish(message, STREAM_OF[type(message)])
            await asyncio.sleep(0.1)


async def charted(server: EmbeddedServer, subject: Subject, seconds: float) -> Window:
    telling = asyncio.create_task(tell(server))
    window = Window(60, commands_chart.EVERY_S)
    await asyncio.sleep(0.5)
    try:
        where = target(server.url)
        await commands_chart._watch(where, subject, window, seconds, is_ascii=True)
    finally:
        await cancel_and_wait([telling])
    return window


async def test_prices_and_net_edges_are_drawn(
    server: EmbeddedServer,
) -> None:
    window = await charted(server, Subject(ALPHA), 1.5)
    assert window.samples[-1][1] == 10_000
    window = await charted(server, Subject(ALPHA, BETA), 1.5)
    edge = window.samples[-1][1]
    assert edge is not None and edge < -20, "two taker fees of 10 bps"


async def test_a_book_that_nobody_tells_is_refused_with_what_there_is(
    server: EmbeddedServer,
) -> None:
    with pytest.raises(ConfigError, match="no venue 'gamma'; there are: alpha, beta"):
        await charted(server, Subject(("gamma", SPOT)), 1)
    with pytest.raises(ConfigError, match="no instrument 'BTC/USDT:USDT' at beta"):
        await charted(server, Subject(ALPHA, ("beta", PERP)), 1)


async def test_a_redis_that_goes_away_makes_a_hole(server: EmbeddedServer) -> None:
    async with open_link(server.url) as link:
        reader = commands_chart._Reader(link)
        await link.publish(make_view(ts_ns=time.time_ns()), STREAM_OF[type(make_view())])
        assert (await reader.read(Subject(ALPHA))).value == 10_000
        server.kill()
        reading = await reader.read(Subject(ALPHA))
        assert (reading.value, reading.why) == (None, "Redis is away")
