"""The user data stream of Binance USDT-M: a listen key and its events. Pure but for requests.

The key lives for 60 minutes and is extended by PUT; with a key that has expired the connection
stays up and is silent, so ``listenKeyExpired`` ends it. ``TRADE_LITE`` comes earlier and tells no
fee; the event that follows has both. There is no sequence: see ``binance/account_stream.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from shared.errors import OutcomeUnknown, ParseError
from shared.venues.account_port import AccountConnection, AccountEffect, Followed
from shared.venues.binance.account_frames import ExecutionReport, order_seen
from shared.venues.decoding import decoded
from shared.venues.order_port import RateLimitedRead
from shared.venues.port import Malformed, Reconnect

UPDATE, EXPIRED = "ORDER_TRADE_UPDATE", "listenKeyExpired"
RENEW_S = 20 * 60.0


class _Event(msgspec.Struct, frozen=True, gc=False):
    """``{"e":"ORDER_TRADE_UPDATE","E":1723161255342,"T":1723161255340,"o":{..}}``."""

    event: str = msgspec.field(name="e", default="")
    order: msgspec.Raw = msgspec.field(name="o", default=msgspec.Raw(b""))


_EVENT = msgspec.json.Decoder(_Event)
_REPORT = msgspec.json.Decoder(ExecutionReport)


class FuturesAccount:
    """One connection of an account; ``instruments`` are those that are traded, by symbol."""

    def __init__(self, instruments: Mapping[str, str]) -> None:
        self._instruments = instruments

    def on_open(self) -> Sequence[AccountEffect]:
        """The key in the URL subscribes."""
        return (Followed(),)

    def on_frame(self, raw: bytes) -> Sequence[AccountEffect]:
        """Read an event."""
        try:
            event = decoded(_EVENT, raw, "event")
            if event.event in {EXPIRED, "serverShutdown"}:
                return (Reconnect(f"the venue ended the stream: {event.event}"),)
            if event.event != UPDATE:
                return ()
            report = decoded(_REPORT, bytes(event.order), UPDATE)
            instrument = self._instruments.get(report.symbol)
            return () if instrument is None else (order_seen(report, instrument),)
        except ParseError as error:
            return (Malformed(str(error)),)


class FuturesAccountFeed:
    """How an account is followed there."""

    lifetime_s = 24 * 3_600.0
    renew_s = RENEW_S

    def base_url(self, ws_url: str) -> str:
        """Return where it is served."""
        return ws_url or "wss://fstream.binance.com"

    async def prepare(
        self, client: Any, read: RateLimitedRead, instruments: Mapping[str, str]
    ) -> AccountConnection:
        """Ask for a listen key; one that is valid is told again."""
        answer = await read("stream", client.fapiPrivatePostListenKey())
        key = answer.get("listenKey")
        if not isinstance(key, str) or not key:
            raise OutcomeUnknown("the answer carries no listen key")
        return AccountConnection(f"/private/ws?listenKey={quote(key)}", FuturesAccount(instruments))

    async def renew(self, client: Any, read: RateLimitedRead) -> None:
        """Extend the listen key."""
        await read("stream", client.fapiPrivatePutListenKey())


ACCOUNT = FuturesAccountFeed()
