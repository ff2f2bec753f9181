"""Order entry at Bybit's perpetuals through a ccxt client: what is peculiar, what errors mean.

Pure but for the calls on the client it is handed. An order is answered with its id before anything
became of it, and without status or fills: those are asked for. It is found by ``orderLinkId`` among
the working and the newest closed ones, older ones in the history.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from shared.errors import Cause, Rejected, Scope, Unavailable
from shared.messages.balances import Balance
from shared.messages.terms import TimeInForce
from shared.venues.bybit.key_rights import read_key_rights
from shared.venues.bybit.order_errors import NOT_THERE, code_of, meaning
from shared.venues.bybit.symbols import category_of
from shared.venues.order_port import FundingRow, RateLimitedRead, no_cancel_all_after
from shared.venues.together import ask_each

__all__ = ["meaning"]

WEIGHT_PER_S = 5.0
"""Ten orders a second for each account, counted by the second: half of it, and half at once."""
WEIGHT_BURST = 5.0
WEIGHT_RESERVE = 2.5
WEIGHTS = {
    "submit": 1.0,
    "query": 0.1,
    "lookup": 0.1,
    "executions": 0.1,
    "cancel": 0.5,
    "cancel_all": 0.5,
    "open": 0.1,
    "fills": 0.1,
    "balances": 0.1,
    "positions": 0.1,
    "funding": 0.1,
    "book": 0.1,
    "markets": 0.1,
    "clock": 0.1,
    "account": 0.1,
    "key": 0.1,
    "test": 1.0,
}
"""Queries have limits of their own, 50 a second."""
IS_ORDERED = False
"""Requests may overtake each other."""
TIMES_IN_FORCE = frozenset(TimeInForce)
"""Of LIMIT orders."""
VALIDITY_MS = 2_000
"""An order that arrives later than this after it was signed is refused (10002), see
``ccxt_urls.OPTIONS``."""
FILLS_TOGETHER = True
"""Executions of all instruments of a category come in one reply."""
FILLS_PAGE = 100
"""Rows of executions in one answer, at most."""
FILLS_PAGES_MAX = 100
FILLS_SPAN_MS = 7 * 24 * 3_600_000
"""How far start and end of one request may be apart."""
OPEN_PAGE = 50
POSITIONS_PAGE = 200
UNIFIED_LEAST = 3
"""``unifiedMarginStatus`` of the first kind of unified account."""
REDUCE_ONLY: Mapping[str, Any] = {"reduceOnly": True}
cancel_all_after = no_cancel_all_after
NO_CANCEL_ALL = ""
NO_DEAD_MAN = "none: the venue's (DCP) is for institutional clients only, and bound to a connection"
FORCED_ORDERS: Mapping[str, str] = {
    "CreateByLiq": "liquidation",
    "CreateByTakeOver_PassThrough": "liquidation",
    "CreateByAdl_PassThrough": "auto-deleveraging",
    "CreateBySettle": "settlement for delisting or delivery",
}
"""``createType`` of an order of the venue's own, which has no id of a client."""
FILL_TYPES = frozenset({"Trade", "AdlTrade", "BustTrade", "Delivery", "Settle"})
"""Executions that change a position; fundings are listed among them."""

Rows = list[dict[str, Any]]


def prepare(client: Any) -> None:
    """Let working orders of all that is listed be asked for, and say who made an order.

    Without a symbol ccxt asks for those settled in USDT only.
    """
    read = client.parse_order

    def parse_order(order: Any, market: Any = None) -> dict[str, Any]:
        parsed: dict[str, Any] = read(order, market)
        made_by = str(order.get("createType") or "")
        if not parsed.get("clientOrderId") and made_by in FORCED_ORDERS:
            parsed["clientOrderId"] = made_by
        return parsed

    async def fetch_open_orders(*_: Any) -> Rows:
        found: Rows = []
        for category, settle in sorted(_markets_of(client, client.markets)):
            params = {"category": category, "settleCoin": settle, "limit": OPEN_PAGE}
            pages = _pages(_plainly, "open", client.privateGetV5OrderRealtime, params)
            found += [client.parse_order(row) async for page in pages for row in page]
        return found

    client.parse_order, client.fetch_open_orders = parse_order, fetch_open_orders


async def _plainly(what: str, request: Awaitable[Any]) -> Any:
    """Make a request of one that was counted already."""
    del what
    return await request


def order_params(client_order_id: str) -> dict[str, Any]:
    """Return what ccxt's ``create_order`` needs beside the usual for a limit order."""
    return {"clientOrderId": client_order_id, "positionIdx": 0}


