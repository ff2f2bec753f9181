"""What becomes of a command that nobody confirmed, in a sentence for who gave it. Pure."""

from __future__ import annotations

from shared.messages.control import CommandKind
from shared.watch.operate import KILL_BY_HAND, STOP_BY_HAND, CommandResult


def outlook(answer: CommandResult, kind: CommandKind) -> str:
    """Say what becomes of a command that nobody confirmed."""
    told_again = answer.sent > 1 and kind is CommandKind.FLATTEN
    if told_again or not answer.is_kept:
        instead = ", HALT was sent in its place" if told_again else ""
        return f"Redis lost the command{instead}: look at arb status, then say it again"
    if not answer.is_redis_heard:
        held = "whether it still holds the command is not known"
        return f"Redis does not answer: {held}; {STOP_BY_HAND}"
    missing = [f"{name} {_silence(dead)}" for name, dead in answer.dead.items()]
    who = ", ".join(each for each in missing if not each.startswith("sentinel"))
    kept = "the command is kept and carried out when risk and executor are back"
    kept = f"{who}; {kept}" if who else "risk and executor are heard: look at arb status again"
    if kind is CommandKind.RESUME:
        return kept
    if answer.sentinel:
        return f"{kept}; sentinel: {answer.sentinel}"
    if kind is CommandKind.FLATTEN and "executor" in answer.dead:
        return f"{kept}; nothing is closed until then: {_who_else(answer)}"
    if "executor" in answer.dead:
        return f"{kept}; without an executor no order leaves, but what rests stays: {KILL_BY_HAND}"
    return f"{kept}; {STOP_BY_HAND}"


def _silence(silent_s: float | None) -> str:
    return "was never heard" if silent_s is None else f"has been silent for {silent_s:.0f} s"


def _who_else(answer: CommandResult) -> str:
    """Say who may flatten instead of an executor that is dead."""
    if answer.sentinel_acts:
        return "the sentinel takes it over, its alert SENTINEL_ACTED will say what it did"
    if "sentinel" in answer.dead:
        return "the sentinel is dead as well; arb kill --flatten does it at the venues"
    return "the sentinel only alerts (sentinel.act); arb kill --flatten does it at the venues"
