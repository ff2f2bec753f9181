"""How many requests a venue was sent, what became of them, and how long they took."""

from __future__ import annotations

from typing import Final

from services.executor.actions import (
    Cancel,
    CheckAccount,
    FetchBalances,
    FetchFailed,
    FetchFills,
    FetchFunding,
    FetchOpenOrders,
    Query,
    QueryFailed,
    Report,
    SetSwitch,
    Submit,
    SubmitLost,
    SubmitNotSent,
    SubmitRefused,
    SwitchFailed,
)
from shared.engine import Action
from shared.measure_names import REQUEST_COUNTER, REQUEST_LATENCY
from shared.observe import Observer

KINDS: Final[dict[type[Action], str]] = {
    Submit: "submit",
    Query: "query",
    Cancel: "cancel",
    SetSwitch: "switch",
    CheckAccount: "account",
    FetchOpenOrders: "open_orders",
    FetchFills: "fills",
    FetchBalances: "balances",
    FetchFunding: "funding",
}
ANSWERED: Final = "answered"
FAILED: Final = "failed"
RESULTS: Final[dict[type[Report], str]] = {
    SubmitRefused: "refused",
    SubmitNotSent: "not_sent",
    SubmitLost: "lost",
    QueryFailed: FAILED,
    FetchFailed: FAILED,
    SwitchFailed: FAILED,
}
"""What is not here was answered."""


class RequestCounts:
    """Counts into an observer, by venue, kind and result."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def note(self, action: Action, result: str, took_ns: int) -> None:
        """Count a request that has ended.

        Args:
            action: That it carried out.
            result: ``answered``, or how it failed.
            took_ns: From the action to its end, waiting for the rate limit included.
        """
        venue = _venue_of(action)
        self._observer.count(REQUEST_COUNTER.format(venue, KINDS[type(action)], result))
        self._observer.latency(REQUEST_LATENCY.format(venue)).record(took_ns)


def result_of(report: Report) -> str:
    """Return how a request ended, by its report."""
    return RESULTS.get(type(report), ANSWERED)


def _venue_of(action: Action) -> str:
    if isinstance(action, Submit):
        return action.order.terms.venue
    if isinstance(action, Query | Cancel):
        return action.key.venue
    assert isinstance(
        action,
        CheckAccount | FetchOpenOrders | FetchFills | FetchBalances | FetchFunding | SetSwitch,
    ), "no other action is a request"
    return action.venue
