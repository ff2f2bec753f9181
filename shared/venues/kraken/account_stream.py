"""Kraken's ``executions`` channel (WebSocket v2, authenticated). Pure but for REST requests.

A token of REST subscribes; it must be used within 15 minutes, and the session then stays valid. The
snapshot lists working orders and the last executions. ``sequence`` rises by one with every message
of the connection, so a hole is seen. Later messages about an order may leave out what an earlier
one said; numbers are JSON numbers and read as decimals from their text.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from shared.errors import OutcomeUnknown, ParseError
from shared.messages.base import Side
from shared.messages.execution import OrderStatus
from shared.venues.account_port import (
    AccountConnection,
    AccountEffect,
    FillSeen,
    Followed,
    Missed,
    OrderSeen,
    checked,
)
from shared.venues.decoding import decoded
from shared.venues.kraken.parse import unix_ns
from shared.venues.order_port import RateLimitedRead
from shared.venues.port import Malformed, Reconnect, Send

ZERO = Decimal(0)
ORDERS_MAX = 1_000
"""Orders whose terms are remembered, the newest."""
STATUSES: Mapping[str, OrderStatus] = {
    "pending_new": OrderStatus.ACCEPTED,
    "new": OrderStatus.ACCEPTED,
    "partially_filled": OrderStatus.PARTIALLY_FILLED,
    "filled": OrderStatus.FILLED,
    "canceled": OrderStatus.CANCELED,
    "expired": OrderStatus.CANCELED,
}


class _Fee(msgspec.Struct, frozen=True, gc=False):
    asset: str
    qty: Decimal


class Execution(msgspec.Struct, frozen=True, gc=False):
    """A row of the channel.

    ``{"order_id":"OAAAAA-BBBBB-CCCCCC","cl_ord_id":"abplan00000000000","exec_type":"trade",
    "order_status":"filled","symbol":"BTC/USD","side":"buy","order_qty":0.01,"limit_price":60000.0,
    "cum_qty":0.01,"exec_id":"TAAAAA-BBBBB-CCCCCC","trade_id":70000001,"last_qty":0.01,
    "last_price":59990.0,"fees":[{"asset":"USD","qty":1.5}],"timestamp":"2026-..Z"}``
    """

    order_id: str
    exec_type: str
    order_status: str
    cl_ord_id: str = ""
    symbol: str = ""
    side: str = ""
    order_qty: Decimal = ZERO
    limit_price: Decimal = ZERO
    cum_qty: Decimal | None = None
    exec_id: str = ""
    last_qty: Decimal = ZERO
    last_price: Decimal = ZERO
    fees: list[_Fee] | None = None
    timestamp: datetime | None = None
    reason: str = ""


class _Frame(msgspec.Struct, frozen=True, gc=False):
    channel: str = ""
    type: str = ""
    method: str = ""
    success: bool = True
    error: str = ""
    sequence: int | None = None
    data: msgspec.Raw = msgspec.Raw(b"")


_FRAME = msgspec.json.Decoder(_Frame)
_ROWS = msgspec.json.Decoder(list[Execution])


class KrakenAccount:
    """One connection of an account.

    Args:
        token: Of ``GetWebSocketsToken``.
        instruments: Those that are traded, by symbol.
    """

    def __init__(self, token: str, instruments: Mapping[str, str]) -> None:
        self._token, self._instruments = token, instruments
        self._known: OrderedDict[str, OrderSeen] = OrderedDict()
        self._sequence = 0

    def on_open(self) -> Sequence[AccountEffect]:
        """Subscribe."""
        self._sequence = 0
        params = {
            "channel": "executions",
            "token": self._token,
            "snap_orders": True,
            "snap_trades": True,
        }
        request = {"method": "subscribe", "params": params, "req_id": 1}
        return (Send(msgspec.json.encode(request).decode()),)

    def on_frame(self, raw: bytes) -> Sequence[AccountEffect]:
        """Read an answer or a message of the channel."""
        try:
            frame = decoded(_FRAME, raw, "frame")
            if frame.method == "subscribe" and not frame.success:
                return (Reconnect(f"refused: {frame.error}"),)
            if frame.channel != "executions":
                return ()
            effects: list[AccountEffect] = self._sequence_effects(frame.sequence)
            if frame.type == "snapshot":
                effects.append(Followed())
            for row in decoded(_ROWS, bytes(frame.data), "executions"):
                seen = self._seen(row)
                effects += [] if seen is None else [seen]
        except ParseError as error:
            return (Malformed(str(error)),)
        return effects

    def _sequence_effects(self, sequence: int | None) -> list[AccountEffect]:
        if sequence is None:
            return []
        expected, self._sequence = self._sequence + 1, sequence
        if sequence == expected:
            return []
        return [Missed(f"message {expected} was to come, {sequence} came")]

    def _seen(self, row: Execution) -> OrderSeen | None:
        """Return what a row says; ``None`` for an order of which it is not known what it trades.

        Raises:
            ParseError: A status that is not documented.
        """
        if row.order_status not in STATUSES:
            raise ParseError(f"order {row.order_id} is {row.order_status}")
        checked(row.order_qty, row.limit_price, row.cum_qty, row.last_qty, row.last_price)
        checked(*(fee.qty for fee in row.fees or ()))
        known = self._known.get(row.order_id)
        instrument = self._instruments.get(row.symbol) if row.symbol else None
        if known is None and instrument is None:
            return None
        seen = OrderSeen(
            instrument=instrument or (known.instrument if known else ""),
            client_order_id=row.cl_ord_id or (known.client_order_id if known else ""),
            venue_order_id=row.order_id,
            side=_side(row, known),
            status=STATUSES[row.order_status],
            filled_qty=_filled(row, known),
            qty=row.order_qty or (known.qty if known else ZERO),
            price_limit=row.limit_price or (known.price_limit if known else ZERO),
            fill=_fill(row),
            reason=row.reason,
        )
        self._known[row.order_id] = msgspec.structs.replace(seen, fill=None, reason="")
        while len(self._known) > ORDERS_MAX:
            self._known.popitem(last=False)
        return seen


def _filled(row: Execution, known: OrderSeen | None) -> Decimal:
    if row.cum_qty is not None:
        return row.cum_qty
    return known.filled_qty if known else ZERO


def _side(row: Execution, known: OrderSeen | None) -> Side:
    if row.side in {"buy", "sell"}:
        return Side(row.side)
    if known is None:
        raise ParseError(f"order {row.order_id} has no side")
    return known.side


def _fill(row: Execution) -> FillSeen | None:
    if row.exec_type != "trade" or not row.exec_id or row.last_qty <= 0:
        return None
    fees = row.fees or []
    is_one = len({fee.asset for fee in fees}) == 1
    return FillSeen(
        trade_id=row.exec_id,
        price=row.last_price,
        qty=row.last_qty,
        fee=sum((fee.qty for fee in fees), ZERO) if is_one else None,
        fee_asset=fees[0].asset if is_one else "",
        ts_venue_ms=(unix_ns(row.timestamp) or 0) // 1_000_000,
    )


class KrakenAccountFeed:
    """How an account is followed there."""

    lifetime_s = 24 * 3_600.0
    renew_s = 0.0

    def base_url(self, ws_url: str) -> str:
        """Return where it is served."""
        return f"{ws_url}/auth" if ws_url else "wss://ws-auth.kraken.com"

    async def prepare(
        self, client: Any, read: RateLimitedRead, instruments: Mapping[str, str]
    ) -> AccountConnection:
        """Ask for a token."""
        answer = await read("stream", client.privatePostGetWebSocketsToken())
        token = (answer.get("result") or {}).get("token")
        if not isinstance(token, str) or not token:
            raise OutcomeUnknown("the answer carries no token")
        return AccountConnection("/v2", KrakenAccount(token, instruments))

    async def renew(self, client: Any, read: RateLimitedRead) -> None:
        """Nothing: the session stays valid."""


ACCOUNT = KrakenAccountFeed()
