"""What must hold in a soak, and whether it did: made from its record alone. Pure."""

from __future__ import annotations

from statistics import median_low
from typing import NamedTuple

from shared.streams import BY_NAME
from tests.soak.record import Record
from tests.soak.schedule import BUS
from tests.soak.slopes import Point, Slope, slope

RSS_MB_PER_H, HEAP_MB_PER_H = 1.0, 2.0
"""Limits of growth, per process and per tab."""
NOT_OURS = {"soak", "chromium", "playwright", "venuesim"}
"""Measured, without a limit: the harness, the browser and the simulated venues."""
TRIMMED_ENTRIES, TRIMMED_SHARE = 100, 1.25
"""Redis trims whole nodes of up to a hundred entries, and estimates bytes from twenty of them."""
ESTIMATES = 5
"""Of so many estimates in a row the middle one counts: a single one may be twice what is there."""


class Check(NamedTuple):
    """One thing that must hold. ``verdict``: pass, FAIL or not decided."""

    what: str
    found: str
    limit: str
    verdict: str


def well(record: Record) -> bool:
    """Tell whether the run is over and nothing has failed."""
    return record.is_over and not any(check.verdict == "FAIL" for check in checks(record))


def process_names(record: Record) -> list[str]:
    """Return every process that was measured."""
    return list(dict.fromkeys(n for sample in record.samples for n in sample.processes))


def rss(record: Record, name: str) -> list[Point]:
    """Return a process's resident memory over the run, MB."""
    return [
        Point(sample.at_s, each.rss_mb, each.epoch)
        for sample in record.samples
        if (each := sample.processes.get(name))
    ]


def _bus(record: Record) -> list[Point]:
    """Return the bus's own memory without what its bounded streams hold, MB."""
    return [
        Point(sample.at_s, sample.redis_mb - held / 1e6, sample.processes[BUS].epoch)
        for sample in record.samples
        if sample.redis_mb is not None and BUS in sample.processes
        for held in (sum(size for _, size in sample.streams.values()),)
    ]


def heap(record: Record, name: str) -> list[Point]:
    """Return a tab's JavaScript heap over the run, MB."""
    return [
        Point(sample.at_s, each.heap_mb, each.epoch)
        for sample in record.samples
        if (each := sample.tabs.get(name))
    ]


def tab_names(record: Record) -> list[str]:
    """Return the tabs in the order in which they were opened."""
    return sorted({name for sample in record.samples for name in sample.tabs})


def checks(record: Record) -> list[Check]:
    """Return everything that must hold, and whether it did."""
    found = [
        _growth(f"memory of {name}", slope(rss(record, name)), RSS_MB_PER_H)
        for name in process_names(record)
        if name not in NOT_OURS and name != BUS
    ]
    found.append(_growth(f"memory of {BUS} beside its streams", slope(_bus(record)), RSS_MB_PER_H))
    found += [
        _growth(f"heap of tab {name}", slope(heap(record, name)), HEAP_MB_PER_H)
        for name in tab_names(record)
    ]
    found += [*_over_time(record), *_at_the_end(record)]
    return found


def _growth(what: str, grows: Slope | None, limit: float) -> Check:
    said = f"under {limit:g} MB/h"
    if grows is None:
        return Check(what, "too few samples of one process", said, "not decided")
    text = f"{grows.per_h:+.2f} ± {grows.noise:.2f} MB/h over {grows.hours:.2f} h"
    return Check(what, text, said, grows.verdict(limit))


def _verdict(good: bool) -> str:
    return "pass" if good else "FAIL"


def _over_time(record: Record) -> list[Check]:
    faults = record.faults
    healed = sum(fault.healed_s is not None for fault in faults)
    dead = max((sample.dead_letters or 0 for sample in record.samples), default=0)
    full = [
        f"{name} {entries:,} entries, {size:,} bytes"
        for name, (entries, size) in largest(record).items()
        if (bound := bounds(record, name)) and _is_over(entries, size, *bound)
    ]
    by_operator = sum(bool(fault.operator) for fault in faults)
    all_healed = _verdict(healed == len(faults))
    return [
        Check("faults healed", f"{healed} of {len(faults)}", "all", all_healed),
        Check("faults that needed an operator", str(by_operator), "stated", "pass"),
        Check("halts outside faults", str(len(record.halts)), "0", _verdict(not record.halts)),
        Check("dead letters", str(dead), "0", _verdict(not dead)),
        Check("problems noted", str(len(record.problems)), "0", _verdict(not record.problems)),
        Check("streams over their bounds", "; ".join(full) or "none", "none", _verdict(not full)),
    ]


def _is_over(entries: int, size: int, entries_max: int, bytes_max: int) -> bool:
    return entries > entries_max + TRIMMED_ENTRIES or size > bytes_max * TRIMMED_SHARE


def _at_the_end(record: Record) -> list[Check]:
    end = record.ending
    if not record.is_over:
        return [Check("reconciliation", "the run was cut off", "made", "FAIL")]
    unknown = end.get("orders", {}).get("unknown")
    exposure = ", ".join(f"{qty} {asset}" for asset, qty in end.get("exposure", {}).items())
    failed = end.get("outcomes", {}).get("FAILED", 0)
    rows = (
        ("fills, orders and balances equal the venues'", end.get("ledger_equal"), True, "equal"),
        ("the SQL ledger equals them", end.get("sql_ledger_equal"), True, "equal"),
        ("gaps in the SQL ledger", end.get("sql_ledger_gaps"), 0, "0"),
        ("orders with an unknown end", unknown, 0, "0"),
        ("orders open at the venues", end.get("open_orders"), 0, "0"),
        ("plans without an end", end.get("plans_without_end"), 0, "0"),
        ("plans that FAILED", failed, 0, "0"),
        ("exposure left, more than dust", exposure or "none", "none", "none"),
    )
    return [
        Check(what, str(found), limit, _verdict(found == wanted))
        for what, found, wanted, limit in rows
    ]


def largest(record: Record) -> dict[str, tuple[int, int]]:
    """Return the most entries of each stream, and the most bytes that last."""
    found: dict[str, list[tuple[int, int]]] = {}
    for sample in record.samples:
        for name, size in sample.streams.items():
            found.setdefault(name, []).append(size)
    return {
        name: (max(entries for entries, _ in sizes), _most_that_lasts([b for _, b in sizes]))
        for name, sizes in sorted(found.items())
    }


def _most_that_lasts(values: list[int]) -> int:
    windows = range(max(1, len(values) - ESTIMATES + 1))
    return int(max(median_low(values[i : i + ESTIMATES]) for i in windows))


def bounds(record: Record, name: str) -> tuple[int, int] | None:
    """Return the most entries and bytes that a stream may have, over its shards."""
    if name not in record.stream_bounds:
        return None
    entries, size = record.stream_bounds[name]
    shards = record.shards if name in BY_NAME and BY_NAME[name].sharded else 1
    return entries * shards, size * shards
