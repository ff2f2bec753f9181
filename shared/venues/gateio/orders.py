"""Order entry at Gate spot through a ccxt client: what is peculiar, and what its errors mean.

Pure but for the calls on the client it is handed. The client's id is the order's ``text``, behind
``t-``. The venue finds an order by it only for a while after its end; later the finished orders of
the pair are read. An order's answer tells how much of it was filled, but not its executions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any

from shared.errors import Cause, Rejected, Scope, Unavailable, VenueError
from shared.messages.balances import Balance
from shared.messages.terms import TimeInForce
from shared.venues.gateio.order_errors import label_of, meaning
from shared.venues.order_port import (
    NO_REDUCE_ONLY,
    NO_SWITCH,
    RateLimitedRead,
    never_forced,
    no_cancel_all_after,
    no_funding,
    no_key_rights,
    no_positions,
)
from shared.venues.together import ask_each

__all__ = ["meaning"]

WEIGHT_PER_S = 8.0
"""Ten orders a second for each pair; reads have limits of their own, higher ones."""
WEIGHT_BURST = 16.0
WEIGHT_RESERVE = 8.0
WEIGHTS = {
    "submit": 1.0,
    "query": 0.5,
    "lookup": 0.5,
    "executions": 0.5,
    "cancel": 0.5,
    "cancel_all": 0.5,
    "open": 0.5,
    "fills": 0.5,
    "balances": 0.5,
    "book": 0.5,
    "markets": 0.5,
    "clock": 0.5,
    "test": 1.0,
}
IS_ORDERED = False
"""Requests may overtake each other."""
TIMES_IN_FORCE = frozenset({TimeInForce.GTC, TimeInForce.PO, TimeInForce.IOC})
"""Of LIMIT orders. The venue takes FOK too, but ccxt does not read how such an order ended."""
VALIDITY_MS = 2_000
"""An order that arrives later than this after it was signed is refused."""
EXPIRES = "X-Gate-Exptime"
"""The header that says so, in ms of the venue's time; it is not signed."""
FILLS_TOGETHER = True
"""Executions of all instruments come in one reply."""
TEXT_PREFIX = "t-"
FILLS_PAGE = 100
"""Rows asked for at once: what the venue gives where nothing is said, so a shorter answer is the
last one. It documents no largest number for finished orders: of more it might give a part."""
LOOKUP_PAGES_MAX = 50
FILLS_PAGES_MAX = 100

Rows = list[dict[str, Any]]


def prepare(client: Any) -> None:
    """Let orders expire, and carry the id that we gave them without the venue's prefix.

    Without its own limit the venue would still take an order a minute after it was signed.
    """
    read, sign = client.parse_order, client.sign

    def sign_until(path: str, api: Any, method: str = "GET", *given: Any) -> dict[str, Any]:
        signed: dict[str, Any] = sign(path, api, method, *given)
        if (method, path) == ("POST", "orders"):
            signed["headers"][EXPIRES] = str(int(client.nonce()) + VALIDITY_MS)
        return signed

    def parse_order(order: Any, market: Any = None) -> dict[str, Any]:
        parsed: dict[str, Any] = read(order, market)
        parsed["clientOrderId"] = str(parsed.get("clientOrderId") or "").removeprefix(TEXT_PREFIX)
        return parsed

    client.parse_order, client.sign = parse_order, sign_until


def order_params(client_order_id: str) -> dict[str, Any]:
    """Return what ccxt's ``create_order`` needs beside the usual for a limit order."""
    return {"text": TEXT_PREFIX + client_order_id}


def is_not_found(text: str) -> bool:
    """Tell whether the venue says that it has no such order."""
    return label_of(text) == "ORDER_NOT_FOUND"


def is_canceled(text: str) -> bool:
    """Tell whether a failed cancel means that the order works no longer."""
    return label_of(text) in {"ORDER_NOT_FOUND", "ORDER_CLOSED", "ORDER_CANCELLED"}


async def measure_clock(client: Any) -> int:
    """Let requests carry the venue's time; return by how many ms ours is ahead of it."""
    return int(await client.load_time_difference())


async def check_account(client: Any, read: RateLimitedRead) -> None:
    """Check that the key may place orders, by one that no account could: of quantity zero.

    Its refusal as such shows that the key may.

    Raises:
        Rejected: It may not.
    """
    market = next((m for m in client.markets.values() if m.get("active")), None)
    if market is None:
        return
    order = {
        "currency_pair": market["id"],
        "side": "buy",
        "type": "limit",
        "amount": "0",
        "price": "1",
        "time_in_force": "ioc",
    }
    try:
        await read("test", client.privateSpotPostOrders(order))
    except Rejected as error:
        if error.scope is Scope.VENUE:
            raise


