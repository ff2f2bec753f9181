"""The exact rule of the backtest, on bars where it can be followed by hand."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from services.research.event_bars import Bar, BarBacktest, run_bars
from services.research.kernel import FIGURES, Bars, Costs, Runs, run_all, run_grid
from services.research.rules import Momentum, RuleParams, SmaCross, make_params
from shared.errors import ConfigError

FAST = SmaCross(fast_bars=1, slow_bars=2)
"""Long from the close above the one before until the close below the one before."""


def run(opens: list[float], closes: list[float], params: RuleParams, costs: Costs) -> Runs:
    instants = np.arange(len(closes) + 1, dtype=np.int64)
    return run_all(Bars(np.array(opens), np.array(closes), instants), [params], costs)


def figures(runs: Runs) -> dict[str, float]:
    return dict(zip(FIGURES, runs.figures[0].tolist(), strict=True))


def test_decided_at_the_close_filled_at_the_next_open() -> None:
    """The close that made the signal (12) is no price anybody could have had."""
    runs = run([10, 9, 9, 20, 30], [10, 9, 12, 24, 33], FAST, Costs())
    assert runs.equity[0].tolist() == pytest.approx([1, 1, 1, 1, 24 / 20, 33 / 20])
    assert figures(runs)["final"] == pytest.approx(33 / 20)


def test_the_end_of_the_warm_up_is_no_crossing() -> None:
    """The averages begin with the fast one above: there was nothing to cross from."""
    runs = run([10, 11, 12, 13], [10, 11, 12, 13], FAST, Costs())
    assert figures(runs)["sides"] == 0


def test_equal_averages_are_no_crossing_whatever_they_round_to() -> None:
    closes = [0.1 + 0.2, *[0.3] * 40]
    for slow in (3, 7, 11):
        runs = run(closes, closes, SmaCross(fast_bars=2, slow_bars=slow), Costs())
        assert figures(runs)["sides"] == 0


def test_what_is_open_at_the_end_is_closed_and_pays() -> None:
    runs = run([10, 9, 9, 20], [10, 9, 12, 24], FAST, Costs(fee=0.01))
    assert figures(runs)["final"] == pytest.approx(0.99 * 24 / 20 * 0.99)
    assert (figures(runs)["sides"], figures(runs)["round_trips"]) == (2, 1)


def test_sides_and_round_trips_are_counted_apart_and_fees_are_money() -> None:
    runs = run(
        [10, 9, 9, 20, 30, 25, 26, 40], [10, 9, 12, 24, 20, 26, 30, 41], FAST, Costs(fee=0.001)
    )
    found = figures(runs)
    assert (found["sides"], found["round_trips"]) == (4, 2)
    assert found["bars_in_market"] == 4
    gross = 25 / 20 * 41 / 26
    assert found["final"] == pytest.approx(gross * 0.999**4)
    assert found["turnover"] == pytest.approx(4)


def test_a_decision_at_the_last_close_is_never_filled() -> None:
    assert figures(run([10, 9, 9], [10, 9, 12], FAST, Costs(fee=0.01)))["final"] == 1.0


def test_a_drawdown_counts_from_the_capital_itself() -> None:
    runs = run([10, 9, 9, 20, 10], [10, 9, 12, 15, 16], FAST, Costs())
    assert figures(runs)["drawdown"] == pytest.approx(0.25)


SHORT = Momentum(fast_bars=1, slow_bars=2, threshold_bps=0.0)


def test_a_short_really_earns_what_falls() -> None:
    """Not merely flat: sold at 8, bought back at the last close, 4."""
    runs = run([10, 9, 8, 6], [10, 9, 8, 4], SHORT, Costs())
    assert figures(runs)["final"] == pytest.approx(1 + (8 - 4) / 8)


def test_a_short_is_a_fixed_quantity_unless_it_is_rebalanced_every_bar() -> None:
    prices = ([10, 9, 8, 4, 2], [10, 9, 8, 4, 2])
    assert figures(run(*prices, SHORT, Costs()))["final"] == pytest.approx(1 + 6 / 8)
    rebalanced = figures(run(*prices, SHORT, Costs(rebalanced=True)))["final"]
    assert rebalanced == pytest.approx(1.0 * (1 + 4 / 8) * (1 + 2 / 4))


def test_a_short_that_loses_everything_is_over() -> None:
    runs = run([10, 9, 8, 30, 2], [10, 9, 20, 30, 2], SHORT, Costs(fee=0.001))
    assert figures(runs)["final"] == 0.0
    assert figures(runs)["drawdown"] == 1.0
    assert runs.equity[0].tolist()[-2:] == [0.0, 0.0]


def test_flipping_from_long_to_short_costs_two_sides() -> None:
    found = figures(run([10, 9, 9, 9, 9], [10, 9, 12, 8, 8], SHORT, Costs(fee=0.01)))
    # short at 9 (two bars), flip to long at 9, flip to short at 9, closed at 8
    assert (found["sides"], found["round_trips"]) == (6, 3)


def test_instants_before_and_between_bars_hold_what_was_true_then() -> None:
    bars = Bars(
        np.array([10.0, 9, 9, 20, 30]),
        np.array([10.0, 9, 12, 24, 33]),
        np.array([0, 0, 3, 4, 4, 5]),
    )
    runs = run_all(bars, [FAST], Costs())
    assert runs.equity[0].tolist() == pytest.approx([1, 1, 1, 1.2, 1.2, 1.65])
    assert runs.side[0].tolist() == [0, 0, 0, 1, 1, 0]


def test_what_is_held_is_told_as_a_share_of_equity() -> None:
    """A switch trades what is held: a stake is not all of equity, nor is a short that lost."""
    prices = ([10, 9, 9, 20, 30], [10, 9, 12, 24, 33])
    staked = run(*prices, FAST, Costs(stake=100.0, capital=1_000.0))
    assert staked.side[0].tolist() == pytest.approx([0, 0, 0, 0, 0.1 * 24 / 20 / 1.02, 0])
    assert run(*prices, FAST, Costs()).side[0].tolist() == [0, 0, 0, 0, 1, 0]
    falling = ([10, 9, 8, 6, 5], [10, 9, 8, 4, 3])  # sold at 8
    fixed = run(*falling, SHORT, Costs()).side[0].tolist()
    assert fixed == pytest.approx([0, 0, 0, -1, -0.5 / 1.5, 0])
    rebalanced = run(*falling, SHORT, Costs(rebalanced=True)).side[0].tolist()
    assert rebalanced == [0, 0, 0, -1, -1, 0]


def test_sets_in_parallel_are_the_sets_one_by_one() -> None:
    draw = np.random.Generator(np.random.PCG64(1))
    closes = 100 * np.exp(draw.normal(0, 0.01, 3_000).cumsum())
    bars = Bars(np.roll(closes, 1), closes, np.array([0, 1_500, 3_000]))
    sets = [SmaCross(fast, slow) for fast in (3, 5, 8) for slow in (13, 21, 34)]
    together = run_all(bars, sets, Costs(0.001), jobs=4)
    alone = [run_all(bars, [one], Costs(0.001)) for one in sets]
    assert together.equity.tolist() == [runs.equity[0].tolist() for runs in alone]
    assert together.figures.tolist() == [runs.figures[0].tolist() for runs in alone]


def test_who_is_interrupted_does_not_wait_for_sets_that_have_not_begun() -> None:
    draw = np.random.Generator(np.random.PCG64(3))
    closes = 100 * np.exp(draw.normal(0, 0.01, 20_000).cumsum())
    bars = Bars(closes, closes, np.array([0, 20_000]))
    before = {thread.name.rpartition("_")[0] for thread in threading.enumerate()}
    found = run_grid(bars, [SmaCross(3, 13 + n) for n in range(5_000)], Costs(0.001), jobs=2)
    assert next(found)[0] == 0
    (pool,) = {thread.name.rpartition("_")[0] for thread in threading.enumerate()} - before
    found.close()
    assert pool not in {thread.name.rpartition("_")[0] for thread in threading.enumerate()}


def test_trades_tell_prices_fees_and_what_is_left() -> None:
    bars = [Bar(60 * n, o, c) for n, (o, c) in enumerate([(10, 10), (9, 9), (9, 12), (20, 24)])]
    ran = run_bars(bars, FAST, Costs(fee=0.01))
    (trade,) = ran.trades
    assert (trade.side, trade.entry_s, trade.entry_price, trade.exit_price) == (1, 180, 20, 24)
    assert trade.net == pytest.approx(ran.equity[-1] - 1)
    assert trade.fees == pytest.approx(0.01 + 0.99 * 1.2 * 0.01)
    assert trade.gross == pytest.approx(0.99 * 0.2)


def test_what_comes_later_changes_nothing_before() -> None:
    """Look-ahead: garbage after bar k leaves every equity up to bar k as it was, bit by bit."""
    draw = np.random.Generator(np.random.PCG64(2))
    closes = 100 * np.exp(draw.normal(0, 0.01, 400).cumsum())
    opens = closes * np.exp(draw.normal(0, 0.002, 400))
    instants = np.arange(401, dtype=np.int64)
    for params in (SmaCross(5, 20), Momentum(5, 20, 10.0)):
        for cut in (30, 137, 260, 398):
            other = closes.copy(), opens.copy()
            other[0][cut:], other[1][cut:] = 1e-4, 7e5
            whole = run_all(Bars(opens, closes, instants), [params], Costs(0.001))
            changed = run_all(Bars(other[1], other[0], instants), [params], Costs(0.001))
            assert whole.equity[0][: cut + 1].tobytes() == changed.equity[0][: cut + 1].tobytes()
            live = BarBacktest(params, Costs(0.001))
            for bar in zip(range(cut), opens.tolist(), closes.tolist()):
                live.on_bar(Bar(*bar))
            assert live.equity == whole.equity[0][1 : cut + 1].tolist()


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("sma", {}, "rule.name = 'sma': one of sma_cross, momentum"),
        ("sma_cross", {"fast": 3}, "unknown field `fast`.*fast_bars, slow_bars"),
        ("sma_cross", {"fast_bars": 0}, ">= 1"),
        ("sma_cross", {"fast_bars": 30, "slow_bars": 30}, "must be below slow_bars"),
        ("momentum", {"threshold_bps": -1.0}, ">= 0"),
        ("momentum", {"fast_bars": 2.5}, "Expected `int`"),
    ],
)
def test_a_rule_that_makes_no_sense_is_one_line(name, values, why) -> None:
    with pytest.raises(ConfigError, match=why):
        make_params(name, values, "here", "rule.params")


def test_averages_that_cannot_be_exact_are_refused() -> None:
    closes = np.array([1e-6, 1.0, 900.0, 1e4])
    with pytest.raises(ConfigError, match="not exact"):
        run_all(Bars(closes, closes, np.array([0])), [SmaCross(900, 1_000)], Costs())


def test_without_bars_there_is_nothing_to_run_on() -> None:
    with pytest.raises(ConfigError, match="no bars"):
        run_all(Bars(np.empty(0), np.empty(0), np.array([0])), [FAST], Costs())
