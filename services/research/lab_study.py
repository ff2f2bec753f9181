"""The lab's program that runs the parameter sets of a study, and its answers.

Services do not import one another: research starts the lab, which has the engines that trade, and
reads one JSON object a line. Ended early, it leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Self

import msgspec
from msgspec import Meta

from shared.errors import ArbError

WAIT_S = 30.0
EXIT_NOT_WELL = 1


class LabEndedError(ArbError):
    """The lab has ended without a result; it has said why, and ``code`` is its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the lab ended before its last result, with exit code {code}")
        self.code = code if code > 0 else EXIT_NOT_WELL
        self.is_told = code > 0


class PlannedSet(msgspec.Struct, frozen=True):
    """A parameter set: what the grid varies, and what the strategy declares with it (ms)."""

    values: dict[str, int | float | bool]
    strategy_hash: str
    horizon_ms: Annotated[int, Meta(ge=0)]
    warmup_ms: Annotated[int, Meta(ge=0)]


class StudyPlan(msgspec.Struct, frozen=True):
    """What the lab would run.

    Attributes:
        left_out: Combinations of the grid that are invalid; ``why`` the first of them is.
        quote: The asset of profits.
        fees_bps: Taker fee by ``venue|instrument``.
        identity: What determines the runs, beside the strategy's parameters.
    """

    strategy: str
    detector: str
    sets: list[PlannedSet]
    left_out: int
    why: str
    quote: str
    first_ns: int
    last_ns: int
    source: str
    fees_bps: dict[str, float]
    identity: dict[str, Any]
    not_modelled: list[str]


class SetResult(msgspec.Struct, frozen=True):
    """The result of one set: profit, round trips and what rounds hold at every instant.

    Amounts are units of the plan's ``quote``; a profit is ``None`` where something was held that
    had no price. ``hash`` is that of all decisions.
    """

    number: int
    profits: list[float | None]
    trips: list[int]
    held: dict[str, list[float]]
    capital: float
    fees: float
    funding: float
    fills: int
    opportunities: int
    plans: int
    hash: str
    problems: list[str]


class LabStudy:
    """The lab, started for one study.

    Args:
        config: The configuration.
        data: Recordings, or a store.
        jobs: How many sets run at once.

    Raises:
        LabEndedError: The configuration or the data are not right.
    """

    plan: StudyPlan

    def __init__(self, config: Path, data: Sequence[Path], jobs: int) -> None:
        command = [sys.executable, "-m", "services.lab", "study", f"--jobs={jobs}", "--"]
        self._process = subprocess.Popen(
            [*command, str(config), *map(str, data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        try:
            self.plan = msgspec.json.decode(self._line(), type=StudyPlan)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def run(self, period_s: int) -> Iterator[SetResult]:
        """Run all sets, looked at on instants so far apart; yield the results in their order.

        Raises:
            LabEndedError: The lab ended before the last one.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode({"period_s": period_s}) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise LabEndedError(self._process.wait()) from None
        decoder = msgspec.json.Decoder(SetResult)
        for _ in self.plan.sets:
            yield decoder.decode(self._line())
        self._process.wait()

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        line: bytes = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise LabEndedError(self._process.wait())
        return line

    def _end(self) -> None:
        """Close its pipes, which ends it and its processes."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):  # it has ended by itself
            process.stdin.close()
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
