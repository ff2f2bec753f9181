"""One request at a time to a venue through ccxt, never repeated: rate limit, turns, clock, errors.

Errors are sorted into no, not sent, unknown. After a refusal for our clock, the venue's time is
read again before anything else is asked.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from decimal import localcontext
from typing import Any, TypeVar

import aiohttp

from shared.accounts.gateway import BEFORE_SENDING
from shared.clock import Clock
from shared.errors import Cause, OutcomeUnknown, Rejected, Unavailable, VenueError
from shared.ratelimit import TokenBucket
from shared.venues.ccxt_classes import load_base_error
from shared.venues.order_port import OrderQuirks

T = TypeVar("T")
BaseError = load_base_error()

ORDERED_WAIT_S = 0.5
"""Where requests must not overtake each other, the next one waits this long for an answer."""
SUBMIT_WAIT_S = 1.5
"""An order that waits longer than this to be sent is not sent: its price is of another time."""
CLOCK_WAIT_S = 1.0
"""Requests wait so long for the venue's time to be read again; without it they are refused."""
REASON_LENGTH_MAX = 300
"""Characters of a venue's error that are kept; an HTML page is not a reason."""
URGENT = frozenset(
    {"submit", "query", "lookup", "executions", "cancel", "cancel_all", "clock", "dead_man"}
)
UNREADABLE = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, AssertionError)
"""ccxt does not check replies: an unreadable one raises one of these."""


@dataclass(slots=True)
class _Trace:
    """What became of one call: whether any request left, and the reply to the last one."""

    is_sent: bool = False
    status: int = 0
    body: str = ""
    clock_round: int = 0


_TRACE: ContextVar[_Trace | None] = ContextVar("trace", default=None)


