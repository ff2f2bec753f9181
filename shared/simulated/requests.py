"""What simulated venues ask of a request before they look closer. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

ID_CHARS_MAX = 36
ID_MAX = 2**63
SHOWN_CHARS_MAX = 100
NOTHING_GIVEN = (None, "", False, "false")


def decode_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object in a text, ``None`` if there is none."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None


def decode_list(text: str) -> list[Any] | None:
    """Return the JSON array in a text, ``None`` if there is none."""
    try:
        return msgspec.json.decode(text, type=list[Any])
    except (ValueError, RecursionError):
        return None


def is_id(value: object) -> bool:
    """Tell whether a request may be named so: a 64-bit integer, a short string or null."""
    if isinstance(value, str):
        return len(value) <= ID_CHARS_MAX
    return value is None or is_integer(value)


def is_integer(value: object) -> bool:
    """Tell whether it is a 64-bit integer; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool) and -ID_MAX <= value < ID_MAX


def first_unread(parameters: Mapping[str, Any], read: Collection[str]) -> str:
    """Return the name of a parameter that is given and nobody here reads; empty if there is none.

    What would make another order of it must be refused: a stop or an iceberg that is taken for a
    plain limit order teaches a client the wrong venue.
    """
    given = (name for name, value in parameters.items() if value not in NOTHING_GIVEN)
    return next((name for name in given if name not in read), "")


def shown(value: object) -> str:
    """Return what a client sent as short text for an answer."""
    return (value if isinstance(value, str) else repr(value))[:SHOWN_CHARS_MAX]
