"""The report of a soak, made from its record alone: the same file gives the same report. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

from tests.soak.record import Record, Sample
from tests.soak.schedule import BUS
from tests.soak.slopes import SURE, Point, Slope, longest, slope

RSS_MB_PER_H, HEAP_MB_PER_H = 1.0, 2.0
"""Limits of growth, per process and per tab."""
NOT_OURS = {"soak", "chromium", "playwright", "venuesim"}
"""Measured, without a limit: the harness, the browser and the simulated venues."""
TRIMMED_ENTRIES, TRIMMED_SHARE = 100, 1.1
"""Redis trims whole nodes of up to a hundred entries, and tells bytes from a sample."""
BARS = "▁▂▃▄▅▆▇█"
BARS_MAX = 40
SIGN_LENGTH_MAX = 90


class Check(NamedTuple):
    """One thing that must hold. ``verdict``: pass, FAIL or not decided."""

    what: str
    found: str
    limit: str
    verdict: str


def markdown(record: Record) -> str:
    """Return the whole report."""
    parts = (
        _head(record),
        _checks_table(record),
        _fault_table(record),
        _memory_table(record),
        _tab_table(record),
        _latency_part(record),
        _stream_table(record),
        _alert_table(record),
        _trouble(record),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def well(record: Record) -> bool:
    """Tell whether the run is over and nothing has failed."""
    return record.is_over and not any(check.verdict == "FAIL" for check in checks(record))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table of Markdown; ``None`` is a dash."""
    lines = [columns, ["---"] * len(columns)]
    lines += [["—" if cell is None else _cell(str(cell)) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _head(record: Record) -> str:
    on, last = record.machine, record.samples[-1] if record.samples else Sample(0.0)
    hours = record.seconds / 3_600
    lines = [
        f"# Soak of {record.started[:10]}, {hours:.2f} h",
        "",
        f"- machine: {on.get('cpu')}, {on.get('cores')} processors, {on.get('system')}, "
        f"Python {on.get('python')}, load {on.get('load_1m')} at the start",
        f"- commit: {record.commit}; started {record.started}",
        f"- command: `{record.command}`",
        f"- length: {record.seconds:,.0f} s of {record.seconds_planned:,.0f} s asked for"
        + ("" if record.is_over else "; **it was cut off, there is no reconciliation**"),
        f"- market: seed {record.seed}, {last.frames:,} venue frames"
        f" ({last.frames / max(record.seconds, 1):,.0f}/s), {last.opportunities:,} opportunities,"
        f" {last.plans:,} plans, {last.fills:,} fills, {last.denied:,} denied",
        f"- processor: {_processor(record)}",
        *(f"- note: {note}" for note in record.notes),
    ]
    return "\n".join(lines)


def _processor(record: Record) -> str:
    """Say how busy the machine was, and with what."""
    if len(record.samples) < 2:
        return "not measured"
    busy = [sample.cpu_percent for sample in record.samples[1:]]
    load = [sample.load_1m for sample in record.samples]
    cores = {name: _cores(record, name) for name in _names(record)}
    ours = sum(value for name, value in cores.items() if name not in NOT_OURS)
    others = ", ".join(f"{name} {cores[name]:.2f}" for name in sorted(NOT_OURS & cores.keys()))
    all_used = sum(busy) / len(busy) / 100 * int(record.machine.get("cores") or 1)
    beside = max(0.0, all_used - sum(cores.values()))
    return (
        f"{median(busy):.0f} % busy (median), load {median(load):.1f} (most {max(load):.1f}); in"
        f" cores: the system {ours:.2f}, {others}, **everything else on the machine {beside:.2f}**"
    )


def _cores(record: Record, name: str) -> float:
    """Return the cores that a process used over the run, its successors included."""
    used, before = 0.0, None
    for sample in record.samples:
        now = sample.processes.get(name)
        if now is not None and before is not None and now.epoch == before.epoch:
            used += now.cpu_s - before.cpu_s
        before = now or before
    return max(used, 0.0) / max(record.samples[-1].at_s - record.samples[0].at_s, 1.0)


def _names(record: Record) -> list[str]:
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
        for name in _names(record)
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
        for name, (entries, size) in _largest(record).items()
        if name in record.stream_bounds and _is_over(entries, size, *record.stream_bounds[name])
    ]
    by_operator = sum(bool(fault.operator) for fault in faults)
    all_healed = _verdict(healed == len(faults))
    return [
        Check("faults healed", f"{healed} of {len(faults)}", "all", all_healed),
        Check("faults that needed an operator", str(by_operator), "stated", "pass"),
        Check("halts outside faults", str(len(record.halts)), "0", _verdict(not record.halts)),
        Check("dead letters", str(dead), "0", _verdict(not dead)),
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


def _checks_table(record: Record) -> str:
    found = checks(record)
    counts = Counter(check.verdict for check in found)
    said = ", ".join(f"{counts[name]} {name}" for name in ("pass", "FAIL", "not decided"))
    text = (
        f"## What must hold: {said}\n\n"
        f"A slope is least squares over the longest stretch of one process, without its warm-up; "
        f"± {SURE:g} standard errors. Not decided: the limit lies within them.\n\n"
    )
    order = {"FAIL": 0, "not decided": 1, "pass": 2}
    return text + table(Check._fields, sorted(found, key=lambda check: order[check.verdict]))


def _fault_table(record: Record) -> str:
    rows = [
        (
            f"{fault.at_s:,.0f}",
            f"{fault.kind} {fault.target}",
            f"{fault.lasted_s:.1f}",
            _seconds(fault.seen_s),
            fault.seen_by[:SIGN_LENGTH_MAX] or "nothing said",
            _seconds(fault.told_s),
            "NOT HEALED" if fault.healed_s is None else f"{fault.healed_s:.1f}",
            fault.operator[:SIGN_LENGTH_MAX],
        )
        for fault in record.faults
    ]
    if not rows:
        return "## Faults\n\nNone were due."
    columns = (
        *("at, s", "fault", "lasted, s", "first sign, s", "which"),
        *("notified, s", "well after, s", "halted until resumed"),
    )
    return "## Faults\n\n" + table(columns, rows)


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f}"


def _memory_table(record: Record) -> str:
    rows = []
    for name in _names(record):
        points = rss(record, name)
        grows = slope(points)
        fds = [s.processes[name].fds for s in record.samples if name in s.processes]
        rows.append(
            (
                name,
                f"{points[0].value:.1f}",
                f"{points[-1].value:.1f}",
                f"{max(point.value for point in points):.1f}",
                len({point.epoch for point in points}) - 1,
                None if grows is None else f"{grows.per_h:+.2f} ± {grows.noise:.2f}",
                f"{fds[0]} / {fds[-1]} / {max(fds)}",
                f"{_cores(record, name):.3f}",
                _bars([point.value for point in longest(points)]),
            )
        )
    columns = (
        *("process", "first, MB", "last", "most", "replaced", "MB/h", "files first/last/most"),
        *("cores", "longest stretch"),
    )
    note = "Chromium's memory counts what its processes share several times."
    return f"## Memory, files and processor\n\n{note}\n\n" + table(columns, rows)


def _bars(values: Sequence[float]) -> str:
    """Draw values from their least to their most."""
    if not values:
        return ""
    step = max(1, -(-len(values) // BARS_MAX))
    shown = [median(values[i : i + step]) for i in range(0, len(values), step)]
    low, high = min(shown), max(shown)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * scale)] for value in shown)


