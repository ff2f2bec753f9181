"""The rules of the table of alerts that are judged by metrics, as Prometheus would. Pure.

Each has its bounds and windows from its row, so both judge alike; the tests give both the same
cases. What a metric does not tell is neither well nor wrong: it stays as it was, for an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from services.notifier.history import EVERY_NS, FAR_EVERY_NS, History, Points, S
from shared.alerting import host, market_data, path, processes, trading, venues
from shared.alerting.rule import seconds
from shared.config_sections import Config
from shared.engine import Action, Result
from shared.histogram import merge, percentile
from shared.messages.base import BookState, Message
from shared.metrics import host_metrics as h
from shared.metrics import notify_metrics as n
from shared.metrics import table as m
from shared.metrics import venue_metrics as v
from shared.metrics.fold import Fold
from shared.metrics.metric import Metric
from shared.metrics.requests import (
    BooksRead,
    HostRead,
    ReadBooks,
    ReadFailed,
    ReadHost,
    ReadStreams,
    StreamsRead,
)
from shared.metrics.samples import Labels, Samples

READ_EVERY_NS: Final[Mapping[type[Action], int]] = {
    ReadStreams: 4 * S,
    ReadBooks: 10 * S,
    ReadHost: 10 * S,
}
"""Half as often as the exporter; never older than its limit of age when it is looked at."""
FORGET_NS: Final = 3_600 * S
_WHAT: Final[Mapping[type[Action] | type[Result], str]] = {
    ReadStreams: "streams",
    ReadBooks: "books",
    ReadHost: "host",
    StreamsRead: "streams",
    BooksRead: "books",
    HostRead: "host",
}
"""What is read, by the question and by its answer."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a rule's condition holds of one thing, and the numbers."""

    holds: bool
    detail: str


Verdicts = dict[str, Verdict]
"""By what they are about: a venue, a process, a stream; of what is not known there is none."""


def _above(found: Mapping[Labels, float], bound: float, text: str) -> Verdicts:
    """Judge values of which none may be above a bound; ``text`` shows one, and the bound."""
    return {
        " ".join(labels): Verdict(value > bound, text.format(value, bound))
        for labels, value in found.items()
    }


def _ratios(history: History, part: Metric, whole: Metric) -> dict[Labels, float]:
    wholes = history.newest(whole)
    return {
        labels: value / wholes[labels]
        for labels, value in history.newest(part).items()
        if wholes.get(labels)
    }


def _flapping(history: History) -> Verdicts:
    rises = history.rises(m.RESTARTS, seconds(processes.FLAPPING_WINDOW))
    text = f"{{:g}} restarts in {processes.FLAPPING_WINDOW}; told above {{:g}}"
    return _above(rises, processes.FLAPPING_MAX, text)


def _overflow(history: History) -> Verdicts:
    rises = history.rises(m.OVERFLOW, seconds(processes.OVERFLOW_WINDOW))
    return _above(rises, 0, f"{{:g}} samples left out in {processes.OVERFLOW_WINDOW}")


def _channel_silent(history: History) -> Verdicts:
    days = {
        labels: (history.now_ns / S - at_s) / 86_400
        for labels, at_s in history.newest(n.LAST_OK).items()
    }
    return _above(days, processes.CHANNEL_SILENT_DAYS, "for {:.1f} days; told after {:g}")


def _quiet(history: History) -> Verdicts:
    books = history.newest(m.BOOKS)
    live = sum(count for (_, state), count in books.items() if state == BookState.LIVE)
    at_s = history.newest(m.LAST_OPPORTUNITY).get(())
    if at_s is None or not books:
        return {}
    quiet_s = history.now_ns / S - at_s
    text = f"for {quiet_s / 60:.0f} minutes, with {live:g} books LIVE"
    return {"": Verdict(quiet_s > trading.QUIET_MAX_S and live > 0, text)}


