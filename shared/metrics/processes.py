"""Processes by their heartbeats: which slot each has, and what it says of itself. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from shared.measure_names import (
    BUDGET_GAUGE,
    CLOCK_AHEAD,
    CPU,
    NOTIFY_OK_GAUGE,
    NOTIFY_WAITING_GAUGE,
    OPEN_FILES,
    OPEN_FILES_MAX,
    REQUEST_COUNTER,
    REQUEST_LATENCY,
    RESIDENT,
)
from shared.messages.control import Heartbeat
from shared.metrics import host_metrics as h
from shared.metrics import notify_metrics as n
from shared.metrics import table as m
from shared.metrics import venue_metrics as v
from shared.metrics.metric import LIMIT_S, Metric
from shared.metrics.samples import Samples

SLOTS_MAX: Final = 16
"""Processes of one service that are told apart; of more only the first ones are."""
FORGET_NS: Final = 3_600_000_000_000
GONE_NS: Final = 2_000_000_000
"""Two heartbeats: a process that starts takes the slot of one that has missed them."""
_LIMIT_NS: Final = int(LIMIT_S * 1e9)

COUNTER_OF: Final[dict[tuple[str, str], Metric]] = {
    ("ingestor", "frames"): m.FEED_FRAMES,
    ("ingestor", "gaps"): m.FEED_GAPS,
    ("ingestor", "resyncs"): m.FEED_RESYNCS,
    ("ingestor", "reconnects"): m.FEED_RECONNECTS,
    ("risk", "plans_approved"): m.APPROVED,
    ("risk", "plans_shrunk"): m.SHRUNK,
}
"""Counters of heartbeats with a metric of their own, by service and name."""
SPLIT: Final[dict[tuple[str, str], Metric]] = {
    ("scanner", "near_misses_"): m.NEAR_MISSES,
    ("risk", "plans_denied_"): m.DENIALS,
}
"""Counters whose name ends in a code, which is a label; the sum of each is left out."""
SUMS: Final = frozenset(prefix.rstrip("_") for _, prefix in SPLIT)
LATENCIES: Final[dict[str, Metric]] = {
    "tick_to_depth": m.TICK_TO_DEPTH,
    "tick_to_opportunity": m.TICK_TO_OPPORTUNITY,
    "tick_to_plan": m.TICK_TO_PLAN,
    "tick_to_order": m.TICK_TO_ORDER,
}


GAUGE_OF: Final[dict[str, Metric]] = {
    CPU: h.PROCESS_CPU,
    RESIDENT: h.PROCESS_RESIDENT,
    OPEN_FILES: h.PROCESS_FILES,
    OPEN_FILES_MAX: h.PROCESS_FILES_MAX,
    CLOCK_AHEAD: h.PROCESS_CLOCK_AHEAD,
}
"""Gauges of heartbeats that are exposed; one may be a counter to Prometheus."""
_REQUEST, _DURATION, _BUDGET = (
    form.partition("{")[0] for form in (REQUEST_COUNTER, REQUEST_LATENCY, BUDGET_GAUGE)
)
_NOTIFY_OK, _NOTIFY_WAITING = (
    form.partition("{")[0] for form in (NOTIFY_OK_GAUGE, NOTIFY_WAITING_GAUGE)
)


@dataclass(slots=True)
class Slot:
    """One process of a service, and those that it replaced."""

    name: str
    beat: Heartbeat
    restarts: int = 0


class Processes:
    """All processes that were heard lately."""

    def __init__(self) -> None:
        self._slots: dict[str, list[Slot]] = {}
        self.unplaced = 0

    def on_beat(self, beat: Heartbeat, now_ns: int) -> None:
        """Take a heartbeat in; one of an hour ago is of nobody."""
        if now_ns - beat.ts_ns >= FORGET_NS:
            return
        slots = self._slots.setdefault(beat.service, [])
        slots[:] = [slot for slot in slots if now_ns - slot.beat.ts_ns < FORGET_NS]
        for slot in slots:
            if _same(slot.beat, beat):
                if beat.ts_ns >= slot.beat.ts_ns:
                    slot.beat = beat
                return
        gone = [slot for slot in slots if _is_replaced(slot.beat, beat)]
        if gone:
            oldest = min(gone, key=lambda slot: slot.beat.ts_ns)
            oldest.beat, oldest.restarts = beat, oldest.restarts + 1
        elif len(slots) < SLOTS_MAX:
            taken = {slot.name for slot in slots}
            names = (f"{beat.service}-{number}" for number in range(SLOTS_MAX))
            slots.append(Slot(next(name for name in names if name not in taken), beat))
        else:
            self.unplaced += 1

    def heard(self, now_ns: int) -> Iterator[Slot]:
        """Yield the processes whose heartbeat is not older than its limit."""
        return (slot for slot in self._every(now_ns) if now_ns - slot.beat.ts_ns < _LIMIT_NS)

    def tell(self, out: Samples, now_ns: int, *, is_read: bool) -> None:
        """Add what the processes say; of silent ones only when they were heard last."""
        for slot in self._every(now_ns):
            place = slot.beat.service, slot.name
            out.add(m.HEARTBEAT, slot.beat.ts_ns / 1e9, *place)
            if is_read:
                out.add(m.RESTARTS, slot.restarts, *place)
        for slot in self.heard(now_ns):
            _tell(out, slot)

    def _every(self, now_ns: int) -> Iterator[Slot]:
        for _, slots in sorted(self._slots.items()):
            yield from (slot for slot in slots if now_ns - slot.beat.ts_ns < FORGET_NS)


def _same(known: Heartbeat, beat: Heartbeat) -> bool:
    """Tell whether two heartbeats are of one process."""
    return (known.instance, known.process, known.ts_started_ns) == (
        beat.instance,
        beat.process,
        beat.ts_started_ns,
    )


def _is_replaced(known: Heartbeat, beat: Heartbeat) -> bool:
    """Tell whether a process that has started since takes the place of one not heard any more."""
    if known.instance == beat.instance:
        return known.ts_ns <= beat.ts_started_ns
    return beat.ts_started_ns - known.ts_ns > GONE_NS


def _tell(out: Samples, slot: Slot) -> None:
    beat, service = slot.beat, slot.beat.service
    place = service, slot.name
    out.add(m.READY, float(beat.ready), *place)
    for name, total in sorted(beat.counters.items()):
        if (metric := COUNTER_OF.get((service, name))) is not None:
            out.add(metric, total, *place)
            continue
        if name.startswith(_REQUEST):
            parts = name.removeprefix(_REQUEST).split("/")
            if len(parts) == len(v.REQUESTS.labels) - len(place):
                out.add(v.REQUESTS, total, *place, *parts)
                continue
        split = next((key for key in SPLIT if key[0] == service and name.startswith(key[1])), None)
        if split is not None:
            out.add(SPLIT[split], total, *place, name.removeprefix(split[1]))
        elif name not in SUMS:
            out.add(m.EVENTS, total, *place, name)
    for name, buckets in sorted(beat.latency.items()):
        if (metric := LATENCIES.get(name)) is not None:
            out.add(metric, buckets, *place)
        elif name.startswith(_DURATION):
            out.add(v.REQUEST_DURATION, buckets, *place, name.removeprefix(_DURATION))
    for name, value in sorted(beat.gauges.items()):
        if (metric := GAUGE_OF.get(name)) is not None:
            out.add(metric, value, *place)
        elif name.startswith(_BUDGET):
            out.add(v.RATE_BUDGET, value, *place, name.removeprefix(_BUDGET))
        elif name.startswith(_NOTIFY_OK):
            out.add(n.LAST_OK, value, name.removeprefix(_NOTIFY_OK))
        elif name.startswith(_NOTIFY_WAITING):
            out.add(n.WAITING, value, name.removeprefix(_NOTIFY_WAITING))