def _tab_table(record: Record) -> str:
    rows = []
    for name in tab_names(record):
        points = heap(record, name)
        grows, rates = slope(points), _rates(record, name)
        rows.append(
            (
                name,
                f"{points[0].value:.1f}",
                f"{points[-1].value:.1f}",
                f"{max(point.value for point in points):.1f}",
                None if grows is None else f"{grows.per_h:+.2f} ± {grows.noise:.2f}",
                f"{median(rates) / 1e3:.1f} / {max(rates) / 1e3:.1f}" if rates else None,
                _bars([point.value for point in longest(points)]),
            )
        )
    if not rows:
        return ""
    columns = ("tab", "heap first, MB", "last", "most", "MB/h", "KB/s median/most", "heap")
    return "## Tabs of the dashboard\n\n" + table(columns, rows)


def _rates(record: Record, name: str) -> list[float]:
    """Return what a tab received per second between samples, characters."""
    rates, before = [], None
    for sample in record.samples:
        now = sample.tabs.get(name)
        if now is not None and before is not None and now.epoch == before[1].epoch:
            rates.append((now.received - before[1].received) / max(sample.at_s - before[0], 0.1))
        before = None if now is None else (sample.at_s, now)
    return rates


def _latency_part(record: Record) -> str:
    told = record.ending.get("latency_us", {})
    rows = [
        (name, each["n"], *(each[p] for p in ("p50", "p99", "p999"))) for name, each in told.items()
    ]
    found = [sample.tick_to_order for sample in record.samples if sample.tick_to_order.n]
    if not found:
        return ""
    halves = found[: len(found) // 2], found[len(found) // 2 :]
    said = "; ".join(
        f"{word} half: p50 {median(x.p50_us or 0 for x in half) / 1e3:,.1f} ms,"
        f" p99 {median(x.p99_us or 0 for x in half) / 1e3:,.1f} ms"
        for word, half in zip(("first", "second"), halves, strict=True)
        if half
    )
    text = f"## Latency\n\nTick to order, medians of the samples, {said}.\n\n"
    return text + table(("whole run, microseconds", "n", "p50", "p99", "p99.9"), rows)


def _largest(record: Record) -> dict[str, tuple[int, int]]:
    """Return the most entries and bytes of each stream."""
    largest: dict[str, tuple[int, int]] = {}
    for sample in record.samples:
        for name, (entries, size) in sample.streams.items():
            before = largest.get(name, (0, 0))
            largest[name] = max(entries, before[0]), max(size, before[1])
    return dict(sorted(largest.items()))


def _stream_table(record: Record) -> str:
    rows = []
    for name, (entries, size) in _largest(record).items():
        entries_max, bytes_max = record.stream_bounds.get(name, (0, 0))
        rows.append((name, f"{entries:,}", f"{entries_max:,}", f"{size:,}", f"{bytes_max:,}"))
    memory = [sample.redis_mb for sample in record.samples if sample.redis_mb is not None]
    if not rows:
        return ""
    said = "Redis' own memory was never told."
    if memory:
        said = f"Redis' own memory, MB: first {memory[0]:.1f}, last {memory[-1]:.1f}"
        said += f", most {max(memory):.1f}."
    columns = ("stream", "most entries", "bound", "most bytes", "bound")
    return f"## Streams\n\n{said}\n\n" + table(columns, rows)


def _alert_table(record: Record) -> str:
    counts = Counter((alert.severity, alert.code, alert.what) for alert in record.alerts)
    kinds = dict.fromkeys((alert.severity, alert.code) for alert in record.alerts)
    rows = [
        (*kind, *(counts[(*kind, what)] for what in ("began", "still", "over")))
        for kind in sorted(kinds)
    ]
    if not rows:
        return "## Notifications\n\nNone."
    return "## Notifications\n\n" + table(("severity", "code", "began", "still", "over"), rows)


def _trouble(record: Record) -> str:
    lines = [f"- {halt.at_s:,.0f} s: halted: {halt.reason}" for halt in record.halts]
    lines += [f"- {problem}" for problem in record.problems]
    lines += [f"- {text}" for text in record.ending.get("ledger_differences", [])]
    lines += [f"- {count} {name} beyond the bound" for name, count in record.dropped.items()]
    return "## Problems noted\n\n" + ("\n".join(lines) or "None.")
