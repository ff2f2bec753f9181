"""Orders in batches, and changes of orders, at the simulated Gate.

Each part of a batch has an answer of its own, in the order of the batch. An amended order keeps
its id, and its place in the queue where it only shrinks; it is canceled where less is wanted than
was filled (Amend an order).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from shared.exchange.amending import parse_amendment
from shared.exchange.exchange import Exchange
from shared.exchange.orders import Order, RefusedError
from shared.simulated.requests import decode_list, first_unread, shown
from shared.venues.gateio.simulated import orders as formats
from shared.venues.gateio.simulated.errors import ApiError, invalid, missing, refused

PAIRS_MAX, ORDERS_MAX = 4, 10
"""In a batch of new orders, and of each pair."""
CANCELS_MAX, AMENDS_MAX = 20, 5
LEFT_BY_CLIENTS = frozenset({"textIsRequired"})
"""What ccxt means for itself and sends all the same; it changes no order."""
READ_AMEND = frozenset({"order_id", "currency_pair", "account", "amount", "price"})

Parameters = Mapping[str, Any]
Do = Callable[[Parameters, int], Order]


def parse_batch(body: str, most: int) -> list[dict[str, Any]]:
    """Return the parts of a batch.

    Raises:
        ApiError: It is none, or has too many.
    """
    parts = decode_list(body)
    if parts is None or not all(isinstance(part, dict) for part in parts):
        raise ApiError("INVALID_PROTOCOL", "The body is no JSON array of objects")
    if not 1 <= len(parts) <= most:
        raise ApiError("INVALID_ARGUMENT", f"a batch has 1 to {most} orders")
    return parts


def place_batch(body: str, now_ms: int, do: Do) -> list[dict[str, Any]]:
    """Place orders; each must have a text.

    Raises:
        ApiError: It is no such batch; nothing was done.
    """
    parts = parse_batch(body, PAIRS_MAX * ORDERS_MAX)
    pairs = Counter(str(part.get("currency_pair")) for part in parts)
    if len(pairs) > PAIRS_MAX or max(pairs.values()) > ORDERS_MAX:
        text = f"a batch has {PAIRS_MAX} pairs at most, and {ORDERS_MAX} orders of each"
        raise ApiError("INVALID_ARGUMENT", text)
    if not all(part.get("text") for part in parts):
        raise missing("text")
    plain = ({name: part[name] for name in part if name not in LEFT_BY_CLIENTS} for part in parts)
    return [_told(part, now_ms, do) for part in plain]


def amend_batch(body: str, now_ms: int, do: Do) -> list[dict[str, Any]]:
    """Amend orders.

    Raises:
        ApiError: It is no such batch; nothing was done.
    """
    return [_told(part, now_ms, do) for part in parse_batch(body, AMENDS_MAX)]


def cancel_batch(body: str, now_ms: int, do: Do) -> list[dict[str, Any]]:
    """Cancel orders by id or text.

    Raises:
        ApiError: It is no such batch; nothing was done.
    """
    answers = []
    for part in parse_batch(body, CANCELS_MAX):
        named = {name: shown(part.get(name) or "") for name in ("currency_pair", "id")}
        told = _told(part, now_ms, do)
        verdict = {name: told[name] for name in ("text", "succeeded", "label", "message")}
        answers.append(named | verdict)
    return answers


def _told(part: Parameters, now_ms: int, do: Do) -> dict[str, Any]:
    try:
        done = formats.rest_order(do(part, now_ms))
    except ApiError as error:
        text = shown(part.get("text") or "")
        return {"text": text, "succeeded": False, "label": error.label, "message": error.text}
    return done | {"succeeded": True, "label": "", "message": ""}


def amend(exchange: Exchange, parameters: Parameters, now_ms: int) -> Order:
    """Change price or quantity of an open limit order.

    Raises:
        ApiError: It stays as it is.
    """
    if name := first_unread(parameters, READ_AMEND):
        raise ApiError("INVALID_ARGUMENT", f"{shown(name)} is not simulated")
    if parameters.get("account") not in (None, "", "spot"):
        raise ApiError("INVALID_ARGUMENT", "only the spot account is simulated")
    order = formats.find_order(exchange, str(parameters.get("order_id") or ""))
    if parameters.get("currency_pair") != order.request.listing.symbol:
        raise invalid("currency_pair")
    if not order.is_open:
        raise ApiError("ORDER_CLOSED", "The order is closed")
    qty, price = (
        formats.number(parameters, name) if parameters.get(name) else None
        for name in ("amount", "price")
    )
    if qty is None and price is None:
        raise missing("amount")
    try:
        wanted = parse_amendment(order, price, qty)
        if wanted.lots <= order.filled_lots:
            exchange.cancel(order, now_ms)
        else:
            exchange.amend(order, wanted, now_ms)
    except RefusedError as error:
        raise refused(error.reason) from error
    return order
