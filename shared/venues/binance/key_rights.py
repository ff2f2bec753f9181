"""What Binance tells of a key (docs: Wallet, Account, "Get API Key Permission")."""

from __future__ import annotations

from typing import Any

from shared.venues.key_rights import KeyRights, ms_of
from shared.venues.order_port import RateLimitedRead


async def read_key_rights(client: Any, read: RateLimitedRead) -> KeyRights:
    """Return the rights of the key; the same endpoint tells of spot and futures.

    ``enableWithdrawals`` is withdrawing. Transfers between own accounts are left: they move nothing
    to anybody else. A key that is not bound to an address loses its trading rights after a time
    that the endpoint tells as ``tradingAuthorityExpirationTime`` where there is one.
    """
    told = await read("key", client.sapiGetAccountApiRestrictions())
    return KeyRights(
        may_withdraw=_flag(told.get("enableWithdrawals")),
        is_bound=_flag(told.get("ipRestrict")),
        expires_ms=ms_of(told.get("tradingAuthorityExpirationTime")),
    )


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
