"""Which limits are in force: those of the configuration, or of an operator's later change. Pure.

All that judges by limits is given them by ``use_limits``, and only by the engine, between two
messages: no decision sees some of the old and some of the new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from services.risk.trading import TradingControl, alert
from services.risk.trading_memory import TradingMemory
from shared.config_limits import RiskConfig
from shared.config_sections import Config
from shared.errors import ConfigError
from shared.limit_changes import (
    changed_limits,
    config_parts,
    is_for_restart,
    is_looser,
    limits_hash,
    limits_told,
    with_limits,
)
from shared.messages.base import Message, TradingState
from shared.messages.control import LimitsChange, Severity
from shared.messages.limits import LimitsReport

When = int | None
"""UNIX ns at which a configuration was read; ``None``: it was read from no file."""


class UsesLimits(Protocol):
    """Judges by limits."""

    def use_limits(self, config: Config) -> None:
        """Judge by these limits from now on; nothing else of the configuration has changed."""


class LimitsInForce:
    """Keeps the configuration with the limits in force.

    Args:
        given: The configuration as this process read it.
        read_ns: When it read it.

    Attributes:
        users: All that judges by limits and lives as long as the engine. The trading control does
            not: it is made anew at a start, and given to ``take``.
    """

    def __init__(self, given: Config, read_ns: When) -> None:
        self.config, self._given, self._read_ns = given, given, read_ns
        self.told = limits_told(given.risk)
        self._parts = config_parts(given)
        self.users: Sequence[UsesLimits] = ()

    def restore(self, memory: TradingMemory) -> None:
        """Take up what was changed after this process had read its configuration.

        A later reading of the file counts for more: then its limits are in force, whatever was
        changed before.
        """
        if memory.limits_ns <= (self._read_ns or 0):
            memory.limits = {}
        try:
            self._set(with_limits(self._given.risk, memory.limits))
        except ConfigError:  # a program of another version knew other limits
            memory.limits = {}
            self._set(self._given.risk)

    def take(
        self, change: LimitsChange, memory: TradingMemory, control: TradingControl, now_ns: int
    ) -> list[Message]:
        """Put a change into force or refuse all of it, once; return the alert that says so."""
        if not memory.takes(change.command_id, change.ts_ns):
            return []
        after: Mapping[str, str] = {}
        try:
            limits = with_limits(self.config.risk, change.limits)
            after = changed_limits(self.told, limits_told(limits))
            why = self._objection(change, after, memory, control.now(now_ns).state)
        except ConfigError as error:
            why = f"{error}"
        memory.limits_command, memory.limits_refused = change.command_id, why
        who = f"{change.operator}: {change.reason}" if change.reason else change.operator
        if why:
            text = f"the limits stay as they are, asked by {who}: {why}"
            return [alert(now_ns, Severity.WARNING, "LIMITS_REFUSED", text)]
        steps = ", ".join(f"{name} {self.told[name]} -> {text}" for name, text in after.items())
        memory.limits, memory.limits_ns = {**memory.limits, **after}, now_ns
        self._set(limits)
        control.use_limits(self.config)
        text = f"by {who}: {steps or 'as before'}; limits {limits_hash(self.told)} are in force"
        return [alert(now_ns, Severity.WARNING, "LIMITS_CHANGED", text)]

    def report(self, memory: TradingMemory) -> LimitsReport | None:
        """Return what is in force, and what became of the last change.

        ``None`` where no file was read that could be read again: in a replay or a backtest, whose
        decisions do not depend on how their configurations came about.
        """
        if self._read_ns is None:
            return None
        return LimitsReport(
            in_force=self.told,
            config_parts=self._parts,
            command=memory.limits_command,
            refused=memory.limits_refused,
        )

    def _objection(
        self,
        change: LimitsChange,
        after: Mapping[str, str],
        memory: TradingMemory,
        state: TradingState,
    ) -> str:
        if change.mode != self._given.executor.mode:
            return f"it is for mode {change.mode}, this is {self._given.executor.mode}"
        if change.ts_ns < memory.lost_ns:  # an older copy of the bus tells it once more
            return "it was given before a loss of data was noticed"
        for name in after:
            if change.before.get(name) != self.told[name]:
                seen = change.before.get(name, "unknown")
                return f"risk.{name} is {self.told[name]} by now, not {seen}; look again"
        looser = [name for name, text in after.items() if is_looser(name, self.told[name], text)]
        waiting = [name for name in looser if is_for_restart(name, self.told[name], after[name])]
        if waiting:
            return f"looser only by a restart of the executor and of risk: {', '.join(waiting)}"
        if looser and state is not TradingState.HALTED:
            return f"trading is {state}, and only HALTED allows looser limits: {', '.join(looser)}"
        return ""

    def _set(self, limits: RiskConfig) -> None:
        self.config = msgspec.structs.replace(self._given, risk=limits)
        self.told = limits_told(self.config.risk)
        for each in self.users:
            each.use_limits(self.config)
