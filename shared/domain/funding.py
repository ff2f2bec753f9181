"""Funding of perpetuals: what is predicted, settled and paid, kept apart. Pure, Decimal.

A *predicted* rate moves until the instant at which it becomes the *settled* one; what a venue
booked on our account is *paid*. None stands for another: each has its own type here. A rate belongs
to an interval of 1, 2, 4 or 8 hours, which may change while a position is held: compare per hour.

Only the position at the instant of a settlement counts: one closed a second before neither pays nor
receives. Stamps of venues jitter by some ms around the instant (``to_second``).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from shared.domain.contracts import Contract
from shared.messages.base import Certainty

SECOND_NS: Final = 1_000_000_000
HOUR_NS: Final = 3_600 * SECOND_NS
YEAR_HOURS: Final = 365 * 24
SETTLEMENTS_MAX: Final = 4_096
"""Settled rates that a history holds; the oldest go first."""
_ZERO = Decimal(0)
_HOUR = Decimal(HOUR_NS)


class Predicted(NamedTuple):
    """A rate as it stands before its settlement."""

    ts_ns: int
    ts_funding_ns: int
    interval_ns: int
    rate: Decimal


class Settled(NamedTuple):
    """A rate that was settled, and the interval it was for."""

    ts_funding_ns: int
    interval_ns: int
    rate: Decimal


class Paid(NamedTuple):
    """What a venue booked at a settlement; below zero: we paid. The only truth about profit."""

    ts_funding_ns: int
    amount: Decimal
    asset: str


class Accrued(NamedTuple):
    """What would be due by now, were funding paid by the second; never booked."""

    amount: Decimal
    certainty: Certainty = Certainty.ESTIMATED


def to_second(ts_ns: int) -> int:
    """Return a stamp rounded to the whole second, by which settlements are named and joined."""
    return (ts_ns + SECOND_NS // 2) // SECOND_NS * SECOND_NS


def per_hour(rate: Decimal, interval_ns: int) -> Decimal:
    """Return a rate of an interval per hour, which compares over venues and changes."""
    assert interval_ns > 0
    return rate * HOUR_NS / interval_ns


def per_year(rate_per_hour: Decimal) -> Decimal:
    """Return a rate per hour as a fraction per year, without compounding."""
    return rate_per_hour * YEAR_HOURS


def accrued(
    contract: Contract, held: Decimal, mark: Decimal, predicted: Predicted, now_ns: int
) -> Accrued:
    """Return the share of the coming settlement that the time gone by is, in the settlement asset.

    To be shown apart from what was paid: funding comes in lumps, and who held nothing at the
    instant gets nothing.
    """
    gone_ns = now_ns - (predicted.ts_funding_ns - predicted.interval_ns)
    share = Decimal(min(max(gone_ns, 0), predicted.interval_ns)) / predicted.interval_ns
    return Accrued(contract.funding(held, mark, predicted.rate) * share)


def received(
    contract: Contract,
    settlements: Iterable[Settled],
    held_at: Callable[[int], Decimal],
    mark_at: Callable[[int], Decimal],
) -> Decimal:
    """Return what settlements bring to signed contracts in their settlement asset.

    Args:
        contract: Linear or inverse.
        settlements: In any order.
        held_at: Signed contracts at an instant.
        mark_at: Mark price at an instant.
    """
    return sum(
        (
            contract.funding(held_at(s.ts_funding_ns), mark_at(s.ts_funding_ns), s.rate)
            for s in settlements
        ),
        _ZERO,
    )


class Yield(NamedTuple):
    """The sum of settled rates, and the hours they cover.

    ``holes`` counts the places where settlements are missing; neither their rates nor their hours
    are in it.
    """

    total: Decimal
    hours: Decimal
    holes: int

    @property
    def per_hour(self) -> Decimal | None:
        """Realised rate per hour: the sum over the span, never a mean times settlements a year."""
        return self.total / self.hours if self.hours else None


def span_ns(before: Settled, settled: Settled) -> int | None:
    """Return the time a settlement was for; ``None`` where at least one is missing before it.

    A settlement may come late and the next one early; a step of two intervals lacks one.
    """
    step = to_second(settled.ts_funding_ns) - to_second(before.ts_funding_ns)
    return step if 0 < step < 2 * settled.interval_ns else None


def realised(settlements: Sequence[Settled]) -> Yield:
    """Return the yield of settlements in the order of time; the first is for its own interval."""
    total, ns, holes = _ZERO, 0, 0
    before: Settled | None = None
    for settled in settlements:
        span = settled.interval_ns if before is None else span_ns(before, settled)
        if span is None:
            holes += 1
            span = settled.interval_ns  # what it was for itself is known
        total += settled.rate
        ns += span
        before = settled
    return Yield(total, Decimal(ns) / _HOUR, holes)


class FundingHistory:
    """The settled rates of one perpetual, oldest first, each instant once."""

    def __init__(self, settlements_max: int = SETTLEMENTS_MAX) -> None:
        self._settled: deque[Settled] = deque(maxlen=settlements_max)

    def __len__(self) -> int:
        return len(self._settled)

    @property
    def last(self) -> Settled | None:
        """The newest one."""
        return self._settled[-1] if self._settled else None

    def take(self, settled: Settled) -> bool:
        """Add a settlement; ``False`` if it is not newer than the last, jitter taken off."""
        settled = settled._replace(ts_funding_ns=to_second(settled.ts_funding_ns))
        if self._settled and settled.ts_funding_ns <= self._settled[-1].ts_funding_ns:
            return False
        self._settled.append(settled)
        return True

    def newest(self, count: int) -> list[Settled]:
        """Return up to ``count`` of the newest, oldest first."""
        assert count > 0
        return list(self._settled)[-count:]

    def realised(self, count: int) -> Yield | None:
        """Return the yield of the newest ``count``; ``None`` where there are fewer, or a hole."""
        newest = self.newest(count)
        if len(newest) < count:
            return None
        found = realised(newest)
        return None if found.holes else found


class Below:
    """How many settlements in a row were predicted below a rate, by the last word before each.

    A prediction moves every second; one settlement counts once, however often it was predicted.
    """

    def __init__(self, bound_per_hour: Decimal) -> None:
        self._bound = bound_per_hour
        self._before = 0  # settlements that are over
        self._now = False
        self._ts_funding_ns: int | None = None
        self._ts_ns = 0

    @property
    def count(self) -> int:
        """Settlements in a row, with the coming one."""
        return self._before + 1 if self._now else 0

    def take(self, predicted: Predicted) -> None:
        """Note the newest prediction."""
        instant = to_second(predicted.ts_funding_ns)
        if self._ts_funding_ns is not None:
            if instant < self._ts_funding_ns and predicted.ts_ns <= self._ts_ns:
                return  # of a settlement that is over; else the interval became shorter
            if instant > self._ts_funding_ns:
                self._before = self.count
        self._ts_funding_ns, self._ts_ns = instant, predicted.ts_ns
        self._now = per_hour(predicted.rate, predicted.interval_ns) < self._bound


class Pair(NamedTuple):
    """Two venues' settled rates per hour as both were known at an instant."""

    ts_ns: int
    left_per_hour: Decimal
    right_per_hour: Decimal


