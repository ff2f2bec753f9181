"""Orders and trades in Kraken's format: ids, parameters in, REST objects out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing, parse_decimal
from shared.exchange.orders import Fill, IncomingOrder, Order, Refusal, Status
from shared.messages.base import Side
from shared.messages.terms import OrderType, TimeInForce
from shared.simulated.requests import first_unread, shown
from shared.venues.kraken.simulated.signing import ApiError

ALPHABET = "234567ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MAKERS_APART = 1 << 60
"""Between the txids of the taker's and the maker's fill of one trade."""

REFUSALS: dict[Refusal, str] = {
    Refusal.PRICE_FILTER: "EOrder:Invalid price:Price can only be specified up to the tick size.",
    Refusal.LOT_SIZE: "EOrder:Order minimum not met",
    Refusal.NOTIONAL: "EOrder:Cost minimum not met",
    Refusal.BALANCE: "EOrder:Insufficient funds",
    Refusal.MARGIN: "EOrder:Insufficient margin",
    Refusal.WOULD_TAKE: "EOrder:Post only order",
    Refusal.FOK_UNFILLED: "EOrder:Cannot fill order",
    Refusal.DUPLICATE_ID: "EGeneral:Invalid arguments:cl_ord_id duplicate",
    Refusal.REDUCE_ONLY: "EOrder:Reduce only",
    Refusal.NO_LIQUIDITY: "EService:Market in limit_only mode",
    Refusal.TOO_MANY_OPEN: "EOrder:Orders limit exceeded",
    Refusal.NOT_OPEN: "EOrder:Unknown order",
    Refusal.FAULT: "EOrder:Trading agreement required",
}


READ = frozenset(
    {
        "nonce",
        "otp",
        "pair",
        "type",
        "ordertype",
        "volume",
        "price",
        "cl_ord_id",
        "userref",
        "timeinforce",
        "oflags",
        "validate",
    }
)
FLAGS = frozenset({"", "post", "fciq"})
"""Of ``oflags``; fees are taken in the quote asset anyway."""


def venue_id(prefix: str, number: int) -> str:
    """Return an id of the venue's shape, like ``OQCLML-BW3P3-BUCMWZ``; a function of the number."""
    text = ""
    value = number
    for _ in range(16):
        value, digit = divmod(value, 32)
        text = ALPHABET[digit] + text
    text = prefix + text[:]
    return f"{text[:6]}-{text[6:11]}-{text[11:17]}"


def number_of(txid: str) -> int:
    """Return the number an id was made from, -1 if it was not."""
    text = txid.replace("-", "")[1:]
    if len(text) != 16 or any(letter not in ALPHABET for letter in text):
        return -1
    value = 0
    for letter in text:
        value = value * 32 + ALPHABET.index(letter)
    return value


def order_id(order: Order) -> str:
    """Return an order's txid."""
    return venue_id("O", order.id)


def trade_number(fill: Fill) -> int:
    """Return what a fill's txid is made from.

    The history of trades is a table by txid, so both sides of a trade of ours have one each.
    """
    return fill.trade_id + (MAKERS_APART if fill.maker else 0)


def trade_id(fill: Fill) -> str:
    """Return a fill's txid."""
    return venue_id("T", trade_number(fill))


def listing_of(exchange: Exchange, name: str) -> Listing:
    """Return the listing that a pair name means: id, altname or wsname.

    Raises:
        ApiError: Not listed.
    """
    listing = exchange.by_symbol.get(name) or exchange.by_instrument.get(name)
    if listing is None:
        listing = exchange.by_symbol.get(name.replace("/", ""))
    if listing is None:
        raise ApiError("EQuery:Unknown asset pair")
    return listing


def number(parameters: Mapping[str, Any], name: str) -> Decimal:
    """Return a positive decimal parameter.

    Raises:
        ApiError: Missing or not such a number.
    """
    value = parse_decimal(str(parameters.get(name, "")))
    if value is None or value <= 0:
        raise ApiError(f"EGeneral:Invalid arguments:{name}")
    return value


def not_negative(parameters: Mapping[str, Any], name: str) -> float:
    """Return an optional number, 0 if absent.

    Raises:
        ApiError: Not such a number.
    """
    value = parse_decimal(str(parameters.get(name) or 0))
    if value is None or value < 0:
        raise ApiError(f"EGeneral:Invalid arguments:{name}")
    return float(value)