_FOLLOWED: Final = frozenset(str(state) for state in BookState if state.is_followed)
"""The metric has one state more, SILENT, for a book of which nobody tells."""


def _books(history: History) -> Verdicts:
    every: dict[str, float] = {}
    bad: dict[str, float] = {}
    for (venue, state), count in history.newest(m.BOOKS).items():
        every[venue] = every.get(venue, 0) + count
        bad[venue] = bad.get(venue, 0) + (0 if state in _FOLLOWED else count)
    return {
        venue: Verdict(
            bad[venue] / total > market_data.UNTRUSTED_MAX,
            f"{bad[venue]:g} of {total:g}; told above {market_data.UNTRUSTED_MAX:.0%}",
        )
        for venue, total in every.items()
        if total
    }


def _errors(history: History, bound: float) -> Verdicts:
    every: dict[str, float] = {}
    failed: dict[str, float] = {}
    for labels, rise in history.rises(v.REQUESTS, seconds(venues.ERRORS_WINDOW)).items():
        _, _, venue, _, result = labels
        every[venue] = every.get(venue, 0) + rise
        failed[venue] = failed.get(venue, 0) + (0 if result in venues.ANSWERED else rise)
    return {
        venue: Verdict(
            failed[venue] / total > bound,
            f"{failed[venue]:g} of {total:g} in {venues.ERRORS_WINDOW}; told above {bound:.0%}",
        )
        for venue, total in every.items()
        if total
    }


def _clock(history: History) -> Verdicts:
    offsets = {labels: abs(s) for labels, s in history.newest(v.CLOCK_OFFSET).items()}
    return _above(offsets, venues.CLOCK_OFFSET_MAX_S, "by {:.3f} s; told above {:g} s")


def _slow(history: History) -> Verdicts:
    services: dict[str, dict[int, int]] = {}
    for (service, _), buckets in history.recorded(
        m.TICK_TO_ORDER, seconds(path.SLOW_WINDOW)
    ).items():
        services[service] = merge([services.get(service, {}), buckets])
    found: Verdicts = {}
    for service, buckets in services.items():
        now_ns = percentile(buckets, path.SLOW_QUANTILE)
        if now_ns is None:
            continue
        known = history.follow(f"p99 {service}", now_ns, seconds(path.USUAL_WINDOW))
        usual_ns = _median([value for _, value in known])
        found[service] = Verdict(
            now_ns > path.SLOW_TIMES * usual_ns,
            f"p99 of {path.SLOW_WINDOW} is {now_ns / 1e6:.2f} ms, usually {usual_ns / 1e6:.2f} ms",
        )
    return found


def _large(history: History) -> Verdicts:
    bounds = history.newest(m.STREAM_BYTES_MAX)
    return {
        name: Verdict(size > bounds[name,], f"{size:,.0f} of {bounds[name,]:,.0f} bytes")
        for (name,), size in history.newest(m.STREAM_BYTES).items()
        if (name,) in bounds
    }


def _dead(history: History) -> Verdicts:
    rises = history.rises(m.DEAD_LETTERS, seconds(path.DEAD_WINDOW))
    return _above(rises, 0, f"{{:g}} in {path.DEAD_WINDOW}")


def _disk(history: History) -> Verdicts:
    sizes, found = history.newest(h.HOST_DISK), Verdicts()
    for labels, free in history.newest(h.HOST_DISK_FREE).items():
        if not (size := sizes.get(labels)):
            continue
        (mount,) = labels
        points = history.follow(f"disk {mount}", free, seconds(host.DISK_TREND))
        is_filling = free / size < host.DISK_FILLING and _in_a_day(points) < 0
        found[mount] = Verdict(
            free / size < host.DISK_FREE_MIN or is_filling,
            f"{free / 1e9:.1f} GB of {size / 1e9:.1f} GB are free"
            + (", and none within a day at this rate" if is_filling else ""),
        )
    return found


