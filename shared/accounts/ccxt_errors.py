"""What ccxt's classes of errors mean for a request, where no venue folder knows the codes. Pure.

Only classes that name a reason are a definite no. Whatever else comes with a success or a server
error is an unknown outcome: it is asked for, never sent again. So are classes by which venues say
themselves that they do not know, and a duplicate: then there is such an order, whatever the status.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.venues.refusals import (
    MAY_EXIST,
    NO,
    NO_ACCOUNT,
    NO_FUNDS,
    NO_INSTRUMENT,
    NO_KEY,
    NOT_ACTED_CLOCK,
    NOT_ACTED_RATE,
    RATE_KINDS,
    RATE_STATUSES,
    UNDECIDED_STATUSES,
    WOULD_TAKE,
    ErrorMeaning,
    meaning_of,
)

NOT_FOUND = "OrderNotFound"
DUPLICATE = "duplicat"
"""In the answer to an order whose id the venue has already; ccxt calls many of these invalid."""
IN_DOUBT = frozenset(
    {
        "OperationFailed",
        "NetworkError",
        "RequestTimeout",
        "BadResponse",
        "NullResponse",
        "CancelPending",
        "OrderNotCached",
        "DuplicateOrderId",
    }
)
"""Classes that leave open what became of a request; "execution status unknown" has come with 400.

Not among them is ``ExchangeNotAvailable``, which is ccxt's word for nearly every bare status."""
MEANINGS: Mapping[str, ErrorMeaning] = {
    "InvalidNonce": NOT_ACTED_CLOCK,
    "AuthenticationError": NO_KEY,
    "PermissionDenied": NO_KEY,
    "AccountNotEnabled": NO_ACCOUNT,
    "AccountSuspended": NO_ACCOUNT,
    "RestrictedLocation": NO_ACCOUNT,
    "InsufficientFunds": NO_FUNDS,
    "OrderImmediatelyFillable": WOULD_TAKE,
    "BadSymbol": NO_INSTRUMENT,
    "MarketClosed": NO_INSTRUMENT,
    "ContractUnavailable": NO_INSTRUMENT,
    "InvalidOrder": NO,
    NOT_FOUND: NO,
    "OrderNotFillable": NO,
    "BadRequest": NO,
    "ArgumentsRequired": NO,
}


def meaning(kind: str, text: str, status: int) -> ErrorMeaning:
    """Return what an error means: ccxt class, the venue's answer, HTTP status (0 if unknown)."""
    listed = MEANINGS.get(kind)
    if status == 403 and listed in {NO_KEY, NO_ACCOUNT}:  # not the firewall in front of the venue
        return listed
    if status in RATE_STATUSES:
        return NOT_ACTED_RATE
    if status >= 500 or status in UNDECIDED_STATUSES:
        return MAY_EXIST
    if kind in RATE_KINDS:
        return NOT_ACTED_RATE
    if kind in IN_DOUBT or DUPLICATE in text.lower():
        return MAY_EXIST
    return listed or meaning_of((), lambda _: None, status, kind)


def is_not_found(text: str) -> bool:
    """Tell whether an error, as ``ccxt_requests`` words it, says that there is no such order."""
    return text.startswith(f"{NOT_FOUND}:")
