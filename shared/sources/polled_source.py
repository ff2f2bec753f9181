"""A market source that asks over REST again and again: one kind of ``MarketSource``."""

from __future__ import annotations

import asyncio
import random
from email.utils import parsedate_to_datetime

import aiohttp

from shared.clock import Clock
from shared.market_source import Take
from shared.messages.base import BookState
from shared.messages.market import VenueStatus
from shared.sources.polling import HttpAnswer, Polled, Polling

TIMEOUT_S = 10.0
BODY_BYTES_MAX = 16 * 1024 * 1024
_NS = 1_000_000_000


class PolledSource:
    """Asks for one thing at an interval; see ``Polling`` for the pauses.

    A good answer is its message. Any other is a ``VenueStatus`` that is DOWN, whose reason says
    what came instead and when it is asked again.

    Args:
        polled: What is asked for.
        clock: Stamps messages.
        every_s: The interval, counted from request to request.
        timeout_s: How long an answer may take.
    """

    def __init__(
        self, polled: Polled, clock: Clock, *, every_s: float, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._polled, self._clock, self._timeout_s = polled, clock, timeout_s
        self._polling = Polling(polled, every_s, random.Random(clock.now_ns()).uniform)

    async def run(self, take: Take) -> None:
        """Hand over messages until canceled.

        Raises:
            NotServed: The source does not have what is asked for.
        """
        timeout, monotonic_ns = (
            aiohttp.ClientTimeout(total=self._timeout_s),
            self._clock.monotonic_ns,
        )
        is_https = self._polled.url.startswith("https:")
        async with aiohttp.ClientSession(timeout=timeout, trust_env=is_https) as session:
            while True:
                asked_ns = monotonic_ns()
                answer = await self._ask(session)
                now_ns = self._clock.now_ns()
                verdict = self._polling.judge(answer, now_ns)
                pause_s = max(0.0, verdict.next_s - (monotonic_ns() - asked_ns) / _NS)
                if verdict.message is not None:
                    take([verdict.message])
                else:
                    take([self._down(f"{verdict.problem}; asked again in {pause_s:.1f} s", now_ns)])
                await asyncio.sleep(pause_s)

    async def _ask(self, session: aiohttp.ClientSession) -> HttpAnswer:
        try:
            async with session.get(self._polled.url) as response:
                body = b""
                async for part in response.content.iter_any():
                    body += part
                    if len(body) > BODY_BYTES_MAX:
                        return HttpAnswer(0, error=f"answered more than {BODY_BYTES_MAX:,} bytes")
                after = _in_seconds(response.headers.get("Retry-After"), self._clock.now_ns())
                return HttpAnswer(response.status, body, after)
        except TimeoutError:
            return HttpAnswer(0, error=f"no answer within {self._timeout_s:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return HttpAnswer(0, error=f"no answer: {error or type(error).__name__}")

    def _down(self, reason: str, now_ns: int) -> VenueStatus:
        return VenueStatus(
            venue=self._polled.source,
            instrument=self._polled.instrument,
            state=BookState.DOWN,
            epoch=now_ns,
            reason=reason,
            ts_ns=now_ns,
        )


def _in_seconds(header: str | None, now_ns: int) -> str | None:
    """Return ``Retry-After`` in seconds, also where it is a date."""
    if header is None or header.strip().isdecimal():
        return header
    try:
        return str(parsedate_to_datetime(header).timestamp() - now_ns / _NS)
    except (ValueError, OverflowError):
        return None
