"""What a venue tells of an API key beside whether it may trade."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, NamedTuple

from shared.errors import Cause, Rejected


class KeyRights(NamedTuple):
    """Rights of a key; ``None``: the venue does not tell.

    Attributes:
        may_withdraw: It may send what the account holds to somebody's address.
        is_bound: It works from named addresses only.
        expires_ms: When it ends, ms since the epoch; 0: it does not.
    """

    may_withdraw: bool | None = None
    is_bound: bool | None = None
    expires_ms: int | None = None


UNTOLD = KeyRights()


def ms_of(told: Any, unit_ms: int = 1) -> int | None:
    """Return when a key ends, told as a number of ``unit_ms``; nothing or 0: it does not.

    What cannot be read is not known: no reason not to trade with a key that may.
    """
    try:
        return int(told or 0) * unit_ms
    except (TypeError, ValueError):
        return None


async def refuse_withdrawals(asked: Awaitable[KeyRights]) -> None:
    """Refuse a key with which a thief could empty the account: nothing here ever withdraws.

    A venue that refuses to tell is taken as one that does not: some addresses of it, as for tests,
    do not, and whether the key may trade was judged before.

    Raises:
        Rejected: It may withdraw.
    """
    try:
        rights = await asked
    except Rejected:
        return
    if rights.may_withdraw:
        text = "the key may withdraw; use one that may read and trade only"
        raise Rejected(text, cause=Cause.KEY)
