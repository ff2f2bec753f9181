"""What a venue's answer with an error means for the request: one rule for every venue. Pure.

An error with a venue's own code or text is a definite no, unless the venue documents that the order
may exist, or that the request was not acted on. Each venue folder lists only those exceptions, and
which refusals concern more than one order; whatever it does not list refuses this one order.

An answer without the venue's code or text is judged by its HTTP status: 429, 418 and 403 are sent
before a request is acted on, other 4xx refuse it, and with 5xx, 408 or 409 the outcome is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from shared.errors import Cause, OutcomeUnknown, Rejected, Unavailable, VenueError


class ErrorMeaning(NamedTuple):
    """The outcome of the request, and how much of the venue the answer concerns."""

    outcome: type[VenueError]
    cause: Cause


NO: Final = ErrorMeaning(Rejected, Cause.ORDER)
NO_FUNDS: Final = ErrorMeaning(Rejected, Cause.FUNDS)
NOTHING_TO_REDUCE: Final = ErrorMeaning(Rejected, Cause.NOTHING_TO_REDUCE)
WOULD_TAKE: Final = ErrorMeaning(Rejected, Cause.WOULD_TAKE)
NO_INSTRUMENT: Final = ErrorMeaning(Rejected, Cause.INSTRUMENT)
NO_KEY: Final = ErrorMeaning(Rejected, Cause.KEY)
NO_ACCOUNT: Final = ErrorMeaning(Rejected, Cause.ACCOUNT)
NO_SERVICE: Final = ErrorMeaning(Rejected, Cause.SERVICE)
NOT_ACTED_CLOCK: Final = ErrorMeaning(Unavailable, Cause.CLOCK)
NOT_ACTED_RATE: Final = ErrorMeaning(Unavailable, Cause.RATE)
NOT_ACTED_SERVICE: Final = ErrorMeaning(Unavailable, Cause.SERVICE)
MAY_EXIST: Final = ErrorMeaning(OutcomeUnknown, Cause.SERVICE)

RATE_STATUSES: Final = frozenset({403, 418, 429})
"""Too many requests, and the bans that follow; 403 is the firewall in front of the venue."""
UNDECIDED_STATUSES: Final = frozenset({408, 409})
"""A request that timed out at the venue, and one that was done in part."""
RATE_KINDS: Final = frozenset({"DDoSProtection", "RateLimitExceeded"})
"""ccxt's classes for 418 and 429."""


def meaning_of(
    codes: Sequence[str], listed: Callable[[str], ErrorMeaning | None], status: int, kind: str = ""
) -> ErrorMeaning:
    """Return what an answer with an error means.

    Args:
        codes: The venue's own error codes in the answer, none where it has none.
        listed: What the venue documents about a code, ``None`` for a plain no.
        status: The HTTP status, 0 if unknown.
        kind: The ccxt class of the error.
    """
    if not codes:
        return _by_status(status, kind)
    meanings = [listed(code) or NO for code in codes]
    if MAY_EXIST in meanings:
        return MAY_EXIST
    if all(meaning.outcome is Unavailable for meaning in meanings):
        return meanings[0]
    if status >= 500:  # the request may have got further than whoever gave this answer
        return MAY_EXIST
    wide = [meaning for meaning in meanings if meaning.outcome is Rejected and meaning is not NO]
    return wide[0] if wide else NO


def _by_status(status: int, kind: str) -> ErrorMeaning:
    if status in RATE_STATUSES or (not status and kind in RATE_KINDS):
        return NOT_ACTED_RATE
    if status == 401:
        return NO_KEY
    if status == 451:  # not offered where we are
        return NO_ACCOUNT
    if 400 <= status < 500 and status not in UNDECIDED_STATUSES:
        return NO_SERVICE
    return MAY_EXIST
