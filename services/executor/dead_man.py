"""Dead-man's switches: venues cancel our open orders once this process falls silent. Pure.

A venue that has such a switch is asked, every third of ``executor.dead_man_s``, to cancel all open
orders after that time; only the holder of the executor's lease asks. A clean stop turns it off. It
cancels orders and closes no position: what they had filled is found at the next start. The time at
which it fires counts from before the request left, so it is never later than the venue's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from services.executor.actions import AccountChecked, SetSwitch, SwitchFailed, SwitchSet
from services.executor.journal import alert
from shared.config_sections import ExecutorConfig
from shared.engine import Step
from shared.messages.control import Severity
from shared.messages.switches import DeadManSwitch, SwitchState

RENEWALS: Final = 3
"""How often a switch is set within the time that one setting lasts."""
RETRY_NS_MAX: Final = 5_000_000_000
"""Longest pause before a failed request is tried again. It is also at most half the interval of
renewals, so that two failures in a row do not let the switch run out."""
REASON_MAX: Final = 300
"""Characters of a venue's reason that are told."""
SECOND_NS: Final = 1_000_000_000


class DeadManSwitches:
    """The switches of all venues; ``states`` is what is known of each."""

    def __init__(self, venues: Mapping[str, Sequence[str]], settings: ExecutorConfig) -> None:
        self._after_s = 0 if settings.mode == "paper" else settings.dead_man_s
        why = "paper orders are at no venue" if settings.mode == "paper" else "dead_man_s = 0"
        off = DeadManSwitch(state=SwitchState.OFF, reason=why)
        unset = DeadManSwitch(state=SwitchState.FAILED, reason="not set yet")
        self.states = dict.fromkeys(sorted(venues), unset if self._after_s else off)
        self._instruments: dict[str, tuple[str, ...]] = {}
        self._due_ns: dict[str, int] = {}
        self._pending: dict[str, SetSwitch] = {}
        self._venues = venues
        self._is_ending = False

    def begin(self, checked: AccountChecked, now_ns: int, out: Step) -> None:
        """Set the switch of an account that is ready, once."""
        venue = checked.venue
        if not self._after_s or self._is_ending or venue in self._instruments:
            return
        listed = (n for n in self._venues[venue] if n not in checked.unlisted)
        self._instruments[venue] = tuple(listed)
        self._due_ns[venue] = now_ns
        self.on_time(now_ns, out)

    def on_time(self, now_ns: int, out: Step) -> None:
        """Renew the switches that are due."""
        for venue, due_ns in self._due_ns.items():
            if due_ns <= now_ns and venue not in self._pending:
                self._ask(venue, self._after_s, now_ns, out)

    def sooner(self, before_ns: int | None) -> int | None:
        """Return when the next one is due, or ``before_ns`` if that is sooner."""
        for venue, due_ns in self._due_ns.items():
            if venue not in self._pending and (before_ns is None or due_ns < before_ns):
                before_ns = due_ns
        return before_ns

    def on_answer(self, told: SwitchSet | SwitchFailed, now_ns: int, out: Step) -> None:
        """Note what became of a request."""
        asked, venue = told.asked, told.asked.venue
        if self._pending.get(venue) == asked:
            del self._pending[venue]
        if isinstance(told, SwitchFailed):
            self._failed(told, now_ns, out)
        elif told.none:
            self._due_ns.pop(venue, None)
            self.states[venue] = DeadManSwitch(state=SwitchState.NONE, reason=told.none)
        elif asked.after_s:
            until_ns = asked.ts_ns + asked.after_s * SECOND_NS
            self.states[venue] = DeadManSwitch(state=SwitchState.ARMED, ts_until_ns=until_ns)
        else:
            self.states[venue] = DeadManSwitch(state=SwitchState.OFF, reason="a clean stop")
        if self._is_ending and asked.after_s and not getattr(told, "none", ""):
            self._ask(venue, 0, now_ns, out)  # it was on its way when the stop came

    def end(self, now_ns: int) -> Step:
        """A clean stop: turn off what is set."""
        self._is_ending, out = True, Step()
        self._due_ns.clear()
        for venue, switch in self.states.items():
            if switch.ts_until_ns and venue not in self._pending:
                self._ask(venue, 0, now_ns, out)
        return out

    def ending(self) -> list[str]:
        """Return what a clean stop waits for, in words."""
        names = self._pending if self._is_ending else ()
        return [f"the dead-man's switch of {venue} is being turned off" for venue in names]

    def _ask(self, venue: str, after_s: int, now_ns: int, out: Step) -> None:
        asked = SetSwitch(venue, self._instruments[venue], after_s, now_ns)
        self._pending[venue] = asked
        if venue in self._due_ns:
            self._due_ns[venue] = now_ns + after_s * SECOND_NS // RENEWALS
        out.actions.append(asked)

    def _failed(self, told: SwitchFailed, now_ns: int, out: Step) -> None:
        venue, before = told.asked.venue, self.states[told.asked.venue]
        until_ns = before.ts_until_ns
        is_news = before.state is not SwitchState.FAILED or before.reason == "not set yet"
        switch = DeadManSwitch(
            state=SwitchState.FAILED, ts_until_ns=until_ns, reason=told.reason[:REASON_MAX]
        )
        self.states[venue] = switch
        if venue in self._due_ns:
            pause_ns = self._after_s * SECOND_NS // (2 * RENEWALS)
            self._due_ns[venue] = now_ns + min(RETRY_NS_MAX, pause_ns)
        if is_news:
            text = f"the dead-man's switch of {venue} could not be set: {switch.reason}"
            alert(out, Severity.WARNING, "DEAD_MAN", text, now_ns, venue)
