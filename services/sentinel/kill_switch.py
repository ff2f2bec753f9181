"""The kill switch: cancels all orders at all venues, closes positions, reports the result. Pure.

It needs neither Redis nor risk nor the executor: the venues alone. Every venue is worked on at the
same time, so one that does not answer holds up no other; what is unknown at the end is reported as
not done. Pressed twice it finds nothing to do. It ends after ``within_ns`` at the latest.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from services.sentinel.cancel_all import VenueOrders
from services.sentinel.closing import Closing, Closings, derivatives_of, spot_bases_of
from services.sentinel.requests import (
    AllCanceled,
    CancelAnswered,
    CloseAnswered,
    OrdersRead,
    PositionsRead,
    ReadFailed,
    ReadOrders,
    ReadPositions,
    ReadTouch,
    TouchRead,
)
from shared.config_sections import Config
from shared.engine import Action, Result
from shared.wording import counted

Results = (
    AllCanceled,
    OrdersRead,
    CancelAnswered,
    PositionsRead,
    TouchRead,
    CloseAnswered,
    ReadFailed,
)
"""What it takes."""


class CanceledAt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one venue's working orders.

    ``left`` are those that the venue showed last, ``None``: it never answered. ``clear_ms`` is from
    the start to its first answer that shows none. ``found`` are those that it showed after
    cancel-all, which tells no number everywhere; ``cancel_all`` says why the venue is not known to
    have taken that, empty where it has.
    """

    found: int
    left: list[str] | None
    clear_ms: float | None
    problem: str = ""
    cancel_all: str = ""


class ClosedAt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one position, in signed base units; ``reason``: why something is left."""

    venue: str
    instrument: str
    before: Decimal
    left: Decimal
    reason: str = ""


class KillReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the kill switch did and could not do.

    ``is_done``: no venue shows a working order, and (where asked for) no position is left.
    ``zero_orders_ms`` is from the start until every venue had shown none; ``None``: not all have.
    ``positions`` is ``None`` where positions were not to be closed. ``not_done`` has the reasons.
    """

    reason: str
    is_done: bool
    took_ms: float
    zero_orders_ms: float | None
    orders: dict[str, CanceledAt]
    positions: list[ClosedAt] | None
    not_done: list[str]

    def text(self) -> str:
        """Return it in one line."""
        found = sum(each.found for each in self.orders.values())
        taken = sum(not each.cancel_all for each in self.orders.values())
        done = [
            f"cancel-all taken at {taken} of {counted(len(self.orders), 'venue')}",
            f"{counted(found, 'working order')} found after it",
        ]
        if self.zero_orders_ms is not None:
            done.append(f"none left after {self.zero_orders_ms:.0f} ms")
        for each in self.positions or ():
            if each.left != each.before:
                what = f"{each.instrument} at {each.venue}"
                done.append(f"{what} from {each.before:f} to {each.left:f}")
        summary = ", ".join(done)
        return f"{summary}; NOT done: {'; '.join(self.not_done)}" if self.not_done else summary


