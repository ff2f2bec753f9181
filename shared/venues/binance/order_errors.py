"""Binance's error codes in its answers, and what it documents of them. Pure.

Sample text: ``{"code":-2010,"msg":"Account has insufficient balance for requested action."}``.
Listed is only what is not a plain no to one order (``shared/venues/refusals.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from shared.venues.refusals import (
    MAY_EXIST,
    NO,
    NO_ACCOUNT,
    NO_FUNDS,
    NO_INSTRUMENT,
    NO_KEY,
    NO_SERVICE,
    NOT_ACTED_CLOCK,
    NOT_ACTED_RATE,
    NOT_ACTED_SERVICE,
    WOULD_TAKE,
    ErrorMeaning,
    meaning_of,
)

_CODE = re.compile(r'"code"\s*:\s*"?(-\d+)')

COMMON: Mapping[int, ErrorMeaning] = {
    -1000: MAY_EXIST,  # "an unknown error occurred while processing the request"
    -1001: MAY_EXIST,  # "internal error"
    -1002: NO_KEY,
    -1003: NOT_ACTED_RATE,
    -1006: MAY_EXIST,  # "execution status unknown"
    -1007: MAY_EXIST,  # "send status unknown; execution status unknown"
    -1008: NOT_ACTED_SERVICE,  # overload, documented as not executed
    -1015: NOT_ACTED_RATE,
    -1016: NO_SERVICE,
    -1021: NOT_ACTED_CLOCK,
    -1022: NO_KEY,
    -1099: NO_KEY,
    -1121: NO_INSTRUMENT,
    -1122: NO_INSTRUMENT,
    -2008: NO_KEY,
    -2014: NO_KEY,
    -2015: NO_KEY,
}
"""Codes that mean the same on every Binance market (binance-spot-api-docs errors.md)."""

MATCHING_ENGINE = frozenset({-1010, -2010, -2011})
"""Codes whose text alone shows which error of the matching engine they are."""
_TEXTS: Mapping[str, ErrorMeaning] = {
    # An order of ours with this id is there: not a no, but a reason to look.
    "duplicate order": MAY_EXIST,
    "insufficient balance": NO_FUNDS,
    "would immediately match": WOULD_TAKE,
    "market is closed": NO_INSTRUMENT,
    "symbol is not permitted": NO_INSTRUMENT,
    "symbol is restricted": NO_INSTRUMENT,
    "disabled on this account": NO_ACCOUNT,
    "may not place or cancel orders": NO_ACCOUNT,
    "trading is not enabled": NO_ACCOUNT,
}


def error_code(text: str) -> int | None:
    """Return the venue's code in an error text, ``None`` if there is none."""
    found = _CODE.search(text)
    return int(found.group(1)) if found else None


def meaning(kind: str, text: str, status: int, market: Mapping[int, ErrorMeaning]) -> ErrorMeaning:
    """Return what an answer means; ``market`` lists the codes of one market, over ``COMMON``."""
    code = error_code(text)
    codes = [] if code is None else [str(code)]

    def listed(code_text: str) -> ErrorMeaning | None:
        number = int(code_text)
        found = market.get(number) or COMMON.get(number)
        return found or (_by_text(text) if number in MATCHING_ENGINE else None)

    return meaning_of(codes, listed, status, kind)


def _by_text(text: str) -> ErrorMeaning:
    lowered = text.lower()
    return next((found for text, found in _TEXTS.items() if text in lowered), NO)
