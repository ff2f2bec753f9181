"""What a process knows about itself: counters, gauges, latency, readiness, progress; no IO here.

The runner publishes it as a :class:`Heartbeat` and serves it over HTTP (shared/health.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shared.clock import Clock, SystemClock
from shared.histogram import Histogram
from shared.messages.control import Heartbeat
from shared.process import own_id

STALL_NS = 10_000_000_000
"""A shell that has not advanced for this long is unhealthy; it advances every second when idle."""


class Observer:
    """Counters, gauges and histograms of one service instance.

    Names are written in the source or in the configuration, never derived from data, so their
    number is bounded.
    """

    def __init__(self, service: str, instance: str, clock: Clock | None = None) -> None:
        self.service, self.instance = service, instance
        self._clock: Clock = clock or SystemClock()
        self.counters: dict[str, int] = {}
        self.gauges: dict[str, float] = {}
        self.latencies: dict[str, Histogram] = {}
        self.inputs: dict[str, str] = {}
        self.notes: dict[str, str] = {}
        self.notes_of_start: dict[str, str] = {}
        """What was found at the start and stays so; ``notes`` are the service's of now."""
        self.ready = False
        self.reason = "starting"
        self.http_port = 0
        self.ts_started_ns = self._clock.now_ns()
        self._process = str(own_id(instance))  # two files are read for it
        self._advanced_ns: int | None = None
        self._read_notes: Callable[[], Mapping[str, str]] = dict
        self._readings: dict[str, Callable[[], Mapping[str, float]]] = {}

    def count(self, name: str, n: int = 1) -> None:
        """Add to a counter."""
        self.counters[name] = self.counters.get(name, 0) + n

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge."""
        self.gauges[name] = value

    def read_gauges(self, what: str, read: Callable[[], Mapping[str, float]]) -> None:
        """Read further gauges anew for each heartbeat, in place of an older ``what``."""
        self._readings[what] = read

    def read_notes(self, read: Callable[[], Mapping[str, str]]) -> None:
        """Read further notes anew for each heartbeat, beside those of the service."""
        self._read_notes = read

    def latency(self, name: str) -> Histogram:
        """Return the histogram of a measure (nanoseconds), made on first use."""
        return self.latencies.setdefault(name, Histogram())

    def take_in(
        self, counters: Mapping[str, int], gauges: Mapping[str, float], prefix: str = ""
    ) -> None:
        """Set counters and gauges to what an engine or the bus has counted itself."""
        for name, total in counters.items():
            self.counters[prefix + name] = total
        for name, value in gauges.items():
            self.gauges[prefix + name] = value

    def set_ready(self, ready: bool, reason: str = "") -> None:
        """Set whether this instance does its work, and if not, why."""
        self.ready, self.reason = ready, reason

    def starting(self) -> None:
        """Note that there is no main loop yet: it may wait for Redis for as long as that takes."""
        self._advanced_ns = None

    def advance(self) -> None:
        """Note that the service's main loop went round."""
        self._advanced_ns = self._clock.monotonic_ns()

    def is_alive(self) -> bool:
        """Tell whether the main loop went round lately; true until it has gone round once."""
        if self._advanced_ns is None:
            return True
        return self._clock.monotonic_ns() - self._advanced_ns < STALL_NS

    def heartbeat(self, pid: int) -> Heartbeat:
        """Return the present state as a message."""
        return Heartbeat(
            ts_ns=self._clock.now_ns(),
            service=self.service,
            instance=self.instance,
            pid=pid,
            ts_started_ns=self.ts_started_ns,
            ready=self.ready,
            reason=self.reason,
            http_port=self.http_port,
            counters=dict(self.counters),
            gauges=self._all_gauges(),
            latency={name: dict(h.buckets) for name, h in self.latencies.items()},
            inputs=dict(self.inputs),
            process=self._process,
            notes={**self.notes_of_start, **self.notes, **self._read_notes()},
        )

    def _all_gauges(self) -> dict[str, float]:
        """Return what was set, and what is read now."""
        gauges = dict(self.gauges)
        for read in self._readings.values():
            gauges.update(read())
        return gauges
