"""Commands and reports of research: what is said, what stays the same, what is refused whole."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from services.research.candle_files import DataConfig, load_candles
from services.research.command import main
from services.research.example import BARS, CONFIG, candles_csv
from services.research.gate import GateConfig
from services.research.identity import rounded
from services.research.kernel import Costs
from services.research.settings import CostsConfig, grid_of, params_of, parse_settings
from services.research.study import not_modelled
from services.research.svg import (
    Axis,
    Line,
    axis_for,
    heat_map,
    line_chart,
    plain,
    round_values,
)
from shared.errors import ConfigError
from tests.support import ROOT


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("example")
    assert main(["example", "--out", str(folder)]) == 0
    return folder


def run(example: Path, what: str, out: Path, *more: str) -> int:
    config, data = str(example / "research.toml"), str(example / "candles.csv")
    return main([what, config, "--data", data, "--out", str(out), *more])


def facts(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_bytes())


def test_the_example_is_whole_and_judged(example) -> None:
    found = facts(example)
    assert found["data"]["bars"] == BARS
    assert found["statistics"]["trials"] == len(found["sets"]) == 29
    assert len(found["gate"]) == len(GateConfig.__struct_fields__)
    assert found["passed"] == all(check["passed"] for check in found["gate"])
    assert found["performance"]["waterfall"]["net"] == found["performance"]["total_return"]
    steps = found["performance"]["waterfall"]
    assert steps["gross"] + steps["fees"] == pytest.approx(steps["net"])
    assert sum(t["gross"] - t["fees"] for t in found["trades"]) == pytest.approx(steps["net"])


def test_the_same_run_has_the_same_id_and_the_same_bytes(example, tmp_path) -> None:
    for name, jobs in (("one", "1"), ("two", "3")):
        assert run(example, "optimize", tmp_path / name, "--jobs", jobs) == 0
    for file in ("report.json", "report.html"):
        first = (example / file).read_bytes()
        assert first == (tmp_path / "one" / file).read_bytes()
        assert first == (tmp_path / "two" / file).read_bytes()


@pytest.mark.parametrize(
    ("change", "file"),
    [
        (lambda text: text.replace("fee_bps = 10 ", "fee_bps = 11 "), "research.toml"),
        (lambda text: text.replace("seed = 7", "seed = 8"), "research.toml"),
        (lambda text: text.replace("test_days = 30", "test_days = 31"), "research.toml"),
        (lambda text: text + "\n", "candles.csv"),
    ],
)
def test_another_input_is_another_run(example, tmp_path, change, file) -> None:
    for name in ("research.toml", "candles.csv"):
        text = (example / name).read_text(encoding="utf-8")
        changed = change(text) if name == file else text
        assert (changed != text) == (name == file)
        (tmp_path / name).write_text(changed, encoding="utf-8")
    assert run(tmp_path, "optimize", tmp_path / "out") == 0
    assert facts(tmp_path / "out")["run_id"] != facts(example)["run_id"]


def test_what_was_tried_before_makes_the_best_less_sure(example, tmp_path) -> None:
    for name in ("research.toml", "candles.csv", "trials.jsonl"):
        (tmp_path / name).write_bytes((example / name).read_bytes())
    text = (tmp_path / "research.toml").read_text(encoding="utf-8")
    more = text.replace("[5, 10, 20, 30, 45]", "[4, 7, 13, 17, 26, 37]")
    (tmp_path / "research.toml").write_text(more, encoding="utf-8")
    assert run(tmp_path, "optimize", tmp_path / "more") == 0
    (tmp_path / "research.toml").write_text(text, encoding="utf-8")
    assert run(tmp_path, "optimize", tmp_path / "again") == 0
    before, after = facts(example), facts(tmp_path / "again")
    assert after["statistics"]["trials"] == 29 + 36
    assert after["statistics"]["expected_best_of_trials"] > 0
    assert after["performance"] == before["performance"]
    assert after["run_id"] != before["run_id"]


def test_a_backtest_is_a_trial_too_and_the_same_one_once(example, tmp_path) -> None:
    for name in ("research.toml", "candles.csv", "trials.jsonl"):
        (tmp_path / name).write_bytes((example / name).read_bytes())
    assert run(tmp_path, "backtest", tmp_path / "out") == 0
    found = facts(tmp_path / "out")
    assert found["statistics"]["trials"] == 29  # fast 20, slow 100 is in the grid
    assert found["performance"]["round_trips"] == len(found["trades"]) > 20
    text = (tmp_path / "research.toml").read_text(encoding="utf-8").replace("20, slow", "21, slow")
    (tmp_path / "research.toml").write_text(text, encoding="utf-8")
    assert run(tmp_path, "backtest", tmp_path / "out") == 0
    assert facts(tmp_path / "out")["statistics"]["trials"] == 30


def test_switches_of_half_the_stake_cost_half(example, tmp_path) -> None:
    (tmp_path / "candles.csv").write_bytes((example / "candles.csv").read_bytes())
    text = (example / "research.toml").read_text(encoding="utf-8")
    paid = []
    for stake in ("1", "2"):
        costs = f"stake_quote = {stake}\ncapital_quote = 100\nfee_bps = 10 "
        config = text.replace("fee_bps = 10 ", costs)
        (tmp_path / "research.toml").write_text(config, encoding="utf-8")
        assert run(tmp_path, "optimize", tmp_path / stake) == 0
        paid.append(facts(tmp_path / stake)["walk_forward"]["switch_cost"])
    assert paid[0] / paid[1] == pytest.approx(0.5, rel=0.05)


def test_averages_as_long_as_a_test_trade_in_it(example, tmp_path) -> None:
    """Windows are warm: 30 days of data are no reason for an average over 30 days to stay out."""
    (tmp_path / "candles.csv").write_bytes((example / "candles.csv").read_bytes())
    text = (example / "research.toml").read_text(encoding="utf-8")
    slow = text.replace("40, 60, 100, 150, 200, 300", "180, 190").replace("30, 45", "30")
    (tmp_path / "research.toml").write_text(slow, encoding="utf-8")
    assert run(tmp_path, "optimize", tmp_path / "out") == 0
    walk = facts(tmp_path / "out")["walk_forward"]["folds"]
    assert sum(fold["oos_return"] != 0 for fold in walk) > len(walk) / 2


def test_the_page_needs_no_network_and_runs_nothing(example, tmp_path) -> None:
    assert run(example, "backtest", tmp_path) == 0
    for folder in (example, tmp_path):
        page = (folder / "report.html").read_text(encoding="utf-8")
        assert not re.search(
            r"<script|<link|<img|@import|url\(|https?://|javascript:|\son\w+=", page
        )
        assert page.count("<svg") == page.count("</svg>") >= 4
        assert "What was not modelled" in page
        assert "From bars: less exact" in page
        assert "NaN" not in page
        assert "None" not in page


def test_checks_are_shown_by_words_and_not_by_their_keys(example) -> None:
    page = (example / "report.html").read_text(encoding="utf-8")
    for check in facts(example)["gate"]:
        assert f"<td>{check['label']}</td>" in page
        assert "_" not in check["label"]
        assert check["name"] == "round_trips" or check["name"].replace("_", " ") not in page


def test_names_from_files_cannot_become_markup(example, tmp_path) -> None:
    odd = tmp_path / "<b>&candles.csv"
    odd.write_bytes((example / "candles.csv").read_bytes())
    config = str(example / "research.toml")
    out = tmp_path / "out"
    assert main(["backtest", config, "--data", str(odd), "--out", str(out)]) == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<b>&candles" not in page
    assert "&lt;b&gt;&amp;candles.csv" in page


def test_json_is_one_object_on_stdout(example, tmp_path, capfdbinary) -> None:
    assert run(example, "optimize", tmp_path, "--json") == 0
    printed = json.loads(capfdbinary.readouterr().out)
    assert printed["run_id"] == facts(tmp_path)["run_id"]
    assert printed["passed"] is False


def many_sets(text: str) -> str:
    fast, slow = ", ".join(map(str, range(1, 41))), ", ".join(map(str, range(100, 140)))
    wide = text.replace("5, 10, 20, 30, 45", fast).replace("40, 60, 100, 150, 200, 300", slow)
    return wide + '\nperiod = "4h"'


@pytest.mark.parametrize(
    "case",
    [
        ("candles.csv", lambda t: t.replace("2023-01-02 08", "2023-01-02 09", 1), "no bar of 4h"),
        ("candles.csv", lambda t: t[:37], "no rows below the head"),
        ("research.toml", lambda t: t.replace("fee_bps", "fees"), "unknown key costs.fees"),
        (
            "research.toml",
            lambda t: t.replace('"sma_cross"', '"sma"'),
            "rule.name = 'sma': one of",
        ),
        ("research.toml", lambda t: t.replace("[rule]", "[rules]"), "unknown key rules; do you"),
        ("research.toml", lambda t: t.replace("= 10 ", "= -1 "), "costs.fee_bps"),
        ("research.toml", lambda t: t.replace("train_days = 180", "train_days = 9000"), "no windo"),
        ("research.toml", lambda t: t.replace("40, 60,", "0, 60,"), ">= 1"),
        ("research.toml", lambda t: t + "\nperiod = '5h'", "no multiple of the bars"),
        ("research.toml", many_sets, "sets at 6571 instants are over 10000000; try fewer"),
        ("trials.jsonl", lambda t: t + "{}\n", "trials.jsonl:30: not a trial"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(example, tmp_path, capfd, case) -> None:
    file, change, expected = case
    for name in ("research.toml", "candles.csv", "trials.jsonl"):
        text = (example / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(change(text) if name == file else text, encoding="utf-8")
    ledger = (tmp_path / "trials.jsonl").read_bytes()
    assert run(tmp_path, "optimize", tmp_path / "out") == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if "left out" not in line]
    assert len(lines) == 1
    assert expected in lines[0]
    assert not (tmp_path / "out" / "report.json").exists()
    assert (tmp_path / "trials.jsonl").read_bytes() == ledger


def test_an_out_that_cannot_be_is_told_before_anything_runs(example, tmp_path, capfd) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert run(example, "backtest", out) == 2
        assert f"arb: --out {out}: " in capfd.readouterr().err
    assert run(example, "backtest", tmp_path / "file") == 2
    assert "Not a directory" in capfd.readouterr().err


def test_the_examples_candles_are_what_the_reader_wants(tmp_path) -> None:
    path = tmp_path / "candles.csv"
    path.write_text(candles_csv(), encoding="utf-8")
    assert load_candles(path, DataConfig()).candles.holes == 0


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("grid = {}", "no rule.grid; give the values to try"),
        ("grid = { fast_bars = [5, 5] }", "each once"),
        ("grid = { fast_bars = [5] }", "has 1 set with fast_bars below"),
        ("grid = { fast = [1, 2], slow = [3] }", "unknown field"),
        ("grid = { fast_bars = [2.5, 3] }", "Expected `int`"),
    ],
)
def test_a_grid_that_makes_no_sense(more, why) -> None:
    config = parse_settings(f'[rule]\nname = "sma_cross"\n{more}\n', "x.toml")
    with pytest.raises(ConfigError, match=why):
        grid_of(config, "x.toml")


def test_a_grid_leaves_out_what_is_fast_over_slow_and_counts_it() -> None:
    config = parse_settings(CONFIG, "x.toml")
    sets, left_out = grid_of(config, "x.toml")
    assert (len(sets), left_out) == (29, 1)
    assert msgspec.to_builtins(params_of(config, "x")) == {"fast_bars": 20, "slow_bars": 100}


@pytest.mark.parametrize(
    ("costs", "why"),
    [
        ("spread_bps = -1", "Expected `float` >= 0"),
        ("stake_quote = 100", "costs.stake_quote needs costs.capital_quote"),
        ("stake_quote = 1000\ncapital_quote = 1e-9", "= 1000 is more than 200 times .* = 1e-09"),
        ("stake_quote = 200.1\ncapital_quote = 1", "= 200.1 is more than 200 times"),
        ("lot_base = 1", "need costs.stake_quote"),
        ("capital_quote = 1", "need costs.stake_quote"),
        ('stake_quote = 1\ncapital_quote = 9\nshort = "rebalanced"', 'needs costs.short = "fixed"'),
        ('short = "none"', "it is 'fixed'"),
    ],
)
def test_costs_that_cannot_be_meant(costs, why) -> None:
    with pytest.raises(ConfigError, match=why):
        parse_settings(f'[rule]\nname = "sma_cross"\n[costs]\n{costs}\n', "x.toml")


def test_what_costs_are_reaches_the_engines_and_the_report() -> None:
    text = "fee_bps = 4\nspread_bps = 2\nstake_quote = 100\ncapital_quote = 900\nlot_base = 0.5"
    config = parse_settings(f'[rule]\nname = "sma_cross"\n[costs]\n{text}\n', "x.toml")
    costs = config.trading_costs()
    assert costs == pytest.approx(Costs(4e-4, False, 1e-4, 100, 0.5, 900))
    assert costs.of_a_side == pytest.approx(5e-4)
    assert not any("no spread" in each or ", lot" in each for each in not_modelled(config.costs))
    assert "no spread" in not_modelled(CostsConfig())[0]


def test_a_ledger_of_before_there_was_a_spread_counts_the_same_trials() -> None:
    """New keys of ``[costs]`` are part of a trial only where they are set."""
    before = {"fee_bps": 10.0, "short": "fixed"}
    assert CostsConfig().identity() == before
    assert CostsConfig(spread_bps=2.0).identity() == {**before, "spread_bps": 2.0}


@pytest.mark.parametrize("what", ["backtest", "optimize"])
def test_without_the_extra_one_line_says_what_installs_it(what) -> None:
    script = (
        "import sys; sys.modules['numba'] = None\n"
        "from services.cli.main import main\n"
        f"sys.argv = ['arb', '{what}', 'a.toml', '--data', 'b.csv', '--out', 'c']\nmain()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert "pip install -c constraints.txt -e '.[research]'" in ran.stderr


def test_the_command_line_loads_nothing_of_research() -> None:
    script = (
        "import sys, services.cli.app, services.lab.command\n"
        "parts = 'numpy', 'numba', 'pyarrow', 'services.research'\n"
        "print(*(name for name in parts if name in sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == []


def test_the_command_runs_the_program(example, tmp_path) -> None:
    arguments = ["backtest", str(example / "research.toml"), "--data", str(example / "candles.csv")]
    ran = subprocess.run(
        [sys.executable, "-m", "services.cli.main", *arguments, "--out", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert f"report: {tmp_path / 'report.html'}" in ran.stdout


def test_numbers_of_a_report_do_not_hang_on_the_eleventh_digit() -> None:
    assert rounded({"a": [0.1 + 0.2, 1 / 3], "b": (2, "x", None)}) == {
        "a": [0.3, 0.3333333333],
        "b": [2, "x", None],
    }


def test_axes_hold_all_values_and_have_round_ticks() -> None:
    assert round_values(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]
    flat = axis_for([Line("", "", [2.0, 2.0, None])], plain)
    assert flat.low < 2.0 < flat.high
    assert axis_for([Line("", "", [])], plain).low < axis_for([], plain).high
    wide = Axis(0.01, 1_000.0, plain, log=True)
    assert len(wide.ticks()) <= 7
    chart = line_chart([0, 60, 120], [Line("x", "one", [1.0, None, 2.0])], flat)
    assert "polyline" not in chart  # a single point is no line


def spans(chart: str) -> list[tuple[float, float, float, str]]:
    """Return the baseline of each text of a chart, where it begins and ends, and what it says."""
    found = []
    for attributes, text in re.findall(r"<text ([^>]*)>([^<]*)</text>", chart):
        given = dict(re.findall(r'([a-z-]+)="([^"]*)"', attributes))
        width, at = 6.5 * len(text), float(given["x"])
        shift = {"middle": width / 2, "end": width}.get(given.get("text-anchor", "start"), 0.0)
        found.append((float(given["y"]), at - shift, at - shift + width, text))
    return sorted(found)


@pytest.mark.parametrize(
    ("down", "across", "columns"),
    [
        ("fast_bars", "slow_bars", 6),
        ("edge_bps_min", "cooldown_ms", 2),
        ("opportunity_ttl_ms", "directional_notional_quote_max", 3),
        ("threshold_bps", "book_age_ms_max", 40),
    ],
)
def test_texts_of_a_heat_map_do_not_overlap(down: str, across: str, columns: int) -> None:
    xs, ys = [100.5 + n for n in range(columns)], [0.5, 2.0, 60_000.0]
    chart = heat_map((across, xs), (down, ys), [[-12.25 * n for n in range(columns)]] * 3)
    texts = spans(chart)
    assert any(down in text for *_, text in texts)
    assert any(across in text for *_, text in texts)
    for number, (y, begin, end, text) in enumerate(texts):
        for other_y, other_begin, other_end, other in texts[number + 1 :]:
            is_apart = end <= other_begin or other_end <= begin
            assert is_apart or abs(other_y - y) >= 9, (text, other)
