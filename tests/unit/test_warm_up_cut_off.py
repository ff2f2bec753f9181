"""Warm-up from a store that breaks off, and what waits meanwhile: no trade is lost unsaid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from services.scanner import catch_up
from services.scanner.history import READ_NS_MAX, HistoryFound, HistoryPart, ReadOn
from shared.messages.market import TradesMissed
from tests.decision_builders import T0
from tests.unit.test_strategy_feeds import run_timers
from tests.unit.test_warm_up_from_store import (
    KEPT,
    LIVE,
    OPENED_NS,
    TRADES,
    S,
    Scene,
    rows_of,
    stored,
    uninterrupted,
    waits,
    write_segment,
)

# A store that breaks off


def cut_off(scene: Scene, root: Path, count: int) -> HistoryFound:
    """Open the inputs; of what the store has, only the first trades come."""
    scene.open(KEPT, LIVE[:2])
    (asked,) = scene.asked
    found = stored(root, asked.from_ns)
    at = "mine", asked.opened_ns
    head = HistoryFound(*at, since=found.since, until=found.until, parts=2)
    scene.host.on_message(head, LIVE[1].ts_recv_ns)
    scene.host.on_message(HistoryPart(*at, found.trades[:count]), LIVE[1].ts_recv_ns)
    return HistoryFound(*at, problem="the program that reads it was ended")


def end_late(scene: Scene, broken: HistoryFound) -> None:
    scene.host.on_timer(LIVE[1].ts_recv_ns + READ_NS_MAX)


def end_broken(scene: Scene, broken: HistoryFound) -> None:
    scene.host.on_message(broken, LIVE[2].ts_recv_ns)


ENDS = pytest.mark.parametrize("end", [end_late, end_broken])


@ENDS
def test_what_a_store_did_not_tell_is_a_hole_before_the_bus(tmp_path: Path, end: Any) -> None:
    """It ends at 140 s, the bus begins at 150 s; it had said that it knows all up to 179 s."""
    write_segment(tmp_path / "data", rows_of(TRADES[:360]))
    scene = Scene(tmp_path)
    broken = cut_off(scene, tmp_path / "data", 41)
    assert scene.strategy.seen[-1][0] == "280"
    end(scene, broken)
    names = [name for name, _ in scene.strategy.seen]
    at = names.index("gap")
    assert names[at - 1] == "280"
    assert names[at + 1 :] == [each.trade_id for each in (*KEPT, *LIVE[:2])], "all of the bus"
    run_timers(scene.host, LIVE[1].ts_recv_ns + READ_NS_MAX)
    bars = {bar.start_ns // S - T0 // S: bar for bar, _ in scene.strategy.bars}
    assert [start for start, bar in bars.items() if not bar.complete] == [120, 140, 150]
    assert all(bars[start].trades == 20 for start in range(160, 200, 10))
    assert scene.ready_ns() == KEPT[0].ts_recv_ns + 60 * S, "from the first that the bus keeps"


@ENDS
def test_what_a_store_told_does_not_come_again_from_the_bus(tmp_path: Path, end: Any) -> None:
    """It ends at 160 s, between two trades of one frame; the bus goes on after it."""
    write_segment(tmp_path / "data", rows_of(TRADES[:360]))
    scene = Scene(tmp_path)
    end(scene, cut_off(scene, tmp_path / "data", 81))
    names = [name for name, _ in scene.strategy.seen]
    at = names.index("gap")
    assert names[:at] == [str(number) for number in range(240, 321)]
    assert names[at + 1 :] == [str(number) for number in range(322, 402)]
    assert scene.ready_ns() == T0 + (160 + 60) * S, "from where the store broke off"


def test_a_store_that_breaks_off_says_so(tmp_path: Path) -> None:
    write_segment(tmp_path / "data", rows_of(TRADES[:360]))
    scene = Scene(tmp_path)
    end_broken(scene, cut_off(scene, tmp_path / "data", 41))
    why = "trades of BTC/USDT at kraken are missing between store and bus"
    text = f"{why}, and the store cannot be read: the program that reads it was ended"
    waits(scene, KEPT[0].ts_recv_ns, text)


def test_a_store_that_goes_on_is_waited_for(tmp_path: Path) -> None:
    write_segment(tmp_path / "data", rows_of(TRADES[:360]))
    scene = Scene(tmp_path)
    scene.open(KEPT, LIVE[:2])
    (asked,) = scene.asked
    found = stored(tmp_path / "data", asked.from_ns)
    at, now_ns = ("mine", asked.opened_ns), OPENED_NS
    for message in (
        HistoryFound(*at, since=found.since, until=found.until, parts=2),
        HistoryPart(*at, found.trades[:41]),
        HistoryPart(*at, found.trades[41:]),
    ):
        now_ns += READ_NS_MAX - 1
        scene.host.on_timer(now_ns)
        scene.host.on_message(message, now_ns)
    names = [name for name, _ in scene.strategy.seen]
    assert names == [str(number) for number in range(240, 402)], "each once, and no gap"


# What waits meanwhile


@pytest.mark.parametrize("place", ["data", ""])
def test_a_bus_that_keeps_more_than_may_wait_is_read_without_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(catch_up, "HELD_MAX", 60)
    scene = Scene(tmp_path, place)
    scene.open(TRADES[:400], LIVE)
    assert not scene.asked
    assert not scene.note
    assert scene.state == uninterrupted(tmp_path, T0, TRADES).state, "all of it"


def test_what_had_to_be_dropped_comes_from_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catch_up, "HELD_MAX", 60)
    write_segment(tmp_path / "data", rows_of(TRADES[:360]))
    scene = Scene(tmp_path)
    scene.open(KEPT, LIVE[:8])
    (asked,) = scene.asked
    scene.answer(stored(tmp_path / "data", asked.from_ns), LIVE[7].ts_recv_ns)
    for each in LIVE[8:]:
        scene.go_on(each)
    assert scene.state == uninterrupted(tmp_path, asked.from_ns, TRADES).state
    assert not scene.note


def test_what_had_to_be_dropped_and_is_not_stored_is_a_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store ends at 159 s; what waits begins at 174 s."""
    monkeypatch.setattr(catch_up, "HELD_MAX", 60)
    write_segment(tmp_path / "data", rows_of(TRADES[:320]))
    scene = Scene(tmp_path)
    scene.open(KEPT, LIVE[:8])
    scene.answer(stored(tmp_path / "data", scene.asked[0].from_ns), LIVE[7].ts_recv_ns)
    waits(
        scene,
        TRADES[347].ts_recv_ns + 1,
        "trades of BTC/USDT at kraken are missing between store and bus",
    )
    names = [name for name, _ in scene.strategy.seen]
    at = names.index("gap")
    assert names[at - 1 : at + 2] == ["319", "gap", "348"]
    run_timers(scene.host, LIVE[40].ts_recv_ns)
    spoiled = [bar.start_ns // S - T0 // S for bar, _ in scene.strategy.bars if not bar.complete]
    assert spoiled == [120, 150, 160, 170]


def test_what_had_to_be_dropped_of_now_is_a_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since the opening trades come from the bus alone, even where the store has them."""
    monkeypatch.setattr(catch_up, "HELD_MAX", 40)
    write_segment(tmp_path / "data", rows_of(TRADES[:440]))
    scene = Scene(tmp_path)
    scene.open(KEPT, LIVE)
    scene.answer(stored(tmp_path / "data", scene.asked[0].from_ns), LIVE[-1].ts_recv_ns)
    names = [name for name, _ in scene.strategy.seen]
    at = names.index("gap")
    assert names[at - 1 : at + 2] == ["399", "gap", "420"]
    assert scene.ready_ns() == TRADES[419].ts_recv_ns + 1 + 60 * S


def test_only_what_it_asked_for_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_up, "HELD_MAX", 110)
    write_segment(tmp_path / "data", rows_of(TRADES[:360]))
    scene = Scene(tmp_path)
    others = [structs.replace(each, instrument="BTC/EUR") for each in KEPT]
    scene.open([*KEPT, *others], LIVE[:8])
    scene.answer(stored(tmp_path / "data", scene.asked[0].from_ns), LIVE[7].ts_recv_ns)
    assert "gap" not in [name for name, _ in scene.strategy.seen]
    assert len(scene.strategy.seen) == 60 + 100 + 8


def test_each_part_is_asked_for_when_the_one_before_is_taken_in(tmp_path: Path) -> None:
    write_segment(tmp_path / "data", rows_of(TRADES[:360]))
    scene = Scene(tmp_path)
    scene.open(KEPT, LIVE[:2])
    (asked,) = scene.asked
    found = stored(tmp_path / "data", asked.from_ns)
    at = "mine", asked.opened_ns
    head = HistoryFound(*at, since=found.since, until=found.until, parts=2)
    for message, more in (
        (head, [ReadOn(*at)]),
        (HistoryPart(*at, found.trades[:41]), [ReadOn(*at)]),
        (HistoryPart(*at, found.trades[41:]), []),
    ):
        step = scene.host.on_message(message, LIVE[1].ts_recv_ns)
        assert [each for each in step.at_once if isinstance(each, ReadOn)] == more


# A store that begins after the bus


def test_a_store_that_begins_after_the_bus_takes_nothing_from_it(tmp_path: Path) -> None:
    """The recorder was started at 174 s; the bus keeps all since 150 s."""
    write_segment(tmp_path / "data", rows_of(TRADES[350:380]))
    scene = Scene(tmp_path)
    scene.open(KEPT, LIVE[:2])
    scene.answer(stored(tmp_path / "data", scene.asked[0].from_ns), LIVE[1].ts_recv_ns)
    names = [name for name, _ in scene.strategy.seen]
    assert names == [str(number) for number in range(300, 402)]
    why = "the bus keeps no earlier trades of BTC/USDT at kraken, nor does the store"
    waits(scene, KEPT[0].ts_recv_ns, why)


def test_what_is_missing_of_another_instrument_delays_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    missed = TradesMissed(
        venue="kraken",
        instrument="BTC/EUR",
        ongoing=False,
        ts_recv_ns=TRADES[380].ts_recv_ns,
        reason="a lost connection",
    )
    scene.open([*TRADES[:381], missed, *TRADES[381:400]], LIVE)
    assert not scene.note
    assert scene.state == uninterrupted(tmp_path, T0, TRADES).state
