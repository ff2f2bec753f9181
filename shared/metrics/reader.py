"""Reads what metrics need beside messages: Redis, on a connection of its own, and the host. IO.

One result comes back for each action, whatever happens; nothing is repeated here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import psutil

from shared.config_sections import Config
from shared.engine import Action, Result
from shared.errors import ArbError
from shared.messages.market import DepthView
from shared.metrics.host_reader import read_host
from shared.metrics.requests import (
    BooksRead,
    ReadBooks,
    ReadFailed,
    ReadHost,
    ReadStreams,
    StreamsRead,
)
from shared.streams import MD_DEPTH
from shared.watch.kept_link import KeptLink
from shared.watch.link import Link, Target
from shared.watch.stream_state import StreamGauge

Deliver = Callable[[Result], None]
Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
VIEWS_BACK: Final = 3
"""Every book is published again after ``refresh_ms``; one that comes late is not missed."""
ANSWER_S: Final = 4.0
"""Below the limit of what is read, so that a Redis that hangs is told in time."""


class Reader:
    """Carries actions out: those at Redis one after the other, the host's beside them.

    Args:
        target: Redis.
        shards: Of the streams that have any.
        window_ms: How far back the newest view of every book is sought.
        spawn: Starts a task whose failure ends the service.
    """

    def __init__(
        self,
        target: Target,
        shards: int,
        window_ms: int,
        spawn: Spawn,
    ) -> None:
        self._link, self._window_ms, self._spawn = KeptLink(target), window_ms, spawn
        self._gauge = StreamGauge(shards)
        self._turn = asyncio.Lock()

    @classmethod
    def of(cls, config: Config, spawn: Spawn) -> Reader:
        """Return the reader of a configured system."""
        target = Target(config.bus, "bus.url", "start it, or set bus.url or ARB_REDIS_URL")
        return cls(target, config.bus.shards, VIEWS_BACK * config.orderbook.refresh_ms, spawn)

    def carry_out(self, action: Action, deliver: Deliver) -> None:
        """Start an action."""
        if isinstance(action, ReadHost):
            self._spawn(self._read_host(action, deliver))
        else:
            self._spawn(self._carry_out(action, deliver))

    async def close(self) -> None:
        """Close the connection."""
        await self._link.close()

    async def _read_host(self, action: ReadHost, deliver: Deliver) -> None:
        """Read in a thread: a disk that hangs holds up nothing but this."""
        try:
            deliver(await asyncio.to_thread(read_host))
        except (OSError, psutil.Error) as error:
            deliver(ReadFailed(action, str(error)))

    async def _carry_out(self, action: Action, deliver: Deliver) -> None:
        async with self._turn:
            try:
                async with asyncio.timeout(ANSWER_S), self._link.lent() as link:
                    result: Result = await self._read(link, action)
            except TimeoutError:
                result = ReadFailed(action, f"no answer within {ANSWER_S:g} s")
            except ArbError as error:
                result = ReadFailed(action, str(error))
            deliver(result)

    async def _read(self, link: Link, action: Action) -> Result:
        if isinstance(action, ReadStreams):
            return StreamsRead(*await self._gauge.read(link))
        assert isinstance(action, ReadBooks), "there are no other actions"
        items = await link.recent(MD_DEPTH, self._window_ms)
        newest = {
            (view.venue, view.instrument): view
            for view in (item.message for item in items)
            if isinstance(view, DepthView)
        }
        return BooksRead(tuple(newest.values()))
