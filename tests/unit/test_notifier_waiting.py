"""Redis that is away when the notifier starts is told over its channels, and its return."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.notifier.waiting import Waiting
from shared.clock import ManualClock
from shared.config_notifier import NotifierConfig, NotifyChannel
from shared.errors import ConfigError
from shared.notify.requests import Send, Sent

CHANNELS = [
    NotifyChannel(name="phone", kind="webhook", url="http://h/x", severities=("critical",)),
    NotifyChannel(name="chat", kind="webhook", url="http://h/x", severities=("info",)),
]


class Posting:
    """A courier that notes what it is given; channels in ``failing`` do not take it."""

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.told: list[tuple[str, str]] = []
        self.was_told = asyncio.Event()

    async def send(self, send: Send) -> Sent:
        problem = "HTTP 500" if send.channel in self.failing else ""
        if not problem:
            self.told.append((send.channel, send.text.splitlines()[0]))
            self.was_told.set()
        return Sent(send.channel, send.note_id, problem)


def waiting(posting: Posting, after_s: float) -> Waiting:
    section = NotifierConfig(system="desk", channels=CHANNELS)
    courier: Any = posting
    return Waiting(section, courier, ManualClock(), told_after_s=after_s)


async def test_a_redis_that_is_there_is_no_news() -> None:
    posting = Posting()

    async def opened() -> str:
        return "bus"

    assert await waiting(posting, 30.0).until(opened()) == "bus"
    assert not posting.told


@pytest.mark.parametrize(("failing", "channel"), [(set(), "phone"), ({"phone"}, "chat")])
async def test_a_redis_that_is_away_is_told_once_and_that_it_is_back(
    failing: set[str], channel: str
) -> None:
    posting = Posting()
    posting.failing = failing

    async def opened() -> str:
        await posting.was_told.wait()
        return "bus"

    assert await asyncio.wait_for(waiting(posting, 0.01).until(opened()), 5) == "bus"
    assert posting.told == [
        (channel, "[desk] CRITICAL ArbBusDown"),
        (channel, "[desk] over: CRITICAL ArbBusDown"),
    ]


async def test_a_login_that_redis_refuses_is_told_as_that() -> None:
    async def refused() -> str:
        raise ConfigError("Redis refuses the login")

    with pytest.raises(ConfigError, match="refuses the login"):
        await waiting(Posting(), 30.0).until(refused())
