"""One book whose snapshot comes on its own connection: subscribe, live, subscribe again. Pure.

What proves that it is whole, a checksum or a number, is the venue's own: a subclass applies what
comes and asks for the book again when that fails. Asking backs off if it repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shared.messages.base import BookState
from shared.venues.port import BookStatus, Effect, Send
from shared.venues.rest_join import BreakRate, backoff_ns

SNAPSHOT_TIMEOUT_NS = 10_000_000_000
AGAIN_NS = 2_500_000_000
"""A book that was asked for again, alone, and whose snapshot does not come, is asked for once more
after so long, then after twice as long: a venue that was silent for a moment forgets requests. Only
after ``SNAPSHOT_TIMEOUT_NS`` is the connection, which others use too, given up."""

Request = Callable[[str, list[str]], Send]
"""Builds a frame: method (subscribe, unsubscribe) and symbols."""


class StreamBook:
    """The subscription and snapshots of one book.

    In a recording the recorder decided when to subscribe again. So there is no backoff there: every
    snapshot recorded counts as requested.
    """

    def __init__(
        self,
        venue: str,
        instrument: str,
        symbol: str,
        request: Request,
        *,
        is_recorded: bool = False,
    ) -> None:
        self.instrument = instrument
        self.symbol = symbol
        self.state = BookState.DOWN
        self.epoch = 0
        self._venue = venue
        self._request = request
        self._is_recorded = is_recorded
        self._attempt = 0  # subscriptions asked for since the book was live
        self._breaks = BreakRate()
        # At most one is set, while the book waits: for its snapshot, or to subscribe again.
        self._snapshot_due_ns: int | None = None
        self._subscribe_at_ns: int | None = None
        self._again: tuple[int, int] | None = None  # when to ask once more, and the pause before it

    def open(self, now_ns: int) -> BookStatus:
        """Start with a new connection; the session subscribes its books."""
        self._attempt = 0
        status = self._start(BookState.SYNCING, "connected; waiting for the snapshot", now_ns)
        self._snapshot_due_ns = now_ns + SNAPSHOT_TIMEOUT_NS
        return status

    def close(self, reason: str, *, refused: bool = False) -> BookStatus:
        """The connection is gone, or the venue refused: nothing is waited for."""
        self.state = BookState.DOWN
        self._wait_for_nothing()
        return BookStatus(self.instrument, BookState.DOWN, reason, self.epoch, refused)

    def try_again(self, reason: str, now_ns: int) -> BookStatus:
        """The venue could not serve the subscription this time."""
        status = self.close(reason)
        self._attempt += 1
        self._subscribe_at_ns = now_ns + backoff_ns(self.instrument, self._attempt)
        return status

    def resubscribe(self, state: BookState, reason: str, now_ns: int) -> list[Effect]:
        """Ask for the book again: now, or after a delay where that was tried just before."""
        status = self._start(state, reason, now_ns)
        tries = self._attempt + self._breaks.excess(now_ns)
        delay_ns = 0 if self._is_recorded else backoff_ns(self.instrument, tries)
        self._attempt += 1
        effects: list[Effect] = [status, self._request("unsubscribe", [self.symbol])]
        if delay_ns:
            self._subscribe_at_ns = now_ns + delay_ns
        else:
            effects.append(self._subscribe(now_ns))
        return effects

    def resync(self, epoch: int, now_ns: int) -> Sequence[Effect]:
        """A reader lost the book of ``epoch``: ask for it again, unless that happened already."""
        if epoch < self.epoch or not self.state.is_followed:
            return ()
        return self.resubscribe(BookState.SYNCING, "a reader lost continuity", now_ns)

    def on_timer(self, now_ns: int) -> list[Send]:
        """Return the subscription that is due, or that nothing has answered."""
        if self._subscribe_at_ns is not None and now_ns >= self._subscribe_at_ns:
            self._subscribe_at_ns = None
            return [self._subscribe(now_ns)]
        if self._again is None or now_ns < self._again[0] or self._is_recorded:
            return []
        pause_ns = 2 * self._again[1]
        self._again = (now_ns + pause_ns, pause_ns)
        symbols = [self.symbol]
        return [self._request("unsubscribe", symbols), self._request("subscribe", symbols)]

    def _subscribe(self, now_ns: int) -> Send:
        self._snapshot_due_ns = now_ns + SNAPSHOT_TIMEOUT_NS
        self._again = (now_ns + AGAIN_NS, AGAIN_NS)
        return self._request("subscribe", [self.symbol])

    def _wait_for_nothing(self) -> None:
        self._snapshot_due_ns = self._subscribe_at_ns = self._again = None

    def is_overdue(self, now_ns: int) -> bool:
        """Tell whether the snapshot asked for should have come."""
        return self._snapshot_due_ns is not None and now_ns >= self._snapshot_due_ns

    def suspend(self, reason: str, now_ns: int) -> BookStatus:
        """The venue takes no orders: nothing may be priced until it does again."""
        return self._start(BookState.DOWN, reason, now_ns)

    def _start(self, state: BookState, reason: str, now_ns: int) -> BookStatus:
        if self.state.is_followed:
            self._breaks.note(now_ns)
        self.state = state
        self.epoch = max(now_ns, self.epoch + 1)
        self._wait_for_nothing()
        return BookStatus(self.instrument, state, reason, self.epoch)

    def _is_live(self, reason: str) -> BookStatus:
        """Its snapshot came: deltas follow."""
        self.state, self._attempt = BookState.LIVE, 0
        self._wait_for_nothing()
        return BookStatus(self.instrument, BookState.LIVE, reason, self.epoch)
