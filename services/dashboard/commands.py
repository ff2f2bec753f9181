"""An operator's commands, on the command line's own path: signed, sent, confirmed by risk. IO."""

from __future__ import annotations

from typing import Any, Final

from services.dashboard.access import Session
from shared.messages.base import TradingState
from shared.messages.control import CommandKind
from shared.watch.link import Target, open_link
from shared.watch.operate import CONFIRM_WITHIN_S, STOP_BY_HAND, CommandResult, command
from shared.watch.outlook import outlook

TYPED: Final = {CommandKind.FLATTEN: "FLATTEN", CommandKind.RESUME: str(TradingState.ACTIVE)}
"""What must be typed with a command that is not simply safe."""
ACTIONS: Final = {
    "halt": CommandKind.HALT,
    "flatten": CommandKind.FLATTEN,
    "resume": CommandKind.RESUME,
}


async def give(target: Target, kind: CommandKind, session: Session, address: str) -> CommandResult:
    """Send a command and wait until risk has confirmed it, at most five seconds.

    Raises:
        BusUnavailable: It could not be sent.
        ConfigError: It must be signed, and there is no key.
    """
    who = f"dashboard {session.name} from {address}"
    async with open_link(target) as link:
        return await command(
            link, kind, "by the dashboard", within_s=CONFIRM_WITHIN_S, operator=who
        )


def outcome_of(result: CommandResult, kind: CommandKind) -> dict[str, Any]:
    """Return what became of a command, for the browser."""
    confirmed = "confirmed" if result.confirmed else "not confirmed"
    text = f"trading is {result.state} ({result.reason})"
    if not result.confirmed:
        text += f"; {outlook(result, kind)}"
    return {
        "command_id": result.command_id,
        "outcome": confirmed,
        "state": result.state,
        "text": text,
        "exposure": {k: f"{v:f}" for k, v in (result.exposure or {}).items()},
        "sent": result.sent,
    }


def not_answered() -> dict[str, Any]:
    """Return what is known of a command while Redis does not answer, for the browser."""
    return {
        "command_id": "",
        "outcome": "not confirmed",
        "state": "unknown",
        "text": f"Redis does not answer; whether it has the command is not known; {STOP_BY_HAND}",
        "exposure": {},
        "sent": 0,
    }