def is_not_found(text: str) -> bool:
    """Tell whether the venue says that it has no such order."""
    return code_of(text) == 110001


def is_canceled(text: str) -> bool:
    """Tell whether a failed cancel means that the order works no longer."""
    return code_of(text) in NOT_THERE


def forced_by(client_order_id: str) -> str:
    """Return why the venue made an order itself; empty if it did not."""
    return FORCED_ORDERS.get(client_order_id, "")


async def measure_clock(client: Any) -> int:
    """Let requests carry the venue's time; return by how many ms ours is ahead of it."""
    return int(await client.load_time_difference())


async def check_account(client: Any, read: RateLimitedRead) -> None:
    """Check that the account is unified and in one-way mode, and that its key may place orders.

    Whether the account may trade shows in the refusal of an order that no account could place, of
    quantity zero.

    Raises:
        Rejected: It may not.
    """
    told = (await read("account", client.privateGetV5AccountInfo()))["result"]
    if int(told.get("unifiedMarginStatus") or 0) < UNIFIED_LEAST:
        raise Rejected("a classic account; a unified one is used here", cause=Cause.ACCOUNT)
    key = (await read("account", client.privateGetV5UserQueryApi()))["result"]
    allowed = (key.get("permissions") or {}).get("ContractTrade")
    if int(key.get("readOnly") or 0) or (allowed is not None and "Order" not in allowed):
        raise Rejected("the key may not place orders of contracts", cause=Cause.KEY)
    market = next((m for m in client.markets.values() if m.get("active")), None)
    if market is None:
        return
    place = {"category": category_of(market["symbol"]), "symbol": market["id"]}
    held = (await read("positions", client.privateGetV5PositionList(place)))["result"]["list"]
    if any(int(row.get("positionIdx") or 0) for row in held):
        raise Rejected(
            "the account is in hedge mode (positionIdx); one-way mode is used here",
            cause=Cause.ACCOUNT,
        )
    order = {"side": "Buy", "orderType": "Limit", "timeInForce": "IOC", "qty": "0", "price": "1"}
    try:
        await read("test", client.privatePostV5OrderCreate({**place, **order}))
    except Rejected as error:
        if error.scope is Scope.VENUE:
            raise


async def find(
    client: Any, read: RateLimitedRead, instrument: str, client_order_id: str, venue_order_id: str
) -> dict[str, Any] | None:
    """Return the ccxt order, ``None`` if there is none."""
    market = client.market(instrument)
    what = "query" if venue_order_id else "lookup"
    name = {"orderId": venue_order_id} if venue_order_id else {"orderLinkId": client_order_id}
    params = {"category": category_of(instrument), "symbol": market["id"], **name}
    for ask in (client.privateGetV5OrderRealtime, client.privateGetV5OrderHistory):
        for row in (await read(what, ask(params)))["result"]["list"]:
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
    market = client.market(instrument)
    params = {"category": category_of(instrument), "orderId": order["id"], "limit": FILLS_PAGE}
    found: Rows = []
    async for page in _pages(read, "executions", client.privateGetV5ExecutionList, params):
        found += [client.parse_trade(row, market) for row in page if row["symbol"] == market["id"]]
    return found


async def fills_since(
    client: Any, read: RateLimitedRead, instruments: Sequence[str], since_ms: int
) -> Rows:
    """Return the account's executions since ``since_ms``."""
    rows = await _executions(client, read, "fills", instruments, since_ms)
    return [client.parse_trade(row) for row in rows if row.get("execType") in FILL_TYPES]


async def funding_since(
    client: Any, read: RateLimitedRead, instruments: Sequence[str], since_ms: int
) -> list[FundingRow]:
    """Return what fundings paid since ``since_ms``: a fee above zero was paid by us."""
    names = {client.market(instrument)["id"]: instrument for instrument in instruments}
    rows = await _executions(client, read, "funding", instruments, since_ms, execType="Funding")
    return [
        FundingRow(
            str(row["execId"]),
            names[row["symbol"]],
            -Decimal(row["execFee"]),
            client.market(names[row["symbol"]])["settle"],
            int(row["execTime"]),
        )
        for row in rows
        if row["symbol"] in names and row.get("execType") == "Funding"
    ]


