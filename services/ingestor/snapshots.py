"""REST order books of one venue, asked for within its rate budget.

Requests wait for their turn in three ways: the time the session set (backoff), the venue's word
(``Retry-After`` of a 429 or 418 stops every request), and a bucket that refills with the share of
the venue's weight per minute that snapshots may use. At most ``CONCURRENT_MAX`` are in flight, so
that a hundred books lost at once neither storm the venue nor starve the feed of CPU.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

import aiohttp

from services.ingestor.driver import FeedDriver
from shared.clock import Clock
from shared.observe import Observer
from shared.venues.port import FetchSnapshot, RestBudget

log = logging.getLogger(__name__)

CONCURRENT_MAX = 4
TIMEOUT_S = 10.0
BODY_BYTES_MAX = 16 * 1024 * 1024
BURST_S = 10.0
"""The bucket holds this many seconds of the budget: what may be asked at once after quiet."""
RETRY_AFTER_S = {HTTPStatus.TOO_MANY_REQUESTS: 10.0, HTTPStatus.IM_A_TEAPOT: 120.0,
                 HTTPStatus.FORBIDDEN: 60.0}  # fmt: skip
"""How long to stay away where the venue does not say: limit hit, banned, firewalled."""
RETRY_AFTER_S_MAX = 3 * 24 * 3600.0
DEFINITE = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND})
"""The venue does not know this instrument; asking again will not help."""


class WeightBucket:
    """A token bucket of request weight; pure, on monotonic nanoseconds."""

    def __init__(self, budget: RestBudget, now_ns: int) -> None:
        self._per_ns = budget.weight_per_minute * budget.snapshot_share / 60e9
        self._full = self._per_ns * BURST_S * 1e9
        self._weight, self._now_ns = self._full, now_ns

    def take(self, weight: int, now_ns: int) -> int:
        """Take ``weight`` now and return how many ns to wait before using it.

        The bucket may go into debt, so that even a request heavier than the bucket has its turn.
        """
        refill = (now_ns - self._now_ns) * self._per_ns
        self._weight = min(self._full, self._weight + refill) - weight
        self._now_ns = now_ns
        return 0 if self._weight >= 0 else int(-self._weight / self._per_ns)


class SnapshotClient:
    """Fetches what the sessions of one venue ask for and hands it back to them.

    Args:
        base_url: The venue's REST base.
        budget: Its rate budget.
        clock: Time.
        observer: Counters.
        spawn: Starts a task that the application supervises.
    """

    def __init__(
        self,
        base_url: str,
        budget: RestBudget,
        clock: Clock,
        observer: Observer,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._clock, self._observer, self._spawn = clock, observer, spawn
        self._bucket = WeightBucket(budget, clock.monotonic_ns())
        self._slots = asyncio.Semaphore(CONCURRENT_MAX)
        self._blocked_until_ns = 0
        self._pending: dict[str, asyncio.Task[None]] = {}
        """Instrument -> its one request; bounded by the instruments configured."""
        self._session: aiohttp.ClientSession | None = None

    def request(self, driver: FeedDriver, fetch: FetchSnapshot) -> None:
        """Fetch, and call the driver back, unless its connection was renewed meanwhile.

        A newer request for the same instrument replaces one that still waits.
        """
        if (earlier := self._pending.pop(fetch.instrument, None)) is not None:
            earlier.cancel()
        task = self._spawn(self._serve(driver, fetch, driver.generation))
        self._pending[fetch.instrument] = task
        task.add_done_callback(lambda done: self._forget(fetch.instrument, done))

    async def close(self) -> None:
        """Close the HTTP connections."""
        if self._session is not None:
            await self._session.close()

    def _forget(self, instrument: str, task: asyncio.Task[None]) -> None:
        if self._pending.get(instrument) is task:
            del self._pending[instrument]

    async def _serve(self, driver: FeedDriver, fetch: FetchSnapshot, generation: int) -> None:
        delay_ns = fetch.not_before_ns - self._clock.now_ns()
        if delay_ns > 0:
            await asyncio.sleep(delay_ns / 1e9)
        async with self._slots:
            await self._wait_for_turn(fetch.weight)
            if driver.generation != generation or not driver.is_open:
                return
            status, pause_s, body = await self._get(fetch.path)
        # From here on a new request is another one: the session may ask again from its callback.
        self._pending.pop(fetch.instrument, None)
        if driver.generation != generation or not driver.is_open:
            return
        now_ns = self._clock.now_ns()
        if status == HTTPStatus.OK:
            driver.on_snapshot(fetch.instrument, body, now_ns)
        elif status in DEFINITE:
            text = body[:200].decode("utf-8", "replace")
            driver.on_refused(fetch.instrument, f"the venue answered {status}: {text}", now_ns)
        else:
            driver.on_snapshot_failed(fetch.instrument, pause_s, now_ns)

    async def _wait_for_turn(self, weight: int) -> None:
        wait_ns = self._bucket.take(weight, self._clock.monotonic_ns())
        while True:
            now_ns = self._clock.monotonic_ns()
            wait_ns = max(wait_ns, self._blocked_until_ns - now_ns)
            if wait_ns <= 0:
                return
            await asyncio.sleep(wait_ns / 1e9)
            wait_ns = 0

    async def _get(self, path: str) -> tuple[int, float, bytes]:
        """Return status (0: no answer), seconds to stay away, and body."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                trust_env=self._base_url.startswith("https:"),
            )
        self._observer.count("rest_requests")
        try:
            async with self._session.get(self._base_url + path) as response:
                body = await response.content.read(BODY_BYTES_MAX)
                while not response.content.at_eof() and len(body) < BODY_BYTES_MAX:
                    body += await response.content.read(BODY_BYTES_MAX - len(body))
                status = response.status
                pause_s = retry_after_s(status, response.headers.get("Retry-After"))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("snapshot_failed", extra={"path": path, "error": repr(error)})
            return 0, 0.0, b""
        if status in RETRY_AFTER_S:
            self._observer.count("rest_limited")
            until_ns = self._clock.monotonic_ns() + int(pause_s * 1e9)
            self._blocked_until_ns = max(self._blocked_until_ns, until_ns)
        if status != HTTPStatus.OK:
            extra = {"path": path, "status": status, "retry_after_s": pause_s}
            log.warning("snapshot_failed", extra=extra)
        return status, pause_s, body


def retry_after_s(status: int, header: str | None) -> float:
    """Return the seconds to stay away: the venue's word, else ours. 0 where there is no need."""
    if header is not None:
        try:
            return min(max(0.0, float(header)), RETRY_AFTER_S_MAX)
        except ValueError:
            pass  # an HTTP date, which no venue is known to send
    return RETRY_AFTER_S.get(HTTPStatus(status), 0.0) if status in RETRY_AFTER_S else 0.0
