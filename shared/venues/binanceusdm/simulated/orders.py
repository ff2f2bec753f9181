"""Orders, fills and events in USDT-M's format. Pure."""

from __future__ import annotations

from typing import Any

from shared.exchange.accounts import AccountLedger
from shared.exchange.funding import Payment
from shared.exchange.orders import Fill, Order
from shared.messages.base import Side
from shared.messages.terms import OrderType


def _time_in_force(order: Order) -> str:
    request = order.request
    if request.tag == "GTX":
        return "GTX"
    return "GTC" if request.type is OrderType.MARKET else request.tif.value


def futures_order(order: Order) -> dict[str, Any]:
    """Return an order as ``GET /fapi/v1/order`` does."""
    request, listing = order.request, order.request.listing
    return {
        "orderId": order.id,
        "symbol": listing.symbol,
        "status": order.status.value,
        "clientOrderId": request.client_id,
        "price": listing.price_text(order.ticks),
        "avgPrice": f"{order.average:.5f}",
        "origQty": listing.qty_text(order.lots),
        "executedQty": listing.qty_text(order.filled_lots),
        "cumQty": listing.qty_text(order.filled_lots),
        "cumQuote": f"{order.cost:.5f}",
        "timeInForce": _time_in_force(order),
        "type": request.type.value,
        "reduceOnly": request.reduce_only,
        "closePosition": False,
        "side": request.side.value.upper(),
        "positionSide": "BOTH",
        "stopPrice": "0.00",
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": request.type.value,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "time": order.ts_ms,
        "updateTime": order.updated_ms,
    }


def acknowledged(order: Order) -> dict[str, Any]:
    """Return the ACK answer: accepted, nothing known of fills."""
    listing = order.request.listing
    return futures_order(order) | {
        "status": "NEW",
        "avgPrice": "0.00",
        "executedQty": listing.qty_text(0),
        "cumQty": listing.qty_text(0),
        "cumQuote": "0",
    }


def futures_trade(fill: Fill) -> dict[str, Any]:
    """Return a fill as ``GET /fapi/v1/userTrades`` does."""
    listing = fill.listing
    return {
        "symbol": listing.symbol,
        "id": fill.trade_id,
        "orderId": fill.order_id,
        "side": fill.side.value.upper(),
        "price": listing.price_text(fill.ticks),
        "qty": listing.qty_text(fill.lots),
        "realizedPnl": f"{fill.pnl:.8f}",
        "quoteQty": f"{fill.price * fill.qty:.8f}",
        "commission": f"{fill.fee:.8f}",
        "commissionAsset": fill.fee_asset,
        "time": fill.ts_ms,
        "positionSide": "BOTH",
        "buyer": fill.side is Side.BUY,
        "maker": fill.maker,
    }


def trade_update(order: Order, what: str, fill: Fill | None, now_ms: int) -> dict[str, Any]:
    """Return an ``ORDER_TRADE_UPDATE``."""
    request, listing = order.request, order.request.listing
    body: dict[str, Any] = {
        "s": listing.symbol,
        "c": request.client_id,
        "S": request.side.value.upper(),
        "o": request.type.value,
        "f": _time_in_force(order),
        "q": listing.qty_text(order.lots),
        "p": listing.price_text(order.ticks),
        "ap": f"{order.average:.5f}",
        "sp": "0",
        "x": "AMENDMENT" if what == "AMENDED" else what,
        "X": "NEW" if what == "NEW" else order.status.value,
        "i": order.id,
        "l": listing.qty_text(fill.lots if fill else 0),
        "z": listing.qty_text(order.filled_lots),
        "L": listing.price_text(fill.ticks if fill else 0),
        "T": order.updated_ms,
        "t": fill.trade_id if fill else 0,
        "b": "0",
        "a": "0",
        "m": bool(fill and fill.maker),
        "R": request.reduce_only,
        "wt": "CONTRACT_PRICE",
        "ot": request.type.value,
        "ps": "BOTH",
        "cp": False,
        "rp": f"{fill.pnl:.8f}" if fill else "0",
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": "EXPIRE_MAKER",
        "pm": "NONE",
        "gtd": 0,
    }
    if fill:
        body |= {"N": fill.fee_asset, "n": f"{fill.fee:.8f}"}
    return {"e": "ORDER_TRADE_UPDATE", "E": now_ms, "T": order.updated_ms, "o": body}


def account_update(order: Order, ledger: AccountLedger, now_ms: int) -> dict[str, Any]:
    """Return the ``ACCOUNT_UPDATE`` that a fill causes."""
    listing = order.request.listing
    balance, position = ledger.balance(listing.quote), ledger.positions[listing.instrument]
    wallet = f"{balance.free + balance.used:.8f}"
    return {
        "e": "ACCOUNT_UPDATE",
        "E": now_ms,
        "T": order.updated_ms,
        "a": {
            "m": "ORDER",
            "B": [{"a": listing.quote, "wb": wallet, "cw": wallet, "bc": "0"}],
            "P": [
                {
                    "s": listing.symbol,
                    "pa": f"{position.qty:f}",
                    "ep": f"{position.entry_price:.5f}",
                    "bep": f"{position.entry_price:.5f}",
                    "cr": "0",
                    "up": "0",
                    "mt": "cross",
                    "iw": "0",
                    "ps": "BOTH",
                }
            ],
        },
    }


def funding_fee(payment: Payment) -> dict[str, Any]:
    """Return a payment as ``GET /fapi/v1/income`` does."""
    return {
        "symbol": payment.listing.symbol,
        "incomeType": "FUNDING_FEE",
        "income": f"{payment.amount:.8f}",
        "asset": payment.asset,
        "info": "FUNDING_FEE",
        "time": payment.ts_ms,
        "tranId": payment.id,
        "tradeId": "",
    }


def funding_update(payment: Payment, ledger: AccountLedger, now_ms: int) -> dict[str, Any]:
    """Return an ``ACCOUNT_UPDATE`` of a funding: of a cross position it tells the balance only."""
    balance = ledger.balance(payment.asset)
    wallet = f"{balance.free + balance.used:.8f}"
    change = {"a": payment.asset, "wb": wallet, "cw": wallet, "bc": f"{payment.amount:.8f}"}
    return {
        "e": "ACCOUNT_UPDATE",
        "E": now_ms,
        "T": payment.ts_ms,
        "a": {"m": "FUNDING_FEE", "B": [change], "P": []},
    }