def _in_a_day(points: Points) -> float:
    """Return what a line through the points comes to, a day from the last one."""
    end_ns = points[-1][0]
    if len(points) < 2 or end_ns - points[0][0] < FAR_EVERY_NS:
        return points[-1][1]
    times = [(at_ns - end_ns) / S for at_ns, _ in points]
    values = [value for _, value in points]
    # Least squares; statistics.linear_regression loads a source of random numbers.
    time, value = sum(times) / len(times), sum(values) / len(values)
    slope = sum((t - time) * (free - value) for t, free in zip(times, values, strict=True)) / sum(
        (t - time) ** 2 for t in times
    )
    return value + slope * (host.DISK_AHEAD_S - time)


def _median(values: list[float]) -> float:
    ordered, middle = sorted(values), len(values) // 2
    return (ordered[middle] + ordered[-middle - 1]) / 2


def _memory(history: History) -> Verdicts:
    ratios = _ratios(history, h.HOST_MEMORY_AVAILABLE, h.HOST_MEMORY)
    text = f"{{:.1%}} is available; told below {host.MEMORY_FREE_MIN:.0%}"
    return {
        " ".join(labels): Verdict(ratio < host.MEMORY_FREE_MIN, text.format(ratio))
        for labels, ratio in ratios.items()
    }


def _processor_share(history: History, *modes: str) -> float | None:
    rises = history.rises(h.HOST_CPU, seconds(host.CPU_WINDOW))
    total = sum(rises.values())
    return sum(rises.get((mode,), 0.0) for mode in modes) / total if total else None


def _cpu(history: History) -> Verdicts:
    idle = _processor_share(history, *host.CPU_IDLE)
    text = f"{{:.0%}} over {host.CPU_WINDOW}; told above {{:.0%}}"
    return {} if idle is None else _above({(): 1 - idle}, host.CPU_BUSY_MAX, text)


def _steal(history: History) -> Verdicts:
    share = _processor_share(history, "steal")
    text = f"{{:.1%}} over {host.CPU_WINDOW}; told above {{:.0%}}"
    return {} if share is None else _above({(): share}, host.STEAL_MAX, text)


def _pressure(history: History) -> Verdicts:
    found = history.newest(h.HOST_PRESSURE)
    return _above(found, host.PRESSURE_MAX, "{:.0%} of a minute; told above {:.0%}")


def _network(history: History) -> Verdicts:
    rises = history.rises(h.HOST_NETWORK_ERRORS, seconds(host.NETWORK_WINDOW))
    text = f"{{:g}} errors in {host.NETWORK_WINDOW}; told above {{:g}}"
    return _above(rises, host.NETWORK_ERRORS_MAX, text)


def _open_files(history: History) -> Verdicts:
    ratios = _ratios(history, h.PROCESS_FILES, h.PROCESS_FILES_MAX)
    return _above(ratios, host.OPEN_FILES_MAX, "{:.0%} of its limit; told above {:.0%}")


def _host_clock(history: History) -> Verdicts:
    bound = host.HOST_CLOCK_OFFSET_MAX_S
    for synchronized in history.newest(h.HOST_CLOCK_SYNCED).values():
        if not synchronized:
            return {"": Verdict(True, "no time source keeps it")}
        offset_s = abs(history.newest(h.HOST_CLOCK_OFFSET).get((), 0.0))
        return {"": Verdict(offset_s > bound, f"by {offset_s:.3f} s; told above {bound:g} s")}
    return {}


def _clock_set_back(history: History) -> Verdicts:
    ahead = history.newest(h.PROCESS_CLOCK_AHEAD)
    text = "by {:.1f} s, of which they are still ahead; told above {:g} s"
    return _above({(): max(ahead.values())}, host.CLOCK_AHEAD_MAX_S, text) if ahead else {}


