"""Trims streams to their limit in bytes, including what other programs wrote.

A writer of a LATEST stream trims it with every XADD to as many entries as its own would need. What
another program writes is not in that average, so every few seconds the stream is measured.
"""

from __future__ import annotations

import asyncio
import logging

from shared.bus.connection import TEMPORARY, RedisLink, ReplyError
from shared.bus.latest import as_dict
from shared.bus.signing import Report
from shared.bus.wire import id_key, produced
from shared.errors import BusUnavailable
from shared.streams import StreamSpec

log = logging.getLogger(__name__)

ROUNDS_MAX = 24
"""Each round takes away a tenth at least; entries differ in size, so one is rarely enough."""
KEEP = 0.9
"""Part of the bound that is aimed at."""
_ALERT_EVERY = 30
"""Rounds of maintenance between two alerts about the same overgrown stream."""


async def bytes_of(link: RedisLink, key: str) -> int:
    """Return what a stream occupies; every node is measured, because entries differ in size."""
    return int(await link.call("MEMORY", "USAGE", key, "SAMPLES", 0) or 0)


def excess_entries(entries: int, size: int, bytes_max: int) -> int:
    """Return how many of the oldest entries must go, were all of one size; 0 within the bound."""
    return 0 if size <= bytes_max else entries - int(entries * KEEP * bytes_max / size)


async def hold_bytes(link: RedisLink, spec: StreamSpec, key: str) -> int:
    """Trim a LATEST stream to its bytes; return how many entries went."""
    gone = 0
    for _ in range(ROUNDS_MAX):
        size = await bytes_of(link, key)
        if size <= spec.bytes_max:
            break
        entries = int(await link.call("XLEN", key))
        keep = entries - excess_entries(entries, size, spec.bytes_max)
        gone += int(await link.call("XTRIM", key, "MAXLEN", "=", keep))
        if not keep:
            break
    return gone


async def keep_bytes(link: RedisLink, service: str, shards: int, interval_s: float) -> None:
    """Hold every LATEST stream that ``service`` writes to its bytes, until canceled."""
    while True:
        await asyncio.sleep(interval_s)
        for spec, key in produced(service, shards):
            try:
                gone = await hold_bytes(link, spec, key)
            except ReplyError as error:  # a key of another type, or too few rights
                log.warning("stream_not_measured", extra={"stream": key, "reason": str(error)})
                if error.code in TEMPORARY:
                    break  # of all of them
            except BusUnavailable:
                break  # the next round finds out whether Redis is back
            else:
                if gone:
                    log.warning("stream_trimmed_to_bytes", extra={"stream": key, "entries": gone})


class DurableTrimmer:
    """Holds DURABLE streams to their bounds as one of their readers."""

    def __init__(self, link: RedisLink, group: str, report: Report) -> None:
        self._link, self._group, self._report = link, group, report
        self._over_bound: dict[str, int] = {}

    async def trim(self, key: str, spec: StreamSpec) -> None:
        """Trim towards the bounds, never past what the slowest group has not acknowledged.

        One group trims for all: two that saw the same excess would each cut it off.
        """
        if self._group != spec.consumers[0]:
            return
        entries, size = await self._measure(key)
        excess = max(entries - spec.entries_max, excess_entries(entries, size, spec.bytes_max))
        if excess <= 0:
            return
        floor = await self._slowest_need(key, spec)
        if floor is None:
            return
        await self._link.call("XTRIM", key, "MINID", "~", floor, "LIMIT", excess)
        entries, size = await self._measure(key)
        if entries > 2 * spec.entries_max or size > 2 * spec.bytes_max:
            rounds = self._over_bound.get(key, 0)
            if rounds % _ALERT_EVERY == 0:
                text = (
                    f"{key}: {entries} entries of {size} bytes are over twice its bounds, needed "
                    f"from {floor.decode()}"
                )
                self._report("STREAM_OVER_BOUND", text, subject=key)
            self._over_bound[key] = rounds + 1

    async def _measure(self, key: str) -> tuple[int, int]:
        """Return a stream's entries and bytes."""
        entries = int(await self._link.call("XLEN", key))
        try:
            return entries, await bytes_of(self._link, key)
        except ReplyError as error:
            if error.code != "NOPERM":
                raise
            return entries, 0  # Redis' users are of an older version

    async def _slowest_need(self, key: str, spec: StreamSpec) -> bytes | None:
        """Return the lowest id any declared group still needs; ``None`` if a group is missing."""
        groups = {
            info[b"name"].decode(): info
            for info in map(as_dict, await self._link.call("XINFO", "GROUPS", key))
        }
        if not set(spec.consumers) <= set(groups):
            return None
        needs: list[bytes] = []
        for name, info in groups.items():
            summary = await self._link.call("XPENDING", key, name)
            needs.append(summary[1] if summary[0] else info[b"last-delivered-id"])
        return min(needs, key=id_key)
