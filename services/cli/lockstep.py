"""Let a recording go on only as fast as every process has digested it: venues stay in step.

One step: the simulated venues send a slice of recorded time; wait until the ingestor has published
all of it, then until each service down the line has handled the end of its input.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from services.cli.link import Link
from services.cli.venues import Control
from shared.clock import SystemClock
from shared.streams import ARB_OPPORTUNITY, MD_BOOK, MD_DEPTH, StreamSpec

CHAIN: tuple[tuple[str, StreamSpec], ...] = (
    ("orderbook", MD_BOOK),
    ("scanner", MD_DEPTH),
    ("risk", ARB_OPPORTUNITY),
)
"""Consumer and its input, in the order in which a tick passes them."""
SLICE_MS = 50
"""Recorded time per step: books of different venues are never further apart than this."""
FRAMES_PER_STEP_MAX = 500
STEP_WITHIN_S = 5.0
"""A service that restarts is waited for this long, then the replay goes on without it."""
POLL_S = 0.0005


@dataclass(frozen=True, slots=True)
class Step:
    """Where the recording is after a step."""

    sent: dict[str, int]
    ts_ns: int
    done: bool


class Lockstep:
    """Drives the replay; counts the steps in which somebody did not keep up."""

    def __init__(self, control: Control, link: Link) -> None:
        self._control, self._link = control, link
        self.steps = 0
        self.late = 0

    async def step(self) -> Step:
        """Send one slice and return when it has passed every service."""
        answer = await self._control.post(
            "replay/advance", {"frames_max": FRAMES_PER_STEP_MAX, "span_ms": SLICE_MS}
        )
        step = Step(answer["sent"], answer["ts_ns"], answer["done"])
        self.steps += 1
        if not await self._digested(step.sent):
            self.late += 1
        return step

    async def _digested(self, sent: dict[str, int]) -> bool:
        give_up_ns = SystemClock.monotonic_ns() + int(STEP_WITHIN_S * 1e9)
        while SystemClock.monotonic_ns() < give_up_ns:
            positions = await self._link.positions()
            if frames_published(positions, sent) and await self._chain_is_done(positions):
                return True
            await asyncio.sleep(POLL_S)
        return False

    async def _chain_is_done(self, positions: dict[str, str]) -> bool:
        """True when every consumer stands at the end of its input, read in the order of the chain.

        The ends are read before the positions: what moves meanwhile only makes it look unfinished.
        """
        for service, spec in CHAIN:
            for key in await self._link.keys(spec):
                end = await self._link.last_id(key)
                positions = await self._link.positions()
                if not has_reached(positions, service, key, end):
                    return False
        return True


def frames_published(positions: dict[str, str], sent: dict[str, int]) -> bool:
    """True when ingestors have published the effects of as many frames as each venue sent."""
    return all(
        sum(
            int(value)
            for name, value in positions.items()
            if name.startswith("ingestor:") and name.endswith(f":frames:{venue}")
        )
        >= count
        for venue, count in sent.items()
    )


def has_reached(positions: dict[str, str], service: str, key: str, end: str) -> bool:
    """True when an instance of ``service`` has handled entry ``end`` of the stream ``key``."""
    if end == "0-0":
        return True
    return any(
        order_of(value) >= order_of(end)
        for name, value in positions.items()
        if name.startswith(f"{service}:") and name.endswith(f":{key}")
    )


def order_of(entry_id: Any) -> tuple[int, int]:
    """Return an entry id as something that compares in stream order."""
    milliseconds, _, number = str(entry_id).partition("-")
    return int(milliseconds or 0), int(number or 0)
