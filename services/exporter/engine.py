"""Exporter: folds what the services say into metrics; it decides nothing and writes nothing. Pure.

``samples`` is what a scrape shows at one moment. What every service says once a second comes from
their heartbeats and reports, what happens from the streams of opportunities, orders and alerts, and
how bus and machine are from readings of Redis and of the host. Every figure has a limit of age,
beyond which it is absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.exporter import metrics as m
from services.exporter.bus import BusState
from services.exporter.counted import Counted
from services.exporter.host import Host
from services.exporter.money import Money
from services.exporter.processes import Processes
from services.exporter.requests import (
    BooksRead,
    HostRead,
    ReadBooks,
    ReadFailed,
    ReadHost,
    ReadStreams,
    StreamsRead,
)
from services.exporter.samples import Room, Samples
from shared.config_sections import Config
from shared.engine import NOTHING, Action, EngineSpec, Result, Step
from shared.messages.base import Message
from shared.messages.control import Heartbeat
from shared.messages.market import VenueStatus

STREAMS_EVERY_NS: Final = 2_000_000_000
BOOKS_EVERY_NS: Final = 5_000_000_000
HOST_EVERY_NS: Final = 5_000_000_000
EVERY_NS: Final[Mapping[type[Action], int]] = {
    ReadStreams: STREAMS_EVERY_NS,
    ReadBooks: BOOKS_EVERY_NS,
    ReadHost: HOST_EVERY_NS,
}


class ExporterEngine:
    """Everything that is exposed."""

    def __init__(self, config: Config) -> None:
        self._processes, self._counted = Processes(), Counted()
        traded = (name for name, venue in config.venues.items() if venue.trade)
        self._money = Money(traded, config.risk)
        self._bus = BusState(config.venues, config.bus.shards)
        self._room = Room()
        self._host = Host()
        self._due_ns: dict[type[Action], int | None] = dict.fromkeys(EVERY_NS, 0)
        """When each reading is due; none while it is under way."""
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
            self._read_again(ReadStreams, now_ns)
        elif isinstance(message, BooksRead):
            self._bus.on_books(message, now_ns)
            self._read_again(ReadBooks, now_ns)
        elif isinstance(message, HostRead):
            self._host.on_read(message, now_ns)
            self._read_again(ReadHost, now_ns)
        elif isinstance(message, ReadFailed):
            self._on_failed(message, now_ns)
        else:
            self._money.on_message(message)
            self._counted.on_message(message)
        return NOTHING

    def on_timer(self, now_ns: int) -> Step:
        """Ask for what is due."""
        out = Step()
        for reading, due_ns in self._due_ns.items():
            if due_ns is not None and due_ns <= now_ns:
                self._due_ns[reading] = None
                out.at_once.append(reading())
        return out

    def next_deadline_ns(self) -> int | None:
        """Return when the next reading is due; none while all are under way."""
        due = [at for at in self._due_ns.values() if at is not None]
        return min(due) if due else None

    def checkpoints(self) -> Mapping[str, bytes]:
        """Nothing is saved."""
        return {}

    def counters(self) -> Mapping[str, int]:
        """Return readings of Redis and the host that failed, and samples that found no room."""
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
        self._host.tell(out, now_ns)
        for name, refused in sorted(self._room.refused.items()):
            out.add(m.OVERFLOW, refused, name)
        return out

    def _on_failed(self, failed: ReadFailed, now_ns: int) -> None:
        self._failed += 1
        if isinstance(failed.action, ReadStreams):
            self._bus.on_lost()
        self._read_again(type(failed.action), now_ns)

    def _read_again(self, reading: type[Action], now_ns: int) -> None:
        self._due_ns[reading] = now_ns + EVERY_NS[reading]


ENGINE = EngineSpec(new=lambda config, given: ExporterEngine(config))
