"""Channels: what waits for each, how fast it may go, and who stands in for one that fails. Pure.

Every channel has a queue of its own, so one that hangs holds nothing up. One message at a time is
under way on a channel. What a failing channel should have said goes to the next one that works, in
the order of the configuration; the failing one is tried again, first with the news that it works.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from services.notifier.texts import TEXT_LENGTH_MAX, cut, moment
from shared.config_notifier import NotifyChannel
from shared.messages.control import Severity
from shared.notify.requests import Send, Sent

S: Final = 1_000_000_000
QUEUE_MAX: Final = 200
"""Messages that wait for one channel; of more, info goes first, then the oldest warning."""
RETRY_NS, RETRY_NS_MAX = 5 * S, 300 * S
REFUSALS_MAX: Final = 3
"""A message that a channel refuses so often, and no other takes, is dropped."""
RETRY_AFTER_MAX_S: Final = 60.0
"""A provider that asks for a longer pause, or again and again for as long, counts as failing."""
PACE: Final[dict[str, tuple[tuple[int, int], ...]]] = {
    "telegram": ((1, 1 * S), (20, 60 * S)),
    "slack": ((1, 1 * S),),
    "discord": ((30, 60 * S),),
    "webhook": ((10, 1 * S),),
    "email": ((1, 1 * S), (20, 60 * S)),
}
"""Messages per time, as the providers allow them: one and twenty a minute in Telegram's groups,
one a second on a webhook of Slack, thirty a minute on one of Discord. The last two are ours."""
LENGTH_MAX: Final = {"discord": 1_900}
"""Where it is less than elsewhere: Discord refuses more than 2,000 characters."""
_RANK: Final = (Severity.INFO, Severity.WARNING, Severity.CRITICAL)


class Note(msgspec.Struct, kw_only=True):
    """A message on its way: ``tried`` are channels that it was given to, ``note`` what is added."""

    note_id: int
    severity: Severity
    subject: str
    text: str
    ts_ns: int
    is_test: bool = False
    tried: list[str] = []
    note: str = ""
    refusals: int = 0


class SavedChannel(msgspec.Struct, kw_only=True):
    """What is kept of a channel over a restart."""

    queue: list[Note] = []
    last_ok_ns: int = 0
    is_test_ok: bool = False
    dropped: int = 0


@dataclass(slots=True)
class Channel:
    """One channel; times are UNIX ns, 0 for never."""

    config: NotifyChannel
    queue: deque[Note] = field(default_factory=deque)
    under_way: Note | None = None
    is_probe: bool = False
    sent_ns: deque[int] = field(default_factory=lambda: deque(maxlen=64))
    failing_ns: int = 0
    reason: str = ""
    retry_ns: int = 0
    paused_ns: int = 0
    delay_ns: int = RETRY_NS
    last_ok_ns: int = 0
    is_test_ok: bool = False
    dropped: int = 0
    dropped_untold: int = 0
    lent: int = 0

    @property
    def name(self) -> str:
        """Its name."""
        return self.config.name

    def push(self, note: Note) -> None:
        """Let a message wait; if there is no room, drop the one that matters least."""
        if len(self.queue) >= QUEUE_MAX:
            self.dropped += 1
            self.dropped_untold += 1
            least = min((*self.queue, note), key=lambda each: _RANK.index(each.severity))
            if least is note:
                return
            self.queue.remove(least)
        self.queue.append(note)

    def take(self) -> Note:
        """Return what is sent next: the most severe, of those the one that waits longest."""
        most = max(self.queue, key=lambda each: _RANK.index(each.severity))
        self.queue.remove(most)
        return most

    def free_ns(self) -> int:
        """Return from when on its pace allows one more."""
        at = 0
        for count, window_ns in PACE[self.config.kind]:
            if len(self.sent_ns) >= count:
                at = max(at, self.sent_ns[-count] + window_ns)
        return at

    def next_ns(self) -> int | None:
        """Return when it can send next; ``None`` while it has nothing to send, or is at it."""
        if self.under_way is not None or not (self.queue or self.failing_ns):
            return None
        return max(self.free_ns(), self.retry_ns)


class Outbox:
    """All channels."""

    def __init__(self, configs: Sequence[NotifyChannel]) -> None:
        self.channels = {each.name: Channel(each) for each in configs}
        self._next_id = 0
        self.sent = self.failed = 0

    def restore(self, saved: dict[str, SavedChannel]) -> None:
        """Take up what was saved; what waits for a channel that is gone goes to others."""
        for name, each in saved.items():
            channel = self.channels.get(name)
            if channel is None:
                for note in each.queue:
                    self.give(note)
                continue
            channel.queue.extend(each.queue)
            channel.last_ok_ns, channel.is_test_ok = each.last_ok_ns, each.is_test_ok
            channel.dropped = each.dropped

    def fails(self, name: str, reason: str, since_ns: int) -> bool:
        """Take up that a channel failed when this process ended; false if it is gone."""
        channel = self.channels.get(name)
        if channel is None:
            return False
        channel.failing_ns, channel.reason = since_ns, reason
        return True

    def saved(self) -> dict[str, SavedChannel]:
        """Return what is to be kept; a message under way counts as waiting."""
        return {
            name: SavedChannel(
                queue=[
                    *([each.under_way] if each.under_way and not each.is_probe else []),
                    *each.queue,
                ],
                last_ok_ns=each.last_ok_ns,
                is_test_ok=each.is_test_ok,
                dropped=each.dropped,
            )
            for name, each in self.channels.items()
        }

    def note(
        self, severity: Severity, subject: str, text: str, now_ns: int, *, is_test: bool = False
    ) -> Note:
        """Make a message."""
        self._next_id += 1
        return Note(
            note_id=self._next_id,
            severity=severity,
            subject=subject,
            text=text,
            ts_ns=now_ns,
            is_test=is_test,
        )

    def give(self, note: Note, *, but: str = "") -> None:
        """Let a message go to every channel of its severity, or to who stands in for it.

        A critical one that no channel is set to take goes to the first that works.
        """
        wanted = [
            each
            for each in self.channels.values()
            if note.severity in each.config.severities and each.name != but
        ]
        if not wanted and note.severity is Severity.CRITICAL:
            wanted = [each for each in self.channels.values() if each.name != but][:1]
        taking: dict[str, Channel] = {}
        for each in wanted:
            stand_in = self._stand_in(each, {*taking, but}) if each.failing_ns else each
            if stand_in is None:
                taking = taking or {each.name: each}
                continue
            if stand_in is not each:
                each.lent += 1
            taking[stand_in.name] = stand_in
        for each in taking.values():
            own = msgspec.structs.replace(note, tried=[each.name])
            each.push(own)

    def test(self, note: Note, *, only_untested: bool = False) -> None:
        """Send a test to each channel itself; of one that fails, its recovery will be the test."""
        for each in self.channels.values():
            is_coming = each.failing_ns or any(waiting.is_test for waiting in each.queue)
            if not (only_untested and (each.is_test_ok or is_coming)):
                each.push(msgspec.structs.replace(note, tried=[each.name]))

    def due(self, now_ns: int) -> Iterator[Send]:
        """Yield what is to be sent now."""
        for each in self.channels.values():
            at = each.next_ns()
            if at is None or at > now_ns:
                continue
            if each.failing_ns:
                each.under_way, each.is_probe = self._recovery(each, now_ns), True
            else:
                each.under_way, each.is_probe = each.take(), False
            each.sent_ns.append(now_ns)
            yield self._send(each, each.under_way)

    def next_deadline_ns(self) -> int | None:
        """Return when something can be sent next."""
        found = [at for each in self.channels.values() if (at := each.next_ns()) is not None]
        return min(found) if found else None

    def on_sent(self, sent: Sent, now_ns: int) -> Channel | None:
        """Take in what became of a message; return the channel if it failed or works again."""
        each = self.channels[sent.channel]
        note, is_probe = each.under_way, each.is_probe
        if note is None or note.note_id != sent.note_id:
            return None
        each.under_way = None
        if not sent.problem and sent.retry_after_s is None:
            return self._delivered(each, note, now_ns)
        self.failed += 1
        if sent.retry_after_s is not None:
            each.retry_ns = now_ns + int(max(sent.retry_after_s, 1.0) * S)
            each.paused_ns = each.paused_ns or now_ns
            if each.retry_ns - each.paused_ns <= RETRY_AFTER_MAX_S * S:
                if not is_probe:
                    each.queue.appendleft(note)
                return None
        else:
            each.retry_ns = now_ns + each.delay_ns
            each.delay_ns = min(2 * each.delay_ns, RETRY_NS_MAX)
        was_failing = bool(each.failing_ns)
        each.failing_ns = each.failing_ns or now_ns
        each.reason = sent.problem
        if note.is_test:  # the news that it works again will be the test
            each.is_test_ok = False
        note.refusals += sent.is_refused
        self._pass_on(each, [*([] if is_probe or note.is_test else [note]), *each.queue])
        return None if was_failing else each

    def _delivered(self, each: Channel, note: Note, now_ns: int) -> Channel | None:
        self.sent += 1
        was_failing = bool(each.failing_ns)
        each.last_ok_ns, each.failing_ns, each.retry_ns, each.paused_ns = now_ns, 0, 0, 0
        each.delay_ns, each.reason, each.lent, each.dropped_untold = RETRY_NS, "", 0, 0
        if note.is_test or was_failing:
            each.is_test_ok = True
        return each if was_failing else None

    def _pass_on(self, each: Channel, notes: list[Note]) -> None:
        """Give what waits for a failing channel to who stands in; info and tests wait."""
        each.queue.clear()
        for note in notes:
            taken = {*note.tried, each.name}
            stands_in = note.severity is not Severity.INFO and not note.is_test
            other = self._stand_in(each, taken) if stands_in else None
            if other is None:
                if note.refusals >= REFUSALS_MAX:
                    each.dropped += 1
                    each.dropped_untold += 1
                else:
                    each.queue.append(note)
                continue
            each.lent += 1
            added = f"({each.name} does not work: {each.reason[:200]})"
            other.push(msgspec.structs.replace(note, tried=[*note.tried, other.name], note=added))

    def _stand_in(self, failing: Channel, taken: set[str]) -> Channel | None:
        """Return the next channel that works, in the order of the configuration."""
        names = list(self.channels)
        at = names.index(failing.name)
        for name in (*names[at + 1 :], *names[:at]):
            if name not in taken and not self.channels[name].failing_ns:
                return self.channels[name]
        return None

    def _recovery(self, each: Channel, now_ns: int) -> Note:
        text = (
            f"{each.name} works again; it did not from {moment(each.failing_ns)} on: "
            f"{each.reason}. {each.lent} messages went over other channels meanwhile, "
            f"{len(each.queue)} wait."
        )
        return self.note(Severity.INFO, f"{each.name} works again", text, now_ns)

    @staticmethod
    def _send(each: Channel, note: Note) -> Send:
        added = f"\n{note.note}" if note.note else ""
        if each.dropped_untold:
            added += f"\n({each.dropped_untold} messages were dropped: too many at once)"
        limit = LENGTH_MAX.get(each.config.kind, TEXT_LENGTH_MAX)
        return Send(
            channel=each.name,
            note_id=note.note_id,
            subject=note.subject,
            text=cut(note.text, limit - len(added)) + added,
            severity=note.severity.value,
            ts_ns=note.ts_ns,
        )