async def find(
    client: Any, read: RateLimitedRead, instrument: str, client_order_id: str, venue_order_id: str
) -> dict[str, Any] | None:
    """Return the ccxt order, ``None`` or a not-found error if there is none."""
    found: dict[str, Any]
    if venue_order_id:
        found = await read("query", client.fetch_order(venue_order_id, instrument))
        return found
    text = TEXT_PREFIX + client_order_id
    try:
        found = await read("lookup", client.fetch_order("", instrument, {"text": text}))
    except VenueError as error:
        if not is_not_found(str(error)):
            raise
        return await _finished(client, read, instrument, text)
    return found


async def _finished(
    client: Any, read: RateLimitedRead, instrument: str, text: str
) -> dict[str, Any] | None:
    """Look for an order among those that ended, of which the venue tells the newest first."""
    market = client.market(instrument)
    params = {"currency_pair": market["id"], "status": "finished"}
    ask = client.privateSpotGetOrders
    async for rows in _pages(read, "lookup", ask, params, LOOKUP_PAGES_MAX):
        for row in rows:
            if row.get("text") == text:
                found: dict[str, Any] = client.parse_order(row, market)
                return found
    return None


def fills_in(client: Any, order: dict[str, Any], instrument: str) -> Rows:
    """The reply to an order carries no executions."""
    del client, order, instrument
    return []


async def fills_of(
    client: Any, read: RateLimitedRead, instrument: str, order: dict[str, Any]
) -> Rows:
    """Return the executions of one order as ccxt trades."""
    params = {"currency_pair": client.market(instrument)["id"], "order_id": order["id"]}
    return await _executions(client, read, "executions", params)


async def fills_since(
    client: Any, read: RateLimitedRead, instruments: Sequence[str], since_ms: int
) -> Rows:
    """Return the account's executions since ``since_ms``."""
    del instruments  # one request for all
    trades = await _executions(client, read, "fills", {"from": since_ms // 1_000})
    return [trade for trade in trades if trade["timestamp"] >= since_ms]


async def _executions(
    client: Any, read: RateLimitedRead, what: str, params: dict[str, Any]
) -> Rows:
    pages = _pages(read, what, client.privateSpotGetMyTrades, params, FILLS_PAGES_MAX)
    unique = {  # pages move on meanwhile; both sides of a trade may be ours
        (row["currency_pair"], row["id"], row["side"]): row async for page in pages for row in page
    }
    return [with_fee(client.parse_trade(row)) for row in unique.values()]


def with_fee(trade: dict[str, Any]) -> dict[str, Any]:
    """Return a trade with its one fee: the venue tells those of nothing beside it.

    Several that are something stay unknown.
    """
    paid = [fee for fee in trade["fees"] if Decimal(str(fee["cost"]))]
    if len(paid) <= 1 and trade["fees"]:
        trade["fee"] = (paid or trade["fees"])[0]
    return trade


async def _pages(
    read: RateLimitedRead,
    what: str,
    ask: Callable[[Any], Awaitable[Rows]],
    params: dict[str, Any],
    pages_max: int,
) -> AsyncIterator[Rows]:
    """Read page after page.

    Raises:
        Unavailable: There are more.
    """
    for page in range(1, pages_max + 1):
        found = await read(what, ask({**params, "limit": FILLS_PAGE, "page": page}))
        yield found
        if len(found) < FILLS_PAGE:
            return
    raise Unavailable(f"not all {what} are read after {pages_max} pages", cause=Cause.SERVICE)


async def cancel(client: Any, instrument: str, client_order_id: str, venue_order_id: str) -> None:
    """Cancel one order."""
    await client.cancel_order(venue_order_id or TEXT_PREFIX + client_order_id, instrument)


async def cancel_all(client: Any, read: RateLimitedRead, instruments: Sequence[str]) -> None:
    """Cancel all orders of each pair."""
    ask = client.privateSpotDeleteOrders
    requests = [ask({"currency_pair": client.market(name)["id"]}) for name in instruments]
    await ask_each(read, "cancel_all", requests)


async def balances(client: Any, read: RateLimitedRead) -> dict[str, Balance]:
    """Return what orders may use and what they hold, of every asset."""
    rows = await read("balances", client.privateSpotGetAccounts())
    return {
        client.safe_currency_code(row["currency"]): Balance(
            free=Decimal(row["available"]), used=Decimal(row["locked"])
        )
        for row in rows
    }


positions = no_positions
funding_since = no_funding
REDUCE_ONLY = NO_REDUCE_ONLY
forced_by = never_forced
key_rights = no_key_rights
NO_DEAD_MAN = NO_SWITCH
NO_CANCEL_ALL = ""
cancel_all_after = no_cancel_all_after
