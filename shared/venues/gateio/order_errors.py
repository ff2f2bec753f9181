"""Gate's error labels in its answers, and what it documents of them. Pure.

Sample text: ``{"label":"BALANCE_NOT_ENOUGH","message":"Not enough balance"}``. Listed is only what
is not a plain no to one order (``shared/venues/refusals.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from shared.venues.refusals import (
    MAY_EXIST,
    NO_ACCOUNT,
    NO_FUNDS,
    NO_INSTRUMENT,
    NO_KEY,
    NOT_ACTED_CLOCK,
    NOT_ACTED_RATE,
    WOULD_TAKE,
    ErrorMeaning,
    meaning_of,
)

_LABEL = re.compile(r'"label"\s*:\s*"(\w+)"')
_DUPLICATE = re.compile(r"duplicate", re.IGNORECASE)

LISTED: Mapping[str, ErrorMeaning] = {
    # Nothing says that the order did not get there.
    "SERVER_ERROR": MAY_EXIST,
    "INTERNAL": MAY_EXIST,
    "TOO_BUSY": MAY_EXIST,
    "TOO_MANY_REQUESTS": NOT_ACTED_RATE,
    "TOO_FAST": NOT_ACTED_RATE,
    "REQUEST_EXPIRED": NOT_ACTED_CLOCK,
    "INVALID_KEY": NO_KEY,
    "INVALID_SIGNATURE": NO_KEY,
    "INVALID_CREDENTIALS": NO_KEY,
    "AUTHENTICATION_FAILED": NO_KEY,
    "MISSING_REQUIRED_HEADER": NO_KEY,
    "IP_FORBIDDEN": NO_KEY,
    "READ_ONLY": NO_KEY,
    "FORBIDDEN": NO_ACCOUNT,
    "ACCOUNT_LOCKED": NO_ACCOUNT,
    "TRADE_RESTRICTED": NO_ACCOUNT,
    "INVALID_CURRENCY": NO_INSTRUMENT,
    "INVALID_CURRENCY_PAIR": NO_INSTRUMENT,
    "BALANCE_NOT_ENOUGH": NO_FUNDS,
    "MARGIN_BALANCE_NOT_ENOUGH": NO_FUNDS,
    "POC_FILL_IMMEDIATELY": WOULD_TAKE,
}
"""Labels of API v4 (error handling, list of labels)."""


def label_of(text: str) -> str:
    """Return the label in an error text, empty if there is none."""
    found = _LABEL.search(text)
    return found.group(1) if found else ""


def meaning(kind: str, text: str, status: int) -> ErrorMeaning:
    """Return what an error means: ccxt class, the venue's answer, HTTP status."""
    label = label_of(text)

    def listed(code: str) -> ErrorMeaning | None:
        # An order of ours with this text is there: not a no, but a reason to look.
        return MAY_EXIST if _DUPLICATE.search(text) else LISTED.get(code)

    return meaning_of([label] if label else [], listed, status, kind)
