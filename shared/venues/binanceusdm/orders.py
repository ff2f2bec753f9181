"""Order entry at Binance USDT-M through a ccxt client: what is peculiar, what its errors mean.

Pure but for the calls on the client it is handed. ``newOrderRespType=RESULT`` returns the final
status and quantity of an IOC order at once; executions and fees follow from ``userTrades``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from shared.errors import Cause, Rejected, Unavailable, VenueError
from shared.messages.balances import Balance
from shared.venues.binance import order_errors
from shared.venues.binance.key_rights import read_key_rights
from shared.venues.binance.orders import (
    FILLS_TOGETHER,
    IS_ORDERED,
    TIMES_IN_FORCE,
    VALIDITY_MS,
    all_fills,
    cancel,
    cancel_all,
    check_key,
    check_may_trade,
    fills_in,
    find,
    is_canceled,
    is_not_found,
    measure_clock,
    order_fills,
    order_params,
    prepare,
)
from shared.venues.order_port import FundingRow, RateLimitedRead
from shared.venues.refusals import (
    MAY_EXIST,
    NO_ACCOUNT,
    NO_FUNDS,
    NO_INSTRUMENT,
    NOT_ACTED_SERVICE,
    NOTHING_TO_REDUCE,
    WOULD_TAKE,
    ErrorMeaning,
)

WEIGHT_PER_S = 20.0
"""Half of 2400 per minute; the rest is left to market data."""
WEIGHT_BURST = 150.0
WEIGHT_RESERVE = 75.0
WEIGHTS = {
    "submit": 1.0,
    "query": 1.0,
    "lookup": 1.0,
    "executions": 5.0,
    "cancel": 1.0,
    "cancel_all": 1.0,
    "dead_man": 10.0,
    "open": 40.0,
    "fills": 5.0,
    "balances": 5.0,
    "positions": 5.0,
    "funding": 30.0,
    "book": 2.0,
    "markets": 1.0,
    "clock": 1.0,
    "key": 1.0,
    "account": 5.0,
    "stream": 1.0,
    "test": 1.0,
}
REDUCE_ONLY: Mapping[str, Any] = {"reduceOnly": "true"}
"""In one-way mode, the only one used here; such an order need not reach the least notional."""
FORCED_ORDERS: Mapping[str, str] = {
    "autoclose-": "liquidation",
    "adl_autoclose": "auto-deleveraging",
    "settlement_autoclose-": "settlement for delisting or delivery",
}
"""What the client order id of an order of the venue's own begins with (user data stream)."""
NO_DEAD_MAN = ""
NO_CANCEL_ALL = ""
INCOME_PAGE = 1_000
"""Rows of the income history in one answer, at most."""
INCOME_PAGES_MAX = 100
FILLS_SPAN_MS = 7 * 24 * 3_600_000
"""How far start and end of one request may be apart."""

USDM: Mapping[int, ErrorMeaning] = {
    -1001: NOT_ACTED_SERVICE,  # documented as failed; on spot it is not
    -1109: NO_ACCOUNT,
    -2018: NO_FUNDS,
    -2019: NO_FUNDS,
    -2022: NOTHING_TO_REDUCE,
    -2023: NO_ACCOUNT,  # in liquidation
    -4050: NO_FUNDS,
    -4051: NO_FUNDS,
    -4059: NO_ACCOUNT,
    -4060: NO_ACCOUNT,
    -4061: NO_ACCOUNT,  # hedge mode, where one-way is used here
    -4067: NO_ACCOUNT,
    -4068: NO_ACCOUNT,
    -4087: NO_ACCOUNT,  # may only reduce
    -4088: NO_ACCOUNT,  # may not place orders now
    -4109: NO_ACCOUNT,  # inactive
    -4116: MAY_EXIST,  # an order of ours with this id is there
    -4118: NOTHING_TO_REDUCE,  # "check your existing position and open orders"
    -4140: NO_INSTRUMENT,
    -4141: NO_INSTRUMENT,
    -4192: NO_ACCOUNT,  # cooling-off period
    -4400: NO_ACCOUNT,  # quantitative rules violated: may only reduce
    -4401: NO_ACCOUNT,  # compliance: may only reduce
    -4402: NO_ACCOUNT,  # not offered in this region
    -4403: NO_ACCOUNT,
    -4531: NO_ACCOUNT,  # position mode of a portfolio margin account
    -5022: WOULD_TAKE,
}
"""Codes of USDT-M alone (its list of error codes)."""


def meaning(kind: str, text: str, status: int) -> ErrorMeaning:
    """Return what an error means: ccxt class, the venue's answer, HTTP status."""
    return order_errors.meaning(kind, text, status, USDM)


def classify(kind: str, text: str, status: int = 0) -> type[VenueError]:
    """Return what became of a request that was answered with an error."""
    return meaning(kind, text, status).outcome


def forced_by(client_order_id: str) -> str:
    """Return why the venue made an order itself; empty if it did not."""
    found = (why for word, why in FORCED_ORDERS.items() if client_order_id.startswith(word))
    return next(found, "")


