"""Keeps what `arb top` knows up to date from Redis, through its absences. IO."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from services.cli.top.watched import Watched
from shared.clock import SystemClock
from shared.errors import BusUnavailable
from shared.streams import (
    ALERT,
    ARB_NEARMISS,
    ARB_OPPORTUNITY,
    EXEC_EVENT,
    EXEC_PLAN,
    MD_DEPTH,
    MD_FUNDING,
    MD_INSTRUMENT,
    MD_STATUS,
    RISK_EVENT,
    RISK_POSITION,
    SYS_HEALTH,
    StreamSpec,
)
from shared.watch.link import BOOK_WINDOW_MS, Link, Target, open_link

FOLLOWED: Final[dict[StreamSpec, int]] = {
    SYS_HEALTH: 100,
    RISK_EVENT: 100,
    RISK_POSITION: 100,
    EXEC_PLAN: 100,
    EXEC_EVENT: 200,
    ARB_OPPORTUNITY: 50,
    ARB_NEARMISS: 0,
    ALERT: 50,
    MD_STATUS: 100,
}
"""Streams that are followed, and how many entries of before are shown. Plans come before events."""
BLOCK_MS: Final = 200
RETRY_S: Final = 1.0
BOOKS_EVERY_S: Final = 0.5
BOOKS_WINDOW_MS: Final = 750
"""Every book is told again after ``orderbook.refresh_ms``, 250 as shipped."""
FUNDING_EVERY_S: Final = 5.0
FUNDING_WINDOW_MS: Final = 120_000
RULES_EVERY_S: Final = 60.0
RULES_PER_READ: Final = 50
"""An entry has 4 kB and the stream a thousand: read at once they leave a height of megabytes."""


class Feed:
    """Reads what is followed all the time; books and funding only while a screen shows them.

    Args:
        target: Redis.
        watched: Takes everything in.
        reads_books: Whether books are shown now.
        reads_funding: Whether funding rates are.
    """

    def __init__(
        self,
        target: Target,
        watched: Watched,
        reads_books: Callable[[], bool],
        reads_funding: Callable[[], bool],
    ) -> None:
        self._target, self._watched = target, watched
        self._reads_books, self._reads_funding = reads_books, reads_funding
        self._after: dict[str, tuple[StreamSpec, str]] = {}
        self._rules_after: dict[str, tuple[StreamSpec, str]] = {}
        self._read_s: dict[StreamSpec, float] = {}

    async def run(self) -> None:
        """Follow until canceled.

        Raises:
            ConfigError: The address is wrong, or of a server that cannot hold the streams.
        """
        while True:
            try:
                async with open_link(self._target) as link:
                    await self._begin(link)
                    self._watched.on_connected(link.where)
                    while True:
                        await self._look(link)
            except BusUnavailable as error:
                self._watched.on_lost(" ".join(str(error).split()), SystemClock.now_ns())
                await asyncio.sleep(RETRY_S)

    async def _begin(self, link: Link) -> None:
        """Read what was told lately, once; after an absence of Redis go on behind what was seen."""
        for spec, count in FOLLOWED.items():
            if spec.key() in self._after:
                continue
            last = await link.last_id(spec.key())
            for item in await link.newest(spec, count=count) if count else ():
                self._watched.on_message(item.message)
                last = item.entry_id
            self._after[spec.key()] = spec, last

    async def _look(self, link: Link) -> None:
        for item in await link.read(self._after, BLOCK_MS):
            self._watched.on_message(item.message)
        now_ns = SystemClock.now_ns()
        if self._reads_books() and self._is_due(MD_DEPTH, BOOKS_EVERY_S):
            window_ms = BOOKS_WINDOW_MS if self._watched.views else BOOK_WINDOW_MS
            items = await link.recent(MD_DEPTH, window_ms)
            self._watched.on_books((item.message for item in items), now_ns)
        rules_every_s = RULES_EVERY_S if self._watched.rules else BOOKS_EVERY_S
        if self._reads_books() and self._is_due(MD_INSTRUMENT, rules_every_s):
            await self._read_rules(link)
        if self._reads_funding() and self._is_due(MD_FUNDING, FUNDING_EVERY_S):
            items = await link.recent(MD_FUNDING, FUNDING_WINDOW_MS)
            self._watched.on_funding((item.message for item in items), now_ns)

    async def _read_rules(self, link: Link) -> None:
        """Take in what was told of instruments since the last time."""
        for key in await link.keys(MD_INSTRUMENT):
            self._rules_after.setdefault(key, (MD_INSTRUMENT, "0-0"))
        while items := await link.read(self._rules_after, count=RULES_PER_READ):
            self._watched.on_rules(item.message for item in items)

    def _is_due(self, spec: StreamSpec, every_s: float) -> bool:
        now_s = SystemClock.monotonic_ns() / 1e9
        if now_s < self._read_s.get(spec, 0.0) + every_s:
            return False
        self._read_s[spec] = now_s
        return True