def parse_order(
    exchange: Exchange, parameters: Mapping[str, Any], default_id: str
) -> IncomingOrder:
    """Return the order that ``AddOrder`` parameters ask for.

    Raises:
        ApiError: As the venue answers it.
    """
    if not parameters.get("pair"):
        raise ApiError("EGeneral:Invalid arguments:pair")
    listing = listing_of(exchange, str(parameters["pair"]))
    _check_read(parameters)
    side, kind = (str(parameters.get(name) or "") for name in ("type", "ordertype"))
    if side not in {"buy", "sell"}:
        raise ApiError("EGeneral:Invalid arguments:type")
    if kind not in {"limit", "market"}:
        raise ApiError("EGeneral:Invalid arguments:ordertype")
    client_id = str(parameters.get("cl_ord_id") or "")
    if client_id and parameters.get("userref"):
        raise ApiError("EGeneral:Invalid arguments:cl_ord_id and userref are exclusive")
    if not _legal_client_id(client_id):
        raise ApiError("EGeneral:Invalid arguments:cl_ord_id")
    tif = str(parameters.get("timeinforce") or "GTC").upper()
    if tif not in {"GTC", "IOC", "FOK"}:
        raise ApiError("EGeneral:Invalid arguments:timeinforce")
    flags = str(parameters.get("oflags") or "").split(",")
    market = kind == "market"
    return IncomingOrder(
        listing=listing,
        terms=listing.terms(
            Side(side),
            number(parameters, "volume"),
            None if market else number(parameters, "price"),
            OrderType.MARKET if market else OrderType.LIMIT,
            TimeInForce.IOC if market else TimeInForce(tif),
        ),
        client_id=client_id or default_id,
        post_only="post" in flags,
        tag=str(parameters.get("userref") or ""),
    )


def _check_read(parameters: Mapping[str, Any]) -> None:
    """Refuse what would make another order of it and is not simulated."""
    flags = dict.fromkeys(str(parameters.get("oflags") or "").split(","), "oflags")
    for given, read in ((parameters, READ), (flags, FLAGS)):
        if name := first_unread(given, read):
            raise ApiError(f"EGeneral:Invalid arguments:{shown(name)} is not simulated")


def _legal_client_id(text: str) -> bool:
    bare = text.replace("-", "")
    is_uuid = len(bare) == 32 and len(text) in {32, 36} and bare.isalnum()
    return is_uuid or (len(text) <= 18 and text.isascii())


def description(order: Order) -> dict[str, str]:
    """Return the ``descr`` of an order."""
    request, listing = order.request, order.request.listing
    price = listing.price_text(order.ticks)
    kind = request.type.value.lower()
    at = f"limit {price}" if request.type is OrderType.LIMIT else "market"
    return {
        "pair": listing.symbol,
        "type": request.side.value,
        "ordertype": kind,
        "price": price if request.type is OrderType.LIMIT else "0",
        "price2": "0",
        "leverage": "none",
        "order": f"{request.side.value} {listing.qty_text(order.lots)} {listing.symbol} @ {at}",
        "close": "",
    }


def status_text(order: Order) -> str:
    """Return REST's word for an order's state."""
    if order.is_open:
        return "open"
    if order.status is Status.FILLED:
        return "closed"
    return "canceled"  # also what an immediate-or-cancel order left over


def has_client_id(order: Order) -> bool:
    """Whether the client named the order (else the id is our own)."""
    return not order.request.client_id.startswith("~")


def rest_order(order: Order, *, trades: bool) -> dict[str, Any]:
    """Return an order as ``QueryOrders`` does."""
    request, listing = order.request, order.request.listing
    flags = ["fciq"] + (["post"] if request.post_only else [])
    body: dict[str, Any] = {
        "refid": None,
        "userref": int(request.tag) if request.tag.lstrip("-").isdigit() else None,
        "status": status_text(order),
        "opentm": order.ts_ms / 1_000,
        "starttm": 0,
        "expiretm": 0,
        "descr": description(order),
        "vol": listing.qty_text(order.lots),
        "vol_exec": listing.qty_text(order.filled_lots),
        "cost": f"{order.cost:.8f}",
        "fee": f"{order.fee:.8f}",
        "price": f"{order.average:.8f}",
        "stopprice": "0.00000",
        "limitprice": "0.00000",
        "misc": "",
        "oflags": ",".join(flags),
        "timeinforce": request.tif.value,
    }
    if has_client_id(order):
        body["cl_ord_id"] = request.client_id
    if not order.is_open:
        body["closetm"] = order.updated_ms / 1_000
        body["reason"] = order.reason or None
    if trades:
        body["trades"] = [trade_id(fill) for fill in order.fills]
    return body


def rest_trade(fill: Fill, order: Order | None) -> dict[str, Any]:
    """Return a fill as ``TradesHistory`` does."""
    kind = order.request.type.value.lower() if order else "limit"
    body: dict[str, Any] = {
        "ordertxid": venue_id("O", fill.order_id),
        "postxid": "TKH2SE-M7IF5-CFI7LT",
        "pair": fill.listing.symbol,
        "time": fill.ts_ms / 1_000,
        "type": fill.side.value,
        "ordertype": kind,
        "price": fill.listing.price_text(fill.ticks),
        "cost": f"{fill.price * fill.qty:.8f}",
        "fee": f"{fill.fee:.8f}",
        "vol": fill.listing.qty_text(fill.lots),
        "margin": "0.00000",
        "leverage": "0",
        "misc": "",
        "trade_id": fill.trade_id,
        "maker": fill.maker,
    }
    if order is not None and has_client_id(order):
        body["cl_ord_id"] = order.request.client_id
    return body
