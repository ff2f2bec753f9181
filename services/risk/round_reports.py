"""What risk says about rounds: on change, every second, and when one comes back to life. Pure."""

from __future__ import annotations

from services.risk.exposure import Ledger
from services.risk.rounds import IsDust, positions
from services.risk.stops import StopKeeper
from services.risk.trading import alert
from shared.messages.base import Message
from shared.messages.control import Severity
from shared.messages.execution import OPERATOR_STRATEGY, PlanDone, PlanOutcome
from shared.messages.rounds import RoundState, RoundsTold


class RoundReports:
    """Publishes positions of rounds; each change at once, all of them with every report.

    Args:
        stops: Follows the same changes.
    """

    def __init__(self, stops: StopKeeper) -> None:
        self._stops = stops

    def changed(self, ledger: Ledger, now_ns: int) -> list[Message]:
        """Return what the last input changed."""
        if not ledger.rounds.touched:  # nearly always
            return []
        touched = ledger.rounds.take_touched()
        self._stops.follow(ledger)
        in_flight = ledger.rounds_in_flight
        out: list[Message] = [*positions(ledger.rounds, touched, in_flight, now_ns)]
        for key, is_reopened in touched.items():
            if is_reopened and key in ledger.rounds.rounds:
                held = ledger.rounds.rounds[key].held
                text = ", ".join(f"{qty} of {name}" for name, qty in held.items())
                text = f"round {key} was closed, and a late fill opened it again: it holds {text}"
                out.append(alert(now_ns, Severity.CRITICAL, "ROUND_REOPENED", text, key))
        ledger.rounds.forget(lambda each: _is_closed(ledger, each.key))
        return out

    def all(self, ledger: Ledger, now_ns: int) -> list[Message]:
        """Return every round, and the list of those that are not closed."""
        rounds, in_flight = ledger.rounds, ledger.rounds_in_flight
        told = positions(rounds, iter(rounds.rounds), in_flight, now_ns)
        still = [each.key for each in told if each.state is not RoundState.CLOSED]
        return [*told, RoundsTold(ts_ns=now_ns, rounds=still)]


def end_round(ledger: Ledger, done: PlanDone, is_dust: IsDust) -> None:
    """Take the end of a plan into its round; the end of FLATTEN into all that it closed."""
    left = {asset: qty for asset, qty in done.residual.items() if qty}
    failure = ""
    if done.outcome is PlanOutcome.FAILED or left:
        text = ", ".join(f"{qty} {asset}" for asset, qty in left.items()) or "unknown"
        failure = f"plan {done.plan_id} ended {done.outcome}, left over: {text}"
    ledger.rounds.on_plan_end(done.plan_id, failure, is_dust)
    if done.strategy == OPERATOR_STRATEGY and not failure:
        ledger.rounds.on_operator_end(ledger.rounds_in_flight, is_dust)


def _is_closed(ledger: Ledger, key: str) -> bool:
    found = ledger.rounds.rounds[key]
    return found.state(ledger.rounds_in_flight.get(key)) is RoundState.CLOSED
