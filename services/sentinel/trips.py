"""Presses of the kill switch: the command that goes with it, and its result. Pure.

HALT is written with every press; FLATTEN where positions are to be closed and the executor lives to
close them, as it alone knows which spot is ours. The command is repeated every second until it is
seen on its stream. A FLATTEN that finds the executor dead, an operator's or our own, is taken over:
the executor reads it too, and closes what is left when it is back.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from services.sentinel.facts import Facts, booked_of, spot_of
from services.sentinel.kill_switch import KillSwitch, Results
from services.sentinel.rules import SELF, Violation
from services.sentinel.truth import Truth
from shared.config_sections import SentinelConfig
from shared.domain.instrument import is_spot
from shared.domain.order import ZERO
from shared.engine import Action, Result
from shared.messages.bounds import TEXT_LENGTH_MAX
from shared.messages.control import COMMAND_IDS_MAX, Command, CommandKind

SAY_NS: Final = 1_000_000_000
COMMAND_AGE_NS_MAX: Final = 60_000_000_000
"""An older FLATTEN is of another time: it may have been carried out."""
LIVES_NS: Final = 3_000_000_000
"""Who was heard within this is relied on; heartbeats come every second."""
_MS: Final = 1_000_000


class Trips:
    """The switch, at most one at a time, and the command that goes with it."""

    def __init__(
        self,
        facts: Facts,
        truth: Truth,
        venues: Mapping[str, tuple[str, ...]],
        settings: SentinelConfig,
    ) -> None:
        self._facts, self._truth, self._venues, self._settings = facts, truth, venues, settings
        self.pressed = 0
        self._switch: KillSwitch | None = None
        self._command: Command | None = None
        """What was written with the switch, until it is seen on the stream."""
        self._say_ns = 0
        self._seen: list[str] = []
        self._flatten: Command | None = None
        """A FLATTEN that the executor must carry out."""

    def next_deadline_ns(self) -> int | None:
        """Return when the switch goes on."""
        return None if self._switch is None else self._switch.next_deadline_ns()

    def on_command(self, command: Command, now_ns: int) -> None:
        """Take what is on the stream of commands, our own too."""
        if self._command is not None and command.command_id == self._command.command_id:
            self._command = None
        if command.command_id in self._seen:
            return
        self._seen.append(command.command_id)
        del self._seen[:-COMMAND_IDS_MAX]
        if command.kind is CommandKind.FLATTEN:
            is_new = now_ns - command.ts_ns <= COMMAND_AGE_NS_MAX
            self._flatten = command if is_new else self._flatten
        elif command.kind is CommandKind.RESUME:
            self._flatten = None

    def look(self, now_ns: int) -> Violation | None:
        """Carry out a FLATTEN if the executor is dead, or return that no service does."""
        if self._flatten is None or self._facts.beat_ns.get("executor", 0) > self._flatten.ts_ns:
            self._flatten = None  # it lives, and has the command
            return None
        if self._facts.is_heard("executor", now_ns, self._settings.heartbeat_ms_max * _MS):
            return None
        asked, self._flatten = self._flatten, None
        text = f"{asked.operator} said FLATTEN ({asked.reason}), and the executor is dead"
        if self._settings.act:
            self.press(text, now_ns, flatten=True)
            return None
        text += "; [sentinel] act is false, so it is not done here: use arb kill --flatten"
        return Violation("SENTINEL_NOT_TAKEN", "", text)

    def press(self, reason: str, now_ns: int, *, flatten: bool) -> None:
        """Write the command, and begin with the venues."""
        by_executor = flatten and self._facts.is_heard("executor", now_ns, LIVES_NS)
        kind = CommandKind.FLATTEN if by_executor else CommandKind.HALT
        self._command = Command(
            ts_ns=now_ns,
            command_id=f"{SELF}-{kind.lower()}-{now_ns}",
            kind=kind,
            operator=SELF,
            reason=reason[:TEXT_LENGTH_MAX],
        )
        self._say_ns = now_ns
        if self._switch is not None:
            if flatten and not by_executor and not self._switch.flatten:
                self._switch.also_close(self._spot(), now_ns)
            return  # it is at it
        self.pressed += 1
        self._switch = KillSwitch(
            self._venues,
            reason,
            now_ns,
            flatten=flatten and not by_executor,
            spot=self._spot(),
            within_ns=self._settings.kill_within_ms * _MS,
            slippage_bps_max=self._settings.slippage_bps_max,
        )

    def to_say(self, now_ns: int) -> Command | None:
        """Return the command if it is to be written, once more."""
        if self._command is None or self._say_ns > now_ns:
            return None
        self._say_ns = now_ns + SAY_NS
        # As of now: a command that waited for Redis must not look like an old one, repeated.
        return msgspec.structs.replace(self._command, ts_ns=now_ns)

    def on_time(self, now_ns: int) -> list[Action]:
        """Go on with the switch."""
        return [] if self._switch is None else self._switch.on_time(now_ns)

    def on_result(self, result: Result, now_ns: int) -> list[Action]:
        """Take what a venue answered; what comes after the end of an episode is of no use."""
        if self._switch is None or not isinstance(result, Results):
            return []
        return self._switch.on_result(result, now_ns)

    def take_ended(self, now_ns: int) -> str:
        """Return what the switch did, once it has ended; else nothing."""
        if self._switch is None or not self._switch.has_ended:
            return ""
        report, self._switch = self._switch.report(now_ns), None
        written = "is not seen on Redis" if self._command is not None else "is on Redis"
        return f"{report.reason}. The command {written}; {report.text()}"

    def _spot(self) -> dict[str, Decimal] | None:
        """Return what is open on spot: risk's figure, and by what the venues differ from it."""
        risk = self._facts.risk
        if risk is None:
            return None
        found = spot_of(risk)
        there = [v for v, names in self._venues.items() if any(map(is_spot, names))]
        for base in self._truth.bases:
            changed = self._truth.spot_changed(base)
            if changed is None:
                return None
            found[base] = found.get(base, ZERO) + changed - booked_of(risk, there, base)
        return found
