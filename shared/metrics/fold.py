"""Folds what the services say, and what is read of Redis and the host, into metrics. Pure.

What every service says once a second comes from their heartbeats and reports, what happens from the
streams of opportunities, orders and alerts, and how bus and machine are from readings of Redis and
of the host. Every figure has a limit of age, beyond which it is absent. The exporter exposes all of
it; the notifier judges the rules of ``shared/alerting`` by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shared.config_sections import Config
from shared.engine import Action, Result
from shared.messages.base import Message
from shared.messages.control import Heartbeat
from shared.messages.market import VenueStatus
from shared.metrics import table as m
from shared.metrics.bus import BusState
from shared.metrics.counted import Counted
from shared.metrics.host import Host
from shared.metrics.money import Money
from shared.metrics.processes import Processes
from shared.metrics.requests import (
    BooksRead,
    HostRead,
    ReadBooks,
    ReadFailed,
    ReadHost,
    ReadStreams,
    StreamsRead,
)
from shared.metrics.samples import Room, Samples

S: Final = 1_000_000_000
EVERY_NS: Final[Mapping[type[Action], int]] = {
    ReadStreams: 2 * S,
    ReadBooks: 5 * S,
    ReadHost: 5 * S,
}
"""How often each is read, from one answer to the next question; below its limit of age."""


class Fold:
    """All metrics, as they are known now.

    Args:
        config: Venues, limits and shards.
        every_ns: How often what is read.
    """

    def __init__(self, config: Config, every_ns: Mapping[type[Action], int] = EVERY_NS) -> None:
        self._processes, self._counted = Processes(), Counted()
        traded = (name for name, venue in config.venues.items() if venue.trade)
        self._money = Money(traded, config.risk)
        two_feeds = (name for name, venue in config.venues.items() if venue.two_feeds)
        self._bus = BusState(config.venues, config.bus.shards, two_feeds)
        self._room = Room()
        self._host = Host()
        self._every_ns = every_ns
        self._due_ns: dict[type[Action], int | None] = dict.fromkeys(every_ns, 0)
        """When each reading is due; none while it is under way."""
        self.readings_failed = 0

    def on_message(self, message: Message | Result, now_ns: int) -> None:
        """Fold one message, or the result of a reading."""
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
            self.readings_failed += 1
            if isinstance(message.action, ReadStreams):
                self._bus.on_lost()
            self._read_again(type(message.action), now_ns)
        else:
            self._money.on_message(message)
            self._counted.on_message(message)

    def due(self, now_ns: int) -> list[Action]:
        """Return the readings that are due; each is due again only after its result."""
        due: list[Action] = []
        for reading, at_ns in self._due_ns.items():
            if at_ns is not None and at_ns <= now_ns:
                self._due_ns[reading] = None
                due.append(reading())
        return due

    def next_deadline_ns(self) -> int | None:
        """Return when the next reading is due; none while all are under way."""
        due = [at for at in self._due_ns.values() if at is not None]
        return min(due) if due else None

    def counters(self) -> Mapping[str, int]:
        """Return readings of Redis and the host that failed, and samples that found no room."""
        return {
            "readings_failed": self.readings_failed,
            "processes_unplaced": self._processes.unplaced,
            "series_overflow": sum(self._room.refused.values()),
        }

    def samples(self, now_ns: int) -> Samples:
        """Return the value of every metric now (UNIX ns); what is too old is absent."""
        out, is_read = Samples(self._room), self._bus.is_read(now_ns)
        out.add(m.UP, float(is_read))
        self._processes.tell(out, now_ns, is_read=is_read)
        self._counted.tell(out, is_read=is_read)
        self._money.tell(out, now_ns)
        self._bus.tell(out, now_ns)
        self._host.tell(out, now_ns)
        for name, refused in sorted(self._room.refused.items()):
            out.add(m.OVERFLOW, refused, name)
        return out

    def mode(self, now_ns: int) -> str:
        """Return paper, simulated or live; ``unknown`` while the executor does not report."""
        return self._money.mode(now_ns)

    def _read_again(self, reading: type[Action], now_ns: int) -> None:
        self._due_ns[reading] = now_ns + self._every_ns[reading]