RULES: Final[Mapping[str, Callable[[History], Verdicts]]] = {
    "ArbFlapping": _flapping,
    "ArbSeriesOverflow": _overflow,
    "ArbChannelSilent": _channel_silent,
    "ArbQuiet": _quiet,
    "ArbBooksUntrusted": _books,
    "ArbVenueErrors": lambda history: _errors(history, venues.ERRORS_MAX),
    "ArbVenueFailing": lambda history: _errors(history, venues.FAILING_MAX),
    "ArbVenueBudget": lambda history: _above(
        history.newest(v.RATE_BUDGET), venues.BUDGET_USED_MAX, "{:.0%}; told above {:.0%}"
    ),
    "ArbClock": _clock,
    "ArbSlow": _slow,
    "ArbStreamLag": lambda history: _above(
        history.newest(m.STREAM_LAG), path.LAG_MAX_S, "by {:.1f} s; told above {:g} s"
    ),
    "ArbStreamLarge": _large,
    "ArbDeadLetter": _dead,
    "ArbHostDisk": _disk,
    "ArbHostMemory": _memory,
    "ArbHostCpu": _cpu,
    "ArbHostSteal": _steal,
    "ArbHostPressure": _pressure,
    "ArbHostNetwork": _network,
    "ArbHostOpenFiles": _open_files,
    "ArbHostClock": _host_clock,
    "ArbClockSetBack": _clock_set_back,
}
"""Each rule's condition, by what it is about."""


class Measured:
    """All of them: what to read, what was sampled, and what holds."""

    def __init__(self, config: Config, now_ns: int) -> None:
        self._fold, self._history = Fold(config, READ_EVERY_NS), History()
        self.sample: Callable[[int], Samples] = self._fold.samples
        self._is_on = config.notifier.judges_metrics
        self._look_ns = now_ns + EVERY_NS
        self._known: dict[tuple[str, str], tuple[Verdict, int]] = {}
        """Newest verdict by rule and subject, and when it was given."""
        self.unread: dict[str, str] = {}
        """What could not be read the last time, and why: rules on it are not judged."""

    def on_message(self, message: Message | Result, now_ns: int) -> None:
        """Fold a message, or what was read."""
        self._fold.on_message(message, now_ns)
        if isinstance(message, ReadFailed):
            self.unread[_WHAT[type(message.action)]] = message.reason
        elif isinstance(message, StreamsRead | BooksRead | HostRead):
            self.unread.pop(_WHAT[type(message)], None)

    def due(self, now_ns: int) -> list[Action]:
        """Return what is to be read."""
        return self._fold.due(now_ns) if self._is_on else []

    def look(self, now_ns: int) -> None:
        """Sample and judge anew, if it is time to."""
        if not self._is_on:
            return
        if now_ns >= self._look_ns or self._look_ns - now_ns > EVERY_NS:
            self._look_ns = now_ns + EVERY_NS
            self._judge(now_ns)

    def holding(self) -> Iterator[tuple[str, str, str]]:
        """Yield rule, subject and numbers of what is wrong, by the newest that is known."""
        for (name, subject), (verdict, _) in self._known.items():
            if verdict.holds:
                yield name, subject, verdict.detail

    def is_known(self, name: str, subject: str) -> bool:
        """Tell whether a rule was judged of something within the last hour."""
        return (name, subject) in self._known

    def may_be_over(self, name: str, subject: str, now_ns: int, began_ns: int) -> bool:
        """Tell whether a condition that does not hold was judged, or not been known for an hour."""
        return self.is_known(name, subject) or now_ns - began_ns >= FORGET_NS

    def _judge(self, now_ns: int) -> None:
        self._history.take(self.sample(now_ns), now_ns)
        for name, rule in RULES.items():
            for subject, verdict in rule(self._history).items():
                self._known[name, subject] = verdict, now_ns
        for place, (_, at_ns) in list(self._known.items()):
            if not 0 <= now_ns - at_ns < FORGET_NS:
                del self._known[place]
