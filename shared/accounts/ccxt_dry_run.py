"""Requests that a ccxt client builds and that never leave: what it would send, read offline.

ccxt documents little about client order ids, so the client itself is asked: it builds and signs a
request for a made-up spot market, and it is stopped where it would be sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec

from shared.accounts.ccxt_requests import UNREADABLE, BaseError
from shared.venues.ccxt_classes import load_exchange

SYMBOL = "BTC/USDT"
CREDENTIAL = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
"""Of no account: any base64, since some venues' secrets are."""
NOW_MS = 1_700_000_000_000
BUILD_S = 5.0
"""A request that is not there by then waits for something, and there is nothing to come."""
FAILURES = (BaseError, *UNREADABLE, ImportError, RuntimeError, OSError)
"""What a client raises that cannot build a request."""


class Built(NamedTuple):
    """A request as it would have left, or why there is none (``failure``)."""

    fields: Mapping[str, str] = {}
    """Of query and body, by name; of an object within another by both names with a dot."""
    path: str = ""
    cost: float = 0.0
    """What it costs by the client's own rate limit, in units of its ``rateLimit`` ms."""
    failure: str = ""


class _StoppedError(Exception):
    """Raised in the place of sending."""


class DryRun:
    """A client of its own for building requests; it has no connection and never gets one."""

    def __init__(self, ccxt_id: str, options: Mapping[str, Any]) -> None:
        exchange = load_exchange(ccxt_id)
        self.client = exchange(
            {"enableRateLimit": True, "options": dict(options)}
        )  # costs are told
        for name, is_needed in self.client.requiredCredentials.items():
            if is_needed:
                setattr(self.client, name, CREDENTIAL)
        self._sent: list[tuple[str, Any]] = []
        self._cost = 0.0
        self.client.fetch, self.client.throttle = self._fetch, self._throttle
        self.client.milliseconds = self.client.nonce = lambda: (
            NOW_MS
        )  # equal means equal to the bit
        self.client.price_to_precision = self.client.amount_to_precision = lambda _, value: value
        self.client.load_markets = self._markets
        self.client.set_markets([self.client.safe_market_structure(_MARKET)])

    async def _fetch(self, url: str, *rest: Any, **named: Any) -> Any:
        self._sent.append((url, rest[2] if len(rest) > 2 else named.get("body")))
        raise _StoppedError

    async def _markets(self, *_: Any, **__: Any) -> Any:
        return self.client.markets

    async def _throttle(self, cost: Any = None) -> None:
        self._cost = float(cost or 0)

    async def build(self, method: str, *values: Any) -> Built:
        """Return the first request of a method of the client."""
        self._sent.clear()
        self._cost = 0.0
        try:
            async with asyncio.timeout(BUILD_S):
                await getattr(self.client, method)(*values)
        except _StoppedError:
            url, body = self._sent[0]
            parts = urlsplit(url)
            fields = {**dict(parse_qsl(parts.query)), **_fields_of(body)}
            return Built(fields, parts.path, self._cost)
        except FAILURES as error:  # a timeout is an OSError
            return Built(failure=str(error)[:120] or type(error).__name__)
        return Built(failure="it sends no request")


def _fields_of(body: Any) -> dict[str, str]:
    if not body:
        return {}
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    try:
        return dict(_flat(msgspec.json.decode(text), ""))
    except msgspec.DecodeError:
        return dict(parse_qsl(text))


def _flat(value: Any, name: str) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [
            row
            for key, inner in value.items()
            for row in _flat(inner, f"{name}.{key}" if name else str(key))
        ]
    if isinstance(value, list):
        return [row for inner in value for row in _flat(inner, name)]
    return [(name, str(value))]


_MARKET: dict[str, Any] = {
    "id": "BTCUSDT",
    "symbol": SYMBOL,
    "base": "BTC",
    "quote": "USDT",
    "baseId": "BTC",
    "quoteId": "USDT",
    "type": "spot",
    "spot": True,
    "margin": False,
    "swap": False,
    "future": False,
    "option": False,
    "contract": False,
    "active": True,
    "taker": 0.001,
    "maker": 0.001,
    "precision": {"price": 0.01, "amount": 0.0001},
    "limits": {"amount": {"min": 0.0001}, "price": {}, "cost": {}, "leverage": {}},
    "info": {"orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"]},
}