def on_equal_times(left: Sequence[Settled], right: Sequence[Settled]) -> list[tuple[Settled, ...]]:
    """Return the settlements that both had at one instant, oldest first.

    Venues whose instants never meet have none, which says nothing about their rates: see
    ``as_of``.
    """
    there = {to_second(settled.ts_funding_ns): settled for settled in right}
    rows = [(s, there[to_second(s.ts_funding_ns)]) for s in left if _instant(s) in there]
    return sorted(rows, key=lambda row: _instant(row[0]))


def as_of(left: Sequence[Settled], right: Sequence[Settled]) -> list[Pair]:
    """Return both rates per hour at every instant at which one settled, the other's last before.

    The other's rate is left out once it is older than two of its intervals: it is then not known.
    Both must be in the order of time.
    """
    instants = sorted({_instant(settled) for settled in (*left, *right)})
    found = []
    for now_ns in instants:
        rates = [_rate_at(side, now_ns) for side in (left, right)]
        if rates[0] is not None and rates[1] is not None:
            found.append(Pair(now_ns, rates[0], rates[1]))
    return found


def between(settlements: Sequence[Settled], from_ns: int, to_ns: int) -> Decimal:
    """Return the sum of rates settled after ``from_ns`` and up to ``to_ns``: what a holder gets."""
    return sum((s.rate for s in settlements if from_ns < _instant(s) <= to_ns), _ZERO)


def _instant(settled: Settled) -> int:
    return to_second(settled.ts_funding_ns)


def _rate_at(settlements: Sequence[Settled], now_ns: int) -> Decimal | None:
    place = bisect_right(settlements, now_ns, key=_instant)
    if not place:
        return None
    last = settlements[place - 1]
    if now_ns - _instant(last) >= 2 * last.interval_ns:
        return None
    return per_hour(last.rate, last.interval_ns)
