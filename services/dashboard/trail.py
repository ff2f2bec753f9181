"""Counts what was refused, and writes what was done into the audit trail and its page. IO."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from services.dashboard.access import Access, Refused
from services.dashboard.files import AuditFile
from services.dashboard.topic import Topic
from services.dashboard.values import ms
from shared.audit import AuditEntry, audited, of_no_file
from shared.clock import Clock
from shared.messages.control import Audited

REFUSALS_MAX: Final = 10
REFUSALS_WITHIN_NS: Final = 60_000_000_000
"""So many refusals are written in a minute; of more only the number, with the next one."""


class Trail:
    """The audit trail as the server uses it.

    Args:
        file: Where entries are written; those that it has are shown.
        topic: Where they are shown.
        access: Counts refusals.
        clock: Tells the time.
        publish: Takes every entry; one that could not be written as of no file.
    """

    def __init__(
        self,
        file: AuditFile,
        topic: Topic,
        access: Access,
        clock: Clock,
        publish: Callable[[Audited], None],
    ) -> None:
        self._file, self._topic, self._access, self._clock = file, topic, access, clock
        self._publish = publish
        self._since_ns, self._written, self._left_out = clock.monotonic_ns(), 0, 0
        for entry in file.entries[-topic.rows_max :]:
            self._show(entry)
        file.entries.clear()

    @property
    def problem(self) -> str:
        """Why entries cannot be written; empty where they can."""
        return self._file.problem

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def did(
        self,
        who: str,
        address: str,
        action: str,
        outcome: str,
        *,
        arguments: dict[str, str] | None = None,
        command_id: str = "",
    ) -> None:
        """Write what somebody did."""
        entry = self._file.add(
            self._clock.now_ns(),
            who,
            address,
            action,
            outcome,
            arguments=arguments,
            command_id=command_id,
        )
        self._show(entry)
        self._publish(of_no_file(entry) if self._file.problem else audited(entry, self._file.name))

    def refused(self, why: Refused, who: str, address: str, action: str) -> None:
        """Count a refusal, and write it unless there were many within the last minute."""
        self._access.refuse(why)
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._since_ns >= REFUSALS_WITHIN_NS:
            self._since_ns, self._written = now_ns, 0
        if self._written >= REFUSALS_MAX:
            self._left_out += 1
            return
        self._written += 1
        arguments = {"left_out_before": str(self._left_out)} if self._left_out else {}
        self._left_out = 0
        self.did(who, address, action, f"refused: {why}", arguments=arguments)

    def _show(self, entry: AuditEntry) -> None:
        row = {
            "seq": entry.seq,
            "ts_ms": ms(entry.ts_ns),
            "who": entry.who,
            "address": entry.address,
            "action": entry.action,
            "outcome": entry.outcome,
            "arguments": entry.arguments,
            "command_id": entry.command_id,
        }
        # By its hash: of entries that are in no file several have the same number.
        self._topic.put(entry.hash, row)
