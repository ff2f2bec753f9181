"""The user data stream of Binance spot, on the WebSocket API. Pure but for the client's requests.

Listen keys are gone on spot: a signed ``userDataStream.subscribe.signature`` subscribes, and events
come as ``{"subscriptionId":0,"event":{..}}``. They carry no sequence: what is lost can only be
found by REST, so after every loss of the connection the account is read.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from shared.errors import ParseError
from shared.venues.account_port import AccountConnection, AccountEffect, Followed
from shared.venues.binance.account_frames import ExecutionReport, order_seen
from shared.venues.decoding import decoded
from shared.venues.order_port import RateLimitedRead
from shared.venues.port import Malformed, Reconnect, Send

SUBSCRIBE_ID = 1
SUBSCRIBE = "userDataStream.subscribe.signature"
VALIDITY_MS = 60_000
"""Between signing and the connection: the most that the venue allows."""
ENDINGS = frozenset({"eventStreamTerminated", "serverShutdown"})


class _Kind(msgspec.Struct, frozen=True, gc=False):
    event: str = msgspec.field(name="e", default="")


class _Error(msgspec.Struct, frozen=True, gc=False):
    code: int = 0
    msg: str = ""


class _Frame(msgspec.Struct, frozen=True, gc=False):
    """``{"id":1,"status":200,"result":{"subscriptionId":0}}``, or an event."""

    id: int | str | None = None
    status: int = 0
    error: _Error | None = None
    event: msgspec.Raw = msgspec.Raw(b"")


_FRAME = msgspec.json.Decoder(_Frame)
_KIND = msgspec.json.Decoder(_Kind)
_REPORT = msgspec.json.Decoder(ExecutionReport)


class SpotAccount:
    """One connection of an account.

    Args:
        request: The signed subscription.
        instruments: Those that are traded, by symbol.
    """

    def __init__(self, request: str, instruments: Mapping[str, str]) -> None:
        self._request, self._instruments = request, instruments

    def on_open(self) -> Sequence[AccountEffect]:
        """Subscribe."""
        return (Send(self._request),)

    def on_frame(self, raw: bytes) -> Sequence[AccountEffect]:
        """Read an answer or an event."""
        try:
            frame = decoded(_FRAME, raw, "frame")
            event = bytes(frame.event)
            if event:
                return self._on_event(event)
            if frame.error is not None:
                return (Reconnect(f"refused: {frame.error.code} {frame.error.msg}"),)
            return (Followed(),) if frame.id == SUBSCRIBE_ID and frame.status == 200 else ()
        except ParseError as error:
            return (Malformed(str(error)),)

    def _on_event(self, event: bytes) -> Sequence[AccountEffect]:
        kind = decoded(_KIND, event, "event").event
        if kind in ENDINGS:
            return (Reconnect(f"the venue ended the stream: {kind}"),)
        if kind != "executionReport":
            return ()
        report = decoded(_REPORT, event, "executionReport")
        instrument = self._instruments.get(report.symbol)
        return () if instrument is None else (order_seen(report, instrument),)


def signed(method: str, api_key: str, secret: str, now_ms: int) -> str:
    """Return a signed request of the WebSocket API: the parameters are signed sorted by name."""
    params = {"apiKey": api_key, "recvWindow": VALIDITY_MS, "timestamp": now_ms}
    text = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    request = {"id": SUBSCRIBE_ID, "method": method, "params": {**params, "signature": digest}}
    return msgspec.json.encode(request).decode()


class SpotAccountFeed:
    """How an account is followed there."""

    lifetime_s = 24 * 3_600.0
    renew_s = 0.0

    def base_url(self, ws_url: str) -> str:
        """Return where it is served."""
        return ws_url or "wss://ws-api.binance.com:443"

    async def prepare(
        self, client: Any, read: RateLimitedRead, instruments: Mapping[str, str]
    ) -> AccountConnection:
        """Sign the subscription by the venue's time."""
        del read
        request = signed(SUBSCRIBE, client.apiKey, client.secret, int(client.nonce()))
        return AccountConnection("/ws-api/v3", SpotAccount(request, instruments))

    async def renew(self, client: Any, read: RateLimitedRead) -> None:
        """Nothing: the subscription lives as long as its connection."""


ACCOUNT = SpotAccountFeed()
