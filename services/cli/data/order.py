"""Checks of the order of rows in foreign tables; each check is given row after row."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from services.cli.data.archives import shown
from services.cli.data.rows import Found
from shared.errors import ConfigError
from shared.store.rows import HOUR_NS, SECOND_NS, WEEK_S, begins_bar
from shared.wording import counted

DAY_S = 86_400
STEPS_S = (
    *(1, 60, 180, 300, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 28_800, 43_200),
    *(DAY_S, 3 * DAY_S, WEEK_S),
)
"""Lengths of bars."""
MONTH_S = range(28 * DAY_S, 31 * DAY_S + 1)
GRID_NS = 60 * SECOND_NS
"""Times of settlements jitter by less than this."""
HOLES_TOLD_MAX = 3
IDS_MAX = 65_536
"""Trades whose numbers are kept: the same one is not told again later than that."""
LATE_NS_MAX = 60 * SECOND_NS
"""A feed's quotes may be so far out of the order of their numbers."""
FILLED_HOURS = 8
FILLED_CHANGES_MIN = 3

ID_DIGITS_MAX = 20


def is_numbered(text: str) -> bool:
    """Tell whether an id is a number that counts up: whole, and no longer than 64 bits need."""
    return text.isdecimal() and len(text) <= ID_DIGITS_MAX


