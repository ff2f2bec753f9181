"""Stands for the ingestor in a backtest on tables: publishes messages as stored. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from services.lab.kernel import Kernel
from services.lab.table_rows import Timed
from services.lab.tables import Tables
from shared.engine import NOTHING, Action, Result, Step
from shared.messages.base import BookState, Message
from shared.messages.market import BookDelta, BookSnapshot, InstrumentInfo, VenueStatus
from shared.store.rows import begins_bar

REPEAT_NS = 1_000_000_000
AWAKE_NS = 300_000_000
"""Timers run at their exact times for so long after data of the tables, or a bar's closing."""
LEAD_NS = 400_000_000
"""Timers run again so long before either, so that every service was heard of by then."""
PAUSE_NS_MIN = 5_000_000_000
"""In a shorter pause of the data timers go on."""


class Listen(Action, frozen=True):
    """Tell what the tables say from now on."""


class Told(Result, frozen=True):
    """What the tables say of one moment."""

    messages: list[Message]


class TableEngine:
    """Publishes what it is told, and what an ingestor repeats: rules, and which books are LIVE."""

    def __init__(self, tables: Tables, source: str) -> None:
        self._tables, self._source = tables, source
        self._epochs: dict[tuple[str, str], int] = {}
        self._next_ns = 0
        self._counters = {"frames": 0, "gaps": 0, "resyncs": 0, "malformed": 0}

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        """Publish what the tables have at the start, and ask for the rest."""
        return Step(messages=self._repeat(now_ns), actions=[Listen()])

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        """Publish what the tables say; requests for another snapshot cannot be answered."""
        if type(message) is not Told:
            return NOTHING
        self._counters["frames"] += len(message.messages)
        for each in message.messages:
            if type(each) is BookDelta or type(each) is BookSnapshot:
                self._epochs[each.venue, each.instrument] = each.epoch
        return Step(messages=message.messages)

    def on_timer(self, now_ns: int) -> Step:
        """Repeat."""
        return Step(messages=self._repeat(now_ns))

    def next_deadline_ns(self) -> int | None:
        """Return when to repeat."""
        return self._next_ns

    def checkpoints(self) -> Mapping[str, bytes]:
        """Nothing is saved."""
        return {}

    def counters(self) -> Mapping[str, int]:
        """Return what was counted."""
        return self._counters

    def gauges(self) -> Mapping[str, float]:
        """Return nothing."""
        return {}

    def _repeat(self, now_ns: int) -> list[Message]:
        self._next_ns = now_ns + max(REPEAT_NS, self._tables.step_ns)
        infos = [InstrumentInfo(ts_ns=now_ns, rules=rules) for rules in self._tables.rules.values()]
        live = [
            VenueStatus(
                ts_ns=now_ns,
                venue=venue,
                instrument=instrument,
                state=BookState.LIVE,
                epoch=epoch,
                source=self._source,
            )
            for (venue, instrument), epoch in self._epochs.items()
        ]
        return [*infos, *live]


class TableVenues:
    """Tells a ``TableEngine`` what the tables say, at their times.

    Args:
        kernel: Virtual time.
        tables: What is played.
        sleep: Called with the two ends of a pause in the data, in which timers need not run.
        closings_ns: How long after the begin of a bar the one before is closed by strategies, for
            its trades are waited for; rising.
    """

    def __init__(
        self,
        kernel: Kernel,
        tables: Tables,
        sleep: Callable[[int, int], None],
        closings_ns: Sequence[int] = (),
    ) -> None:
        self._kernel, self._sleep = kernel, sleep
        self._closings_ns = closings_ns
        self._messages, self._step_ns = tables.messages(), tables.step_ns
        self._waiting: Timed | None = None
        self._deliver: Callable[[Result], None] = _nobody
        self.is_over = False

    def carry_out(self, action: Action, deliver: Callable[[Result], None]) -> None:
        """Take the listener."""
        if isinstance(action, Listen):
            self._deliver = deliver

    def play(self) -> None:
        """Let everything in the tables happen at its time."""
        self._waiting = next(self._messages, None)
        self._next()

    def _next(self) -> None:
        if self._waiting is None:
            self.is_over = True
            return
        at_ns, message = self._waiting
        together = [message]
        waiting = next(self._messages, None)
        while waiting is not None and waiting[0] <= at_ns:
            together.append(waiting[1])
            waiting = next(self._messages, None)
        self._waiting = waiting
        self._kernel.at(at_ns, partial(self._play, together))
        now_ns = self._kernel.time_ns
        if at_ns - now_ns > PAUSE_NS_MIN:
            is_new_bar = self._step_ns and begins_bar(now_ns, self._step_ns)
            closings_ns = self._closings_ns if is_new_bar else ()
            ends_ns = [now_ns + each for each in closings_ns if now_ns + each < at_ns]
            self._rest([now_ns, *ends_ns, at_ns])

    def _rest(self, moments_ns: Sequence[int]) -> None:
        """Let timers rest from after the first moment to before the next, and so on."""
        begin_ns, end_ns, *_ = moments_ns
        if end_ns - LEAD_NS > begin_ns + AWAKE_NS:
            self._sleep(begin_ns + AWAKE_NS, end_ns - LEAD_NS)
        if len(moments_ns) > 2:
            self._kernel.at(end_ns, lambda: self._rest(moments_ns[1:]))

    def _play(self, messages: list[Message]) -> None:
        self._next()
        self._deliver(Told(messages))


def _nobody(result: Result) -> None:
    raise AssertionError("nobody listens yet")
