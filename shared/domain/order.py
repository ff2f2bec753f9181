"""The life of one order: a transition table, and the fills that belong to it. Pure.

Theory of operation. What we know about an order arrives late, twice, out of order or not at all,
so every piece of news is an ``OrderNews`` applied to the present status through one table:

* An order exists from the moment it is **on record** (SUBMITTED), which is before it is sent. From
  there everything is possible, including that the answer is lost (UNKNOWN).
* UNKNOWN is left only by what the venue itself reports (a query): any status can follow.
* CANCELED means "no longer working", not "no fill": a fill that was under way may still arrive, and
  it is owned like any other. CANCELED can even turn into FILLED.
* FILLED stays FILLED: older news (accepted, partly filled, canceled) arriving afterwards is old.
* REJECTED and NOT_SENT are final: the venue refused it, or it never left. If such an order turns
  out to exist or to have traded after all, that is a **contradiction**: the fact wins, and is
  reported. So is a no to an order that the venue has shown already: what it showed stays.
* A **post-only** order that would have traded at once ends REJECTED at some venues, at others it is
  ACCEPTED and then CANCELED: either way with nothing filled.
* The table is whole: every status and every piece of news has a row.

Fills are counted once per trade id. The venue's cumulative figure and the sum of distinct fills are
kept apart: the larger one is what we own, the order is *settled* when it is terminal and the fills
explain the whole cumulative figure. More than the ordered quantity is an overfill: reported, never
hidden.

What comes in an odd order, from the answer to the request, a query, the account's executions or a
stream, is defined:

* **fill before the acknowledgement**: it is owned at once; a fill alone decides no status, the news
  that it came with does (SUBMITTED to PARTIALLY_FILLED or FILLED), and the acknowledgement that
  follows is old.
* **fill after a cancel**: owned, told as LATE_FILL; CANCELED stays, or turns into FILLED.
* **duplicate**: a trade id seen before changes nothing; nor does a status that is there already.
* **out of order**: older news changes nothing, a smaller cumulative figure neither.
* **overfill**: owned and told; whoever evens the plan out trades it away.
* **unknown trade**: an execution of an order that is not on record is looked up by the venue's own
  id: ours is adopted with all its fills, the venue's own (a liquidation) is booked as one nobody
  ordered, anybody else's is left alone (``services/executor/reconcile.py``).
* **external order**: an order whose id is not of our making is never adopted, canceled or counted.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from shared.messages.execution import OrderStatus as S

ZERO: Final = Decimal(0)


class OrderNews(StrEnum):
    """What can be learned about an order."""

    ACCEPTED = "ACCEPTED"  # the venue has it
    PART_FILLED = "PART_FILLED"  # some of it traded, it still works
    FILLED = "FILLED"  # all of it traded
    CANCELED = "CANCELED"  # it works no longer (canceled, expired, IOC remainder)
    REJECTED = "REJECTED"  # the venue's definite no
    LOST = "LOST"  # the answer to the request was lost
    NOT_SENT = "NOT_SENT"  # it surely never reached the venue


_N = OrderNews

TRANSITIONS: Final[dict[tuple[S, OrderNews], S]] = {
    (S.SUBMITTED, _N.ACCEPTED): S.ACCEPTED,
    (S.SUBMITTED, _N.PART_FILLED): S.PARTIALLY_FILLED,
    (S.SUBMITTED, _N.FILLED): S.FILLED,
    (S.SUBMITTED, _N.CANCELED): S.CANCELED,
    (S.SUBMITTED, _N.REJECTED): S.REJECTED,
    (S.SUBMITTED, _N.LOST): S.UNKNOWN,
    (S.SUBMITTED, _N.NOT_SENT): S.NOT_SENT,
    (S.UNKNOWN, _N.ACCEPTED): S.ACCEPTED,
    (S.UNKNOWN, _N.PART_FILLED): S.PARTIALLY_FILLED,
    (S.UNKNOWN, _N.FILLED): S.FILLED,
    (S.UNKNOWN, _N.CANCELED): S.CANCELED,
    (S.UNKNOWN, _N.REJECTED): S.REJECTED,
    (S.UNKNOWN, _N.LOST): S.UNKNOWN,
    (S.UNKNOWN, _N.NOT_SENT): S.NOT_SENT,
    (S.ACCEPTED, _N.ACCEPTED): S.ACCEPTED,
    (S.ACCEPTED, _N.PART_FILLED): S.PARTIALLY_FILLED,
    (S.ACCEPTED, _N.FILLED): S.FILLED,
    (S.ACCEPTED, _N.CANCELED): S.CANCELED,
    (S.ACCEPTED, _N.REJECTED): S.REJECTED,  # accepted, then refused by the matching engine
    (S.ACCEPTED, _N.LOST): S.ACCEPTED,  # the venue told of it before the request was answered
    (S.ACCEPTED, _N.NOT_SENT): S.ACCEPTED,
    (S.PARTIALLY_FILLED, _N.ACCEPTED): S.PARTIALLY_FILLED,  # old news
    (S.PARTIALLY_FILLED, _N.PART_FILLED): S.PARTIALLY_FILLED,
    (S.PARTIALLY_FILLED, _N.FILLED): S.FILLED,
    (S.PARTIALLY_FILLED, _N.CANCELED): S.CANCELED,
    (S.PARTIALLY_FILLED, _N.REJECTED): S.PARTIALLY_FILLED,
    (S.PARTIALLY_FILLED, _N.LOST): S.PARTIALLY_FILLED,
    (S.PARTIALLY_FILLED, _N.NOT_SENT): S.PARTIALLY_FILLED,
    (S.FILLED, _N.ACCEPTED): S.FILLED,
    (S.FILLED, _N.PART_FILLED): S.FILLED,
    (S.FILLED, _N.FILLED): S.FILLED,
    (S.FILLED, _N.CANCELED): S.FILLED,
    (S.FILLED, _N.REJECTED): S.FILLED,
    (S.FILLED, _N.LOST): S.FILLED,
    (S.FILLED, _N.NOT_SENT): S.FILLED,
    (S.CANCELED, _N.ACCEPTED): S.CANCELED,
    (S.CANCELED, _N.PART_FILLED): S.CANCELED,  # a late fill
    (S.CANCELED, _N.FILLED): S.FILLED,  # the late fill was all of it
    (S.CANCELED, _N.CANCELED): S.CANCELED,
    (S.CANCELED, _N.REJECTED): S.CANCELED,  # a refused order may be told as canceled first
    (S.CANCELED, _N.LOST): S.CANCELED,
    (S.CANCELED, _N.NOT_SENT): S.CANCELED,
    (S.REJECTED, _N.REJECTED): S.REJECTED,
    (S.REJECTED, _N.LOST): S.REJECTED,
    (S.REJECTED, _N.CANCELED): S.REJECTED,  # some venues list a refused order as canceled
    (S.REJECTED, _N.NOT_SENT): S.REJECTED,
    (S.NOT_SENT, _N.NOT_SENT): S.NOT_SENT,
    (S.NOT_SENT, _N.LOST): S.NOT_SENT,
    # Contradictions: the venue's later word is a fact, so it wins.
    (S.REJECTED, _N.ACCEPTED): S.ACCEPTED,
    (S.REJECTED, _N.PART_FILLED): S.PARTIALLY_FILLED,
    (S.REJECTED, _N.FILLED): S.FILLED,
    (S.NOT_SENT, _N.ACCEPTED): S.ACCEPTED,
    (S.NOT_SENT, _N.PART_FILLED): S.PARTIALLY_FILLED,
    (S.NOT_SENT, _N.FILLED): S.FILLED,
    (S.NOT_SENT, _N.CANCELED): S.CANCELED,
    (S.NOT_SENT, _N.REJECTED): S.REJECTED,
}
"""(present status, news) -> next status, for all there are."""

CONTRADICTIONS: Final = frozenset(
    {
        (S.REJECTED, _N.ACCEPTED),
        (S.REJECTED, _N.PART_FILLED),
        (S.REJECTED, _N.FILLED),
        (S.NOT_SENT, _N.ACCEPTED),
        (S.NOT_SENT, _N.PART_FILLED),
        (S.NOT_SENT, _N.FILLED),
        (S.NOT_SENT, _N.CANCELED),
        (S.NOT_SENT, _N.REJECTED),
        (S.ACCEPTED, _N.NOT_SENT),
        (S.PARTIALLY_FILLED, _N.REJECTED),
        (S.PARTIALLY_FILLED, _N.NOT_SENT),
        (S.FILLED, _N.REJECTED),
        (S.FILLED, _N.NOT_SENT),
        (S.CANCELED, _N.NOT_SENT),
    }
)
"""Steps that contradict what was known for sure; the venue's own word is kept, and reported."""

