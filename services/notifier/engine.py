"""Notifier: decides what people are told, when, and over which channel. Pure.

In come alerts, heartbeats, reports and time; out go messages for channels, pings for the dead man's
switch and the state to keep. It publishes nothing, so losing Redis stops nothing but news.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.notifier.checks import Checks
from services.notifier.outbox import Channel, Note, Outbox
from services.notifier.processes import TRADERS
from services.notifier.requests import Ping, Pinged, Save
from services.notifier.saved import Saved, Seen, dump, load
from services.notifier.texts import body, cut, heading, moment
from services.notifier.troubles import Cause, Troubles
from shared.config_sections import Config
from shared.engine import (
    NOTHING,
    BusBack,
    BusLost,
    EngineSpec,
    InputsOpened,
    Result,
    Step,
    Stopping,
)
from shared.errors import CodecError
from shared.measure_names import NOTIFY_OK_GAUGE, NOTIFY_WAITING_GAUGE
from shared.messages.base import Message
from shared.messages.control import Alert, Severity
from shared.notify.requests import Send, Sent

NAME: Final = "notifier"
S: Final = 1_000_000_000
TICK_NS: Final = 1 * S
SAVE_EVERY_NS: Final = 60 * S
TEST_EVERY_NS: Final = 7 * 24 * 3_600 * S
OLD_NS: Final = 900 * S
"""At the very first start alerts older than this are history, not news."""
FORGOTTEN_NS: Final = 24 * 3_600 * S
"""After a pause older ones are not told any more."""


CHANNEL: Final = "NOTIFY_CHANNEL"


class NotifierEngine:
    """Everything that is told."""

    def __init__(self, config: Config, state: bytes | None = None) -> None:
        self._config, self._system = config, config.notifier.system
        self._given = {} if state is None else {NAME: state}
        self._outbox = Outbox(config.notifier.channels)
        self._troubles, self._seen = Troubles(), Seen()
        self._checks = Checks(config, 0)
        self._tested_ns = 0
        self._tick_ns = self._ping_ns = 0
        self._oldest_ns = self._saved_ns = 0
        self._ping_every_ns = config.notifier.heartbeat_interval_ms * 1_000_000
        self._is_pinging = self._is_changed = False
        self._told = self._too_old = self._pings = self._pings_failed = 0

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        """Begin from what was told before; what cannot be read of it is told as lost."""
        self._checks = Checks(self._config, now_ns)
        self._tick_ns, self._ping_ns = now_ns, now_ns + self._ping_every_ns
        try:
            known = load(saved or self._given, NAME)
        except CodecError as error:
            known = None
            self._troubles.begin(_state_lost(str(error)), now_ns)
        if known is None:
            self._oldest_ns = now_ns - OLD_NS
            return NOTHING
        # What was written while nobody listened is told; what is too old for it is counted.
        # A state of later than now was written before the machine's clock was set back.
        self._oldest_ns = max(min(known.ts_ns, now_ns) - OLD_NS, now_ns - FORGOTTEN_NS)
        self._seen, self._tested_ns = Seen(known.seen), min(known.tested_ns, now_ns)
        self._troubles = Troubles(known.troubles)
        self._outbox.restore(known.channels)
        self._checks.restore(self._troubles)
        for key, each in self._troubles.known.items():
            if each.cause.code == CHANNEL and not each.over_ns:
                is_there = self._outbox.fails(each.cause.subject, each.cause.detail, each.since_ns)
                if not is_there:
                    self._troubles.end(key, now_ns)
        self._outbox.test(self._test_note(now_ns), only_untested=True)
        return NOTHING

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        """Take one input in."""
        del redelivered
        if isinstance(message, Alert):
            self._on_alert(message, now_ns)
        elif isinstance(message, Sent):
            self._on_sent(message, now_ns)
        elif isinstance(message, Pinged):
            self._on_pinged(message, now_ns)
        elif isinstance(message, Stopping):
            return Step(at_once=[Save(self._state(now_ns))])
        elif isinstance(message, BusLost | BusBack | InputsOpened):
            return NOTHING
        else:
            self._checks.on_message(message, now_ns)
            return NOTHING  # judged once a second
        out = Step()
        self._tell(out, now_ns)
        if isinstance(message, Sent):  # at once: what is under way at a crash is sent again
            self._save(out, now_ns)
        return out

    def on_timer(self, now_ns: int) -> Step:
        """Judge, tell what is due, ping and save."""
        out = Step()
        if now_ns >= self._tick_ns:
            self._tick_ns = now_ns + TICK_NS
            out.at_once.extend(self._checks.measured.due(now_ns))
            self._checks.judge(self._troubles, now_ns)
            self._test(now_ns)
            if now_ns >= self._ping_ns and not self._is_pinging:
                self._ping_ns = now_ns + self._ping_every_ns
                if self._config.notifier.heartbeat_url and not self.why_no_ping(now_ns):
                    self._is_pinging = True
                    out.at_once.append(Ping())
        self._tell(out, now_ns)
        if self._is_changed or now_ns - self._saved_ns >= SAVE_EVERY_NS:
            self._save(out, now_ns)
        return out

    def next_deadline_ns(self) -> int | None:
        """Return when the next look is due."""
        sending_ns = self._outbox.next_deadline_ns()
        return self._tick_ns if sending_ns is None else min(self._tick_ns, sending_ns)

    def checkpoints(self) -> Mapping[str, bytes]:
        """Nothing is saved with steps: see ``Save``."""
        return {}

    def counters(self) -> Mapping[str, int]:
        """Return what was told, and what could not be."""
        channels = self._outbox.channels.values()
        return {
            "told": self._told,
            "messages_sent": self._outbox.sent,
            "messages_failed": self._outbox.failed,
            "messages_dropped": sum(each.dropped for each in channels),
            "alerts_too_old": self._too_old,
            "pings": self._pings,
            "pings_failed": self._pings_failed,
        }

    def gauges(self) -> Mapping[str, float]:
        """Return when each channel last took a message (UNIX seconds), and what waits for it."""
        found: dict[str, float] = {}
        for name, each in self._outbox.channels.items():
            if each.last_ok_ns:
                found[NOTIFY_OK_GAUGE.format(name)] = each.last_ok_ns / 1e9
            found[NOTIFY_WAITING_GAUGE.format(name)] = len(each.queue) + (
                each.under_way is not None
            )
        return found

    def notes(self, now_ns: int) -> Mapping[str, str]:
        """Return what an operator should know."""
        found = {
            f"channel {each.name}": f"fails since {moment(each.failing_ns)}: {each.reason}"
            for each in self._outbox.channels.values()
            if each.failing_ns
        }
        if self._config.notifier.heartbeat_url and (reason := self.why_no_ping(now_ns)):
            found["heartbeat_url"] = f"is not pinged: {reason}"
        return found

    def why_no_ping(self, now_ns: int) -> str:
        """Return what speaks against telling the dead man's switch that all is well."""
        for service in TRADERS:
            if not self._checks.processes.is_beating(service, now_ns):
                return f"{service} is not heard"
        channels = self._outbox.channels.values()
        if not any(
            each.is_test_ok and not each.failing_ns
            for each in channels
            if "critical" in each.config.severities
        ):
            return "no channel for critical messages took the last test"
        return ""

    def _on_alert(self, alert: Alert, now_ns: int) -> None:
        if not self._seen.is_new(alert):
            return
        self._is_changed = True
        if alert.ts_ns < self._oldest_ns:
            self._too_old += 1
            return
        if alert.over:
            key = f"{alert.code}|{alert.service}|{alert.subject}"
            self._troubles.end(key, min(alert.ts_ns, now_ns))
            return
        cause = Cause(
            code=alert.code,
            severity=alert.severity,
            subject=alert.subject,
            where=alert.service,
            detail=cut(alert.text),  # more is never told, and it is saved each second
            remedy="`arb status`; docs/runbook.md has a row for each code that needs you",
        )
        self._troubles.begin(
            cause, now_ns, since_ns=min(alert.ts_ns, now_ns), count=max(alert.count, 1)
        )

    def _on_sent(self, sent: Sent, now_ns: int) -> None:
        self._is_changed = True
        changed = self._outbox.on_sent(sent, now_ns)
        if changed is None:
            return
        cause = _channel_cause(changed)
        if changed.failing_ns:
            self._troubles.begin(cause, now_ns)
        else:
            self._troubles.end(f"{cause.code}|{cause.where}|{cause.subject}", now_ns)

    def _on_pinged(self, pinged: Pinged, now_ns: int) -> None:
        self._is_pinging = False
        cause = Cause(
            code="NOTIFY_HEARTBEAT",
            severity=Severity.WARNING,
            where=NAME,
            summary="The dead man's switch does not take the ping: it will soon say we are dead",
            detail=pinged.problem,
            remedy="look at notifier.heartbeat_url, and at the machine where `arb watch` runs",
            lasts=True,
        )
        key = f"{cause.code}|{cause.where}|{cause.subject}"
        self._pings += 1
        if not pinged.problem:
            self._troubles.end(key, now_ns)
            return
        self._pings_failed += 1
        known = self._troubles.known.get(key)
        if known is None or known.over_ns:
            self._troubles.begin(cause, now_ns)
        else:
            self._troubles.renew(key, cause)

    def _tell(self, out: Step, now_ns: int) -> None:
        for telling in self._troubles.due(now_ns):
            self._is_changed = True
            self._told += 1
            cause = telling.trouble.cause
            text = body(telling, self._system, now_ns)
            subject = f"[{self._system}] {heading(telling)}"
            note = self._outbox.note(cause.severity, subject, text, now_ns)
            self._outbox.give(note, but=cause.subject if cause.code == CHANNEL else "")
        sends: list[Send] = list(self._outbox.due(now_ns))
        out.at_once += sends

    def _test(self, now_ns: int) -> None:
        """Send every channel a message once a week, so that one that is dead is noticed."""
        if now_ns - self._tested_ns < TEST_EVERY_NS:
            return
        self._tested_ns, self._is_changed = now_ns, True
        self._outbox.test(self._test_note(now_ns))

    def _test_note(self, now_ns: int) -> Note:
        state = self._checks.state
        trading = "is not known yet" if state is None else state.state.value
        text = (
            f"[{self._system}] test: this channel works\n"
            f"It comes once a week. Trading state: {trading}. {moment(now_ns)}"
        )
        subject = f"[{self._system}] test"
        return self._outbox.note(Severity.INFO, subject, text, now_ns, is_test=True)

    def _save(self, out: Step, now_ns: int) -> None:
        self._is_changed, self._saved_ns = False, now_ns
        out.at_once.append(Save(self._state(now_ns)))

    def _state(self, now_ns: int) -> bytes:
        return dump(
            Saved(
                seen=self._seen.packed(),
                troubles=self._troubles.known,
                channels=self._outbox.saved(),
                tested_ns=self._tested_ns,
                ts_ns=now_ns,
            )
        )


def _channel_cause(channel: Channel) -> Cause:
    return Cause(
        code=CHANNEL,
        severity=Severity.WARNING,
        subject=channel.name,
        where=NAME,
        summary="A channel does not take messages; the next one of the configuration does",
        detail=channel.reason,
        remedy="docs/notifier.md, on channels; `arb status` has the newest reason",
        lasts=True,
    )


def _state_lost(reason: str) -> Cause:
    return Cause(
        code="NOTIFY_STATE",
        severity=Severity.WARNING,
        where=NAME,
        summary="What was told before is not known any more: some of it may come again",
        detail=reason,
        remedy="nothing; it is written anew",
    )


ENGINE = EngineSpec(new=lambda config, given: NotifierEngine(config))
