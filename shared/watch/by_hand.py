"""Commands given on a terminal: sent, confirmed, and put into the audit trail. IO."""

from __future__ import annotations

from shared.audit import Chain, of_no_file
from shared.clock import SystemClock
from shared.errors import ArbError
from shared.messages.control import CommandKind
from shared.streams import SYS_AUDIT
from shared.watch.link import Link
from shared.watch.operate import CommandResult, by_whom, command

TERMINAL = "terminal"
"""The address of whoever gives commands there."""


async def command_by_hand(link: Link, kind: CommandKind, reason: str) -> CommandResult:
    """Give a command as ``operate.command`` does, and write on ``sys.audit`` what became of it.

    What the trail does not take is said in ``audit_problem``: no command waits for it.

    Raises:
        BusUnavailable: It could not be sent.
        ConfigError: It must be signed and this user has no key.
    """
    try:
        answer = await command(link, kind, reason)
    except ArbError as error:
        await _write(link, kind, reason, f"not sent: {error}")
        raise
    confirmed = "confirmed" if answer.confirmed else "not confirmed"
    outcome = f"{confirmed}: trading is {answer.state} ({answer.reason})"
    answer.audit_problem = await _write(link, kind, reason, outcome, answer.command_id)
    return answer


async def _write(
    link: Link, kind: CommandKind, reason: str, outcome: str, command_id: str = ""
) -> str:
    """Write an entry, and return why it could not be; empty where it was."""
    entry = Chain().next(
        SystemClock.now_ns(),
        by_whom(),
        TERMINAL,
        kind.lower(),
        outcome,
        arguments={"reason": reason} if reason else {},
        command_id=command_id,
    )
    try:
        await link.publish(of_no_file(entry), SYS_AUDIT)
    except ArbError as error:
        return str(error)
    return ""
