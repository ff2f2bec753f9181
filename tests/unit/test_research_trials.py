"""The ledger of trials: nothing is forgotten, nothing counts twice, damage is told."""

from __future__ import annotations

import pytest

from services.research.trials import Trial, TrialsLedger, tried
from shared.errors import ConfigError


def trial(number: int, sharpe: float = 0.01, period_s: float = 86_400) -> Trial:
    return Trial(
        id=f"{number:032x}",
        data="d" * 32,
        rule="sma_cross",
        params={"fast_bars": 5.0, "slow_bars": float(number)},
        fee_bps=10.0,
        period_s=period_s,
        periods=500,
        sharpe=sharpe,
    )


def test_trials_of_all_runs_count_and_the_same_one_once(tmp_path) -> None:
    ledger = TrialsLedger(tmp_path / "deep" / "trials.jsonl")
    assert ledger.read() == []
    assert len(ledger.add([trial(1), trial(2), trial(2)])) == 2
    assert len(TrialsLedger(ledger.path).add([trial(2), trial(3)])) == 3
    assert len(ledger.path.read_bytes().splitlines()) == 3
    assert [t.id for t in ledger.read()] == [trial(n).id for n in (1, 2, 3)]


def test_what_is_there_is_never_rewritten(tmp_path) -> None:
    ledger = TrialsLedger(tmp_path / "trials.jsonl")
    ledger.add([trial(1)])
    before = ledger.path.read_bytes()
    ledger.add([trial(2)])
    assert ledger.path.read_bytes().startswith(before)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda b: b.replace(b'"rule"', b'"role"', 1), r":1: not a trial"),
        (lambda b: b + b"\n", r":4: not a trial"),
        (lambda b: b + b"\xff\xfe\n", r":4: not a trial"),
        (lambda b: b + b"[1, 2]\n", r":4: not a trial"),
        (lambda b: b[:-20], r":3: the last line was not written to its end"),
        (lambda b: b + b"{}" * 6_000 + b"\n", r":4: not a trial: 12000 bytes"),
        (lambda b: b.replace(b'"sharpe":0.01', b'"sharpe":1e999', 1), r":1: not a trial"),
    ],
)
def test_a_damaged_line_is_told_and_nothing_is_added(tmp_path, damage, told) -> None:
    ledger = TrialsLedger(tmp_path / "trials.jsonl")
    ledger.add([trial(1), trial(2), trial(3)])
    damaged = damage(ledger.path.read_bytes())
    ledger.path.write_bytes(damaged)
    with pytest.raises(ConfigError, match=told):
        ledger.read()
    with pytest.raises(ConfigError, match=told):
        ledger.add([trial(4)])
    assert ledger.path.read_bytes() == damaged


def test_ratios_of_other_grids_are_brought_to_the_period_asked_for() -> None:
    same = tried([trial(1, 0.1), trial(2, 0.1 / 24**0.5, period_s=3_600)], 86_400)
    assert same.trials == 2
    assert same.variance == pytest.approx(0.0, abs=1e-12)
    assert tried([trial(1, 0.1), trial(2, 0.3)], 86_400).variance == pytest.approx(0.02)


def test_a_ledger_that_cannot_be_written_is_one_line(tmp_path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        TrialsLedger(tmp_path).add([trial(1)])
