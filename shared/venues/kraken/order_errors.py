"""Kraken's error texts in its answers, and what it documents of them. Pure.

Sample text: ``{"error":["EOrder:Insufficient funds"]}``, with HTTP status 200. A letter of severity
(E or W), a category, a text, and often a detail after one more colon. Listed is only what is not a
plain no to one order (``shared/venues/refusals.py``).
"""

from __future__ import annotations

import re

import msgspec

from shared.venues.refusals import (
    MAY_EXIST,
    NO_ACCOUNT,
    NO_FUNDS,
    NO_INSTRUMENT,
    NO_KEY,
    NO_SERVICE,
    NOT_ACTED_CLOCK,
    NOT_ACTED_RATE,
    WOULD_TAKE,
    ErrorMeaning,
    meaning_of,
)

LISTED: tuple[tuple[re.Pattern[str], ErrorMeaning], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), meaning)
    for pattern, meaning in (
        # The matching engine is offline or slow, or the request "timed out" on its way through:
        # nothing says that it did not get there.
        (r"EService:(Unavailable|Busy|Timeout|Deadline elapsed)", MAY_EXIST),
        (r"E\w+:.*(internal error|timed? ?out)", MAY_EXIST),
        (r"EDatabase:", MAY_EXIST),
        # An order of ours with this id is there: not a no, but a reason to look.
        (r"E\w+:.*duplicate", MAY_EXIST),
        (r"E\w+:(.* )?(rate limit exceeded|too many requests|throttled)", NOT_ACTED_RATE),
        (r"EGeneral:Temporary lockout", NOT_ACTED_RATE),
        (r"EAPI:Invalid nonce", NOT_ACTED_CLOCK),
        (r"EAPI:(Invalid key|Invalid signature|Feature disabled)", NO_KEY),
        (r"EGeneral:Permission denied", NO_KEY),
        (r"ESession:", NO_KEY),
        (r"EAccount:.*trading restricted", NO_INSTRUMENT),
        (r"(EAccount|EAuth|EBM):", NO_ACCOUNT),
        (r"ETrade:.*locked", NO_ACCOUNT),
        (r"EOrder:Trading agreement required", NO_ACCOUNT),
        (r"EService:Market in", NO_INSTRUMENT),
        (r"EService:", NO_SERVICE),
        (r"EQuery:(Unknown|Invalid) asset", NO_INSTRUMENT),
        (r"EOrder:(Insufficient|Margin)", NO_FUNDS),
        (r"EOrder:Post only", WOULD_TAKE),
    )
)
"""The first that matches from the start counts (Kraken's guide to error messages)."""


def error_codes(text: str) -> list[str]:
    """Return the errors in an answer, or in ccxt's text around it.

    A warning alone refuses nothing: then there is none.
    """
    listed = _listed(text)
    return [entry for entry in listed if entry.startswith("E")]


def meaning(kind: str, text: str, status: int) -> ErrorMeaning:
    """Return what an answer means."""
    return meaning_of(error_codes(text), _meaning_listed, status, kind)


def is_unknown_order(text: str) -> bool:
    """Tell whether the answer says just that there is no such order."""
    codes = error_codes(text)
    return bool(codes) and all(code.startswith("EOrder:Unknown order") for code in codes)


def _meaning_listed(code: str) -> ErrorMeaning | None:
    return next((meaning for pattern, meaning in LISTED if pattern.match(code)), None)


class _Answer(msgspec.Struct):
    error: list[str] | str = []


def _listed(text: str) -> list[str]:
    start = text.find("{")
    if start < 0:
        return []
    try:
        found = msgspec.json.decode(text[start:].encode(), type=_Answer).error
    except msgspec.DecodeError:
        return []
    return [found] if isinstance(found, str) else found
