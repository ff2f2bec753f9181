"""How Gate refuses a request: a label and a text, with an HTTP status. Pure."""

from __future__ import annotations

from shared.exchange.orders import Refusal


class ApiError(Exception):
    """An error as the venue answers it."""

    def __init__(self, label: str, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.label, self.text, self.status = label, text, status


REFUSALS: dict[Refusal, tuple[str, str]] = {
    Refusal.PRICE_FILTER: ("INVALID_PARAM_VALUE", "Invalid price precision"),
    Refusal.LOT_SIZE: ("INVALID_PARAM_VALUE", "Your order size is too small or too fine"),
    Refusal.NOTIONAL: ("INVALID_PARAM_VALUE", "Your order size is below the minimum"),
    Refusal.BALANCE: ("BALANCE_NOT_ENOUGH", "Not enough balance"),
    Refusal.MARGIN: ("BALANCE_NOT_ENOUGH", "Not enough balance"),
    Refusal.WOULD_TAKE: ("POC_FILL_IMMEDIATELY", "Order would match and take immediately"),
    Refusal.FOK_UNFILLED: ("FOK_NOT_FILL", "Order cannot be filled completely"),
    Refusal.DUPLICATE_ID: ("INVALID_PARAM_VALUE", "Duplicate text of an open order"),
    Refusal.NO_LIQUIDITY: ("INVALID_PARAM_VALUE", "No liquidity"),
    Refusal.TOO_MANY_OPEN: ("TOO_MANY_ORDERS", "Too many open orders"),
    Refusal.REDUCE_ONLY: ("INVALID_PARAM_VALUE", "Spot has no positions"),
    Refusal.NOT_OPEN: ("ORDER_CLOSED", "The order is closed"),
    Refusal.FAULT: ("INVALID_PARAM_VALUE", "Order rejected by the matching engine"),
}


def missing(name: str) -> ApiError:
    """Return the error for a parameter that is not there."""
    return ApiError("MISSING_REQUIRED_PARAM", f"Missing required parameter: {name}")


def invalid(name: str) -> ApiError:
    """Return the error for a parameter that is not what it should be."""
    return ApiError("INVALID_PARAM_VALUE", f"Invalid parameter value: {name}")


def refused(reason: Refusal) -> ApiError:
    """Return the error for an order that the exchange refused."""
    return ApiError(*REFUSALS[reason])
