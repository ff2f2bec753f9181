"""The notifier without Prometheus: it judges every row of the table, by the row's own cases."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from services.exporter.metrics_page import ALL
from services.notifier.checks import JUDGED, SAID_OTHERWISE, Checks
from services.notifier.measured import RULES
from services.notifier.troubles import Troubles
from shared.alerting.rule import AlertRule, Series, seconds
from shared.alerting.table import ALERT_RULES, RULE_OF
from shared.config_sections import Config
from shared.histogram import bucket_of
from shared.messages.control import Severity
from shared.metrics.metric import Kind
from shared.metrics.requests import HostRead, ReadFailed, ReadHost, ReadStreams, StreamsRead
from shared.metrics.samples import Room, Samples
from tests.decision_builders import make_beat
from tests.unit.test_notifier_engine import MINUTE, Host, S

START_NS = 0
"""As promtool, whose cases begin at the epoch."""
METRICS = {row.name: row for row in ALL}


def test_no_row_of_the_table_is_left_out() -> None:
    assert {rule.name for rule in ALERT_RULES} == JUDGED | SAID_OTHERWISE.keys()
    assert not JUDGED & SAID_OTHERWISE.keys()


def values_of(text: str) -> list[float | None]:
    """Expand promtool's notation of a series: ``0x4 1+2x3 _x2``."""
    values: list[float | None] = []
    for part in text.split():
        found = re.fullmatch(r"(_|-?[\d.]+?)(?:([+-][\d.]+))?(?:x(\d+))?", part)
        assert found is not None, part
        first, step, times = found[1], float(found[2] or 0), int(found[3] or 0)
        if first == "_":
            values += [None] * max(times, 1)
        else:
            values += [float(first) + step * number for number in range(times + 1)]
    return values


def samples_at(series: Series, step: int) -> Samples:
    """What the series say at a step, as a scrape would."""
    out = Samples(Room())
    buckets: dict[tuple[str, ...], dict[str, int]] = {}
    for name, text in series.items():
        values = values_of(text)
        value = values[step] if step < len(values) else None
        if value is None:
            continue
        bare, _, rest = name.partition("{")
        labels: Mapping[str, str] = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        metric = METRICS[bare.removesuffix("_bucket")]
        # A case leaves out labels that its rule does not look at.
        place = tuple(labels.get(label, f"any-{label}") for label in metric.labels)
        if metric.kind is Kind.HISTOGRAM:
            buckets.setdefault(place, {})[labels["le"]] = int(value)
            lower = [count for le, count in buckets[place].items() if le != labels["le"]]
            own = int(value) - max(lower, default=0)
            middle_s = 0.9 * float(labels["le"].replace("+Inf", "1"))
            known = out.values.setdefault(metric, {}).setdefault(place, {})
            assert isinstance(known, dict)
            known[bucket_of(int(middle_s * S))] = own
        else:
            out.add(metric, value, *place)
    return out


