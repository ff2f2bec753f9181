"""Books compared with what the venue's REST answers: asked for, answered, judged."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from shared.messages.base import DecisionMessage, FeedName, MarketMessage
from shared.messages.bounds import (
    FloatPrice,
    FloatQtyOrZero,
    Instrument,
    Moment,
    Number,
    Reason,
    Venue,
)
from shared.messages.market import Levels

DIFFERENCES_MAX = 10


class BookAuditAsked(MarketMessage, frozen=True, kw_only=True, tag="book_audit_asked"):
    """A REST book was asked for: what changes from here on may differ in it.

    It travels among the changes of the book, of this ``epoch``.
    """

    venue: Venue
    instrument: Instrument
    epoch: Moment
    ts_recv_ns: Moment
    feed: FeedName = FeedName.ONLY


class BookAudit(MarketMessage, frozen=True, kw_only=True, tag="book_audit"):
    """The answer to it: the best levels of a book, independent of the stream.

    ``seq`` is the number of the last change it contains, ``None`` where the venue gives none that
    the stream's can be compared with. Beyond ``bid_floor`` and ``ask_ceiling`` the answer was cut,
    ``None`` where it is whole. Quantities that differ by ``qty_tolerance`` at most are the same.
    """

    venue: Venue
    instrument: Instrument
    epoch: Moment
    bids: Levels
    asks: Levels
    ts_recv_ns: Moment
    seq: Number | None = None
    bid_floor: FloatPrice | None = None
    ask_ceiling: FloatPrice | None = None
    qty_tolerance: FloatQtyOrZero = 0.0
    feed: FeedName = FeedName.ONLY


class AuditVerdict(StrEnum):
    """What a comparison showed."""

    AGREES = "AGREES"
    DIFFERS = "DIFFERS"
    UNDECIDED = "UNDECIDED"  # nothing could be compared; ``reason`` says why


class BookAudited(DecisionMessage, frozen=True, kw_only=True, tag="book_audited"):
    """A book was compared with the venue's REST book, or could not be.

    ``compared`` levels stood still meanwhile and had to be equal; ``changed`` ones moved and prove
    nothing. ``differences`` are the first of those that were not equal, in words. ``failed`` says
    that the book is not trusted any more.
    """

    venue: Venue
    instrument: Instrument
    epoch: Moment
    verdict: AuditVerdict
    compared: Number = 0
    changed: Number = 0
    differences: Annotated[list[Reason], Meta(max_length=DIFFERENCES_MAX)] = []
    failed: bool = False
    reason: Reason = ""
    feed: FeedName = FeedName.ONLY
