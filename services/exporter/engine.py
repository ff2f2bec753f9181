"""Exporter: folds what the services say into metrics; it decides nothing and writes nothing. Pure.

``samples`` is what a scrape shows at one moment. What every service says once a second comes from
their heartbeats and reports, what happens from the streams of opportunities, orders and alerts, and
how the bus is from readings of Redis. Every figure has a limit of age, beyond which it is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.exporter import metrics as m
from services.exporter.bus import BusState
from services.exporter.counted import Counted
from services.exporter.money import Money
from services.exporter.processes import Processes
from services.exporter.requests import BooksRead, ReadBooks, ReadFailed, ReadStreams, StreamsRead
from services.exporter.samples import Room, Samples
from shared.config_sections import Config
from shared.engine import NOTHING, EngineSpec, Result, Step
from shared.messages.base import Message
from shared.messages.control import Heartbeat
from shared.messages.market import VenueStatus

STREAMS_EVERY_NS: Final = 2_000_000_000
BOOKS_EVERY_NS: Final = 5_000_000_000


class ExporterEngine:
    """Everything that is exposed."""

    def __init__(self, config: Config) -> None:
        self._processes, self._counted = Processes(), Counted()
        self._money = Money(name for name, venue in config.venues.items() if venue.trade)
        self._bus = BusState(config.venues, config.bus.shards)
        self._room = Room()
        self._streams_due_ns: int | None = 0
        self._books_due_ns: int | None = 0
        self._failed = 0

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        """Begin with nothing: all of it is told again within seconds."""
        del saved
        return self.on_timer(now_ns)

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        """Fold one input."""
        del redelivered
        if isinstance(message, Heartbeat):
            self._processes.on_beat(message, now_ns)
        elif isinstance(message, VenueStatus):
            self._bus.on_status(message)
        elif isinstance(message, StreamsRead):
            self._bus.on_streams(message, now_ns)
            self._streams_due_ns = now_ns + STREAMS_EVERY_NS
        elif isinstance(message, BooksRead):
            self._bus.on_books(message, now_ns)
            self._books_due_ns = now_ns + BOOKS_EVERY_NS
        elif isinstance(message, ReadFailed):
            self._on_failed(message, now_ns)
        else:
            self._money.on_message(message)
            self._counted.on_message(message)
        return NOTHING

    def on_timer(self, now_ns: int) -> Step:
        """Ask for what is due."""
        out = Step()
        if self._streams_due_ns is not None and self._streams_due_ns <= now_ns:
            self._streams_due_ns = None
            out.at_once.append(ReadStreams())
        if self._books_due_ns is not None and self._books_due_ns <= now_ns:
            self._books_due_ns = None
            out.at_once.append(ReadBooks())
        return out

    def next_deadline_ns(self) -> int | None:
        """Return when the next reading is due; none while both are under way."""
        due = [at for at in (self._streams_due_ns, self._books_due_ns) if at is not None]
        return min(due) if due else None

    def checkpoints(self) -> Mapping[str, bytes]:
        """Nothing is saved."""
        return {}

    def counters(self) -> Mapping[str, int]:
        """Return readings of Redis that failed, and samples that found no room."""
        return {
            "readings_failed": self._failed,
            "processes_unplaced": self._processes.unplaced,
            "series_overflow": sum(self._room.refused.values()),
        }

    def gauges(self) -> Mapping[str, float]:
        """It has none."""
        return {}

    def samples(self, now_ns: int, version: str) -> Samples:
        """Return what a scrape shows now.

        Args:
            now_ns: UNIX ns.
            version: Of the exporter.
        """
        out, is_read = Samples(self._room), self._bus.is_read(now_ns)
        out.add(m.UP, float(is_read))
        out.add(m.BUILD, 1.0, version, self._money.mode(now_ns))
        self._processes.tell(out, now_ns, is_read=is_read)
        self._counted.tell(out, is_read=is_read)
        self._money.tell(out, now_ns)
        self._bus.tell(out, now_ns)
        for name, refused in sorted(self._room.refused.items()):
            out.add(m.OVERFLOW, refused, name)
        return out

    def _on_failed(self, failed: ReadFailed, now_ns: int) -> None:
        self._failed += 1
        if isinstance(failed.action, ReadStreams):
            self._bus.on_lost()
            self._streams_due_ns = now_ns + STREAMS_EVERY_NS
        else:
            self._books_due_ns = now_ns + BOOKS_EVERY_NS


ENGINE = EngineSpec(new=lambda config, given: ExporterEngine(config))
