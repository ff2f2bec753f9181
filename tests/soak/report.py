"""The report of a soak, made from its record alone: the same file gives the same report. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from tests.soak.checks import (
    NOT_OURS,
    Check,
    bounds,
    checks,
    heap,
    largest,
    process_names,
    rss,
    tab_names,
)
from tests.soak.record import Record, Sample
from tests.soak.slopes import SURE, longest, slope

BARS = "▁▂▃▄▅▆▇█"
BARS_MAX = 40
SIGN_LENGTH_MAX = 90


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
    cores = {name: _cores(record, name) for name in process_names(record)}
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
    for name in process_names(record):
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
                sum(bool(s.tabs[name].banner) for s in record.samples if name in s.tabs),
                _bars([point.value for point in longest(points)]),
            )
        )
    if not rows:
        return ""
    columns = (
        "tab",
        "heap first, MB",
        "last",
        "most",
        "MB/h",
        "KB/s median/most",
        "STALE samples",
        "heap",
    )
    return "## Tabs of the dashboard\n\n" + table(columns, rows)


def _rates(record: Record, name: str) -> list[float]:
    """Return what a tab received per second between samples, characters."""
    rates, before = [], None
    for sample in record.samples:
        now = sample.tabs.get(name)
        is_one = now is not None and before is not None and now.epoch == before[1].epoch
        if is_one and now.received >= before[1].received:
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


def _stream_table(record: Record) -> str:
    rows = []
    for name, (entries, size) in largest(record).items():
        entries_max, bytes_max = bounds(record, name) or (0, 0)
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
        (*kind, *(counts[(*kind, what)] for what in ("began", "still", "again", "over")))
        for kind in sorted(kinds)
    ]
    if not rows:
        return "## Notifications\n\nNone."
    return "## Notifications\n\n" + table(
        ("severity", "code", "began", "still", "again", "over"), rows
    )


def _trouble(record: Record) -> str:
    lines = [f"- {halt.at_s:,.0f} s: halted: {halt.reason}" for halt in record.halts]
    lines += [f"- {problem}" for problem in record.problems]
    lines += [f"- {text}" for text in record.ending.get("ledger_differences", [])]
    lines += [f"- {count} {name} beyond the bound" for name, count in record.dropped.items()]
    return "## Problems noted\n\n" + ("\n".join(lines) or "None.")