def judged(rule: AlertRule, series: Series) -> list[str]:
    """Return what a rule is told of at its time, after all that its series say until then."""
    checks, troubles = Checks(Config(), START_NS), Troubles()
    every_s = int(re.sub(r"\D", "", rule.interval)) * {"s": 1, "m": 60}[rule.interval[-1]]
    at_s = sum(seconds(part) for part in re.findall(r"\d+\w", rule.at))
    for step in range(at_s // every_s + 1):
        now_ns = START_NS + step * every_s * S
        checks.on_message(make_beat("notifier", now_ns, 1), now_ns)
        checks.measured.sample = lambda _, step=step: samples_at(series, step)
        checks.judge(troubles, now_ns)
    return [
        each.cause.subject
        for each in troubles.known.values()
        if each.cause.code == rule.name and not each.over_ns
    ]


@pytest.mark.parametrize("name", RULES)
def test_each_rule_fires_and_is_quiet_in_the_cases_of_its_row(name: str) -> None:
    rule = RULE_OF[name]
    (subject,) = judged(rule, rule.fires)
    assert set(rule.labels.values()) <= set(subject.split()), "it says what it is about"
    assert judged(rule, rule.quiet) == []


def answered(host: Host, *, lag_ms: int | None, dead: int = 0) -> None:
    """Answer what the engine asks to read, at every look."""
    for action in host.asked:
        if isinstance(action, ReadStreams) and lag_ms is not None:
            lags = {("exec.event", "risk"): lag_ms}
            host.hear(StreamsRead({}, lags, {"exec.plan": dead}))
        elif isinstance(action, ReadHost):
            host.hear(HostRead({"memory_bytes": 100.0, "memory_available_bytes": 50.0}, {}))
    host.asked.clear()


def test_a_reader_that_is_behind_is_told_with_its_numbers_and_its_end(host: Host) -> None:
    host.run(MINUTE, lambda: answered(host, lag_ms=0))
    host.run(3 * MINUTE, lambda: answered(host, lag_ms=9_000))
    told = [text for text in host.texts() if "ArbStreamLag" in text]
    assert len(told) == 1
    assert "exec.event risk" in told[0]
    assert "by 9.0 s; told above 5 s" in told[0]
    host.run(2 * MINUTE, lambda: answered(host, lag_ms=0))
    assert "over" in [text for text in host.texts() if "ArbStreamLag" in text][-1].lower()


def test_what_is_not_known_any_more_is_not_told_as_over(host: Host) -> None:
    host.run(3 * MINUTE, lambda: answered(host, lag_ms=9_000))
    host.run(3 * MINUTE, lambda: answered(host, lag_ms=None))
    assert not [text for text in host.texts() if "ArbStreamLag" in text and "over" in text.lower()]


def test_what_is_not_measured_for_an_hour_ends_with_that_and_not_as_well(host: Host) -> None:
    host.run(3 * MINUTE, lambda: answered(host, lag_ms=9_000))
    host.run(62 * MINUTE, lambda: answered(host, lag_ms=None))
    last = [text for text in host.texts() if "ArbStreamLag" in text][-1]
    assert last.startswith("over") or "over: " in last
    assert "by 9.0 s; told above 5 s; not measured for an hour" in last


def refuse(host: Host) -> None:
    """Let whatever is to be read fail."""
    for action in host.asked:
        host.hear(ReadFailed(action, "NOPERM this user has no permissions"))
    host.asked.clear()


def test_a_redis_that_was_away_is_told_alone(host: Host) -> None:
    host.run(6 * S, lambda: refuse(host))
    beating, host.beating = host.beating, []
    host.run(5 * MINUTE, lambda: refuse(host))
    host.beating = beating
    host.run(6 * S, lambda: refuse(host))
    host.run(MINUTE, lambda: answered(host, lag_ms=0))
    assert any("ArbBusDown" in text for text in host.texts())
    assert not any("NOTIFY_METRICS" in text for text in host.texts())


def test_who_cannot_read_says_so_once_and_when_it_can_again(host: Host) -> None:
    def told() -> list[str]:
        return [text for text in host.texts() if "NOTIFY_METRICS streams" in text]

    host.run(MINUTE, lambda: refuse(host))
    assert not told(), "a Redis that starts is no fault"
    host.run(2 * MINUTE, lambda: refuse(host))
    assert len(told()) == 1
    assert "NOPERM" in told()[0]
    host.asked.clear()
    host.restart(5 * S)
    host.run(30 * S, lambda: answered(host, lag_ms=0))
    assert "over: " in told()[-1]
    assert len(told()) == 2


def test_a_condition_that_went_on_over_a_restart_is_not_told_again(host: Host) -> None:
    host.run(3 * MINUTE, lambda: answered(host, lag_ms=9_000))
    before = len([text for text in host.texts() if "ArbStreamLag" in text])
    host.asked.clear()
    host.restart(5 * S)
    host.run(45 * S, lambda: answered(host, lag_ms=9_000))
    assert len([text for text in host.texts() if "ArbStreamLag" in text]) == before == 1


def test_what_follows_from_a_service_that_is_down_is_not_told_besides(host: Host) -> None:
    host.run(MINUTE, lambda: answered(host, lag_ms=0))
    host.beating.remove("risk")
    host.run(5 * MINUTE, lambda: answered(host, lag_ms=9_000))
    assert any("ArbDown" in text for text in host.texts())
    assert not any("ArbStreamLag" in text for text in host.texts())


def test_where_prometheus_judges_metrics_the_notifier_reads_and_tells_none() -> None:
    host = Host(judges_metrics=False)
    host.run(MINUTE)
    assert not host.asked
    host.hear(StreamsRead({}, {("exec.event", "risk"): 9_000}, {}))
    host.run(3 * MINUTE)
    assert not host.texts()


def test_the_first_dead_letter_is_critical(host: Host) -> None:
    host.run(MINUTE, lambda: answered(host, lag_ms=0))
    host.run(MINUTE, lambda: answered(host, lag_ms=0, dead=1))
    (text,) = (text for text in host.texts() if "ArbDeadLetter" in text)
    assert "CRITICAL" in text
    assert RULE_OF["ArbDeadLetter"].severity.value == Severity.CRITICAL.value


def test_readings_that_fail_are_asked_for_again(host: Host) -> None:
    host.run(5 * S)
    assert {type(action) for action in host.asked} >= {ReadStreams, ReadHost}
    answered(host, lag_ms=0)
    host.run(30 * S)
    assert {type(action) for action in host.asked} >= {ReadStreams, ReadHost}


@pytest.fixture
def host() -> Host:
    return Host()
