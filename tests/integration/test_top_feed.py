"""`arb top` on a real Redis: it follows what is said, through an absence."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from services.cli.commands_top import doors_to
from services.cli.top.app import TopApp
from services.cli.top.feed import RULES_PER_READ, Feed
from services.cli.top.watched import Watched
from shared.cancel import cancel_and_wait
from shared.clock import SystemClock
from shared.config_sections import BusConfig
from shared.embedded import EmbeddedServer
from shared.messages.base import Message
from shared.messages.control import CommandKind
from shared.streams import CTL_COMMAND, STREAM_OF
from shared.watch.link import Target, open_link
from tests.decision_builders import make_beat, make_info, make_view
from tests.support import eventually


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    made = EmbeddedServer(tmp_path / "valkey")
    made.start()
    yield made
    made.stop()


async def say(server: EmbeddedServer, *messages: Message) -> None:
    async with open_link(server.url) as link:
        for message in messages:
            await link.publish(message, STREAM_OF[type(message)])


def now_ns() -> int:
    return SystemClock.now_ns()


async def test_it_follows_through_an_absence_of_redis(server: EmbeddedServer) -> None:
    watched = Watched()
    target = Target(BusConfig(url=server.url))
    feed = Feed(target, watched, lambda: True, lambda: False)
    await say(server, make_beat("risk", now_ns()))
    following = asyncio.create_task(feed.run())
    try:
        await eventually(lambda: bool(watched.beats), what="what was said before is shown")
        await say(server, make_view(ts_ns=now_ns()), make_info())
        await eventually(lambda: bool(watched.views), what="books")
        assert watched.problem == ""
        await eventually(lambda: bool(watched.rules), what="fees")
        server.kill()
        await eventually(lambda: watched.ts_problem_ns, what="the loss is noticed")
        server.start()
        await eventually(lambda: watched.problem == "", timeout_s=20)
        await say(server, make_beat("scanner", now_ns()))
        await eventually(lambda: len(watched.beats) == 2, what="it goes on")
    finally:
        await cancel_and_wait([following])


class CountsRules(Watched):
    """Notes how many rules it was handed at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.handed: list[int] = []

    def on_rules(self, messages: Iterable[Message]) -> None:
        taken = list(messages)
        self.handed.append(len(taken))
        super().on_rules(taken)


async def test_rules_are_read_once_and_few_at_a_time(server: EmbeddedServer) -> None:
    watched = CountsRules()
    feed = Feed(Target(BusConfig(url=server.url)), watched, lambda: True, lambda: False)
    told = [make_info(instrument=f"A{n}/USDT") for n in range(120)]
    await say(server, *told)
    async with open_link(server.url) as link:
        await feed._read_rules(link)
        assert (len(watched.rules), max(watched.handed)) == (120, RULES_PER_READ)
        watched.handed.clear()
        await feed._read_rules(link)
        assert not watched.handed
        await say(server, told[0])
        await feed._read_rules(link)
        assert watched.handed == [1]


async def test_books_are_not_read_while_no_screen_shows_them(server: EmbeddedServer) -> None:
    watched = Watched()
    feed = Feed(Target(BusConfig(url=server.url)), watched, lambda: False, lambda: False)
    await say(server, make_view(ts_ns=now_ns()), make_beat("risk", now_ns()))
    following = asyncio.create_task(feed.run())
    await eventually(lambda: bool(watched.beats))
    await say(server, make_beat("scanner", now_ns()))
    await eventually(lambda: len(watched.beats) == 2)
    assert not watched.views
    await cancel_and_wait([following])


async def test_a_halt_goes_the_way_of_arb_halt_and_why_that_of_arb_why(
    server: EmbeddedServer,
) -> None:
    target = Target(BusConfig(url=server.url))
    app = TopApp(Watched(), lambda app: doors_to(target, app, may_command=True))
    doors = doors_to(target, app, may_command=True)
    assert doors.command is not None
    answer = await doors.command(CommandKind.HALT)
    assert answer.startswith("HALT: sent, but not confirmed")
    assert "risk was never heard" in answer
    async with open_link(server.url) as link:
        (kept,) = await link.newest(CTL_COMMAND, count=5)
        assert kept.message.reason == "arb top"  # type: ignore[attr-defined]
    assert next(iter(await doors.why(""))).startswith("It does not trade: executor was never heard")
    assert doors_to(target, app, may_command=False).command is None
