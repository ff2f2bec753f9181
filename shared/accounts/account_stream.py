"""Follows one account on a socket: connects, reads, renews, connects again. IO only.

What frames mean is the session's of the venue folder; what follows from it is the engine's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from websockets.exceptions import WebSocketException

from shared.accounts.ccxt_requests import Requests
from shared.accounts.gateway import FillReport, OrderReport, StreamNews, StreamState
from shared.backoff import Backoff
from shared.clock import Clock
from shared.errors import VenueError
from shared.messages.terms import OrderTerms
from shared.venues.account_port import (
    AccountConnection,
    AccountEffect,
    AccountFeed,
    Followed,
    OrderSeen,
)
from shared.venues.port import Reconnect, Send
from shared.websocket import open_websocket

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

FRAME_BYTES_MAX = 4 * 1024 * 1024
LIFETIME_SHARE = 0.9
BACKOFF_S, BACKOFF_S_MAX = 0.25, 30.0


@dataclass(frozen=True, slots=True)
class AccountSource:
    """Where and how a venue's accounts are followed; ``ws_url`` is empty for the venue's own."""

    feed: AccountFeed
    ws_url: str
    to_symbol: Callable[[str], str]


class AccountStream:
    """One account's.

    Args:
        venue: Its configured name.
        source: Where and how.
        client: A ccxt client with the account's keys.
        requests: The way of its REST requests.
        forced_by: Tells why the venue made an order itself.
    """

    def __init__(
        self,
        venue: str,
        source: AccountSource,
        client: Any,
        requests: Requests,
        *,
        clock: Clock,
        forced_by: Callable[[str], str],
    ) -> None:
        self._venue, self._feed, self._client = venue, source.feed, client
        self._base = source.feed.base_url(source.ws_url.rstrip("/"))
        self._requests, self._clock, self._forced_by = requests, clock, forced_by
        self._backoff = Backoff(BACKOFF_S, BACKOFF_S_MAX)

    async def follow(
        self, instruments: Mapping[str, str], take: Callable[[StreamNews], None]
    ) -> None:
        """Deliver account updates, with symbols turned into instruments, until canceled."""
        while True:
            try:
                reason = await self._live(instruments, take)
            except (VenueError, OSError, TimeoutError, WebSocketException) as error:
                reason = f"{type(error).__name__}: {error}"
            take(StreamState(is_followed=False, is_down=True, reason=reason))
            await asyncio.sleep(self._backoff.next_s())

    async def _live(
        self, instruments: Mapping[str, str], take: Callable[[StreamNews], None]
    ) -> str:
        """Live through one connection; return why it ended."""
        with self._requests.readable():
            made = await self._feed.prepare(self._client, self._requests.ask, instruments)
        async with open_websocket(self._base + made.path, FRAME_BYTES_MAX) as socket:
            return await self._read(socket, made, take)

    async def _read(
        self, socket: ClientConnection, made: AccountConnection, take: Callable[[StreamNews], None]
    ) -> str:
        begun_ns = self._clock.monotonic_ns()
        ends_ns = begun_ns + int(self._feed.lifetime_s * LIFETIME_SHARE * 1e9)
        renew_ns = begun_ns + int(self._feed.renew_s * 1e9) if self._feed.renew_s else ends_ns
        effects = made.session.on_open()
        while True:
            for effect in effects:
                if isinstance(effect, Reconnect):
                    return effect.reason
                await self._apply(effect, socket.send, take)
            wait_s = (min(ends_ns, renew_ns) - self._clock.monotonic_ns()) / 1e9
            try:
                async with asyncio.timeout(max(0.0, wait_s)):
                    raw = await socket.recv(decode=False)
            except TimeoutError:
                if self._clock.monotonic_ns() >= ends_ns:
                    return "renewed before the venue's limit"
                effects = ()
                renew_ns += int(self._feed.renew_s * 1e9)
                with self._requests.readable():
                    await self._feed.renew(self._client, self._requests.ask)
            else:
                effects = made.session.on_frame(raw)

    async def _apply(
        self,
        effect: AccountEffect,
        send: Callable[[str], Awaitable[None]],
        take: Callable[[StreamNews], None],
    ) -> None:
        if isinstance(effect, Send):
            await send(effect.frame)
        elif isinstance(effect, OrderSeen):
            take(report_of(self._venue, effect, self._forced_by(effect.client_order_id)))
        elif isinstance(effect, Followed):
            self._backoff.reset()
            take(StreamState(is_followed=True))
        elif not isinstance(effect, Reconnect):  # a hole, or what could not be read
            take(StreamState(is_followed=False, reason=effect.reason))


def report_of(venue: str, seen: OrderSeen, forced: str) -> OrderReport:
    """Return an order update of the stream in the form of an answer to a query."""
    terms = OrderTerms(
        venue=venue,
        instrument=seen.instrument,
        side=seen.side,
        qty=seen.qty,
        price_limit=seen.price_limit,
    )
    fills: tuple[FillReport, ...] = ()
    if seen.fill is not None:
        fill = FillReport(
            trade_id=seen.fill.trade_id,
            venue_order_id=seen.venue_order_id,
            instrument=seen.instrument,
            side=seen.side,
            price=seen.fill.price,
            qty=seen.fill.qty,
            fee=seen.fill.fee,
            fee_asset=seen.fill.fee_asset,
            ts_venue_ns=seen.fill.ts_venue_ms * 1_000_000,
        )
        fills = (fill,)
    return OrderReport(
        client_order_id=seen.client_order_id,
        terms=terms,
        status=seen.status,
        venue_order_id=seen.venue_order_id,
        filled_qty=seen.filled_qty,
        fills=fills,
        reason=seen.reason,
        forced=forced,
    )