async def _executions(
    client: Any,
    read: RateLimitedRead,
    what: str,
    instruments: Sequence[str],
    since_ms: int,
    **more: Any,
) -> Rows:
    """Read executions span after span, up to now; further rows may come while pages are read."""
    ask, now_ms = client.privateGetV5ExecutionList, int(client.nonce())
    # Of more than two years ago the venue has none.
    start_ms = max(since_ms, now_ms - 2 * 365 * 24 * 3_600_000, 1)
    found: dict[tuple[str, str, str], dict[str, Any]] = {}  # both sides of a trade may be ours
    for category in sorted({category_of(instrument) for instrument in instruments}):
        from_ms = start_ms
        while True:
            until_ms = from_ms + FILLS_SPAN_MS - 1
            params = {
                "category": category,
                "startTime": from_ms,
                "endTime": until_ms,
                "limit": FILLS_PAGE,
                **more,
            }
            async for page in _pages(read, what, ask, params):
                found |= {(row["symbol"], str(row["execId"]), row["side"]): row for row in page}
            if until_ms >= now_ms:
                break
            from_ms = until_ms + 1
    return sorted(found.values(), key=lambda row: int(row["execTime"]))


async def _pages(
    read: RateLimitedRead,
    what: str,
    ask: Callable[[Any], Awaitable[dict[str, Any]]],
    params: dict[str, Any],
) -> AsyncIterator[Rows]:
    """Read page after page, each named by the one before.

    Raises:
        Unavailable: There are more.
    """
    cursor = ""
    for _ in range(FILLS_PAGES_MAX):
        asked = {**params, "cursor": cursor} if cursor else params
        result = (await read(what, ask(asked)))["result"]
        yield result["list"]
        cursor = result.get("nextPageCursor") or ""
        # The venue names a next page behind the last one, too.
        if not cursor or len(result["list"]) < int(params["limit"]):
            return
    raise Unavailable(f"not all {what} are read after {FILLS_PAGES_MAX} pages", cause=Cause.SERVICE)


async def cancel(client: Any, instrument: str, client_order_id: str, venue_order_id: str) -> None:
    """Cancel one order."""
    params = {} if venue_order_id else {"orderLinkId": client_order_id}
    await client.cancel_order(venue_order_id or None, instrument, params)


async def cancel_all(client: Any, read: RateLimitedRead, instruments: Sequence[str]) -> None:
    """Cancel the orders of all contracts, by what they are settled in, those traded here first.

    Each coin that inverse contracts are settled in is a request, and there may be no time for all.
    The venue cancels 500 at most in a request, and acknowledges before they are canceled.
    """
    ours = _markets_of(client, instruments)
    groups = sorted(_markets_of(client, client.markets), key=lambda each: (each not in ours, each))
    ask = client.privatePostV5OrderCancelAll
    requests = [ask({"category": kind, "settleCoin": settle}) for kind, settle in groups]
    await ask_each(read, "cancel_all", requests)


async def balances(client: Any, read: RateLimitedRead) -> dict[str, Balance]:
    """Return what orders may use, what is held as margin, and the wallet, of every coin.

    Other coins are collateral too, so margin may be more than the wallet, and moves with prices.
    """
    params = {"accountType": "UNIFIED"}
    told = await read("balances", client.privateGetV5AccountWalletBalance(params))
    found = {}
    for row in told["result"]["list"]:
        for coin in row["coin"]:
            held = ("locked", "totalOrderIM", "totalPositionIM")
            used = sum((Decimal(coin.get(name) or 0) for name in held), Decimal(0))
            wallet = Decimal(coin["walletBalance"] or 0)
            free = max(Decimal(0), wallet - used)
            asset = client.safe_currency_code(coin["coin"])
            found[asset] = Balance(free=free, used=used, wallet=wallet)
    return found


async def positions(
    client: Any, read: RateLimitedRead, instruments: Sequence[str]
) -> dict[str, Decimal]:
    """Return positions in signed base units; in hedge mode both sides make one amount."""
    names = {client.market(instrument)["id"]: instrument for instrument in instruments}
    found: dict[str, Decimal] = {}
    for category, settle in sorted(_markets_of(client, instruments)):
        params = {"category": category, "settleCoin": settle, "limit": POSITIONS_PAGE}
        async for page in _pages(read, "positions", client.privateGetV5PositionList, params):
            for row in page:
                instrument = names.get(row["symbol"])
                if instrument is not None:
                    size = Decimal(row["size"] or 0)
                    signed = -size if row["side"] == "Sell" else size
                    found[instrument] = found.get(instrument, Decimal(0)) + signed
    return found


def _markets_of(client: Any, instruments: Iterable[str]) -> set[tuple[str, str]]:
    """Return category and coin of settlement of these instruments."""
    return {(category_of(name), client.market(name)["settleId"]) for name in instruments}


key_rights = read_key_rights