class Requests:
    """The way to one venue account."""

    def __init__(self, venue: str, client: Any, quirks: OrderQuirks, clock: Clock) -> None:
        self.venue = venue
        self._client = client
        self._quirks = quirks
        self._clock = clock
        _watch(client)
        quirks.prepare(client)
        self._bucket = TokenBucket(
            quirks.WEIGHT_PER_S, quirks.WEIGHT_BURST, quirks.WEIGHT_RESERVE, clock.monotonic_ns()
        )
        self._turn = asyncio.Lock()
        self._known: set[str] = set()
        self._measuring: asyncio.Task[None] | None = None
        self._clock_round = 0

    def forget(self) -> None:
        """Begin again: until it is known once, nothing waits for the reserve."""
        self._known.clear()

    def note_known(self, what: str) -> None:
        """It was read as a whole; recovery waits for that, later readings leave the reserve."""
        self._known.add(what)

    def budget_used(self) -> float:
        """Return which part of the rate limit is used up, from 0 to 1."""
        return self._bucket.used_ratio(self._clock.monotonic_ns())

    async def ask(self, what: str, request: Awaitable[T]) -> T:
        """Make one request when the rate limit allows; sort what goes wrong."""
        trace = _Trace()
        limit_s = SUBMIT_WAIT_S if what == "submit" else None
        try:
            async with asyncio.timeout(limit_s):
                # Not in turn: what waits for its share must not hold up what need not.
                await self._wait_for_weight(what)
                if self._measuring is not None:
                    await asyncio.wait({self._measuring}, timeout=CLOCK_WAIT_S)
                if self._quirks.IS_ORDERED:
                    await self._turn.acquire()
        except TimeoutError:
            _close(request)
            text = (
                f"{self.venue}: not sent, it would have had to wait longer than {SUBMIT_WAIT_S} s"
            )
            raise Unavailable(text, cause=Cause.RATE) from None
        except asyncio.CancelledError:
            _close(request)
            raise
        trace.clock_round = self._clock_round
        with self.readable():
            try:
                return await self._send(request, trace)
            except BaseError as error:
                failed = self._meaning(error, trace)
                if failed.cause is Cause.CLOCK and trace.clock_round == self._clock_round:
                    self._measure_again()
                raise failed from error
            except UNREADABLE as error:
                if trace.is_sent:
                    raise
                text = f"{self.venue}: refused before it was sent: {error!r}"
                raise Rejected(text, "CLIENT") from error

    @contextmanager
    def readable(self) -> Iterator[None]:
        """Treat an unreadable answer as an unknown outcome; it never ends the process.

        ccxt sets the rounding and the traps of the decimal context that it finds, so it is given
        one of its own: rounding everywhere else stays as it was.
        """
        try:
            with localcontext():
                yield
        except (BaseError, *UNREADABLE) as error:
            raise OutcomeUnknown(
                f"{self.venue}: unreadable reply: {error!r}", cause=Cause.SERVICE
            ) from error

    async def measure_clock(self) -> int:
        """Read the venue's time, for all requests from now on; return by how much ours is ahead."""
        ahead_ms = await self.ask("clock", self._quirks.measure_clock(self._client))
        self._clock_round += 1
        return ahead_ms

    async def close(self) -> None:
        """Cancel the request under way."""
        if self._measuring is not None:
            self._measuring.cancel()
            await asyncio.wait({self._measuring})

    def _measure_again(self) -> None:
        if self._measuring is None:
            self._measuring = asyncio.create_task(self._measured())

    async def _measured(self) -> None:
        try:
            with localcontext():
                await self._quirks.measure_clock(self._client)  # needs no turn: it carries no nonce
        except (BaseError, *UNREADABLE):
            pass  # the next request is refused again, and asks for it again
        else:
            self._clock_round += 1
        finally:
            self._measuring = None

    async def _send(self, request: Awaitable[T], trace: _Trace) -> T:
        """Make the request; where the venue wants them in order it is its turn, which it ends."""
        _TRACE.set(trace)
        if not self._quirks.IS_ORDERED:
            return await request
        answer = asyncio.ensure_future(request)  # takes a copy of the context, with the trace
        try:
            await asyncio.wait({answer}, timeout=ORDERED_WAIT_S)
        except asyncio.CancelledError:
            answer.cancel()
            raise
        finally:
            self._turn.release()
        return await answer

    async def _wait_for_weight(self, what: str) -> None:
        weight = self._quirks.WEIGHTS[what]
        while True:
            now_ns = self._clock.monotonic_ns()
            urgent = what in URGENT or what not in self._known
            wait_s = self._bucket.wait_s(weight, now_ns, urgent=urgent)
            if wait_s <= 0:
                return
            await asyncio.sleep(wait_s)

    def _meaning(self, error: Exception, trace: _Trace) -> VenueError:
        text, kind = str(error), type(error).__name__
        if not trace.is_sent:
            return Rejected(f"{self.venue}: refused before it was sent: {text}", "CLIENT")
        if isinstance(error.__cause__, (aiohttp.ClientConnectorError, socket.gaierror)):
            # No connection, so no request. Anything that breaks later may have been heard.
            return Unavailable(f"{self.venue}: cannot connect: {text}", kind, Cause.SERVICE)
        # Where ccxt knows a venue's sentence it leaves the code out of its text: read the reply.
        body = trace.body or text
        outcome, cause = self._quirks.meaning(kind, body, trace.status)
        if cause is Cause.RATE:
            self._bucket.drain(self._clock.monotonic_ns())
        return outcome(f"{kind}: {body[:REASON_LENGTH_MAX]}", kind, cause)


def _watch(client: Any) -> None:
    """Note on each call's trace that a request left, and what the venue replied."""
    fetch, handle_errors = client.fetch, client.handle_errors

    async def traced_fetch(*args: Any, **kwargs: Any) -> Any:
        trace = _TRACE.get()
        if (check := BEFORE_SENDING.get()) is not None:
            check()
        if trace is not None:
            trace.is_sent, trace.status, trace.body = True, 0, ""
        return await fetch(*args, **kwargs)

    def traced_errors(*args: Any) -> Any:
        trace = _TRACE.get()
        if trace is not None:
            # status, reason, url, method, headers, body, ...
            trace.status, trace.body = int(args[0] or 0), args[5] or ""
        return handle_errors(*args)

    client.fetch, client.handle_errors = traced_fetch, traced_errors


def _close(request: Awaitable[Any]) -> None:
    """Dispose of a coroutine that will not be awaited."""
    if asyncio.iscoroutine(request):
        request.close()
