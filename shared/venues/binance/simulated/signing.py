"""Binance's request checks: key, signature over the text as sent, timestamp window. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

RECV_WINDOW_DEFAULT_MS = 5_000
RECV_WINDOW_MAX_MS = 60_000
AHEAD_MAX_MS = 1_000

NUMBER_CHARS_MAX = 20


class ApiError(Exception):
    """An error as Binance answers it: HTTP status, code, text, and perhaps data."""

    def __init__(self, code: int, text: str, status: int = 400, data: object = None) -> None:
        super().__init__(text)
        self.code, self.text, self.status, self.data = code, text, status, data
        self.headers: dict[str, str] = {}

    def body(self) -> dict[str, object]:
        """Return the answer's body."""
        told: dict[str, object] = {"code": self.code, "msg": self.text}
        return told if self.data is None else {**told, "data": self.data}


@dataclass(frozen=True, slots=True)
class Credentials:
    """The one API key of the simulated account."""

    key: str
    secret: str


def mandatory(name: str) -> ApiError:
    """Return the error for a missing parameter."""
    return ApiError(
        -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    )


def parse_parameters(query: str, body: str) -> dict[str, str]:
    """Return the parameters of a request; those of the body win."""
    return dict(parse_qsl(query, keep_blank_values=True)) | dict(
        parse_qsl(body, keep_blank_values=True)
    )


def check_key(key: str, credentials: Credentials) -> None:
    """Check the API key alone.

    Raises:
        ApiError: Missing or wrong.
    """
    if not key:
        raise ApiError(-2014, "API-key format invalid.", 401)
    if not hmac.compare_digest(key.encode("utf-8", "replace"), credentials.key.encode()):
        raise ApiError(-2015, "Invalid API-key, IP, or permissions for action.", 401)


def check_signed(query: str, body: str, key: str, credentials: Credentials, now_ms: int) -> None:
    """Check a signed request: the HMAC covers query and body exactly as they were sent.

    Raises:
        ApiError: As the venue answers it.
    """
    check_key(key, credentials)
    parameters = parse_parameters(query, body)
    signature = parameters.get("signature")
    if not signature:
        raise mandatory("signature")
    payload = _without_signature(query) + _without_signature(body)
    _compare(signature, payload, credentials)
    check_timestamp(parameters, now_ms)


def check_signed_message(
    parameters: Mapping[str, object], credentials: Credentials, now_ms: int
) -> None:
    """Check a signed WebSocket API request: parameters sorted by name, joined like a query.

    Raises:
        ApiError: As the venue answers it.
    """
    check_key(str(parameters.get("apiKey", "")), credentials)
    signature = parameters.get("signature")
    if not signature:
        raise mandatory("signature")
    payload = "&".join(
        f"{name}={_text(value)}"
        for name, value in sorted(parameters.items())
        if name != "signature"
    )
    _compare(str(signature), payload, credentials)
    check_timestamp({name: str(value) for name, value in parameters.items()}, now_ms)


def check_timestamp(parameters: Mapping[str, str], now_ms: int) -> None:
    """Check that the request is neither old nor from the future.

    Raises:
        ApiError: -1102 or -1021.
    """
    raw, window_raw = parameters.get("timestamp", ""), parameters.get("recvWindow", "")
    if not _is_number(raw.removeprefix("-")):
        raise mandatory("timestamp")
    timestamp = int(raw)
    if timestamp > 10**14:  # microseconds are allowed too
        timestamp //= 1_000
    window = (
        float(window_raw) if _is_number(window_raw.replace(".", "", 1)) else RECV_WINDOW_DEFAULT_MS
    )
    if window > RECV_WINDOW_MAX_MS:
        raise ApiError(-1131, "recvWindow must be less than 60000")
    if timestamp >= now_ms + AHEAD_MAX_MS:
        raise ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if timestamp < now_ms - window:
        raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= NUMBER_CHARS_MAX


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _without_signature(text: str) -> str:
    return "&".join(part for part in text.split("&") if part and not part.startswith("signature="))


def _compare(signature: str, payload: str, credentials: Credentials) -> None:
    wanted = hmac.new(credentials.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(signature.encode("utf-8", "replace"), wanted.encode()):
        raise ApiError(-1022, "Signature for this request is not valid.")


class RateMeter:
    """Request weight per minute and orders per ten seconds; 429, then 418 for who goes on."""

    def __init__(self, weight_per_minute: int, orders_per_10s: int) -> None:
        self.weight_per_minute, self.orders_per_10s = weight_per_minute, orders_per_10s
        self.used_weight = 0
        self._minute = -1
        self._refused = 0
        self._banned_until_ms = 0
        self._orders: deque[int] = deque(maxlen=orders_per_10s + 1)

    def spend(self, weight: int, now_ms: int) -> None:
        """Use request weight.

        Raises:
            ApiError: 429 -1003, or 418 for a client that ignored too many of those.
        """
        minute = now_ms // 60_000
        if minute != self._minute:
            self._minute, self.used_weight, self._refused = minute, 0, 0
        if now_ms < self._banned_until_ms:
            raise self._too_many(418, self._banned_until_ms - now_ms)
        self.used_weight += weight
        if self.used_weight > self.weight_per_minute:
            self._refused += 1
            if self._refused > 50:
                self._banned_until_ms = now_ms + 120_000
                raise self._too_many(418, 120_000)
            raise self._too_many(429, (minute + 1) * 60_000 - now_ms)

    def order(self, now_ms: int) -> None:
        """Count an order.

        Raises:
            ApiError: -1015.
        """
        recent = sum(now_ms - at < 10_000 for at in self._orders)
        if recent >= self.orders_per_10s:
            limit = f"{self.orders_per_10s} ORDERS per 10 SECOND"
            raise ApiError(-1015, f"Too many new orders; current limit is {limit}.", 429)
        self._orders.append(now_ms)

    def headers(self, now_ms: int) -> dict[str, str]:
        """Return the headers every answer carries."""
        recent = sum(now_ms - at < 10_000 for at in self._orders)
        return {
            "X-MBX-USED-WEIGHT": str(self.used_weight),
            "X-MBX-USED-WEIGHT-1M": str(self.used_weight),
            "X-MBX-ORDER-COUNT-10S": str(recent),
        }

    def _too_many(self, status: int, wait_ms: int) -> ApiError:
        text = (
            f"Too much request weight used; current limit is {self.weight_per_minute} request "
            "weight per 1 MINUTE."
        )
        error = ApiError(-1003, text, status)
        error.headers["Retry-After"] = str(max(1, -(-wait_ms // 1_000)))
        return error
