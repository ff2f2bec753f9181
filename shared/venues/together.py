"""Asking for several things in one request, where a venue allows few; or each by itself, at once.

What is asked for while an earlier request of the same kind waits for the rate limit joins it. Such
a request ends when it is answered, or when nobody waits for it any more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from shared.errors import Cause, Rejected, Scope, Unavailable, VenueError
from shared.venues.order_port import RateLimitedRead

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


class _Batch(Generic[T]):
    """Ids asked for in one request; how many wait for the answer."""

    def __init__(self) -> None:
        self.ids: dict[str, None] = {}
        self.waiting = 0
        self.answer: asyncio.Task[T] | None = None


class AskedTogether(Generic[T]):
    """One kind of request that takes several ids.

    Args:
        what: Its kind, as ``WEIGHTS`` names it.
        ask: Makes it, for some ids.
        ids_max: Ids in one request at most.
    """

    def __init__(
        self, what: str, ask: Callable[[Sequence[str]], Awaitable[T]], ids_max: int
    ) -> None:
        self._what, self._ask, self._ids_max = what, ask, ids_max
        self._open: _Batch[T] | None = None

    async def answer_for(self, read: RateLimitedRead, ids: Sequence[str]) -> T:
        """Return the answer to a request with these ids, and perhaps others.

        Raises:
            VenueError: As for a request with these ids alone.
        """
        import asyncio  # here: engines import venue folders, and load no event loop

        assert 0 < len(ids) <= self._ids_max
        batch = self._joined(read, ids)
        batch.waiting += 1
        assert batch.answer is not None
        try:
            return await asyncio.shield(batch.answer)
        except Rejected as error:
            # One id that the venue refuses must not hide the others.
            if error.scope is Scope.VENUE or len(batch.ids) == len(ids):
                raise
            return await read(self._what, self._send_alone(ids))
        finally:
            batch.waiting -= 1
            if not batch.waiting:
                self._close(batch)
                batch.answer.cancel()  # without effect on one that has ended

    def _joined(self, read: RateLimitedRead, ids: Sequence[str]) -> _Batch[T]:
        import asyncio

        batch = self._open
        if batch is None or len({*batch.ids, *ids}) > self._ids_max:
            batch = self._open = _Batch()
            batch.answer = asyncio.create_task(self._answered(read, batch))
        batch.ids.update(dict.fromkeys(ids))
        return batch

    async def _answered(self, read: RateLimitedRead, batch: _Batch[T]) -> T:
        try:
            return await read(self._what, self._send(batch))
        finally:
            self._close(batch)

    async def _send(self, batch: _Batch[T]) -> T:
        self._close(batch)
        return await self._ask(list(batch.ids))

    async def _send_alone(self, ids: Sequence[str]) -> T:
        return await self._ask(ids)

    def _close(self, batch: _Batch[T]) -> None:
        """Let nothing join it any more."""
        if self._open is batch:
            self._open = None


async def ask_each(
    read: RateLimitedRead,
    what: str,
    requests: Sequence[Awaitable[Any]],
    is_done: Callable[[str], bool] = lambda text: False,
) -> None:
    """Make requests side by side; each is made, whatever became of the others.

    Args:
        read: Makes one.
        what: Their kind.
        requests: Not yet made.
        is_done: Tells an error that means that there was nothing to do from others.

    Raises:
        VenueError: Of the first that failed; ``Unavailable`` where there is nothing to ask for, so
            that nothing asked is not taken for all done.
    """
    import asyncio

    if not requests:
        raise Unavailable("not sent: none of the instruments is listed there", cause=Cause.ORDER)

    ended = await asyncio.gather(*(read(what, each) for each in requests), return_exceptions=True)
    for error in ended:
        if isinstance(error, VenueError) and is_done(str(error)):
            continue
        if isinstance(error, BaseException):
            raise error