TERMINAL: Final = frozenset({S.FILLED, S.CANCELED, S.REJECTED, S.NOT_SENT})
"""The order no longer rests; late fills may still belong to it."""


class Anomaly(StrEnum):
    """What must be reported about a piece of news."""

    CONTRADICTION = "ORDER_CONTRADICTION"
    OVERFILL = "OVERFILL"
    LATE_FILL = "LATE_FILL"


class OrderLife(msgspec.Struct, omit_defaults=True):
    """Status and fills of one order, base units.

    Attributes:
        qty: Ordered quantity.
        status: Where it is in its life.
        reported_qty: The venue's cumulative filled quantity; never falls.
        trades: Trade id -> quantity of the fills received.
    """

    qty: Decimal
    status: S = S.SUBMITTED
    reported_qty: Decimal = ZERO
    trades: dict[str, Decimal] = {}

    @property
    def traded_qty(self) -> Decimal:
        """Sum of the distinct fills."""
        return sum(self.trades.values(), ZERO)

    @property
    def filled_qty(self) -> Decimal:
        """What we own: the larger of the venue's figure and the fills."""
        if not self.trades:
            return self.reported_qty
        return max(self.reported_qty, self.traded_qty)

    @property
    def is_terminal(self) -> bool:
        """Whether it no longer rests."""
        return self.status in TERMINAL

    @property
    def is_settled(self) -> bool:
        """Whether it no longer rests and every filled unit is explained by a fill."""
        return self.is_terminal and self.traded_qty >= self.reported_qty

    def apply(self, news: OrderNews) -> Anomaly | None:
        """Take one step of the table; return what must be reported about it."""
        step = (self.status, news)
        self.status = TRANSITIONS[step]
        return Anomaly.CONTRADICTION if step in CONTRADICTIONS else None

    def report_filled(self, qty: Decimal) -> Anomaly | None:
        """Note the venue's cumulative figure; an older, smaller one changes nothing."""
        late = self.is_terminal and qty > self.filled_qty and self.status is not S.FILLED
        self.reported_qty = max(self.reported_qty, qty)
        if self.reported_qty > self.qty:
            return Anomaly.OVERFILL
        return Anomaly.LATE_FILL if late else None

    def add_fill(self, trade_id: str, qty: Decimal) -> tuple[bool, Anomaly | None]:
        """Add one execution; a trade id seen before is a duplicate and changes nothing.

        Returns:
            Whether it is new, and what must be reported.
        """
        assert qty > 0, "a fill has a positive quantity"
        if trade_id in self.trades:
            return False, None
        late = self.is_settled and self.status is not S.FILLED
        self.trades[trade_id] = qty
        if self.traded_qty > self.qty:
            return True, Anomaly.OVERFILL
        return True, Anomaly.LATE_FILL if late else None
