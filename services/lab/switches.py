"""Dead-man's switches of a world's venues, where orders of ours rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from random import Random

from services.executor.actions import SetSwitch, SwitchFailed, SwitchSet
from services.lab.kernel import Kernel
from services.lab.kinds import QUOTED, Kind
from shared.engine import Result
from shared.exchange.countdowns import WHOLE_ACCOUNT, Countdowns
from shared.exchange.exchange import Exchange

_MS = 1_000_000
DEAD_MAN_S = (0, 1, 2, 3)
"""Seconds without a renewal after which a venue cancels; 0: it is not asked to."""
NONE_CHANCE = 0.15
"""That a venue has no such switch."""
WHOLE_CHANCE = 0.5
"""That a venue has one for the whole account, and not one for each instrument."""


def dead_man_s_of(seed: int, kind: Kind) -> int:
    """Return ``executor.dead_man_s`` of a world; 0 where nothing rests."""
    return Random(f"{seed}/dead man").choice(DEAD_MAN_S) if kind in QUOTED else 0


class Switches:
    """The switches as the venues keep them.

    Args:
        seed: Of the world.
        kernel: Time.
        exchanges: By venue.
        note: Takes a line for the story of the seed.
    """

    def __init__(
        self,
        seed: int,
        kernel: Kernel,
        exchanges: Mapping[str, Exchange],
        note: Callable[[str], None],
    ) -> None:
        draw = Random(f"{seed}/switches")
        self._kernel, self._note = kernel, note
        self._of_venue: dict[str, Countdowns] = {}
        self._whole: dict[str, bool] = {}
        self.missed: dict[str, None] = {}
        """Venues whose newest request, or its answer, was lost: the executor must report that their
        switch could not be set, and tries again a little later."""
        self._spent_ns: dict[str, dict[str, int]] = {}
        """Venue -> what a switch was set for -> when it fired, until it is set again."""
        self.fired = 0
        """How many orders they have canceled."""
        for venue, exchange in exchanges.items():
            if draw.random() >= NONE_CHANCE:
                self._of_venue[venue] = Countdowns(exchange)
            self._whole[venue] = draw.random() < WHOLE_CHANCE

    def has(self, venue: str) -> bool:
        """Tell whether a venue has a switch."""
        return venue in self._of_venue

    def miss(self, asked: SetSwitch) -> Result:
        """Note that a request or its answer was lost, and return what the executor is told."""
        if asked.after_s and self.has(asked.venue):
            self.missed[asked.venue] = None
        return SwitchFailed(asked, "no answer in time")

    def set(self, asked: SetSwitch) -> Result:
        """Set or unset a venue's switch."""
        countdowns, now_ms = self._of_venue.get(asked.venue), self._kernel.now_ns() // _MS
        if countdowns is None:
            return SwitchSet(asked, none="it has none")
        self.missed.pop(asked.venue, None)
        names = (WHOLE_ACCOUNT,) if self._whole[asked.venue] else asked.instruments
        for name in names:
            countdowns.set(name, asked.after_s * 1_000, now_ms)
            self._spent_ns.get(asked.venue, {}).pop(name, None)
        if asked.after_s:
            self._kernel.after(asked.after_s * 1_000 * _MS, partial(self._fire, asked.venue))
        return SwitchSet(asked)

    def spent_ns(self, venue: str, instrument: str) -> int:
        """Return when an instrument's switch fired, if it was not set again since; else 0."""
        spent = self._spent_ns.get(venue, {})
        return max(spent.get(instrument, 0), spent.get(WHOLE_ACCOUNT, 0))

    def _fire(self, venue: str) -> None:
        countdowns, now_ns = self._of_venue[venue], self._kernel.now_ns()
        before = list(countdowns.until_ms)
        canceled = countdowns.fire(now_ns // _MS, "dead man")
        fired_ns = now_ns // _MS * _MS  # venues note orders by the millisecond
        fired = {name: fired_ns for name in before if name not in countdowns.until_ms}
        self._spent_ns.setdefault(venue, {}).update(fired)
        if canceled:
            self.fired += canceled
            self._note(f"{venue}: the dead-man's switch fires and cancels {canceled} orders")
