"""How a recording goes through processes: paced by its clock, and never faster than it is taken.

The simulated venues play it, at most as fast as asked and as the ingestor takes the frames from its
sockets: that is all the flow control there is, as of a live market. From here it is only looked
at, every ``LOOK_S``: how far it is, and whether a process is behind what it was sent before.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from services.cli.venues import ControlClient
from shared.streams import ARB_OPPORTUNITY, MD_BOOK, MD_DEPTH, StreamSpec
from shared.watch.link import Link

CHAIN: tuple[tuple[str, StreamSpec], ...] = (
    ("orderbook", MD_BOOK),
    ("scanner", MD_DEPTH),
    ("risk", ARB_OPPORTUNITY),
)
"""Consumer and its input, in the order in which a tick passes them."""
KEYS = [spec.key() for _, spec in CHAIN]
LOOK_S = 0.1
LAST_LOOKS_MAX = 50
"""After the last frame the processes are waited for so often."""


@dataclass(frozen=True, slots=True)
class ReplayProgress:
    """How far the recording is."""

    ts_ns: int
    done: bool


class Pace:
    """Watches a recording being played; ``late`` counts the looks that found a service behind."""

    def __init__(self, control: ControlClient, link: Link) -> None:
        self._control, self._link = control, link
        self.steps = 0
        self.late = 0
        self._sent: dict[str, int] = {}
        self._ends: dict[str, str] = {}
        """What the processes had before them at the last look."""

    async def step(self) -> ReplayProgress:
        """Let some time pass and look; at the end, look until everything is digested."""
        await asyncio.sleep(LOOK_S)
        state = await self._look()
        if state["done"]:
            for _ in range(LAST_LOOKS_MAX):
                if await self._has_digested():
                    break
                await asyncio.sleep(LOOK_S)
        return ReplayProgress(state["ts_ns"], state["done"])

    async def _look(self) -> dict[str, Any]:
        self.steps += 1
        self.late += not await self._has_digested()
        state: dict[str, Any] = await self._control.get("replay")
        self._sent = state["sent"]
        return state

    async def _has_digested(self) -> bool:
        """Tell whether what was there at the last look has passed every service.

        A service notes its position after it has published, so in a picture of one moment in which
        it stands at its input's end, what it made of that input is visible as well.
        """
        ends, positions = await self._link.ends_and_positions(KEYS)
        expected, self._ends = self._ends, ends
        return has_digested(positions, self._sent, expected)


def has_digested(positions: dict[str, str], sent: dict[str, int], ends: dict[str, str]) -> bool:
    """True when the frames are published, and every service down the line has come to the ends."""
    return frames_published(positions, sent) and all(
        has_reached(positions, service, spec.key(), ends.get(spec.key(), "0-0"))
        for service, spec in CHAIN
    )


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