class Check:
    """What is common: notes, of which only the first few are told each."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.before: Found | None = None
        self.rows = 0

    def take(self, each: Found) -> None:
        """Look at a row after those before it.

        Raises:
            ConfigError: It cannot come here.
        """
        self.look(each)
        self.before = each
        self.rows += 1

    def look(self, each: Found) -> None:
        """Look at a row; ``before`` is the one before it."""
        raise NotImplementedError

    def finish(self) -> None:
        """Tell what only all rows show."""


class BarCheck(Check):
    """Bars: in order, on their grid; holes are told."""

    def __init__(self, step_ns: int) -> None:
        super().__init__()
        self._step_ns = step_ns
        self._holes = self._missing = 0
        self._without_volume = False

    def look(self, each: Found) -> None:
        """Look at a bar."""
        ts_ns, step_ns = each.row[0], self._step_ns
        if not begins_bar(ts_ns, step_ns):
            week = " from a Monday on" if step_ns == WEEK_S * SECOND_NS else ""
            raise ConfigError(
                f"{each.where}: a bar of {shown(ts_ns)} does not begin at a multiple of "
                f"{step_ns // SECOND_NS} s{week}"
            )
        self._without_volume |= None in each.row[6:7]  # marks and the like have none
        if self.before is None:
            return
        gap = ts_ns - self.before.row[0]
        check_gap(gap, self.before, each, "bar")
        if gap == step_ns:
            return
        missing = gap // step_ns - 1
        self._missing += missing
        self._holes += 1
        if self._holes <= HOLES_TOLD_MAX:
            self.notes.append(
                f"{each.where}: missing before it: {counted(missing, 'bar')} after "
                f"{shown(self.before.row[0])}"
            )

    def finish(self) -> None:
        """Tell how many are missing."""
        if (more := self._holes - HOLES_TOLD_MAX) > 0:
            self.notes.append(f"and {counted(more, 'more hole')}, {self._missing} bars in all")
        if self._without_volume:
            self.notes.append("there are bars without a volume: it is unknown, not 0")


class TradeCheck(Check):
    """Trades: in order of receipt, each once; numbers that are missing are told."""

    def __init__(self, *, is_numbered: bool) -> None:
        super().__init__()
        self._is_numbered = is_numbered
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._missing = 0

    def look(self, each: Found) -> None:
        """Look at a trade."""
        trade_id = each.row[2]
        if trade_id:
            if trade_id in self._ids:
                raise ConfigError(
                    f"{each.where}: the trade {trade_id} is there twice; keep one of its rows"
                )
            self._ids[trade_id] = None
            if len(self._ids) > IDS_MAX:
                self._ids.popitem(last=False)
        before = self.before
        if before is None:
            return
        check_gap(each.row[0] - before.row[0], before, each, "")
        last = before.row[2]
        if self._is_numbered and is_numbered(trade_id) and is_numbered(last):
            hole = int(trade_id) - int(last) - 1
            if hole < 0:
                raise ConfigError(
                    f"{each.where}: the trade {trade_id} after {last}: rows are not in order of "
                    "their numbers; sort them"
                )
            self._missing += hole
            if hole and len(self.notes) < HOLES_TOLD_MAX:
                self.notes.append(
                    f"{each.where}: missing before it: {counted(hole, 'trade')} after {last}"
                )

    def finish(self) -> None:
        """Tell how many are missing."""
        if self._missing and len(self.notes) == HOLES_TOLD_MAX:
            self.notes.append(f"{counted(self._missing, 'missing trade')} in all")


class BookCheck(Check):
    """Books: in order of receipt."""

    def look(self, each: Found) -> None:
        """Look at a level: those of one moment may follow each other."""
        if self.before is not None:
            check_gap(each.row[0] - self.before.row[0], self.before, each, "")


class FundingCheck(Check):
    """Settlements: in order, at their usual hours, and not one rate repeated every hour."""

    def __init__(self) -> None:
        super().__init__()
        self._times: list[tuple[int, str]] = []
        self._changes = self._changes_at_eight = 0

    def look(self, each: Found) -> None:
        """Look at a settlement."""
        if self.before is not None:
            check_gap(each.row[0] - self.before.row[0], self.before, each, "funding")
            if each.row[3] != self.before.row[3]:
                self._changes += 1
                since = (each.row[0] + GRID_NS) % (FILLED_HOURS * HOUR_NS)
                self._changes_at_eight += since <= 2 * GRID_NS
        self._times.append((each.row[0], each.where))

    def finish(self) -> None:
        """Tell unusual intervals and hours.

        Raises:
            ConfigError: A rate of eight hours stands in every hour.
        """
        gaps = [
            round((after - before) / GRID_NS) * GRID_NS
            for (before, _), (after, _) in pairwise(self._times)
        ]
        usual = _commonest(gaps)
        if not usual:
            return
        hours = usual / HOUR_NS
        if (
            usual < FILLED_HOURS * HOUR_NS
            and self._changes >= FILLED_CHANGES_MIN
            and self._changes_at_eight >= 0.99 * self._changes
        ):
            times = round(FILLED_HOURS / hours)
            raise ConfigError(
                f"{self._times[0][1]}: rows are {hours:g} h apart, but the rate changes only every "
                f"{FILLED_HOURS} h: it is repeated, and would be paid {times} times; keep the rows "
                "of settlements"
            )
        self.notes += _settlement_notes(self._times, usual)


def _settlement_notes(times: Sequence[tuple[int, str]], usual: int) -> list[str]:
    notes = [
        f"{where}: {(after - before) / HOUR_NS:g} h after the settlement before, "
        f"{usual / HOUR_NS:g} h is usual"
        for (before, _), (after, where) in pairwise(times)
        if after - before > usual + GRID_NS
    ]
    if len(notes) > HOLES_TOLD_MAX:
        more = len(notes) - HOLES_TOLD_MAX
        notes = [*notes[:HOLES_TOLD_MAX], f"and {counted(more, 'more hole')}"]
    off = sum((ts_ns + GRID_NS) % usual > 2 * GRID_NS for ts_ns, _ in times)
    if off > len(times) // 2:
        first_ns, where = times[0]
        shift = round(first_ns % usual / GRID_NS) * GRID_NS / HOUR_NS
        notes.append(
            f"{where}: settlements lie {shift:g} h after multiples of {usual / HOUR_NS:g} "
            "h of UTC; is the zone right?"
        )
    return notes


def step_of(found: Sequence[Found]) -> int:
    """Return how far apart bars are: as most of the first ones.

    Raises:
        ConfigError: They are out of order, or no usual time apart.
    """
    gaps = []
    for before, after in pairwise(found):
        gap = after.row[0] - before.row[0]
        check_gap(gap, before, after, "bar")
        gaps.append(gap)
    if not gaps:
        raise ConfigError(
            f"{found[0].where}: one bar says not how long it is; give two or more, or a file that "
            "is named as archives name it"
        )
    return checked_step(found[0].where, _commonest(gaps))


def checked_step(where: str, step_ns: int) -> int:
    """Return a length of bars that the store takes.

    Raises:
        ConfigError: It is not one.
    """
    if not step_ns or step_ns // SECOND_NS in MONTH_S:
        raise ConfigError(
            f"{where}: bars of a month are not all of one length, so that nothing can tell what is "
            "missing; give those of a day"
        )
    if step_ns // SECOND_NS not in STEPS_S or step_ns % SECOND_NS:
        raise ConfigError(
            f"{where}: bars are {step_ns / SECOND_NS:g} s apart; known are "
            f"{', '.join(map(str, STEPS_S))} s"
        )
    return step_ns


def _commonest(gaps: Sequence[int]) -> int:
    counts: dict[int, int] = {}
    for gap in gaps:
        counts[gap] = counts.get(gap, 0) + 1
    return max(counts, key=lambda gap: (counts[gap], -gap), default=0)


def check_gap(gap_ns: int, before: Found, after: Found, what: str) -> None:
    """Refuse a row that goes back in time, or where ``what`` is named comes at the same.

    Raises:
        ConfigError: It does.
    """
    if gap_ns < 0:
        raise ConfigError(
            f"{after.where}: {shown(after.row[0])} after {shown(before.row[0])}: rows are not "
            "in order of time; sort them"
        )
    if gap_ns == 0 and what:
        raise ConfigError(
            f"{after.where}: a second {what} of {shown(after.row[0])}; keep one of them"
        )
