"""What the answer is made of: the messages of a window, and the newest of each state. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from shared.messages.base import BookState, Message
from shared.messages.control import Heartbeat
from shared.messages.market import DepthView, VenueStatus
from shared.messages.rules import InstrumentRules
from shared.watch.collector import Collector

SILENT_AFTER_NS = 5_000_000_000
"""Heartbeats, states and views come at least once a second."""
M = TypeVar("M", bound=Message)
Market = tuple[str, str]
"""Venue and instrument."""


@dataclass(slots=True)
class Facts:
    """What was read, of which moment, and what could not be read. Times are UNIX ns.

    Attributes:
        bus_problem: Why nothing could be read, or nothing can be written; empty: neither.
        is_readable: Whether the streams could be read at all.
        now: The newest of every state: services, trading, executor, balances.
        window: What happened since ``since_ns``, oldest first.
        wrote_ns: Service -> when it last wrote into a stream that only it writes.
        cut_ns: Stream -> its oldest entry, where older ones of the window were trimmed.
        needs_bps: Strategy -> the least net edge it is configured to ask for.
        config_problem: Why the configuration does not tell that; empty: it does, or there is none.
    """

    now_ns: int
    since_ns: int
    where: str = ""
    bus_problem: str = ""
    is_readable: bool = True
    now: Collector = field(default_factory=Collector)
    window: list[Message] = field(default_factory=list)
    views: list[DepthView] = field(default_factory=list)
    statuses: dict[Market, VenueStatus] = field(default_factory=dict)
    rules: dict[Market, InstrumentRules] = field(default_factory=dict)
    wrote_ns: dict[str, int] = field(default_factory=dict)
    cut_ns: dict[str, int] = field(default_factory=dict)
    needs_bps: dict[str, float] = field(default_factory=dict)
    config_problem: str = ""

    def take(self, messages: Iterable[Message]) -> None:
        """Add what happened in the window."""
        for message in messages:
            self.window.append(message)
            self.now.on_message(message)

    def take_status(self, status: VenueStatus) -> None:
        """Add what an ingestor says of a book; where two follow it, the better word counts."""
        market = status.venue, status.instrument
        known = self.statuses.get(market)
        if known is None or known.feed is status.feed or not known.state.is_followed:
            self.statuses[market] = status

    def of(self, kind: type[M]) -> list[M]:
        """Return the window's messages of a type, oldest first."""
        return [each for each in self.window if type(each) is kind]

    def heard_ns(self, service: str) -> int | None:
        """Return when a service was heard last; ``None``: never, as far as the streams go back."""
        beats = [b.ts_ns for b in self.now.latest_beat.values() if b.service == service]
        heard = max([*beats, self.wrote_ns.get(service, 0)])
        return heard or None

    def fresh(self, service: str) -> list[Heartbeat]:
        """Return the heartbeats of a service's processes that are not silent."""
        oldest_ns = self.now_ns - SILENT_AFTER_NS
        beats = self.now.latest_beat.values()
        return [beat for beat in beats if beat.service == service and beat.ts_ns > oldest_ns]

    def is_silent(self, service: str) -> bool:
        """Tell whether no process of a service sends heartbeats now."""
        return not self.fresh(service)

    def is_live(self, view: DepthView) -> bool:
        """Tell whether a book may price something now."""
        return view.state is BookState.LIVE and self.now_ns - view.ts_ns < SILENT_AFTER_NS
