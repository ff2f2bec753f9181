"""Follow streams from the start of a run to its end, through restarts of Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from shared.errors import BusUnavailable
from shared.streams import (
    ALERT,
    ARB_INDICATION,
    ARB_NEARMISS,
    ARB_OPPORTUNITY,
    EXEC_EVENT,
    EXEC_PLAN,
    MD_STATUS,
    RISK_EVENT,
    RISK_POSITION,
    SYS_HEALTH,
    StreamSpec,
)
from shared.watch.link import StreamItem, open_link

DECISIONS = (
    ARB_OPPORTUNITY,
    ARB_INDICATION,
    ARB_NEARMISS,
    EXEC_PLAN,
    EXEC_EVENT,
    RISK_EVENT,
    RISK_POSITION,
    ALERT,
    SYS_HEALTH,
    MD_STATUS,
)
BLOCK_MS = 500
RETRY_S = 0.3
PAUSE_S = 0.05
"""A short pause after each read gathers what is near: the follower must not compete for the CPU."""


class Follower:
    """Reads streams from their first entry and hands every message to ``sink``."""

    def __init__(
        self,
        url: str,
        sink: Callable[[StreamItem], None],
        specs: Sequence[StreamSpec] = DECISIONS,
        shards: int = 1,
    ) -> None:
        self._url, self._sink = url, sink
        self._after = {
            spec.key(shard): (spec, "0-0")
            for spec in specs
            for shard in range(shards if spec.sharded else 1)
        }
        self.losses = 0

    async def run(self) -> None:
        """Follow until canceled; after an absence of Redis go on behind the last entry seen."""
        while True:
            try:
                async with open_link(self._url) as link:
                    while True:
                        for item in await link.read(self._after, BLOCK_MS):
                            self._sink(item)
                        await asyncio.sleep(PAUSE_S)
            except BusUnavailable:
                self.losses += 1
                await asyncio.sleep(RETRY_S)
