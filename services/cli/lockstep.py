"""Let a recording go on only as fast as every process has digested it: venues stay in step.

One step: the simulated venues send a slice of recorded time; wait until the ingestor has published
all of it, then until each service down the line has handled the end of its input.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from services.cli.venues import ControlClient
from shared.clock import SystemClock
from shared.streams import ARB_OPPORTUNITY, MD_BOOK, MD_DEPTH, StreamSpec
from shared.watch.link import Link

CHAIN: tuple[tuple[str, StreamSpec], ...] = (
    ("orderbook", MD_BOOK),
    ("scanner", MD_DEPTH),
    ("risk", ARB_OPPORTUNITY),
)
"""Consumer and its input, in the order in which a tick passes them."""
SLICE_MS, SLICE_MS_BEHIND = 50, 100
"""Recorded time per step, and while behind the pace: books are never further apart than this."""
FRAMES_PER_STEP_MAX = 500
STEP_WITHIN_S = 5.0
"""A service that restarts is waited for this long, then the replay goes on without it."""
POLL_S = 0.002


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """Where the recording is after a step."""

    sent: dict[str, int]
    ts_ns: int
    done: bool


class Lockstep:
    """Drives the replay; counts the steps in which somebody did not keep up."""

    def __init__(self, control: ControlClient, link: Link) -> None:
        self._control, self._link = control, link
        self.steps = 0
        self.late = 0

    async def step(self, slice_ms: int) -> ReplayProgress:
        """Send one slice of recorded time and return when it has passed every service."""
        answer = await self._control.post(
            "replay/advance", {"frames_max": FRAMES_PER_STEP_MAX, "span_ms": slice_ms}
        )
        step = ReplayProgress(answer["sent"], answer["ts_ns"], answer["done"])
        self.steps += 1
        if not await self._digested(step.sent):
            self.late += 1
        return step

    async def _digested(self, sent: dict[str, int]) -> bool:
        """Wait until one picture of the bus shows everybody at the end of its input.

        A service notes its position after it has published, so in a picture of one moment in which
        it stands at its input's end, what it made of that input is visible as well.
        """
        give_up_ns = SystemClock.monotonic_ns() + int(STEP_WITHIN_S * 1e9)
        while SystemClock.monotonic_ns() < give_up_ns:
            ends, positions = await self._link.ends_and_positions([spec.key() for _, spec in CHAIN])
            if frames_published(positions, sent) and all(
                has_reached(positions, service, spec.key(), ends[spec.key()])
                for service, spec in CHAIN
            ):
                return True
            await asyncio.sleep(POLL_S)
        return False


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