class KillSwitch:
    """One episode.

    Args:
        venues: Venue -> instruments traded there.
        flatten: Close positions as well.
        spot: What is open on spot per base asset, ``None``: not known.
    """

    def __init__(
        self,
        venues: Mapping[str, tuple[str, ...]],
        reason: str,
        now_ns: int,
        *,
        flatten: bool,
        spot: Mapping[str, Decimal] | None,
        within_ns: int,
        slippage_bps_max: Decimal,
    ) -> None:
        self.reason, self.flatten = reason, False
        self._venues, self._slippage_bps_max = venues, slippage_bps_max
        self._began_ns, self._within_ns = now_ns, within_ns
        self._ends_ns = now_ns + within_ns
        self._orders = {v: VenueOrders(v, names, now_ns) for v, names in venues.items()}
        self._closings = self._new_closings({}, spot, now_ns)
        self._closes = False
        if flatten:
            self.also_close(spot, now_ns)
        self._ended_ns = 0

    @property
    def has_ended(self) -> bool:
        """Whether there is nothing more to do, or no time for it."""
        return self._ended_ns > 0

    def also_close(self, spot: Mapping[str, Decimal] | None, now_ns: int) -> None:
        """Close positions as well, in the time that one episode has."""
        self.flatten = True
        self._ends_ns = now_ns + self._within_ns
        self._closings = self._new_closings(derivatives_of(self._venues), spot, now_ns)
        if self._closes:
            self._closings.begin(now_ns)

    def _new_closings(
        self,
        derivatives: Mapping[str, tuple[str, ...]],
        spot: Mapping[str, Decimal] | None,
        now_ns: int,
    ) -> Closings:
        return Closings(
            derivatives,
            spot,
            spot_bases_of(self._venues),
            slippage_bps_max=self._slippage_bps_max,
            episode=str(now_ns),
        )

    def next_deadline_ns(self) -> int | None:
        """Return when ``on_time`` has something to do."""
        if self.has_ended:
            return None
        due = [at for each in self._orders.values() if (at := each.next_deadline_ns()) is not None]
        if (at_ns := self._closings.next_deadline_ns()) is not None:
            due.append(at_ns)
        if not self._closes:
            due.append(self._began_ns + self._within_ns // 2)
        return min([*due, self._ends_ns])

    def on_time(self, now_ns: int) -> list[Action]:
        """Ask what is due, go on to the positions, or end."""
        if self.has_ended:
            return []
        out = [action for each in self._orders.values() for action in each.on_time(now_ns)]
        is_clear = all(each.is_clear for each in self._orders.values())
        # A venue that does not answer must not keep the positions at the others open for long.
        if not self._closes and (is_clear or now_ns >= self._began_ns + self._within_ns // 2):
            self._closes = True
            self._closings.begin(now_ns)
        out += self._closings.on_time(now_ns)
        is_over = now_ns >= self._ends_ns
        if is_over or (is_clear and self._closes and self._closings.has_ended):
            self._ended_ns = now_ns
        return out

    def on_result(self, result: Result, now_ns: int) -> list[Action]:
        """Take what a venue answered."""
        if self.has_ended:
            return []
        out: list[Action] = []
        match result:
            case AllCanceled():
                self._orders[result.venue].on_all_canceled(result, now_ns)
            case OrdersRead():
                out = self._orders[result.venue].on_orders(result, now_ns)
            case CancelAnswered():
                self._orders[result.key.venue].on_canceled(result, now_ns)
            case PositionsRead():
                out = self._closings.on_positions(result)
            case TouchRead():
                out = self._closings.on_touch(result)
            case CloseAnswered():
                self._closings.on_closed(result, now_ns)
            case ReadFailed():
                self._on_failed(result, now_ns)
        return out + self.on_time(now_ns)

    def _on_failed(self, failed: ReadFailed, now_ns: int) -> None:
        match failed.action:
            case ReadOrders(venue=venue):
                self._orders[venue].on_failed(failed.reason, now_ns)
            case ReadPositions(venue=venue):
                self._closings.on_unread(venue, failed.reason, now_ns)
            case ReadTouch(venue=venue, instrument=instrument):
                self._closings.on_no_touch(venue, instrument, failed.reason, now_ns)

    def report(self, now_ns: int) -> KillReport:
        """Return what was done so far, and what could not be."""
        orders = {venue: self._canceled_at(each) for venue, each in self._orders.items()}
        cleared = [each.clear_ms for each in orders.values() if each.clear_ms is not None]
        is_clear = len(cleared) == len(orders)
        positions = [self._closed_at(each) for each in self._closings.closings.values()]
        not_done = [
            f"{venue}: {_left_text(each)}" for venue, each in orders.items() if each.problem
        ]
        if self.flatten:
            not_done += [
                f"{each.venue}: {each.left:f} {each.instrument} is left ({each.reason})"
                for each in positions
                if each.left
            ]
            not_done += [
                f"{venue}: positions are not known ({reason})"
                for venue, reason in self._closings.unread.items()
            ]
        return KillReport(
            reason=self.reason,
            is_done=not not_done,
            took_ms=((self._ended_ns or now_ns) - self._began_ns) / 1e6,
            zero_orders_ms=max(cleared, default=0.0) if is_clear else None,
            orders=orders,
            positions=positions if self.flatten else None,
            not_done=not_done,
        )

    def _canceled_at(self, each: VenueOrders) -> CanceledAt:
        clear_ms = (each.clear_ns - self._began_ns) / 1e6 if each.clear_ns else None
        problem = each.problem
        if each.left and not problem:
            problem = "the venue still shows them"
        return CanceledAt(
            found=len(each.found),
            left=None if each.left is None else list(each.left.values()),
            clear_ms=clear_ms,
            problem="" if each.is_clear else problem or "not confirmed by a second look",
            cancel_all=each.cancel_all,
        )

    def _closed_at(self, each: Closing) -> ClosedAt:
        reason = ""
        if each.left:
            reason = self._closings.why_left(each) or each.problem or "the book did not take it all"
        return ClosedAt(
            venue=each.venue,
            instrument=each.instrument,
            before=each.before,
            left=each.left,
            reason=reason,
        )


def traded_of(config: Config) -> dict[str, tuple[str, ...]]:
    """Return venue -> instruments of every venue with ``trade = true``; none on paper."""
    if config.executor.mode == "paper":
        return {}
    return {n: tuple(v.instruments) for n, v in sorted(config.venues.items()) if v.trade}


def _left_text(each: CanceledAt) -> str:
    if each.left is None:
        return f"its orders are not known ({each.problem})"
    if not each.left:
        return each.problem
    return (
        f"{counted(len(each.left), 'order')} still working: {', '.join(each.left)} ({each.problem})"
    )
