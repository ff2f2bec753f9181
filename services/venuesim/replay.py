"""Plays recordings through the simulated venues: paced, or in lockstep with a caller."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from shared.capture import CaptureItem, Kind, read_capture
from shared.errors import ConfigError
from shared.simulated.hub import Hub
from shared.simulated.recorded import RecordedMarket

SAMPLES_MAX = 400  # frames per instrument read ahead to learn how numbers are written
SLICE_NS = 5_000_000
FRAMES_PER_ADVANCE_MAX = 2_000
LISTEN_POLL_S = 0.02
FRAMES_AT_ONCE, FRAMES_WAITING_MAX = 20, 100
"""By the clock, so many are sent before the clients are looked at, and may wait for one of them."""
TAKEN_POLL_S = 0.001


@dataclass(slots=True)
class Contents:
    """What a recording holds: samples per venue and instrument, and its span in UNIX ns."""

    samples: dict[str, dict[str, list[bytes]]] = field(default_factory=dict)
    first_ns: int = 0
    last_ns: int = 0


def survey(paths: Sequence[str]) -> Contents:
    """Read a recording once.

    Raises:
        ConfigError: It cannot be read, or holds no book of a venue.
    """
    contents = Contents()
    for item in read_capture(paths):
        if item.kind in {Kind.FRAME, Kind.REST}:
            contents.first_ns = contents.first_ns or item.ts_recv_ns
            contents.last_ns = max(contents.last_ns, item.ts_recv_ns)
        if item.venue is None or item.instrument is None:
            continue
        samples = contents.samples.setdefault(item.venue, {}).setdefault(item.instrument, [])
        if len(samples) < SAMPLES_MAX and item.kind in {Kind.FRAME, Kind.REST}:
            samples.append(item.payload)
    if not contents.samples:
        raise ConfigError(f"{', '.join(paths)}: nothing of a known venue in it")
    return contents


class VenueReplay:
    """The recording and how far it has been played."""

    def __init__(
        self,
        paths: Sequence[str],
        contents: Contents,
        markets: Mapping[str, RecordedMarket],
        hubs: Sequence[Hub],
    ) -> None:
        self._items: Iterator[CaptureItem] = read_capture(paths)
        self._markets, self._hubs = markets, hubs
        self.contents = contents
        self.clock_ns = contents.first_ns
        self.frames_played = 0
        self.faulty_lines = 0
        self._next = next(self._items, None)
        self.started = asyncio.Event()
        self._speed = 0.0

    @property
    def done(self) -> bool:
        """Whether everything was played."""
        return self._next is None

    def advance(self, frames_max: int, span_ns: int | None = None) -> int:
        """Play at most ``frames_max`` frames, of at most ``span_ns`` of recorded time.

        A slice starts at the next frame, so an empty stretch costs nothing. Returns how many frames
        were played.
        """
        self.started.set()
        if self._next is None:
            return 0
        until_ns = None if span_ns is None else max(self.clock_ns, self._next.ts_recv_ns) + span_ns
        return self._play(frames_max, until_ns)

    def unsubscribed(self) -> dict[str, list[str]]:
        """Return the books without a subscriber yet, per venue."""
        waiting = {venue: market.unsubscribed() for venue, market in self._markets.items()}
        return {venue: names for venue, names in waiting.items() if names}

    def _play(self, frames_max: int, until_ns: int | None) -> int:
        played = 0
        while self._next is not None and played < frames_max:
            item = self._next
            if until_ns is not None and item.ts_recv_ns > until_ns:
                break
            self._next = next(self._items, None)
            self.clock_ns = max(self.clock_ns, item.ts_recv_ns)
            if item.kind is Kind.FAULT:
                self.faulty_lines += 1
            market = self._markets.get(item.venue or "")
            if market is None or item.kind not in {Kind.FRAME, Kind.REST}:
                continue
            played += 1
            name = item.instrument or ""
            if item.kind is Kind.FRAME:
                market.play_frame(name, item.payload, item.connection, item.ts_recv_ns)
            else:
                market.play_rest(name, item.payload, item.ts_recv_ns)
        self.frames_played += played
        if self._next is None:
            for market in self._markets.values():
                market.end()
        return played

    async def run(self, speed: float) -> None:
        """Play at ``speed`` times the recorded pace once every book has a subscriber."""
        while self.unsubscribed() and not self.started.is_set():  # noqa: ASYNC110 (many hubs)
            await asyncio.sleep(LISTEN_POLL_S)
        self.play(speed)
        await self.run_when_told()

    def play(self, speed: float) -> None:
        """Begin to play at ``speed`` times the recorded pace; only the first call counts."""
        self._speed = self._speed or speed
        self.started.set()

    async def run_when_told(self) -> None:
        """Wait for ``play``, and play to the end by the clock."""
        loop = asyncio.get_running_loop()
        while not self._speed:
            self.started.clear()
            await self.started.wait()
        began_s, began_ns = loop.time(), self.clock_ns
        while not self.done:
            until_ns = began_ns + int((loop.time() - began_s) * self._speed * 1e9)
            while self._play(FRAMES_AT_ONCE, until_ns) == FRAMES_AT_ONCE:
                await self._until_taken()
            await asyncio.sleep(SLICE_NS / 1e9)

    async def _until_taken(self) -> None:
        """Wait until every client has taken most of what was sent: none is cut off as too slow."""
        await asyncio.sleep(0)
        while any(c.waiting > FRAMES_WAITING_MAX for hub in self._hubs for c in hub.clients):  # noqa: ASYNC110 (many clients)
            await asyncio.sleep(TAKEN_POLL_S)
