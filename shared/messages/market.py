"""Market data: what the venues send, and the books made from it.

``ts_recv_ns`` is stamped once, by the ingestor, when the frame arrived, and copied unchanged by
everything derived from it: it is the tick that caused a decision. ``ts_venue_ns`` is the venue's
own clock, offset from ours by an unknown amount: never compare the two raw.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from shared.messages.base import BookState, DecisionMessage, FeedName, MarketMessage, Side
from shared.messages.bounds import (
    ITEMS_MAX,
    Depth,
    FloatPrice,
    FloatQty,
    FloatQtyOrZero,
    FloatRate,
    FundingTime,
    Id,
    Instrument,
    Interval,
    MaybeInstrument,
    Moment,
    Name,
    Number,
    Reason,
    Trades,
    Venue,
    VenueTime,
)
from shared.messages.rules import InstrumentRules

Level = tuple[FloatPrice, FloatQtyOrZero]
"""Price and quantity (base units); a quantity of zero removes the level."""
ViewLevel = tuple[FloatPrice, FloatQty]
"""The same in a view, which has no empty levels."""
Levels = Annotated[list[Level], Meta(max_length=ITEMS_MAX)]
ViewLevels = Annotated[list[ViewLevel], Meta(max_length=ITEMS_MAX)]


class BookSnapshot(MarketMessage, frozen=True, kw_only=True, tag="book_snapshot"):
    """A whole book. Bids highest first, asks lowest first.

    ``epoch`` names one synchronisation (UNIX ns of its start, strictly rising per book): deltas of
    another epoch do not apply. ``seq`` is the number the first delta must continue. ``depth_max``
    is the depth to which both sides are truncated after every change (some venues send no removals
    beyond it), ``None`` for unlimited.

    ``bid_floor`` and ``ask_ceiling`` are the worst prices sent, where the venue cut its answer
    there: what rests beyond them is not known until it changes. ``None`` where it sent everything.

    ``unproved`` says why nothing proves that no delta is lost; empty where something does.

    ``feed`` is which of two ingestors of the venue sent it: each has epochs of its own, and both
    have the venue's ``seq``.
    """

    venue: Venue
    instrument: Instrument
    epoch: Moment
    seq: Number
    bids: Levels
    asks: Levels
    ts_recv_ns: Moment
    ts_venue_ns: VenueTime | None = None
    depth_max: Depth | None = None
    bid_floor: FloatPrice | None = None
    ask_ceiling: FloatPrice | None = None
    unproved: Reason = ""
    feed: FeedName = FeedName.ONLY


class BookDelta(MarketMessage, frozen=True, kw_only=True, tag="book_delta"):
    """Changed levels of one book; applies only onto ``seq_prev`` of the same epoch.

    The venue's own continuity rule was checked by the ingestor and is written here in one normal
    form: ``seq_prev`` is the ``seq`` of the message before. Levels are in the venue's order.
    """

    venue: Venue
    instrument: Instrument
    epoch: Moment
    seq_prev: Number
    seq: Number
    bids: Levels
    asks: Levels
    ts_recv_ns: Moment
    ts_venue_ns: VenueTime | None = None
    feed: FeedName = FeedName.ONLY


class Trade(MarketMessage, frozen=True, kw_only=True, tag="trade"):
    """One public trade; ``side`` is the taker's.

    ``trades`` is how many of the venue's trades it stands for: some streams sum up those that one
    order made at one price.
    """

    venue: Venue
    instrument: Instrument
    trade_id: Id
    side: Side
    price: FloatPrice
    qty: FloatQty
    ts_recv_ns: Moment
    ts_venue_ns: VenueTime | None = None
    trades: Trades = 1


class TradesMissed(MarketMessage, frozen=True, kw_only=True, tag="trades_missed"):
    """Trades of an instrument that were not published: what sums them up is incomplete.

    ``ongoing`` says that none come from now on, until a message says otherwise. ``count`` is how
    many are missing, ``None`` where that is unknown.
    """

    venue: Venue
    instrument: Instrument
    ongoing: bool
    ts_recv_ns: Moment
    count: Number | None = None
    reason: Reason = ""


class Mark(MarketMessage, frozen=True, kw_only=True, tag="mark"):
    """Mark price of a derivative and the index that it follows, ``None`` where that is unknown."""

    venue: Venue
    instrument: Instrument
    mark_price: FloatPrice
    index_price: FloatPrice | None
    ts_recv_ns: Moment
    ts_venue_ns: VenueTime | None = None


class Funding(MarketMessage, frozen=True, kw_only=True, tag="funding"):
    """Mark price and the funding rate that will settle at ``ts_funding_ns`` (may still move).

    The rate is of one interval of ``interval_ns`` and the venue keeps it within ``rate_floor`` and
    ``rate_cap``; each is ``None`` while it is unknown. All three may change while one holds.
    """

    venue: Venue
    instrument: Instrument
    mark_price: FloatPrice
    index_price: FloatPrice | None
    rate: FloatRate
    ts_funding_ns: FundingTime
    ts_recv_ns: Moment
    ts_venue_ns: VenueTime | None = None
    interval_ns: Interval | None = None
    rate_cap: FloatRate | None = None
    rate_floor: FloatRate | None = None


class FundingSettled(MarketMessage, frozen=True, kw_only=True, tag="funding_settled"):
    """A funding that has settled, as the venue's own history tells it.

    ``ts_funding_ns`` is the venue's time, which jitters by some ms: round it before comparing.
    ``interval_ns`` is what had passed since the settlement before.
    """

    venue: Venue
    instrument: Instrument
    rate: FloatRate
    ts_funding_ns: FundingTime
    ts_recv_ns: Moment
    mark_price: FloatPrice | None = None
    interval_ns: Interval | None = None


class DepthView(MarketMessage, frozen=True, kw_only=True, tag="depth"):
    """The best levels of one book, whole and carrying their own trust state.

    Self-contained, so a late reader may skip to the newest. ``epoch`` and ``seq`` identify the book
    state exactly. ``ts_ns`` is when the orderbook service made the view.
    """

    venue: Venue
    instrument: Instrument
    state: BookState
    epoch: Moment
    seq: Number
    bids: ViewLevels
    asks: ViewLevels
    ts_recv_ns: Moment
    ts_ns: Moment
    ts_venue_ns: VenueTime | None = None
    reason: Reason = ""

    @property
    def book_id(self) -> str:
        """The exact book state this view shows."""
        return f"{self.venue}|{self.instrument}|{self.epoch}|{self.seq}"


class VenueStatus(DecisionMessage, frozen=True, kw_only=True, tag="venue_status"):
    """State of one feed, published on every change and repeated every second.

    ``instrument`` is empty for the connection as a whole. ``source`` is the ingestor that published
    it: several may feed one venue. ``refused`` means that the venue does not serve the instrument,
    so nothing waits for it.
    """

    venue: Venue
    instrument: MaybeInstrument
    state: BookState
    epoch: Moment
    reason: str = ""
    source: Name = ""
    refused: bool = False
    feed: FeedName = FeedName.ONLY


class InstrumentInfo(DecisionMessage, frozen=True, kw_only=True, tag="instrument"):
    """A venue's rules for one instrument, as the ingestor read them; repeated for late joiners."""

    rules: InstrumentRules


class ResyncRequest(DecisionMessage, frozen=True, kw_only=True, tag="resync"):
    """The orderbook service lost continuity of a book over the bus and needs a new snapshot.

    With ``refresh`` nothing was lost: the price nears the end of the snapshot's range, so a newer
    one is wanted while the book goes on.

    Where two ingestors follow the venue, only that of ``feed`` is asked.
    """

    venue: Venue
    instrument: Instrument
    epoch: Moment
    reason: str
    refresh: bool = False
    feed: FeedName = FeedName.ONLY
