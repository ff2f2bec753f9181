"""What Kraken tells of a key (docs: REST, Account Data, "Get API Key Info")."""

from __future__ import annotations

from typing import Any

from shared.venues.key_rights import KeyRights, ms_of
from shared.venues.order_port import RateLimitedRead

WITHDRAW = "withdraw-funds"


async def read_key_rights(client: Any, read: RateLimitedRead) -> KeyRights:
    """Return the rights of the key; asking needs no permission."""
    told = (await read("key", client.privatePostGetApiKeyInfo()))["result"]
    permissions, addresses = told.get("permissions"), told.get("ipAllowlist")
    return KeyRights(
        may_withdraw=WITHDRAW in permissions if isinstance(permissions, list) else None,
        is_bound=bool(addresses) if isinstance(addresses, list) else None,
        expires_ms=ms_of(told.get("validUntil"), 1_000),
    )
