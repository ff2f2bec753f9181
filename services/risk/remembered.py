"""What was booked, by short names of natural keys; the oldest is forgotten. Pure."""

from __future__ import annotations

from collections.abc import Container
from hashlib import blake2b
from typing import TypeVar

from shared.messages.execution import Fill
from shared.messages.fill_key import fill_key

_V = TypeVar("_V")


def remember(memory: dict[str, _V], name: str, value: _V, bound: int) -> None:
    """Keep a value, the newest; those beyond the bound make room."""
    memory[name] = value
    while len(memory) > bound:
        del memory[next(iter(memory))]


def digest(*parts: str) -> str:
    """Return the short name of a natural key."""
    return blake2b("|".join(parts).encode(), digest_size=8).hexdigest()


def fill_name(fill: Fill, seen: Container[str]) -> str:
    """Return by what a fill is remembered among those seen.

    A checkpoint of a version that named fills by their trade does not say which side it counted:
    either side is taken for that one, as that version did.
    """
    key = fill_key(fill)
    name = digest(*key)
    if name not in seen and (of_trade := digest(*key.trade)) in seen:
        return of_trade
    return name
