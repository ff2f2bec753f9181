"""The tutorial's file and lines are what `arb strategy new` writes, and they trade."""

from __future__ import annotations

import re
from decimal import Decimal as D
from pathlib import Path

import pytest
import typer

from services.cli.commands_strategy import (
    check_strategy,
    list_strategies,
    new_strategy,
    source_of_template,
)
from services.scanner.engine import StrategyHost
from shared.config import load_config, load_strategies_of
from shared.errors import ConfigError
from shared.messages.arb import NearMiss, Opportunity
from shared.messages.base import Certainty, Side
from shared.messages.rounds import Intent, RoundLeg, RoundState, RoundsTold, StrategyPosition
from shared.strategy_files import built_ins, find_class, load_strategies
from tests.decision_builders import SECOND, T0, make_info, make_view
from tests.support import ROOT

TEXT = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The first block of code of a language."""
    found = re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_file_is_what_new_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert block("python") == source_of_template("TightBooks")
    monkeypatch.chdir(tmp_path)
    new_strategy("tight_books")
    assert (tmp_path / "tight_books.py").read_text(encoding="utf-8") == block("python")


def test_six_lines_configure_it() -> None:
    assert len(block("toml").split("\n")) == 7
    assert len([line for line in block("toml").splitlines() if line]) <= 6


def test_it_trades(tmp_path: Path) -> None:
    (tmp_path / "tight_books.py").write_text(block("python"), encoding="utf-8")
    (tmp_path / "arb.toml").write_text(block("toml"), encoding="utf-8")
    (instance,) = load_strategies(load_config(str(tmp_path / "arb.toml"), {}))
    assert instance.problem == ""
    host = StrategyHost([instance])

    def see(ask: float, now_ns: int) -> list[object]:
        for venue in ("alpha", "beta"):
            host.on_message(make_info(venue), now_ns)
        low = make_view("alpha", asks=[(10_000.0, 1.0)], bids=[(9_999.0, 1.0)], ts_ns=now_ns)
        high = make_view("beta", asks=[(ask, 1.0)], bids=[(10_050.0, 1.0)], ts_ns=now_ns)
        host.on_message(low, now_ns)
        return list(host.on_message(high, now_ns).messages)

    (found,) = see(10_051.0, T0)
    assert isinstance(found, Opportunity)
    assert (found.strategy_id, found.detector) == ("tight-1", "tight_books.py:TightBooks")
    assert not see(10_150.0, T0 + 3 * SECOND)  # beta's own spread is 99 bps by now
    misses = [m for m in host.on_timer(T0 + 5 * SECOND).messages if isinstance(m, NearMiss)]
    assert [m.context for m in misses if m.gate == "SPREAD"] == 2 * [{"spread_bps": "99.5"}]


def test_the_file_that_holds_rounds_opens_and_closes_one(tmp_path: Path) -> None:
    (text,) = [
        each for each in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if "DearPerp" in each
    ]
    (tmp_path / "dear_perp.py").write_text(text, encoding="utf-8")
    table = '[[strategies]]\nid = "dear"\nclass = "dear_perp.py"\n'
    (tmp_path / "arb.toml").write_text(table, encoding="utf-8")
    (instance,) = load_strategies(load_config(str(tmp_path / "arb.toml"), {}))
    assert instance.problem == ""
    host = StrategyHost([instance])
    places = ("alpha", "BTC/USDT"), ("gamma", "BTC/USDT:USDT")

    def see(now_ns: int, seq: int, perp_bid: float = 10_080.0) -> list[Opportunity]:
        out: list[object] = []
        prices = (9_999.0, 10_000.0), (perp_bid, perp_bid + 1)
        for place, (bid, ask) in zip(places, prices, strict=True):
            book = {"bids": [(bid, 1.0)], "asks": [(ask, 1.0)]}
            out += host.on_message(
                make_view(*place, **book, seq=seq, ts_ns=now_ns), now_ns
            ).messages
        return [each for each in out if isinstance(each, Opportunity)]

    for place in places:
        host.on_message(make_info(*place), T0)
    host.on_message(RoundsTold(ts_ns=T0, rounds=[]), T0)
    assert not see(T0, 1, perp_bid=10_030.0)
    (opening,) = see(T0 + SECOND, 2)
    assert [(leg.venue, leg.side, leg.qty) for leg in opening.legs] == [
        ("alpha", Side.BUY, D("0.1")),
        ("gamma", Side.SELL, D("0.1")),
    ]
    assert opening.intent is Intent.OPEN
    held = StrategyPosition(
        ts_ns=T0 + SECOND,
        strategy_id="dear",
        round_id=opening.round_id,
        base="BTC",
        quote="USDT",
        state=RoundState.OPEN,
        legs=[
            RoundLeg(
                venue=leg.venue,
                instrument=leg.instrument,
                qty=leg.side.signed(leg.qty),
                entry=leg.price_avg,
            )
            for leg in opening.legs
        ],
        unhedged=D(0),
        realized={},
        certainty=Certainty.KNOWN,
        ts_opened_ns=T0 + SECOND,
    )
    host.on_message(held, T0 + 2 * SECOND)
    assert not see(T0 + 3 * SECOND, 3), "it holds one"
    (closing,) = see(T0 + 302 * SECOND, 4)
    assert closing.intent is Intent.CLOSE
    assert [leg.side for leg in closing.legs] == [Side.BUY, Side.SELL]
    assert {leg.venue for leg in closing.legs if leg.side is Side.SELL} == {"alpha"}


@pytest.mark.parametrize("name", built_ins())
def test_a_page_names_every_parameter_and_every_gate_of_its_strategy(name: str) -> None:
    kind, _, _ = find_class(name, "test")
    page = (ROOT / "docs" / "strategies" / f"{name}.md").read_text(encoding="utf-8")
    assert not [each for each in kind.Params.__struct_fields__ if f"`{each}`" not in page]
    assert not [each for each in kind.gates if f"`{each}`" not in page]
    assert f"strategies/{name}.md" in TEXT
    assert "## How it fails" in page or "**How it fails**" in page


@pytest.mark.parametrize("name", ["My", "a-b", "../x", "", "1st", "a" * 50])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ConfigError, match="like my_strategy"):
        new_strategy(name)


@pytest.mark.parametrize("name", ["none", "pairs", "opportunity", "strategy", "other"])
def test_names_that_the_file_or_a_report_needs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"like my_{name}"):
        new_strategy(name)
    assert not list(tmp_path.iterdir())


def test_a_strategy_that_ends_the_process_is_told(tmp_path: Path) -> None:
    path = tmp_path / "ends.py"
    ends = "raise SystemExit(0)\n        for pair in self.pairs.take_view"
    path.write_text(block("python").replace("for pair in self.pairs.take_view", ends), "utf-8")
    with pytest.raises(ConfigError, match="fails on a made-up market: SystemExit"):
        check_strategy(str(path))


def test_a_file_asked_for_its_strategies_has_some(tmp_path: Path) -> None:
    path = tmp_path / "arb.toml"
    path.write_text('[[strategy]]\nid = "one"\nclass = "mine.py"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"no \[\[strategies\]\] in it"):
        load_strategies_of(str(path))
    with pytest.raises(ConfigError, match="--strategies is empty"):
        load_strategies_of("")


def test_new_writes_over_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"mine\.py is there already"):
        new_strategy("mine.py")
    assert (tmp_path / "mine.py").read_text(encoding="utf-8") == "mine"


def test_list_shows_built_ins_and_what_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    list_strategies(as_json=True)
    assert '"class":"cross_venue"' in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    new_strategy("mine")
    venue = '[venues.kraken]\ninstruments = ["BTC/USDT"]\n'
    (tmp_path / "arb.toml").write_text(
        f'{venue}[[strategies]]\nid = "one"\nclass = "mine.py"\n', encoding="utf-8"
    )
    list_strategies("arb.toml")
    out = capsys.readouterr().out
    assert "one (mine.py:Mine): Buys on one venue" in out
    assert "cross_venue" not in out


def test_commands_are_registered() -> None:
    from services.cli.app import app

    groups = {group.name for group in app.registered_groups}
    assert "strategy" in groups
    assert isinstance(app, typer.Typer)