async def check_account(client: Any, read: RateLimitedRead) -> None:
    """Check that the account may trade, in the modes used here, and that the key may place orders.

    In multi-assets mode each asset shows the margin of all of them as available, at present prices:
    nothing there says how much of one can be spent.

    Raises:
        Rejected: It may not.
    """
    account = await read("account", client.fapiPrivateGetAccountConfig())
    check_may_trade(account)
    if account.get("dualSidePosition") is True:
        raise Rejected(
            "the account is in hedge mode (dualSidePosition); one-way mode is used here",
            cause=Cause.ACCOUNT,
        )
    if account.get("multiAssetsMargin") is True:
        raise Rejected(
            "the account is in multi-assets mode (multiAssetsMargin); "
            "single-asset mode is used here",
            cause=Cause.ACCOUNT,
        )
    await check_key(client, read, client.fapiPrivatePostOrderTest)


async def fills_of(
    client: Any, read: RateLimitedRead, instrument: str, order: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the executions of one order as ccxt trades."""
    return await order_fills(client, read, instrument, order, FILLS_SPAN_MS)


async def fills_since(
    client: Any, read: RateLimitedRead, instruments: Sequence[str], since_ms: int
) -> list[dict[str, Any]]:
    """Return the account's executions in one instrument since ``since_ms``."""
    return await all_fills(client, read, instruments, since_ms, FILLS_SPAN_MS)


async def cancel_all_after(
    client: Any, read: RateLimitedRead, instruments: Sequence[str], after_s: int
) -> None:
    """Let the open orders of each symbol be canceled in so many seconds; 0: not any more."""
    for instrument in instruments:
        asked = {"symbol": client.market(instrument)["id"], "countdownTime": after_s * 1_000}
        await read("dead_man", client.fapiPrivatePostCountdownCancelAll(asked))


async def balances(client: Any, read: RateLimitedRead) -> dict[str, Balance]:
    """Return what is available, what is held as margin, and the wallet, of every margin asset.

    ``availableBalance`` and ``initialMargin`` together are near ``marginBalance``, which counts the
    open results of all positions, also of markets that are not configured, and moves with prices.
    ``walletBalance`` does not. ccxt's balance lacks it, so the venue's answer is read beside it.
    """
    told = await read("balances", client.fetch_balance())
    rows = {client.safe_currency_code(row["asset"]): row for row in told["info"]["assets"]}
    return {
        asset: Balance(
            free=Decimal(told[asset]["free"] or 0),
            used=Decimal(told[asset]["used"] or 0),
            wallet=Decimal(rows[asset]["walletBalance"]),
        )
        for asset in told["total"]
    }


async def positions(
    client: Any, read: RateLimitedRead, instruments: Sequence[str]
) -> dict[str, Decimal]:
    """Return position amounts in signed base units per instrument.

    Asked directly: ccxt's ``fetch_positions`` would also load every leverage bracket. In hedge mode
    a symbol has two rows, which make one amount.
    """
    names = {client.market(instrument)["id"]: instrument for instrument in instruments}
    found: dict[str, Decimal] = {}
    for row in await read("positions", client.fapiPrivateV3GetPositionRisk()):
        instrument = names.get(row["symbol"])
        if instrument is not None:
            found[instrument] = found.get(instrument, Decimal(0)) + Decimal(row["positionAmt"])
    return found


async def funding_since(
    client: Any, read: RateLimitedRead, instruments: Sequence[str], since_ms: int
) -> list[FundingRow]:
    """Return what the income history says of funding since ``since_ms``.

    Pages begin at the time of the last row read: further rows may have that time.

    Raises:
        Unavailable: There are more than ``INCOME_PAGES_MAX`` pages, or one of a single time.
    """
    names = {client.market(instrument)["id"]: instrument for instrument in instruments}
    found: dict[tuple[str, str], FundingRow] = {}
    since_ms = max(1, since_ms)  # without a start only the newest are told
    for _ in range(INCOME_PAGES_MAX):
        request = {"incomeType": "FUNDING_FEE", "startTime": since_ms, "limit": INCOME_PAGE}
        page = await read("funding", client.fapiPrivateGetIncome(request))
        for row in page:
            instrument = names.get(row["symbol"])
            if instrument is not None:
                found[row["symbol"], str(row["tranId"])] = FundingRow(
                    str(row["tranId"]),
                    instrument,
                    Decimal(row["income"]),
                    row["asset"],
                    int(row["time"]),
                )
        if len(page) < INCOME_PAGE:
            return list(found.values())
        newest_ms = max(int(row["time"]) for row in page)
        if newest_ms <= since_ms:
            break
        since_ms = newest_ms
    raise Unavailable("not the whole income history can be read", cause=Cause.SERVICE)


key_rights = read_key_rights

__all__ = [
    "FILLS_TOGETHER",
    "IS_ORDERED",
    "TIMES_IN_FORCE",
    "VALIDITY_MS",
    "cancel",
    "cancel_all",
    "fills_in",
    "find",
    "is_canceled",
    "is_not_found",
    "measure_clock",
    "order_params",
    "prepare",
]
