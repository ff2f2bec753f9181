"""What must hold from row to row of tables that others wrote."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from services.cli.data_rows import Found
from services.cli.data_shapes import archive_of
from shared.errors import ConfigError
from shared.store.rows import partition_of

SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * SECOND_NS
STEPS_S = (1, 60, 180, 300, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 28_800, 43_200, 86_400)
GRID_NS = 60 * SECOND_NS
"""Times of settlements jitter by less than this."""
HOLES_TOLD_MAX = 3


def step_of(paths: Sequence[Path], found: Sequence[Found]) -> int:
    """Return how far apart bars are: as the name of the file says, else most of them."""
    archive = archive_of(paths[0])
    if archive is not None and archive.step_s:
        return archive.step_s * SECOND_NS
    gaps: dict[int, int] = {}
    for before, after in pairwise(found):
        gap = after.row[0] - before.row[0]
        _check_gap(gap, before, after, "bar")
        gaps[gap] = gaps.get(gap, 0) + 1
    step_ns = max(gaps, key=lambda gap: (gaps[gap], -gap), default=0)
    if step_ns // SECOND_NS not in STEPS_S or step_ns % SECOND_NS:
        raise ConfigError(
            f"{found[0].where}: bars are {step_ns / SECOND_NS:g} s apart; known are "
            f"{', '.join(map(str, STEPS_S))} s"
        )
    return step_ns


def checked_bars(found: Sequence[Found], step_ns: int) -> list[str]:
    """Return what is to be told of bars.

    Raises:
        ConfigError: One is out of order, there twice, or off the grid.
    """
    holes: list[str] = []
    missing = 0
    before: Found | None = None
    for each in found:
        ts_ns = each.row[0]
        if ts_ns % step_ns:
            raise ConfigError(
                f"{each.where}: a bar of {_shown(ts_ns)} does not begin at a multiple of "
                f"{step_ns // SECOND_NS} s"
            )
        if before is not None:
            gap = ts_ns - before.row[0]
            _check_gap(gap, before, each, "bar")
            if gap > step_ns:
                missing += gap // step_ns - 1
                holes.append(
                    f"{each.where}: missing before it: {gap // step_ns - 1} bars after "
                    f"{_shown(before.row[0])}"
                )
        before = each
    if len(holes) > HOLES_TOLD_MAX:
        more = f"and {len(holes) - HOLES_TOLD_MAX} more holes, {missing} bars in all"
        return [*holes[:HOLES_TOLD_MAX], more]
    return holes


def checked_order(found: Sequence[Found], table: str) -> list[str]:
    """Return what is to be told of trades or settlements.

    Raises:
        ConfigError: One is out of order or there twice.
    """
    notes: list[str] = []
    before: Found | None = None
    ids: set[str] = set()
    for each in found:
        if table == "trade":
            if each.row[2] and each.row[2] in ids:
                raise ConfigError(f"{each.where}: the trade {each.row[2]} is there twice")
            ids.add(each.row[2])
        if before is not None:
            gap = each.row[0] - before.row[0]
            if gap < 0 or (gap == 0 and table == "funding"):
                _check_gap(gap, before, each, table)
        before = each
    if table == "funding":
        notes += _settlement_notes(found)
    return notes


def _settlement_notes(found: Sequence[Found]) -> list[str]:
    """Tell intervals that are not the usual one, and settlements at unusual hours."""
    gaps: dict[int, int] = {}
    for before, after in pairwise(found):
        gap = round((after.row[0] - before.row[0]) / GRID_NS) * GRID_NS
        gaps[gap] = gaps.get(gap, 0) + 1
    usual = max(gaps, key=lambda gap: (gaps[gap], -gap), default=0)
    if not usual:
        return []
    notes = [
        f"{after.where}: {(after.row[0] - before.row[0]) / HOUR_NS:g} h after the settlement "
        f"before, {usual / HOUR_NS:g} h is usual"
        for before, after in pairwise(found)
        if after.row[0] - before.row[0] > usual + GRID_NS
    ]
    if len(notes) > HOLES_TOLD_MAX:
        notes = [*notes[:HOLES_TOLD_MAX], f"and {len(notes) - HOLES_TOLD_MAX} more holes"]
    off = sum((each.row[0] + GRID_NS) % usual > 2 * GRID_NS for each in found)
    if off > len(found) // 2:
        shift = round(found[0].row[0] % usual / GRID_NS) * GRID_NS / HOUR_NS
        notes.append(
            f"{found[0].where}: settlements lie {shift:g} h after multiples of {usual / HOUR_NS:g} "
            "h of UTC; is the zone right?"
        )
    return notes


def _check_gap(gap_ns: int, before: Found, after: Found, what: str) -> None:
    if gap_ns < 0:
        raise ConfigError(
            f"{after.where}: {_shown(after.row[0])} after {_shown(before.row[0])}: rows are not "
            "in order of time"
        )
    if gap_ns == 0:
        raise ConfigError(f"{after.where}: a second {what} of {_shown(after.row[0])}")


def _shown(ts_ns: int) -> str:
    date, _ = partition_of(ts_ns)
    seconds = ts_ns // SECOND_NS % 86_400
    return f"{date} {seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
