"""Which closed rounds risk repeats with a report, for readers that have lost their end. Pure.

A round is repeated by the first reports after it was closed, when more is known of its funding,
and otherwise in turn with the others, one by every report. So whoever has lost its end learns of it
after as many reports as there are closed rounds, at the latest.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Final

from services.risk.exposure import Ledger
from services.risk.funding_known import KnownFunding, funding_certainty
from shared.messages.base import Certainty

FIRST_REPEATS: Final = 3
"""Reports that repeat a round after its end, before it is repeated in turn."""
_NEVER: Final = (0, Certainty.UNKNOWN)


class ClosedRounds:
    """Remembers which closed rounds were repeated. Not saved: a new process repeats all of them."""

    def __init__(self) -> None:
        self._repeated: dict[str, tuple[int, Certainty]] = {}
        """How often each was repeated, and how well its funding was known at the last time; the
        one that was not repeated for longest comes first."""
        self._funding: dict[str, KnownFunding] = {}
        """What was known of funding, by venue, at the last report."""

    def note_change(self, key: str) -> None:
        """Begin anew with a round that has changed."""
        self._repeated.pop(key, None)

    def due(self, ledger: Ledger, closed: Sequence[str]) -> Set[str]:
        """Return those to repeat with the report of now, out of all that are closed."""
        for key in self._repeated.keys() - {*closed}:  # forgotten, or opened again
            del self._repeated[key]
        before = {key: self._repeated.get(key, _NEVER) for key in closed}
        due = dict.fromkeys(key for key, told in before.items() if told[0] < FIRST_REPEATS)
        if self._funding != ledger.funding:
            self._funding = dict(ledger.funding)
            for key, told in before.items():
                if told[1] is not _known(ledger, key):
                    due[key] = None
        in_turn = next((key for key in self._repeated if key not in due), None)
        if in_turn is not None:
            due[in_turn] = None
        for key in due:
            self._repeated.pop(key, None)
            self._repeated[key] = before[key][0] + 1, _known(ledger, key)
        return due.keys()


def _known(ledger: Ledger, key: str) -> Certainty:
    found = ledger.rounds.rounds[key]
    return funding_certainty(found.books, found.ts_traded_ns, ledger.funding)
