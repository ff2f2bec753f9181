"""Risk's messages about rounds, and what venues hold: on change, and every second. Pure."""

from __future__ import annotations

from collections.abc import Container, Mapping
from decimal import Decimal

from services.risk.closed_rounds import ClosedRounds
from services.risk.exposure import Ledger
from services.risk.inventory_limits import InventoryLimits, inventory_told
from services.risk.reasons import DenyReason
from services.risk.round_closes import cancel_unowned
from services.risk.rounds import IsDust, Round, Rounds, positions
from services.risk.stops import RoundStops
from services.risk.trading import alert
from shared.domain.accounting import holding_key
from shared.messages.arb import Opportunity, Signal
from shared.messages.base import Message
from shared.messages.control import Severity
from shared.messages.execution import OPERATOR_STRATEGY, Denied, PlanDone, PlanOutcome
from shared.messages.rounds import Intent, RoundState, RoundsTold, round_key


class RoundReports:
    """Publishes positions of rounds: each change at once, those not closed with every report.

    Args:
        stops: Follows the same changes.
        venues: Those that are traded; a round that holds something at another is alerted once.
        inventory: What venues should hold; ``None``: nobody is told.
    """

    def __init__(
        self, stops: RoundStops, venues: Container[str], inventory: InventoryLimits | None
    ) -> None:
        self._stops, self._venues, self._inventory = stops, venues, inventory
        self._stranded: set[tuple[str, str]] = set()
        self._closed = ClosedRounds()

    def changed(self, ledger: Ledger, now_ns: int) -> list[Message]:
        """Return what the last input changed."""
        touched = ledger.rounds.take_touched()
        self._stops.follow(ledger)
        in_flight = ledger.rounds_in_flight
        out: list[Message] = [*positions(ledger.rounds, touched, in_flight, ledger.funding, now_ns)]
        for key, is_reopened in touched.items():
            self._closed.note_change(key)
            if is_reopened and key in ledger.rounds.rounds:
                held = ledger.rounds.rounds[key].held
                text = ", ".join(f"{qty} of {name}" for name, qty in held.items())
                text = f"round {key} was closed, and a late fill opened it again: it holds {text}"
                out.append(alert(now_ns, Severity.CRITICAL, "ROUND_REOPENED", text, key))
        ledger.rounds.forget(lambda each: _is_closed(each, in_flight))
        return out

    def all(self, ledger: Ledger, now_ns: int) -> list[Message]:
        """Return the rounds, the list of those that are not closed, and what venues hold."""
        rounds, in_flight = ledger.rounds, ledger.rounds_in_flight
        closed = [key for key, x in rounds.rounds.items() if _is_closed(x, in_flight)]
        repeated, are_closed = self._closed.due(ledger, closed), {*closed}
        keys = [key for key in rounds.rounds if key in repeated or key not in are_closed]
        told = positions(rounds, keys, in_flight, ledger.funding, now_ns)
        still = [key for key in keys if key not in are_closed]
        out = [
            *told,
            RoundsTold(ts_ns=now_ns, rounds=still),
            *self._stranded_alerts(rounds, now_ns),
        ]
        if self._inventory is not None:
            out.append(inventory_told(self._inventory, ledger, now_ns))
        return out

    def denied(self, denied: Denied, found: Opportunity | Signal, now_ns: int) -> list[Message]:
        """Return the alert that a round cannot be closed as its strategy wants to."""
        is_close = isinstance(found, Opportunity) and found.intent is Intent.CLOSE
        if not is_close or denied.reason != DenyReason.VENUE_NOT_TRADED:
            return []
        key = round_key(found.strategy_id, found.round_id)
        text = f"round {key} cannot be closed: {denied.context['venue']} {_NOT_TRADED}"
        return [alert(now_ns, Severity.CRITICAL, "CLOSE_VENUE_NOT_TRADED", text, key)]

    def _stranded_alerts(self, rounds: Rounds, now_ns: int) -> list[Message]:
        """Tell of what is held at venues that were taken from the configuration."""
        now = {
            (key, market): qty
            for key, each in rounds.rounds.items()
            if not each.is_dust and (held := each.held)
            for market, qty in each.books.quantities.items()
            if qty and holding_key(*_place(market)) in held and not self._trades(market)
        }
        news = now.keys() - self._stranded
        self._stranded = {*now}
        return [
            alert(
                now_ns,
                Severity.CRITICAL,
                "ROUND_VENUE_NOT_TRADED",
                f"round {key} holds {now[key, market]:+f} of {_place(market)[1]} at "
                f"{_place(market)[0]}, which {_NOT_TRADED}",
                key,
            )
            for key, market in sorted(news)
        ]

    def _trades(self, market: str) -> bool:
        return _place(market)[0] in self._venues


_NOT_TRADED = (
    "is not configured or not traded: configure it again until nothing is held there, or close it "
    "by hand"
)


def _place(market: str) -> tuple[str, str]:
    venue, _, instrument = market.partition("|")
    return venue, instrument


def end_round(ledger: Ledger, done: PlanDone, is_dust: IsDust) -> str:
    """Take the end of a plan into its round; the end of FLATTEN into all that it closed.

    While FLATTEN is in force, any end may leave rounds that hold against each other. So may an end
    of FLATTEN itself after a RESUME: where the executor was away, it carries it out later.

    Returns as text what it left that no round holds; empty if there is nothing.
    """
    left = {asset: qty for asset, qty in done.residual.items() if qty}
    failure = ""
    if done.outcome is PlanOutcome.FAILED or left:
        text = ", ".join(f"{qty} {asset}" for asset, qty in left.items()) or "unknown"
        failure = f"plan {done.plan_id} ended {done.outcome}, left over: {text}"
    unowned: dict[str, Decimal] = {}
    if done.strategy != OPERATOR_STRATEGY:  # FLATTEN began with what it closed, and leaves none
        unowned = ledger.rounds.claim(done, is_even=not failure)
    ledger.rounds.on_plan_end(done.plan_id, failure, is_dust)
    if ledger.flattens or (done.strategy == OPERATOR_STRATEGY and not failure):
        ledger.rounds.cancel_out(ledger.rounds_in_flight, ledger.prices, done.ts_ns)
        ledger.rounds.on_operator_end(ledger.rounds_in_flight, is_dust)
        if done.strategy == OPERATOR_STRATEGY and not failure:  # no other plan of it is open
            _cancel_unowned(ledger, done)
            ledger.rounds.on_operator_end(ledger.rounds_in_flight, is_dust)
    held = ", ".join(f"{qty} {' at '.join(key.split('|')[::-1])}" for key, qty in unowned.items())
    return (
        f"plan {done.plan_id}, {done.reason}, leaves {held}, which no round holds" if held else ""
    )


def _cancel_unowned(ledger: Ledger, done: PlanDone) -> None:
    rounds = ledger.rounds.rounds
    if any(rounds[key].base == done.base for key in ledger.rounds_in_flight if key in rounds):
        return
    opened = ledger.books.opened()
    changed = cancel_unowned([*rounds.values()], opened, done.base, ledger.prices, done.ts_ns)
    for each in changed:
        ledger.rounds.touch(each.key)


def _is_closed(found: Round, in_flight: Mapping[str, Intent]) -> bool:
    return found.state(in_flight.get(found.key)) is RoundState.CLOSED
