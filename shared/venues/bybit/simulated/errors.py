"""How Bybit refuses a request: a code and a text, with HTTP status 200. Pure."""

from __future__ import annotations

from shared.exchange.orders import Refusal


class ApiError(Exception):
    """An error as the venue answers it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


REFUSALS: dict[Refusal, tuple[int, str]] = {
    Refusal.PRICE_FILTER: (10001, "params error: price invalid"),
    Refusal.LOT_SIZE: (10001, "params error: Qty invalid"),
    Refusal.NOTIONAL: (110094, "Order does not meet minimum order value"),
    Refusal.BALANCE: (110007, "ab not enough for new order"),
    Refusal.MARGIN: (110007, "ab not enough for new order"),
    Refusal.DUPLICATE_ID: (110072, "OrderLinkedID is duplicate"),
    Refusal.REDUCE_ONLY: (110017, "current position is zero, cannot fix reduce-only order qty"),
    Refusal.NO_LIQUIDITY: (10001, "params error: no liquidity"),
    Refusal.TOO_MANY_OPEN: (110020, "Cannot have more than 500 active orders"),
    Refusal.NOT_OPEN: (110001, "order not exists or too late to replace"),
    Refusal.FAULT: (110032, "Illegal order"),
}
NOT_FOUND = ApiError(110001, "order not exists or too late to cancel")


def invalid(name: str) -> ApiError:
    """Return the error for a parameter that is missing or not what it should be."""
    return ApiError(10001, f"params error: {name} invalid")


def refused(reason: Refusal) -> ApiError:
    """Return the error for an order that the exchange refused."""
    return ApiError(*REFUSALS[reason])
