"""A connection to Redis that is kept from one reading to the next. IO."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from shared.watch.link import Link, Target, open_link


class KeptLink:
    """Opens its link at the first reading, and again after one that failed.

    A process that reads every few seconds must not connect, and shake hands, each time.

    Args:
        target: Redis.
    """

    def __init__(self, target: Target | str) -> None:
        self._target = target
        self._stack = AsyncExitStack()
        self._link: Link | None = None
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Link]:
        """Lend the link to one reading at a time; whatever goes wrong meanwhile closes it.

        Raises:
            ConfigError: The address is wrong, or of a server that cannot hold the streams.
            BusUnavailable: No server answers, or it refuses the credentials.
        """
        async with self._turn:
            try:
                if self._link is None:
                    self._link = await self._stack.enter_async_context(open_link(self._target))
                yield self._link
            except BaseException:
                await self.close()
                raise

    async def close(self) -> None:
        """Close the connection; the next reading opens another."""
        self._link = None
        await self._stack.aclose()
