"""What is published of a book: the view of a moment, and requests for new snapshots. Pure."""

from __future__ import annotations

from typing import Final

from services.orderbook.tracked import TrackedBook
from shared.messages.base import BookState, Message
from shared.messages.market import DepthView, Level, ResyncRequest

_LIVE: Final = BookState.LIVE


class Views:
    """Makes the messages of books.

    Args:
        depth_levels: Levels of a side that a view shows.
        counters: Views are counted here.
    """

    def __init__(self, depth_levels: int, counters: dict[str, int]) -> None:
        self._depth_levels, self._counters = depth_levels, counters

    def outputs(self, book: TrackedBook, now_ns: int, cause_ns: int = 0) -> list[Message]:
        """Return a view if the last one shown is no longer true, and a resync request if due.

        ``cause_ns`` is when the ingestor published the cause of this, where that is not a tick.
        """
        out: list[Message] = []
        live = book.state is _LIVE
        if book.shown_state != (book.state, book.reason) or (live and book.book.touched):
            self._counters["views"] += 1
            out.append(self.view(book, now_ns, cause_ns))
        if book.ask_due(now_ns):
            out.append(request(book, now_ns, f"{book.state.value}: {book.reason}"))
        return out

    def view(self, book: TrackedBook, now_ns: int, cause_ns: int) -> DepthView:
        """Return the view of this moment; only a LIVE one carries levels."""
        book.note_shown(now_ns)
        return self.view_as(book, book.state, book.reason, now_ns, cause_ns)

    def view_as(
        self, book: TrackedBook, state: BookState, reason: str, now_ns: int, cause_ns: int
    ) -> DepthView:
        """Return the view of a book in this state, whatever it would say of itself."""
        bids: list[Level] = []
        asks: list[Level] = []
        if state is _LIVE:
            bids, asks = book.book.view(self._depth_levels)
        return DepthView(
            venue=book.venue,
            instrument=book.instrument,
            state=state,
            epoch=book.epoch,
            seq=book.seq,
            bids=bids,
            asks=asks,
            ts_recv_ns=max(book.ts_recv_ns, cause_ns),
            ts_ns=now_ns,
            ts_venue_ns=book.ts_venue_ns,
            reason=reason,
        )


def request(book: TrackedBook, now_ns: int, reason: str, *, refresh: bool = False) -> ResyncRequest:
    """Return a request for a new snapshot of a book, to the ingestor that feeds it."""
    return ResyncRequest(
        venue=book.venue,
        instrument=book.instrument,
        epoch=book.asked_epoch,
        reason=reason,
        refresh=refresh,
        feed=book.feed,
        ts_ns=now_ns,
    )


def refresh_request(book: TrackedBook, now_ns: int) -> ResyncRequest:
    """Return a request for a newer snapshot of a book that goes on."""
    return request(book, now_ns, "near the end of the snapshot's levels", refresh=True)
