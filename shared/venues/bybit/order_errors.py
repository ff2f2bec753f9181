"""Bybit's error codes in its answers, and what it documents of them. Pure.

Sample text: ``{"retCode":110007,"retMsg":"ab not enough for new order","result":{}}``, with HTTP
status 200. Listed is only what is not a plain no to one order (``shared/venues/refusals.py``).
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
    NOTHING_TO_REDUCE,
    ErrorMeaning,
    meaning_of,
)

_CODE = re.compile(r'"retCode"\s*:\s*"?(-?\d{1,9})')
_WRONG_MODE = re.compile(r"position idx not match position mode", re.IGNORECASE)
NO_CODE = 0
"""Success is no error: with an answer that cannot be read the order may be there."""

LISTED: Mapping[int, ErrorMeaning] = {
    10000: MAY_EXIST,  # server timeout
    10002: NOT_ACTED_CLOCK,
    10003: NO_KEY,
    10004: NO_KEY,
    10005: NO_KEY,
    10006: NOT_ACTED_RATE,
    10007: NO_KEY,
    10008: NO_ACCOUNT,
    10009: NOT_ACTED_RATE,  # the address is banned
    10010: NO_KEY,
    10014: MAY_EXIST,  # a request of ours with this id was there before
    10016: MAY_EXIST,  # internal error
    10018: NOT_ACTED_RATE,
    10024: NO_ACCOUNT,  # compliance
    10027: NO_ACCOUNT,
    10028: NO_ACCOUNT,  # not a unified account
    10029: NO_INSTRUMENT,
    10429: NOT_ACTED_RATE,
    110004: NO_FUNDS,
    110006: NO_FUNDS,
    110007: NO_FUNDS,
    110012: NO_FUNDS,
    110017: NOTHING_TO_REDUCE,
    110023: NO_INSTRUMENT,  # may only reduce
    110030: MAY_EXIST,  # an order of ours with this id is there
    110037: NO_INSTRUMENT,
    110042: NO_INSTRUMENT,  # before delivery: may only reduce
    110044: NO_FUNDS,
    110045: NO_FUNDS,
    110051: NO_FUNDS,
    110052: NO_FUNDS,
    110053: NO_FUNDS,
    110062: NO_INSTRUMENT,  # settlement in progress
    110065: NO_INSTRUMENT,  # no trading at this time
    110066: NO_ACCOUNT,
    110067: NO_ACCOUNT,
    110068: NO_ACCOUNT,
    110072: MAY_EXIST,  # an order of ours with this orderLinkId is there
    110074: NO_INSTRUMENT,  # not live
}
"""Codes of v5 (error codes, and those of orders of perpetuals)."""
NOT_THERE = frozenset({110001, 110008, 110010})
"""No such order, or it works no longer."""


def code_of(text: str) -> int:
    """Return the code in an error text, 0 if there is none."""
    found = _CODE.search(text)
    return int(found.group(1)) if found else NO_CODE


def meaning(kind: str, text: str, status: int) -> ErrorMeaning:
    """Return what an error means: ccxt class, the venue's answer, HTTP status."""
    code = code_of(text)

    def listed(told: str) -> ErrorMeaning | None:
        # The account is in hedge mode, where one-way is used here.
        return NO_ACCOUNT if _WRONG_MODE.search(text) else LISTED.get(int(told))

    return meaning_of([str(code)] if code else [], listed, status, kind)
