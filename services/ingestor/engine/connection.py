"""One connection to a venue: when it is opened, renewed and given up. Pure.

Before the venue would cut a connection (often after 24 h) it is renewed at a time of its own, so
that not all go at once; the session then starts new epochs. Where the venue says anew where to
connect, it is asked each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from services.ingestor.engine.driver import FeedDriver
from services.ingestor.engine.requests import (
    CloseConnection,
    LogLevel,
    OpenConnection,
    SendFrames,
    SnapshotAnswered,
)
from services.ingestor.engine.step_builder import StepBuilder
from shared.delays import GrowingDelay, Uniform
from shared.errors import ParseError
from shared.venues.client_books import ClientBooks

GOING_AWAY = (1012, 1013)
"""Close codes (service restart, try again later) with which a venue says that it is not the
connection's fault: an operator is told."""
BACKOFF_S = 0.25
BACKOFF_S_MAX = 30.0
STEADY_NS = 10_000_000_000
"""A connection that lived this long starts its backoff over when it is lost."""
SERVED_NS = 5_000_000_000
"""So does one that lived this long and had a book in step, whatever the venue ends it for. Shorter
would break limits of venues: the strictest lets one open a connection every 4 s."""
TICK_NS = 200_000_000
"""How often the session's timer runs."""
LIFETIME_SHARE = 0.95
"""A connection is renewed at a random time between half of this share of its lifetime and all."""
NEVER_NS = 1 << 62
OK = 200


class Connection:
    """Keeps one connection up for its driver.

    Args:
        driver: What frames are handed to.
        url: Where to connect; where the venue is asked for it, what to use instead of its answer,
            or empty.
        lifetime_s: How long the venue lets a connection live.
        out: Takes what is decided.
        uniform: Jitter.
        ids: Names of connections, shared by all of the engine.
        ask_address: Asks the venue where to connect; ``on_address`` is called with its answer.
        client: What is opened instead of a socket.
    """

    def __init__(
        self,
        driver: FeedDriver,
        url: str,
        *,
        lifetime_s: float,
        out: StepBuilder,
        uniform: Uniform,
        ids: Iterator[int],
        ask_address: Callable[[Connection, int], None] | None = None,
        client: ClientBooks | None = None,
    ) -> None:
        self.driver = driver
        self.id = 0
        """The present attempt; 0 while waiting for the next one."""
        self.due_ns = NEVER_NS
        """When ``on_timer`` must be called."""
        self._url, self._lifetime_s, self._out = url, lifetime_s, out
        self._uniform, self._ids = uniform, ids
        self._ask_address, self._client = ask_address, client
        self._backoff = GrowingDelay(BACKOFF_S, BACKOFF_S_MAX, uniform)
        self._opened_ns = NEVER_NS
        self._renew_ns = NEVER_NS

    def open(self, now_ns: int) -> None:
        """Ask for the connection."""
        self.id = next(self._ids)
        self._opened_ns = NEVER_NS
        self.due_ns = NEVER_NS
        if self._ask_address is not None:
            self._ask_address(self, now_ns)
        else:
            self._out.do(OpenConnection(self.id, self._url, self.driver.venue, self._client))

    def on_address(self, answer: SnapshotAnswered, now_ns: int) -> None:
        """The venue says where to connect, or does not."""
        asked = self.driver.connection.address
        assert asked is not None, "only then it is asked"
        if answer.status != OK:
            self._end(f"no address: {answer.error or f'HTTP {answer.status}'}", now_ns)
            return
        try:
            url = asked.read(answer.body, self._url)
        except ParseError as error:
            self._end(f"no address: {error}", now_ns)
            return
        self._out.do(OpenConnection(self.id, url, self.driver.venue))

    def on_opened(self, now_ns: int) -> None:
        """The connection is up."""
        self._opened_ns = now_ns
        lifetime_s = self._lifetime_s * LIFETIME_SHARE
        self._renew_ns = now_ns + int(self._uniform(lifetime_s / 2, lifetime_s) * 1e9)
        self.driver.on_open(now_ns)
        self._tick(now_ns)

    def on_timer(self, now_ns: int) -> None:
        """Do what is due."""
        if now_ns < self.due_ns:
            return
        if not self.driver.is_open:
            self.open(now_ns)
        elif now_ns >= self._renew_ns:
            self.driver.reconnect_reason = "renewed before the venue's limit"
            self.flush(now_ns)
        else:
            self._tick(now_ns)

    def on_closed(self, reason: str, code: int, now_ns: int) -> None:
        """The connection is gone, or could not be had."""
        if code in GOING_AWAY:
            self.driver.on_venue_state(reason, now_ns)
        self._end(reason, now_ns)

    def stop(self, now_ns: int) -> None:
        """Close it and never open it again."""
        if self.id:
            self._out.do(CloseConnection(self.id))
        self.id, self.due_ns = 0, NEVER_NS
        self.driver.on_close(now_ns, "the ingestor was stopped")

    def flush(self, now_ns: int) -> None:
        """Carry out what the driver wants of the connection; follows every call of the driver."""
        driver = self.driver
        if not self.id:
            return
        if driver.sends:
            sends, driver.sends = driver.sends, []
            self._out.do(SendFrames(self.id, sends))
        if driver.reconnect_reason is not None:
            self._out.do(CloseConnection(self.id))
            self._end(driver.reconnect_reason, now_ns)

    def _tick(self, now_ns: int) -> None:
        # All connections at the same moments: one call of the engine for them all.
        next_ns = (now_ns // TICK_NS + 1) * TICK_NS
        self.due_ns = min(next_ns, self._renew_ns)
        self.driver.on_timer(now_ns)
        self.flush(now_ns)

    def _end(self, reason: str, now_ns: int) -> None:
        driver = self.driver
        self.id = 0
        has_served = any(state.is_followed for state, *_ in driver.books.values())
        driver.on_close(now_ns, reason)
        driver.sends, driver.reconnect_reason = [], None
        self._out.count("reconnects")
        if now_ns - self._opened_ns > (SERVED_NS if has_served else STEADY_NS):
            self._backoff.reset()
        delay_s = self._backoff.next_s()
        self.due_ns = now_ns + max(1, int(delay_s * 1e9))
        self._out.log(
            LogLevel.WARNING,
            "disconnected",
            venue=driver.venue,
            url=self._url or (driver.connection.address or driver.connection).path,
            connection=driver.connection.name,
            reason=reason,
            retry_s=delay_s,
        )
