"""One WebSocket connection to a venue: dial, read, send, renew. IO only; decides nothing.

Frames go straight from the socket to the driver, stamped when they are taken from it. The library
answers the venue's pings. Before the venue would cut the connection (24 h on Binance) it is renewed
at a time of its own, so that not all connections go at once; the session then starts new epochs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import CloseCode

from services.ingestor.driver import FeedDriver
from shared.backoff import Backoff
from shared.clock import Clock
from shared.observe import Observer

log = logging.getLogger(__name__)

GOING_AWAY = (CloseCode.SERVICE_RESTART, CloseCode.TRY_AGAIN_LATER)
"""Codes with which a venue says that it is not the connection's fault: an operator is told."""
FRAME_BYTES_MAX = 16 * 1024 * 1024
FRAMES_QUEUED_MAX = 1_024
"""Frames read but not yet handled; beyond it the socket is left unread (back-pressure)."""
OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
PING_S = 20.0
BACKOFF_S = 0.25
BACKOFF_S_MAX = 30.0
STEADY_S = 10.0
"""A connection that lived this long starts its backoff over when it is lost."""
TICK_S = 0.2
"""How often the session's timer runs."""
LIFETIME_SHARE = 0.95
"""A connection is renewed at a random time between half of this share of its lifetime and all."""


class FeedSocket:
    """Keeps one connection up for its driver.

    Args:
        driver: What frames are handed to.
        url: Where to dial.
        lifetime_s: How long the venue lets a connection live.
        clock: Stamps frames.
        observer: Counters.
        on_frame: Called after each frame with the time of its arrival.
    """

    def __init__(
        self,
        driver: FeedDriver,
        url: str,
        *,
        lifetime_s: float,
        clock: Clock,
        observer: Observer,
        on_frame: Callable[[int], None],
    ) -> None:
        self._driver, self._url, self._lifetime_s = driver, url, lifetime_s
        self._clock, self._observer, self._on_frame = clock, observer, on_frame
        self._backoff = Backoff(BACKOFF_S, BACKOFF_S_MAX)

    async def run(self) -> None:
        """Connect, read, and connect again, for ever."""
        driver = self._driver
        extra = {"venue": driver.venue, "url": self._url, "connection": driver.connection.name}
        while True:
            opened_ns = self._clock.monotonic_ns()
            try:
                await self._live_once()
                reason = driver.reconnect_reason or "the connection was closed"
            except (OSError, TimeoutError, WebSocketException) as error:
                reason = driver.reconnect_reason or f"{type(error).__name__}: {error}"
                if _is_going_away(error):
                    driver.on_venue_state(reason, self._clock.now_ns())
            driver.on_close(self._clock.now_ns(), reason)
            self._observer.count("reconnects")
            if self._clock.monotonic_ns() - opened_ns > STEADY_S * 1e9:
                self._backoff.reset()
            delay_s = self._backoff.next_s()
            log.warning("disconnected", extra={**extra, "reason": reason, "retry_s": delay_s})
            await asyncio.sleep(delay_s)

    async def _live_once(self) -> None:
        """Dial and read until the connection ends."""
        async with connect(
            self._url,
            compression=None,
            max_size=FRAME_BYTES_MAX,
            max_queue=FRAMES_QUEUED_MAX,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            proxy=True if self._url.startswith("wss:") else None,
        ) as socket:
            self._driver.on_open(self._clock.now_ns())
            control = asyncio.create_task(self._control(socket))
            try:
                await self._read(socket)
            finally:
                control.cancel()
                await asyncio.gather(control, return_exceptions=True)

    async def _read(self, socket: ClientConnection) -> None:
        driver, now_ns, on_frame = self._driver, self._clock.now_ns, self._on_frame
        while True:
            # Does not yield while frames are queued: what one socket read brought is handled in
            # one turn of the event loop, and leaves in one commit.
            raw = await socket.recv(decode=False)
            ts_recv_ns = now_ns()
            driver.on_frame(raw, ts_recv_ns)
            on_frame(ts_recv_ns)

    async def _control(self, socket: ClientConnection) -> None:
        """Send what the session wants sent, run its timer, end the connection when asked."""
        driver = self._driver
        lifetime_s = self._lifetime_s * LIFETIME_SHARE
        monotonic_ns = self._clock.monotonic_ns
        renew_ns = monotonic_ns() + int(Backoff(lifetime_s, lifetime_s).next_s() * 1e9)
        tick_ns = 0
        try:
            while True:
                if monotonic_ns() >= tick_ns:
                    driver.on_timer(self._clock.now_ns())
                    tick_ns = monotonic_ns() + int(TICK_S * 1e9)
                for frame in driver.take_sends():
                    await socket.send(frame)
                if monotonic_ns() >= renew_ns:
                    driver.reconnect_reason = "renewed before the venue's limit"
                if driver.reconnect_reason is not None:
                    return
                try:
                    async with asyncio.timeout(TICK_S):
                        await driver.wake.wait()
                except TimeoutError:
                    pass
                driver.wake.clear()
        finally:
            # Also when sending failed: the reader must not wait on a connection nobody tends.
            await socket.close()


def _is_going_away(error: BaseException) -> bool:
    """Tell whether the venue closed the connection because of its own state."""
    told = error.rcvd if isinstance(error, ConnectionClosed) else None
    return told is not None and told.code in GOING_AWAY
