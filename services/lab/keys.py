"""The keys that plans and commands are signed with in a world of the lab. Pure."""

from __future__ import annotations

from functools import cache

from shared.bus.signing import KEY_BYTES, SigningKeys
from shared.streams import keys_of


@cache
def keys_for(service: str) -> SigningKeys:
    """Return the keys that a service holds: each made of its own name, the same in every world."""
    return SigningKeys(
        {name: (name.encode().ljust(KEY_BYTES[0], b"."),) for name in keys_of(service)}
    )
