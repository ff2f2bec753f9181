"""What Bybit tells of a key (docs: V5, User, "Get API Key Information")."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from shared.venues.key_rights import KeyRights
from shared.venues.order_port import RateLimitedRead

WITHDRAW = "Withdraw"
ANY_ADDRESS = "*"


async def read_key_rights(client: Any, read: RateLimitedRead) -> KeyRights:
    """Return the rights of the key; any key may ask.

    ``expiredAt`` is the day on which a key that is bound to no address ends.
    """
    told = (await read("key", client.privateGetV5UserQueryApi()))["result"]
    permissions, addresses = told.get("permissions"), told.get("ips")
    is_told = isinstance(permissions, dict)
    wallet = (permissions.get("Wallet") or []) if is_told else []
    is_bound = bool(addresses) and ANY_ADDRESS not in addresses
    ends = str(told.get("expiredAt") or "")
    return KeyRights(
        may_withdraw=WITHDRAW in wallet if is_told else None,
        is_bound=is_bound if isinstance(addresses, list) else None,
        expires_ms=_ms_of(ends) if ends and not is_bound else 0,
    )


def _ms_of(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)
