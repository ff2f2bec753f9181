"""What the system says by itself, and which of it is the first sign of a fault. Pure."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from shared.messages.base import BookState, Message, TradingState
from shared.messages.control import Alert
from shared.messages.execution import OrderEvent, OrderStatus, TradingStateChanged
from shared.messages.market import DepthView, VenueStatus
from shared.watch.collector import Collector
from shared.watch.remembered import Remembered
from tests.soak.record import SIGNS_MAX
from tests.soak.schedule import BUS, FEEDS, VENUES

NOTIFIER = "notifier"
ODD_ORDERS = {OrderStatus.REJECTED, OrderStatus.UNKNOWN, OrderStatus.NOT_SENT}
ALSO = {BUS: ("redis", "bus", "arbrestarted"), VENUES: ("account_stream",)}
"""Words by which a target is spoken of, beside its name; without the bus risk and executor end."""
BOOKS = {"book", "view"}
TOLD = re.compile(r"\[[^\]]*\] (over: |still: |again: )?(\w+) (\S+) ?(.*)")
WORDS = {None: "began", "over: ": "over", "still: ": "still", "again: ": "again"}


class Sign(NamedTuple):
    """``source`` is who says it: supervisor, state, book, view, order, alert or notifier.

    A book is what the ingestor says of a feed, a view what the order book shows of it.
    """

    ts_ns: int
    source: str
    text: str


class Told(NamedTuple):
    """A message of the notifier."""

    what: str
    severity: str
    code: str
    subject: str


def told_of(text: str) -> Told | None:
    """Return what the first line of a notifier's message says; ``None`` where it is no alert."""
    found = TOLD.match(text)
    if found is None:
        return None
    word, severity, code, subject = found.groups()
    return Told(WORDS[word], severity, code, subject.strip())


def first(signs: Iterable[Sign], since_ns: int, until_ns: int, target: str) -> Sign | None:
    """Return the first sign of what was done to ``target``.

    It names the target (the bus also by other names), or is a trading state that is not ACTIVE, or
    a book that is not LIVE where the target is what books come from.
    """
    words = (target, *ALSO.get(target, ()))
    for sign in sorted(signs):
        if since_ns <= sign.ts_ns <= until_ns and (
            sign.source == "state"
            or any(word in sign.text.lower() for word in words)
            or (target in FEEDS and sign.source in BOOKS)
        ):
            return sign
    return None


class Heard(Collector):
    """A collector that also notes signs, and remembers as much as a long run has.

    Args:
        bound: Plans, orders and fills remembered one by one.
    """

    def __init__(self, bound: int) -> None:
        super().__init__()
        self.signs: deque[Sign] = deque(maxlen=SIGNS_MAX)
        self.fills, self.orders = Remembered(bound), Remembered(bound)
        self.plans, self.plans_done = Remembered(bound), Remembered(bound)
        self._states: dict[tuple[str, str, str], BookState] = {}

    def note(self, ts_ns: int, source: str, text: str) -> None:
        """Keep one sign."""
        self.signs.append(Sign(ts_ns, source, text))

    def on_message(self, message: Message) -> None:
        super().on_message(message)
        match message:
            case Alert():
                said = f"{message.service} {message.subject} {message.code}: {message.text}"
                self.note(message.ts_ns, "alert", said)
            case TradingStateChanged() if message.state is not TradingState.ACTIVE:
                self.note(message.ts_ns, "state", f"{message.state}: {message.reason}")
            case OrderEvent() if message.status in ODD_ORDERS:
                self.note(message.ts_ns, "order", f"{message.venue} {message.status}")
            case VenueStatus():
                self._on_book("book", message)
            case DepthView():
                self._on_book("view", message)

    def _on_book(self, source: str, message: VenueStatus | DepthView) -> None:
        place = source, message.venue, message.instrument
        if self._states.get(place, message.state) != message.state != BookState.LIVE:
            said = f"{message.venue} {message.instrument} {message.state}: {message.reason}"
            self.note(message.ts_ns, source, said)
        self._states[place] = message.state


Tell = Callable[[str], None]
"""Called with one line about how a run goes."""
