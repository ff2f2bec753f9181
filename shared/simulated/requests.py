"""What simulated venues ask of a request on a socket before they look closer. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

ID_CHARS_MAX = 36
ID_MAX = 2**63
SHOWN_CHARS_MAX = 100


def decode_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object in a text, ``None`` if there is none."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None


def is_id(value: object) -> bool:
    """Tell whether a request may be named so: a 64-bit integer, a short string or null."""
    if isinstance(value, str):
        return len(value) <= ID_CHARS_MAX
    return value is None or is_integer(value)


def is_integer(value: object) -> bool:
    """Tell whether it is a 64-bit integer; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool) and -ID_MAX <= value < ID_MAX


def shown(value: object) -> str:
    """Return what a client sent as short text for an answer."""
    return (value if isinstance(value, str) else repr(value))[:SHOWN_CHARS_MAX]
