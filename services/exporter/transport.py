"""Reads of Redis what the exporter asks for, on a connection of its own. IO.

One result comes back for each action, whatever happens; nothing is repeated here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final

from services.exporter.requests import BooksRead, ReadBooks, ReadFailed, ReadStreams, StreamsRead
from shared.bus.tuning import dead_key
from shared.engine import Action, Result
from shared.errors import ArbError
from shared.messages.market import DepthView
from shared.streams import ALL, MD_DEPTH, Delivery
from shared.watch.lags import lags_of
from shared.watch.link import Link, Target, open_link

Deliver = Callable[[Result], None]
ANSWER_S: Final = 4.0
"""Below the limit of what is read, so that a Redis that hangs is told in time."""


class RedisReader:
    """Carries actions out, one after the other.

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
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._target, self._window_ms, self._spawn = target, window_ms, spawn
        self._keys = {
            spec.key(shard): spec.name
            for spec in ALL
            for shard in range(shards if spec.sharded else 1)
        }
        self._dead = {
            dead_key(spec.name): spec.name for spec in ALL if spec.delivery is Delivery.DURABLE
        }
        self._stack = AsyncExitStack()
        self._link: Link | None = None
        self._turn = asyncio.Lock()

    def carry_out(self, action: Action, deliver: Deliver) -> None:
        """Start an action."""
        self._spawn(self._carry_out(action, deliver))

    async def close(self) -> None:
        """Close the connection."""
        self._link = None
        await self._stack.aclose()

    async def _carry_out(self, action: Action, deliver: Deliver) -> None:
        async with self._turn:
            try:
                async with asyncio.timeout(ANSWER_S):
                    deliver(await self._read(action))
                return
            except TimeoutError:
                reason = f"no answer within {ANSWER_S:g} s"
            except ArbError as error:
                reason = str(error)
            await self.close()
            deliver(ReadFailed(action, reason))

    async def _read(self, action: Action) -> Result:
        if self._link is None:
            self._link = await self._stack.enter_async_context(open_link(self._target))
        if isinstance(action, ReadStreams):
            return await self._read_streams(self._link)
        assert isinstance(action, ReadBooks), "there are no other actions"
        items = await self._link.recent(MD_DEPTH, self._window_ms)
        newest = {
            (view.venue, view.instrument): view
            for view in (item.message for item in items)
            if isinstance(view, DepthView)
        }
        return BooksRead(tuple(newest.values()))

    async def _read_streams(self, link: Link) -> StreamsRead:
        told, positions = await link.measured([*self._keys, *self._dead])
        sizes: dict[str, tuple[int, int]] = {}
        ends: dict[str, str] = {}
        for key, name in self._keys.items():
            if key in told:
                info = told[key]
                entries, size = sizes.get(name, (0, 0))
                sizes[name] = entries + info.get("length", 0), size + info.get("bytes", 0)
                ends[key] = info.get("last-generated-id", b"0-0").decode()
        lags_ms = {}
        for place, lag_ms in lags_of(self._keys, ends, positions).items():
            service, _, stream = place.partition(" ")
            lags_ms[stream, service] = lag_ms
        told_of = ((name, told[key]) for key, name in self._dead.items() if key in told)
        dead = {name: info.get("entries-added", 0) for name, info in told_of}
        return StreamsRead(sizes, lags_ms, dead)
