"""Virtual time: a heap of events, run in order of their time. Pure."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush


def between(draw_bits: Callable[[int], int], bounds: tuple[int, int]) -> int:
    """Return a whole number from the first bound up to, not including, the second.

    The same one as ``Random.randrange``, in a third of the time: it is drawn for every hop.

    Args:
        draw_bits: ``getrandbits`` of a ``Random``.
        bounds: Of what is drawn; the second is greater.
    """
    low, high = bounds
    width = high - low
    bits = width.bit_length()
    drawn = draw_bits(bits)
    while drawn >= width:
        drawn = draw_bits(bits)
    return low + drawn


class Kernel:
    """Runs events one after another; it is the only clock of everything that it runs.

    Events of the same time run in the order in which they were asked for, so a run depends on its
    inputs alone.
    """

    def __init__(self, start_ns: int) -> None:
        self.time_ns = start_ns
        """Virtual UNIX time; ``now_ns`` serves as a clock."""
        self.running = 0
        """The place of the event that runs, among those of one time."""
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._asked = 0
        self.steps = 0

    def now_ns(self) -> int:
        """Return virtual UNIX time in ns."""
        return self.time_ns

    def monotonic_ns(self) -> int:
        """Return the same: virtual time never jumps."""
        return self.time_ns

    def at(self, when_ns: int, event: Callable[[], None]) -> None:
        """Run ``event`` at a time; one that has passed means now."""
        self._asked += 1
        if when_ns < self.time_ns:  # noqa: PLR1730 - half the time of max(), at every event
            when_ns = self.time_ns
        heappush(self._heap, (when_ns, self._asked, event))

    def take_place(self) -> int:
        """Return the place, among the events of one time, of an event that is asked for now."""
        self._asked += 1
        return self._asked

    def at_place(self, when_ns: int, place: int, event: Callable[[], None]) -> None:
        """Run ``event`` at a time to come, in a place taken before."""
        heappush(self._heap, (when_ns, place, event))

    def after(self, delay_ns: int, event: Callable[[], None]) -> None:
        """Run ``event`` that much later."""
        self.at(self.time_ns + delay_ns, event)

    def run_until(self, until_ns: int) -> None:
        """Run everything up to and including a time, which it is then."""
        heap = self._heap
        while heap and heap[0][0] <= until_ns:
            self.time_ns, self.running, event = heappop(heap)
            self.steps += 1
            event()
        self.time_ns = max(self.time_ns, until_ns)
        self.running = self._asked
