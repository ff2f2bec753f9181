"""The soak's pure parts: slopes, the schedule of faults, signs, and the report from its record."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from shared.messages.base import BookState, TradingState
from shared.messages.control import Alert, Severity
from shared.messages.execution import TradingStateChanged
from shared.messages.market import VenueStatus
from shared.services import USUAL_SERVICES
from tests.decision_builders import make_view
from tests.soak.__main__ import main
from tests.soak.checks import bounds, checks, well
from tests.soak.record import (
    SCHEMA,
    AlertSeen,
    FaultSeen,
    Halt,
    Latency,
    ProcessSample,
    Record,
    RecordError,
    Sample,
    TabSample,
    read,
    write,
)
from tests.soak.report import markdown
from tests.soak.schedule import BUS, interval_s, schedule
from tests.soak.signs import Heard, Sign, first, told_of
from tests.soak.slopes import Point, Slope, longest, slope

VENUES = ("north", "south")
HOUR = 3_600


def line(per_h: float, *, minutes: int = 180, epoch: int = 1, noise: float = 0.0) -> list[Point]:
    chance = random.Random(5)
    return [
        Point(60.0 * n, 40 + per_h * n / 60 + chance.gauss(0, noise), epoch) for n in range(minutes)
    ]


def test_a_straight_line_has_its_slope_and_no_noise() -> None:
    found = slope(line(1.5))
    assert found is not None
    assert found.per_h == pytest.approx(1.5)
    assert found.noise == pytest.approx(0, abs=1e-9)


def test_noise_widens_the_slope_and_holds_the_true_one() -> None:
    found = slope(line(1.5, noise=0.5))
    assert found is not None
    assert 0.01 < found.noise < 0.5
    assert abs(found.per_h - 1.5) < found.noise


def test_a_step_at_the_start_is_warm_up_not_growth() -> None:
    points = [Point(at, value + (50 if at > 600 else 0), epoch) for at, value, epoch in line(0)]
    found = slope(points)
    assert found is not None
    assert found.per_h == pytest.approx(0, abs=1e-9)


def test_only_the_longest_stretch_of_one_process_counts() -> None:
    before = [Point(at, 500.0, 1) for at, _, _ in line(0, minutes=30)]
    after = [Point(at + 30 * 60, value, 2) for at, value, _ in line(2.0, minutes=90)]
    assert {point.epoch for point in longest(before + after)} == {2}
    found = slope(before + after)
    assert found is not None
    assert found.per_h == pytest.approx(2.0)


def test_too_little_has_no_slope() -> None:
    assert slope([]) is None
    assert slope(line(1.0, minutes=5)) is None
    assert slope([Point(1.0, 2.0, 1)] * 9) is None


@pytest.mark.parametrize(
    ("per_h", "noise", "verdict"),
    [(0.5, 0.2, "pass"), (1.5, 0.2, "FAIL"), (0.9, 0.3, "not decided")],
)
def test_a_limit_within_the_noise_is_not_decided(per_h: float, noise: float, verdict: str) -> None:
    assert Slope(per_h, noise, 2.0, 100).verdict(1.0) == verdict


def test_a_short_stretch_decides_nothing() -> None:
    assert Slope(90.0, 1.0, 0.2, 100).verdict(1.0) == "not decided"


def test_faults_are_hourly_in_a_long_run_and_several_in_a_short_one() -> None:
    assert interval_s(24 * HOUR) == HOUR
    assert interval_s(2 * HOUR) == 360
    assert len(schedule(600, interval_s(600), 7, VENUES)) >= 8


def test_a_schedule_follows_its_seed_and_leaves_the_ends_quiet() -> None:
    planned = schedule(2 * HOUR, 360, 7, VENUES)
    assert planned == schedule(2 * HOUR, 360, 7, VENUES)
    assert planned != schedule(2 * HOUR, 360, 8, VENUES)
    assert planned[0].at_s == 360
    assert planned[-1].at_s <= 2 * HOUR - 360
    assert schedule(100, 60, 7, VENUES) == []


def test_every_service_is_killed_and_frozen_and_every_kind_comes() -> None:
    planned = schedule(60 * HOUR, HOUR, 7, VENUES, ("recorder",))
    for kind in ("kill -9", "freeze"):
        hurt = {each.target for each in planned if each.kind == kind}
        assert {*USUAL_SERVICES, "recorder", BUS} <= hurt, kind
    kinds = Counter(each.kind for each in planned)
    assert {"away", "restart", "reject", "stall", "lose_answer", "refuses"} <= kinds.keys()
    assert all(each.target in VENUES for each in planned if each.told)


def test_the_first_sign_names_what_was_hurt() -> None:
    signs = [
        Sign(5, "alert", "exporter FEED: kraken is silent"),
        Sign(20, "book", "north BTC/USDT STALE: no frame"),
        Sign(12, "supervisor", "risk ended with SIGKILL"),
        Sign(30, "alert", "executor: Redis does not answer"),
    ]
    assert first(signs, 10, 99, "risk") == signs[2]
    assert first(signs, 10, 99, "north") == signs[1]
    assert first(signs, 10, 99, BUS) == signs[3]
    assert first(signs, 10, 99, "scanner") is None
    assert first(signs, 13, 19, "risk") is None
    halted = Sign(14, "state", "HALTED: books")
    assert first([*signs, halted], 13, 99, "scanner") == halted


def test_what_follows_from_a_fault_is_its_sign() -> None:
    """A frozen order book names no process; a bus that restarts ends risk and executor."""
    signs = [
        Sign(10, "view", "north BTC/USDT STALE: catching up: the messages read are old"),
        Sign(20, "notifier", "began WARNING ACCOUNT_STREAM_DOWN north"),
        Sign(30, "notifier", "began WARNING ArbRestarted risk"),
    ]
    for target in ("orderbook", "ingestor"):
        assert first(signs, 1, 99, target) == signs[0]
    assert first(signs, 11, 99, "venuesim") == signs[1]
    assert first(signs, 11, 99, BUS) == signs[2]
    assert first(signs, 1, 99, "scanner") is None


def test_messages_are_signs() -> None:
    heard = Heard(10)
    heard.on_message(
        TradingStateChanged(
            ts_ns=1, ts_since_ns=1, state=TradingState.HALTED, reason="STALE: books"
        )
    )
    alert = Alert(ts_ns=2, service="risk", severity=Severity.WARNING, code="CODE", text="words")
    heard.on_message(alert)
    for ts_ns, state in ((3, BookState.LIVE), (4, BookState.GAP), (5, BookState.GAP)):
        heard.on_message(
            VenueStatus(ts_ns=ts_ns, venue="north", instrument="BTC/USDT", state=state, epoch=1)
        )
    for ts_ns, shown in ((6, BookState.LIVE), (7, BookState.STALE), (8, BookState.STALE)):
        heard.on_message(make_view("north", state=shown, ts_ns=ts_ns))
    assert [(sign.ts_ns, sign.source) for sign in heard.signs] == [
        (1, "state"),
        (2, "alert"),
        (4, "book"),
        (7, "view"),
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[soak] CRITICAL ArbDown executor\nmore", ("began", "CRITICAL", "ArbDown", "executor")),
        ("[soak] over: WARNING ArbHalted\nx", ("over", "WARNING", "ArbHalted", "")),
        ("[soak] still: WARNING ArbFeed kraken", ("still", "WARNING", "ArbFeed", "kraken")),
        ("[soak] again: WARNING ArbX risk", ("again", "WARNING", "ArbX", "risk")),
        ("This is a test.", None),
    ],
)
def test_what_a_notification_is_about(text: str, wanted: tuple[str, ...] | None) -> None:
    assert told_of(text) == wanted


def sampled(*, risk_mb_per_h: float = 0.0) -> Record:
    samples = [
        Sample(
            at_s=60.0 * n,
            processes={
                "risk": ProcessSample(7, 38 + risk_mb_per_h * n / 60, 23, n * 1.5),
                "arb top": ProcessSample(8, 80.0, 7, n * 3.0),
                BUS: ProcessSample(9, 30.0, 80, n * 2.0),
                "chromium": ProcessSample(10, 900.0 + n, 500, n * 20.0),
            },
            tabs={"1 overview": TabSample(1, 3.0, n * 300_000, n * 240)},
            streams={"exec.event": (10 * n, 1_000_000 * n)},
            redis_mb=12.0 + n,
            dead_letters=0,
            tick_to_order=Latency(30, 1_500.0, 4_000.0),
            cpu_percent=80.0,
        )
        for n in range(121)
    ]
    ending = {
        "orders": {"unknown": 0},
        "outcomes": {"FILLED": 3},
        "exposure": {},
        "plans_without_end": 0,
        "open_orders": 0,
        "ledger_equal": True,
        "sql_ledger_equal": True,
        "sql_ledger_gaps": 0,
        "latency_us": {"tick_to_order": {"n": 9, "p50": 1.0, "p99": 2.0, "p999": 3.0}},
    }
    return Record(
        schema=SCHEMA,
        machine={"cpu": "a processor", "cores": 2, "python": "3", "system": "an OS"},
        command="python -m tests.soak --hours 2",
        commit="abc1234",
        started="2026-01-02 03:04:05 UTC",
        seconds_planned=7_200,
        seed=7,
        seconds=7_200,
        is_over=True,
        samples=samples,
        faults=[FaultSeen(60, "kill -9", "risk", 0.0, 0.1, "supervisor: risk ended", 3.0, 4.0)],
        alerts=[AlertSeen(63, "began", "WARNING", "ArbRestarted", "risk")],
        ending=ending,
        stream_bounds={"exec.event": (20_000, 200_000_000)},
    )


def verdicts(record: Record) -> dict[str, str]:
    return {check.what: check.verdict for check in checks(record)}


def test_a_good_run_passes_whole() -> None:
    record = sampled()
    assert set(verdicts(record).values()) == {"pass"}
    assert "risk" in markdown(record)
    assert well(record)


def test_what_is_not_ours_and_what_streams_hold_has_no_limit() -> None:
    found = verdicts(sampled())
    assert "memory of chromium" not in found
    assert found[f"memory of {BUS} beside its streams"] == "pass"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda r: r.faults.append(FaultSeen(90, "freeze", "risk")), "faults healed"),
        (lambda r: r.halts.append(Halt(5, "LOSS: much")), "halts outside faults"),
        (lambda r: r.ending["orders"].update(unknown=1), "orders with an unknown end"),
        (lambda r: r.ending["exposure"].update(BTC="1"), "exposure left, more than dust"),
        (lambda r: r.ending["outcomes"].update(FAILED=1), "plans that FAILED"),
        (lambda r: r.ending.update(sql_ledger_equal=None), "the SQL ledger equals them"),
        (
            lambda r: r.stream_bounds.update({"exec.event": (900, 10**9)}),
            "streams over their bounds",
        ),
        (lambda r: setattr(r.samples[3], "dead_letters", 2), "dead letters"),
        (lambda r: r.problems.append("70 s: hurt: KeyError('risk')"), "problems noted"),
    ],
)
def test_what_failed_stays_in_the_report(change: object, what: str) -> None:
    record = sampled()
    change(record)  # type: ignore[operator]
    assert verdicts(record)[what] == "FAIL"
    assert not well(record)
    assert f"| {what} |" in markdown(record)


def test_a_stream_of_several_shards_may_have_as_much_in_each() -> None:
    record = sampled()
    record.stream_bounds, record.shards = {"md.depth": (10, 100), "alert": (10, 100)}, 4
    assert bounds(record, "md.depth") == (40, 400)
    assert bounds(record, "alert") == (10, 100)
    assert bounds(record, "exec.event") is None


def test_one_estimate_of_bytes_is_not_a_stream_that_is_too_large() -> None:
    record = sampled()
    record.stream_bounds = {"exec.event": (20_000, 130_000_000)}
    record.samples[50].streams["exec.event"] = (500, 990_000_000)
    assert verdicts(record)["streams over their bounds"] == "pass"


def test_growth_beyond_the_limit_fails() -> None:
    assert verdicts(sampled(risk_mb_per_h=1.2))["memory of risk"] == "FAIL"


def test_a_run_that_was_cut_off_says_so() -> None:
    record = sampled()
    record.is_over, record.ending = False, {}
    assert "cut off" in markdown(record)
    assert not well(record)


def test_what_a_tab_received_counts_within_one_page_only() -> None:
    record = sampled()
    for sample in record.samples[60:]:
        tab = sample.tabs["1 overview"]
        tab.epoch, tab.received = 2, tab.received - 60 * 300_000
    record.samples[60].tabs["1 overview"].banner = "STALE"
    row = next(line for line in markdown(record).splitlines() if line.startswith("| 1 overview"))
    assert "| 5.0 / 5.0 | 1 |" in row


def test_a_run_without_samples_has_a_report() -> None:
    record = sampled()
    record.samples, record.faults, record.alerts = [], [], []
    assert "None were due" in markdown(record)


def test_the_report_is_the_same_from_its_file(tmp_path: Path) -> None:
    record = sampled()
    write(record, tmp_path / "soak.json")
    assert markdown(read(tmp_path / "soak.json")) == markdown(record)
    assert main(["--report", str(tmp_path / "soak.json")]) == 0
    assert (tmp_path / "soak.md").read_text(encoding="utf-8") == markdown(record)


def test_a_file_that_is_no_record_is_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    with pytest.raises(RecordError, match=r"bad\.json"):
        read(bad)
    assert main(["--report", str(bad)]) == 2
    assert capsys.readouterr().err.startswith("soak: ")
    older = msgspec.structs.replace(sampled(), schema=0)
    write(older, bad)
    with pytest.raises(RecordError, match="schema 0"):
        read(bad)


def test_a_list_beyond_its_bound_counts() -> None:
    record = sampled()
    for n in range(4):
        record.add("halts", Halt(n, "x"), 3)
    assert (len(record.halts), record.dropped) == (3, {"halts": 1})
