"""Closes positions in derivatives directly at their venues, without any other service. Pure.

All orders are reduce-only and IOC, at most ``slippage_bps_max`` from the best price that the venue
shows: even sent twice, late, or beside other orders they cannot open a position. The position is
read after each order, so an unknown outcome needs no query.

Spot is not traded here: only the ledger knows which part of a balance is ours to sell, and the
executor, which would not know of the sale, would sell it again. A position that spot hedges is
therefore left to the executor's FLATTEN: closing one side of a hedge opens exposure. So are
positions of a base asset of which any venue cannot be read. All that is left open is reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import blake2b
from typing import Final

from services.sentinel.requests import (
    Close,
    CloseAnswered,
    PositionsRead,
    ReadPositions,
    ReadTouch,
    TouchRead,
)
from shared.accounts.gateway import SENTINEL_PREFIX, OrderRequest
from shared.domain.fees import BPS
from shared.domain.instrument import InstrumentKind, is_spot, split_instrument
from shared.domain.rounding import price_to_tick
from shared.engine import Action
from shared.messages.base import Side
from shared.messages.execution import OrderPurpose
from shared.messages.terms import OrderTerms, TimeInForce

TRIES_MAX: Final = 8
"""Orders that may be sent to close one position."""
RETRY_NS: Final = 200_000_000
HEDGE_SHARE_MIN: Final = Decimal("0.01")
"""Spot of less than this share of a position is a rest, not its hedge."""
ZERO: Final = Decimal(0)


@dataclass(slots=True)
class Closing:
    """One position: what was held first, what is held now, and why it is not closed.

    ``is_asked``: a price or an order is on its way. ``stale_ns``: when an order was answered, until
    ``left`` is of a reading that was asked for after that: no other order is sent before.
    """

    venue: str
    instrument: str
    before: Decimal
    left: Decimal
    tries: int = 0
    is_asked: bool = False
    stale_ns: int = 0
    problem: str = ""


class Closings:
    """All positions of one episode.

    Args:
        derivatives: Venue -> derivatives traded there.
        spot: Base asset -> net base units that spot trades left over, ``None``: not known.
        spot_bases: Base assets that are traded on spot.
        episode: Makes the ids of its orders.
    """

    def __init__(
        self,
        derivatives: Mapping[str, tuple[str, ...]],
        spot: Mapping[str, Decimal] | None,
        spot_bases: frozenset[str],
        *,
        slippage_bps_max: Decimal,
        episode: str,
    ) -> None:
        self._derivatives = derivatives
        self._spot, self._spot_bases = spot, spot_bases
        self._slippage, self._episode = slippage_bps_max / BPS, episode
        self.unread = dict.fromkeys(derivatives, "no answer yet")
        """Venues whose positions are not known, and why."""
        self.closings: dict[tuple[str, str], Closing] = {}
        self._due_ns: dict[str, int] = {}
        self._reading: dict[str, int] = {}
        """Venue -> when the reading was asked for that is on its way: one at a time."""
        self._orders = 0

    @property
    def has_ended(self) -> bool:
        """Whether every venue was read, and nothing is left that another order may close."""
        if self.unread or self._due_ns:
            return False
        return not any(
            each.is_asked or each.stale_ns or self._may_try(each) for each in self.closings.values()
        )

    def begin(self, now_ns: int) -> None:
        """Read all positions."""
        self._due_ns = dict.fromkeys(self._derivatives, now_ns)

    def next_deadline_ns(self) -> int | None:
        """Return when a venue's positions are to be read again."""
        due = (at_ns for venue, at_ns in self._due_ns.items() if venue not in self._reading)
        return min(due, default=None)

    def on_time(self, now_ns: int) -> list[Action]:
        """Read what is due."""
        due = [v for v, at in self._due_ns.items() if at <= now_ns and v not in self._reading]
        for venue in due:
            del self._due_ns[venue]
            self._reading[venue] = now_ns
        return [ReadPositions(venue, self._derivatives[venue]) for venue in due]

    def on_positions(self, told: PositionsRead) -> list[Action]:
        """Take what a venue holds, and close what may be closed."""
        if told.venue not in self._derivatives:  # asked for by an earlier episode
            return []
        asked_ns = self._reading.pop(told.venue, 0)
        self.unread.pop(told.venue, None)
        for instrument in self._derivatives[told.venue]:
            qty, place = told.positions.get(instrument, ZERO), (told.venue, instrument)
            known = self.closings.get(place)
            if known is not None and asked_ns >= known.stale_ns:
                known.left, known.stale_ns = qty, 0
            elif known is not None:
                continue  # as it was before an order was answered
            elif qty:
                self.closings[place] = Closing(told.venue, instrument, qty, qty)
        out: list[Action] = []
        for closing in self.closings.values():
            if not (closing.is_asked or closing.stale_ns) and self._may_try(closing):
                closing.is_asked = True
                out.append(ReadTouch(closing.venue, closing.instrument))
        return out

    def on_touch(self, told: TouchRead) -> list[Action]:
        """Send an order at the best price, less the slippage allowed."""
        closing = self.closings.get((told.venue, told.instrument))
        if closing is None or not closing.is_asked:
            return []
        closing.tries += 1
        self._orders += 1
        return [Close(self._order(closing, told))]

    def on_closed(self, told: CloseAnswered, now_ns: int) -> None:
        """Read what is left of the position."""
        terms = told.order.terms
        closing = self.closings.get((terms.venue, terms.instrument))
        if closing is None:
            return
        closing.is_asked, closing.stale_ns, closing.problem = False, now_ns, told.problem
        self._due_ns[terms.venue] = now_ns + (RETRY_NS if told.problem else 0)

    def on_unread(self, venue: str, reason: str, now_ns: int) -> None:
        """Try again: while one venue cannot be read, its base assets are left alone."""
        if venue not in self._derivatives:
            return
        self._reading.pop(venue, None)
        if venue in self.unread:
            self.unread[venue] = reason
        self._due_ns[venue] = now_ns + RETRY_NS

    def on_no_touch(self, venue: str, instrument: str, reason: str, now_ns: int) -> None:
        """Count an attempt without a price: no order is sent without one."""
        closing = self.closings.get((venue, instrument))
        if closing is None:
            return
        closing.tries += 1
        closing.is_asked, closing.problem = False, reason
        self._due_ns[venue] = now_ns + RETRY_NS

    def why_left(self, closing: Closing) -> str:
        """Return why a position is left as it is; empty where it may be closed."""
        base = split_instrument(closing.instrument).base
        for venue, reason in self.unread.items():
            if any(split_instrument(name).base == base for name in self._derivatives[venue]):
                return f"positions in {base} at {venue} are not known ({reason})"
        if base not in self._spot_bases:
            return ""
        if self._spot is None:
            return (
                f"how much spot {base} hedges it is not known; the executor's FLATTEN closes both"
            )
        spot, kind = self._spot.get(base, ZERO), split_instrument(closing.instrument).kind
        rest = ZERO if kind is InstrumentKind.INVERSE else abs(closing.before) * HEDGE_SHARE_MIN
        if abs(spot) > rest:
            return f"{spot:f} {base} of spot may hedge it; the executor's FLATTEN closes both"
        return ""

    def _may_try(self, closing: Closing) -> bool:
        return bool(closing.left) and closing.tries < TRIES_MAX and not self.why_left(closing)

    def _order(self, closing: Closing, touch: TouchRead) -> OrderRequest:
        side = Side.SELL if closing.left > 0 else Side.BUY
        best = touch.bid if side is Side.SELL else touch.ask
        worst = best * (1 - self._slippage if side is Side.SELL else 1 + self._slippage)
        price = price_to_tick(worst, touch.tick_size, side, aggressive=False)
        made = f"{self._episode} {closing.venue} {closing.instrument} {self._orders}"
        return OrderRequest(
            client_order_id=SENTINEL_PREFIX + blake2b(made.encode(), digest_size=8).hexdigest(),
            terms=OrderTerms(
                venue=closing.venue,
                instrument=closing.instrument,
                side=side,
                qty=abs(closing.left),
                price_limit=price,
                time_in_force=TimeInForce.IOC,
            ),
            purpose=OrderPurpose.FLATTEN,
            reduce_only=True,
        )


def derivatives_of(venues: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the derivatives of each venue that trades any."""
    found = {v: tuple(name for name in names if not is_spot(name)) for v, names in venues.items()}
    return {venue: names for venue, names in found.items() if names}


def spot_bases_of(venues: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """Return the base assets that are traded on spot anywhere."""
    names = (name for names in venues.values() for name in names if is_spot(name))
    return frozenset(split_instrument(name).base for name in names)
