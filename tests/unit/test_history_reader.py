"""What reads the store for a warm-up: programs of its own, which end with it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from services.scanner import history_reader
from services.scanner.history import HistoryFound, HistoryPart, ReadHistory, ReadOn
from services.scanner.history_reader import PAUSE_S, HistoryReader
from services.scanner.read_history import LENGTH, PART_TRADES, Answer
from shared.engine import Result
from shared.runtime.tasks import Tasks
from tests.support import eventually
from tests.unit.test_warm_up_from_store import MARKET, T0, TRADES, rows_of, write_segment


def children() -> set[str]:
    """Return the processes that this one started and that have not ended."""
    pid = os.getpid()
    return {*Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


@pytest.fixture
def stuck(tmp_path: Path) -> Path:
    """A store whose reading does not end: nobody writes into its only segment."""
    path = write_segment(tmp_path, rows_of(TRADES[:40]))
    path.unlink()
    os.mkfifo(path)
    return tmp_path


class Readings:
    """Readings of one store, and what they deliver."""

    def __init__(self, root: Path) -> None:
        self.tasks = Tasks()
        self.reader = HistoryReader(root, {"kraken": "kraken"}, self.tasks.spawn)
        self.got: list[Result] = []

    def ask(self, strategy_id: str, opened_ns: int = 1) -> None:
        asked = ReadHistory(strategy_id, opened_ns, T0, (MARKET,))
        self.reader.carry_out(asked, self.got.append)


@pytest.fixture
async def reading(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Callable[[Path], Readings]]:
    monkeypatch.setattr(history_reader, "SETTLE_S", 0.0)
    opened: list[Readings] = []

    def new(root: Path) -> Readings:
        opened.append(Readings(root))
        return opened[-1]

    yield new
    for each in opened:
        await each.reader.close()
        await each.tasks.cancel()


needs_proc = pytest.mark.skipif(
    not Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists(),
    reason="the system does not list a process's children",
)


@needs_proc
async def test_all_programs_end_with_the_reader(
    stuck: Path, reading: Callable[[Path], Readings]
) -> None:
    before, scene = children(), reading(stuck)
    for number in range(4):
        scene.ask(f"s{number}")
    await eventually(lambda: len(children() - before) == 4, timeout_s=30, what="4 programs")
    await scene.reader.close()
    assert not children() - before


@needs_proc
async def test_no_program_starts_when_the_reader_is_closed(
    stuck: Path, reading: Callable[[Path], Readings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that still waits for the recorder, and one that is just starting its program."""
    before, scene = children(), reading(stuck)
    scene.ask("starts")
    await asyncio.sleep(0)
    monkeypatch.setattr(history_reader, "SETTLE_S", 0.05)
    scene.ask("waits")
    await asyncio.sleep(0)
    await scene.reader.close()
    await asyncio.sleep(0.1)
    assert not children() - before
    assert not scene.got


@needs_proc
async def test_a_canceled_reading_ends_its_program(
    stuck: Path, reading: Callable[[Path], Readings]
) -> None:
    before, scene = children(), reading(stuck)
    scene.ask("mine")
    await eventually(lambda: len(children() - before) == 1, timeout_s=30, what="a program")
    await scene.tasks.cancel()
    assert not children() - before


@needs_proc
async def test_a_strategy_has_one_program(stuck: Path, reading: Callable[[Path], Readings]) -> None:
    """Its inputs are opened anew while the store is read for what was before."""
    before, scene = children(), reading(stuck)
    scene.ask("mine", 1)
    await eventually(lambda: len(children() - before) == 1, timeout_s=30, what="a program")
    first = children() - before
    scene.ask("mine", 2)
    await eventually(lambda: not children() & first and len(children() - before) == 1, timeout_s=30)


async def test_a_program_that_says_nonsense_is_a_problem(
    tmp_path: Path, reading: Callable[[Path], Readings], monkeypatch: pytest.MonkeyPatch
) -> None:
    nonsense = tmp_path / "python"
    nonsense.write_text("#!/bin/sh\nprintf '\\001\\0\\0\\0\\0\\0\\0\\0\\301'\nexec sleep 60\n")
    nonsense.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(nonsense))
    scene = reading(tmp_path)
    scene.ask("mine")
    await eventually(lambda: scene.got, timeout_s=30, what="an answer")
    (found,) = scene.got
    assert isinstance(found, HistoryFound)
    assert found.problem.startswith("the program that reads it: ")
    assert not scene.tasks.has_failed, "a store is only waited for, never needed"


async def test_a_part_is_decoded_when_the_one_before_is_taken_in(
    tmp_path: Path, reading: Callable[[Path], Readings]
) -> None:
    write_segment(tmp_path, rows_of(TRADES))
    scene = reading(tmp_path)
    scene.ask("mine")
    for count in range(1, 4):
        await eventually(lambda n=count: len(scene.got) == n, timeout_s=30, what="an answer")
        await asyncio.sleep(10 * PAUSE_S)
        assert len(scene.got) == count, "no more than was asked for"
        scene.reader.carry_out(ReadOn("mine", 2), scene.got.append)
        await asyncio.sleep(2 * PAUSE_S)
        assert len(scene.got) == count, "of another opening"
        scene.reader.carry_out(ReadOn("mine", 1), scene.got.append)
    await eventually(lambda: len(scene.got) == 4, timeout_s=30, what="the last part")
    found, *parts = scene.got
    assert isinstance(found, HistoryFound)
    assert found.parts == 3
    sizes = [len(each.trades) for each in parts if isinstance(each, HistoryPart)]
    assert sizes == [PART_TRADES, PART_TRADES, len(TRADES) - 2 * PART_TRADES]


async def test_a_program_that_breaks_off_is_a_problem_after_its_parts(
    tmp_path: Path, reading: Callable[[Path], Readings], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = msgspec.msgpack.encode(Answer(2, [(*MARKET, T0, T0)]))
    part = msgspec.msgpack.encode(TRADES[:1])
    said = tmp_path / "said"
    said.write_bytes(
        b"".join(len(each).to_bytes(LENGTH, "little") + each for each in (answer, part))
    )
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\nexec cat {said}\n")
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(program))
    scene = reading(tmp_path)
    scene.ask("mine")
    for count in (1, 2):
        await eventually(lambda n=count: len(scene.got) == n, timeout_s=30, what="an answer")
        scene.reader.carry_out(ReadOn("mine", 1), scene.got.append)
    await eventually(lambda: len(scene.got) == 3, timeout_s=30, what="the problem")
    assert scene.got[1] == HistoryPart("mine", 1, TRADES[:1])
    assert scene.got[2] == HistoryFound("mine", 1, problem="the program that reads it was ended")


async def test_parts_that_nobody_takes_end_the_reading(
    tmp_path: Path, reading: Callable[[Path], Readings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_reader, "READ_NS_MAX", 1_000_000_000)
    write_segment(tmp_path, rows_of(TRADES))
    scene = reading(tmp_path)
    scene.ask("mine")
    ended = HistoryFound("mine", 1, problem="it did not go on within 1 s")
    await eventually(lambda: ended in scene.got, timeout_s=30, what="the problem")
