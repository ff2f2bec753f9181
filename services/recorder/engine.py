"""Decides what is written where, what is missing, and when a segment is finished. Pure.

Frames are numbered by their source without a hole, so the recorder knows what it did not get: a
hole is written down with count and span before the row that follows it. Rows wait in memory for one
write at a time; what does not fit there while the disk is full or slow is dropped and counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.recorder.finishing import Finishing
from services.recorder.requests import (
    Finish,
    Finished,
    Known,
    LogEntry,
    NotFinished,
    NotRecovered,
    NotWritten,
    Part,
    Recover,
    Recovered,
    Write,
    Written,
)
from services.recorder.segment_names import Segments
from shared.config_sections import RecorderConfig
from shared.engine import NOTHING, Action, EngineSpec, Result, Step, Stopping
from shared.messages.base import Message
from shared.messages.control import Alert, Severity
from shared.messages.raw import RawFrames
from shared.store.rows import Missing, RawRow
from shared.wording import counted

PENDING_BYTES_MAX = 64_000_000
"""Rows that wait to be written."""
ROW_BYTES = 200
"""What a row takes beside its frame."""
KNOWN_MAX = 1_000
"""Recordings whose last row is remembered; the oldest is forgotten."""
RETRY_NS = 1_000_000_000
NOT_READ = "the recorder was down, or did not keep up"
COUNTERS = ("rows", "repeated", "missing", "dropped", "writes", "writes_failed", "finished")


class RecorderEngine:
    """All decisions of a recorder."""

    def __init__(self, config: RecorderConfig) -> None:
        self._sync_ns = config.sync_interval_ms * 1_000_000
        self._segments = Segments(config.segment_bytes_max)
        self._known: dict[str, Known] = {}
        self._pending: list[RawRow] = []
        self._pending_bytes = 0
        self._missing: dict[str, Missing] = {}
        """Recording -> what is missing before the next of its rows."""
        self._told: list[Missing] = []
        """What is missing, not written down yet."""
        self._in_flight: list[Part] = []
        self._retry: list[Part] = []
        self._due_ns: int | None = None
        self._finishing = Finishing()
        self._problem = ""
        self._recovered = False
        self._stopping = False
        self._counters = dict.fromkeys(COUNTERS, 0)

    # The protocol of an engine

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        """Ask for the store first; nothing is saved on the bus."""
        assert not saved, "a recorder has no checkpoints"
        return Step([], [Recover()])

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        """Take frames, or what came of an action."""
        if type(message) is RawFrames:
            self._take(message, now_ns)
            return NOTHING
        if type(message) is Written:
            return self._on_written(message, now_ns)
        if type(message) is NotWritten:
            return self._on_not_written(message.reason, now_ns)
        if type(message) is Recovered:
            return self._on_recovered(message, now_ns)
        if type(message) is NotRecovered:
            return self._on_not_recovered(message.reason, now_ns)
        if type(message) is Finished:
            self._finishing.done()
            self._counters["finished"] += 1
            return self._go_on(now_ns)
        if type(message) is NotFinished:
            self._finishing.failed(message.segment, now_ns)
            return self._log("segment_not_finished", message.segment, message.reason)
        if type(message) is Stopping:
            self._stopping = True
            self._finishing.stop(now_ns)
            return self._go_on(now_ns)
        return NOTHING

    def on_timer(self, now_ns: int) -> Step:
        """Write what waits, and finish segments whose hour is over."""
        self._due_ns = None
        if not self._recovered:
            return Step([], [Recover()])
        return self._go_on(now_ns)

    def next_deadline_ns(self) -> int | None:
        """Return when ``on_timer`` must be called next (UNIX ns)."""
        # Until a write has ended no segment is over; its end is looked at then.
        over_ns = None if self._in_flight or self._retry else self._segments.due_ns
        due = (self._due_ns, over_ns, self._finishing.due_ns)
        return min((ns for ns in due if ns is not None), default=None)

    def checkpoints(self) -> Mapping[str, bytes]:
        """Return nothing: the store itself says how far it is."""
        return {}

    def counters(self) -> Mapping[str, int]:
        """Return what was counted since the start."""
        return self._counters

    def gauges(self) -> Mapping[str, float]:
        """Return what waits, and how many segments are open."""
        return {"pending_bytes": self._pending_bytes, "segments_open": len(self._segments.open)}

    # What the shell asks

    @property
    def has_begun(self) -> bool:
        """Whether the store is ours, so that frames may be read."""
        return self._recovered

    def unready(self) -> str:
        """Return why it does not record; empty if it does."""
        return self._problem if self._problem or self._recovered else "looking at the store"

    def open_work(self) -> Sequence[str]:
        """Return what must be written or finished before the process may end."""
        if self._problem:
            return ()  # it cannot be now; the next start goes on from the segments
        waiting = ["rows"] if self._pending or self._retry or self._in_flight else []
        if self._finishing.is_given_up:
            return waiting
        return [*waiting, *self._segments.open, *self._finishing.names]

    # Frames

    def _take(self, message: RawFrames, now_ns: int) -> None:
        known = self._known.pop(message.source, None)
        first, count = message.seq, len(message.items)
        last = known.seq if known is not None else 0
        skipped = min(max(last - first + 1, 0), count)
        self._counters["repeated"] += skipped
        if skipped < count:
            if first > last + 1:
                begin_ns = known.ts_ns if known is not None else message.items[0].ts_recv_ns
                self._miss(
                    message.source,
                    first - last - 1,
                    begin_ns,
                    message.items[0].ts_recv_ns,
                    NOT_READ,
                )
            self._hold(message, skipped)
        newest = Known(max(last, first + count - 1), message.ts_recv_ns)
        self._known[message.source] = newest
        if len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]
        if self._pending and self._due_ns is None and not self._problem:
            self._due_ns = now_ns + self._sync_ns

    def _hold(self, message: RawFrames, skipped: int) -> None:
        """Keep the rows that are new until they are written, as many as have room."""
        for number, item in enumerate(message.items[skipped:], message.seq + skipped):
            size = len(item.frame) + ROW_BYTES
            if self._pending_bytes + size > PENDING_BYTES_MAX:
                self._counters["dropped"] += 1
                reason = self._problem or "more came than could be written"
                self._miss(message.source, 1, item.ts_recv_ns, item.ts_recv_ns, reason)
                continue
            if message.source in self._missing:
                self._told.append(self._missing.pop(message.source))
            origin = message.origins[item.origin]
            self._pending_bytes += size
            self._pending.append(
                RawRow(
                    item.ts_recv_ns,
                    message.source,
                    number,
                    origin.connection,
                    item.kind.value,
                    origin.url,
                    item.frame,
                )
            )
            self._segments.note_venue(message.source, origin.connection, origin.venue)

    def _miss(self, source: str, rows: int, from_ns: int, to_ns: int, reason: str) -> None:
        """Note that rows of a source are missing before its next one."""
        self._counters["missing"] += rows
        before = self._missing.get(source)
        if before is not None:
            from_ns, rows = before.ts_from_ns, rows + (before.rows or 0)
            reason = before.reason
        self._missing[source] = Missing(
            recording=source, ts_from_ns=from_ns, ts_to_ns=to_ns, rows=rows, reason=reason
        )

    # Writing

    def _go_on(self, now_ns: int) -> Step:
        """Write what waits, unless a write is under way; finish what is over."""
        actions: list[Action] = []
        if not self._in_flight and (self._retry or self._pending):
            if not self._retry:
                self._retry = self._segments.divide(self._pending, self._told, now_ns)
                self._pending, self._told = [], []
            self._in_flight, self._retry = self._retry, []
            self._counters["writes"] += 1
            actions.append(Write(self._in_flight))
        # A segment that rows are on their way to is not over yet.
        busy = {part.segment for part in (*self._in_flight, *self._retry)}
        everything = self._stopping and not (busy or self._pending)
        self._finishing.add(self._segments.over(now_ns, busy, everything=everything), now_ns)
        was_given_up = self._finishing.is_given_up
        if segment := self._finishing.next(now_ns):
            actions.append(Finish(segment))
        if self._finishing.is_given_up and not was_given_up:
            left = len({*self._segments.open, *self._finishing.names})
            why = "left to the next start: a stop does not wait longer"
            actions.append(LogEntry("segments_left", {"segments": left, "reason": why}))
        return Step([], actions) if actions else NOTHING

    def _on_written(self, written: Written, now_ns: int) -> Step:
        rows = [row for part in self._in_flight for row in part.rows]
        self._pending_bytes -= sum(len(row.frame) + ROW_BYTES for row in rows)
        self._counters["rows"] += len(rows)
        self._in_flight = []
        self._segments.note_sizes(written.sizes)
        was, self._problem = self._problem, ""
        if self._stopping or was or not self._pending:
            step = self._go_on(now_ns)
        else:  # rows wait for their time, segments that have grown to their size do not
            step = self._go_on(now_ns) if self._segments.has_full else NOTHING
        if self._pending and self._due_ns is None:
            self._due_ns = now_ns + self._sync_ns
        if not was:
            return step
        lost = sum(each.rows or 0 for each in self._missing.values())
        lost += sum(each.rows or 0 for each in self._told)
        text = f"recording goes on; {lost} frames were lost meanwhile ({was})"
        return _told(step, text, Severity.INFO, now_ns)

    def _on_not_written(self, reason: str, now_ns: int) -> Step:
        self._counters["writes_failed"] += 1
        self._retry, self._in_flight = self._in_flight, []
        self._due_ns = now_ns + RETRY_NS
        was, self._problem = self._problem, reason
        if was:
            return NOTHING
        text = f"nothing is recorded: {reason}; frames are kept up to {PENDING_BYTES_MAX} bytes"
        return _told(NOTHING, text, Severity.WARNING, now_ns)

    # The beginning

    def _on_recovered(self, found: Recovered, now_ns: int) -> Step:
        self._recovered, self._problem = True, ""
        newest = sorted(found.known.items(), key=lambda item: item[1].ts_ns)[-KNOWN_MAX:]
        self._known = dict(newest)
        self._finishing.add(found.segments, now_ns)
        step = self._go_on(now_ns)
        if not found.segments:
            return step
        kept = f"{counted(found.rows, 'row')} of {counted(len(found.segments), 'segment')} kept"
        lost = f"{counted(found.torn_bytes, 'byte')} of a row that was being written not"
        text = f"the recorder before was killed: {kept}, {lost}"
        return _told(step, text, Severity.INFO, now_ns)

    def _on_not_recovered(self, reason: str, now_ns: int) -> Step:
        self._due_ns = now_ns + RETRY_NS
        was, self._problem = self._problem, reason
        text = f"nothing is recorded: {reason}"
        return NOTHING if was else _told(NOTHING, text, Severity.WARNING, now_ns)

    @staticmethod
    def _log(event: str, segment: str, reason: str) -> Step:
        return Step([], [LogEntry(event, {"segment": segment, "reason": reason}, is_error=True)])


def _told(step: Step, text: str, severity: Severity, now_ns: int) -> Step:
    """Return a step that also tells the operator, on the bus and in the log."""
    alert = Alert(service="recorder", severity=severity, code="RECORDING", text=text, ts_ns=now_ns)
    entry = LogEntry("recording", {"reason": text}, is_error=severity is not Severity.INFO)
    return Step([*step.messages, alert], [*step.actions, entry], step.at_once)


ENGINE = EngineSpec(new=lambda config, given: RecorderEngine(config.recorder))
