"""Each built-in strategy decides the same in a replay as in a backtest, and as it did before.

The market is generated; every run uses the strategy's own demo parameters. What a strategy says is
pinned by a digest: a change of its arithmetic changes the digest, and has to be meant.
"""

from __future__ import annotations

import json
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.cli.demo_strategies import RISK, one_built_in
from services.lab.backtest import Backtest, configured
from services.lab.backtest_terms import BacktestConfig
from services.lab.output import OutputFile
from services.lab.recorded import survey
from services.lab.replay import Replay, Terms, config_of, paper_accounts
from shared.config_sections import Config, PaperConfig, StrategyConfig
from shared.exchange.generator import Shape
from shared.strategy_files import built_ins
from tests.made_recording import MadeMarket, Markets

SPOT = {"binance": ["BTC/USDT"], "kraken": ["BTC/USDT"]}
QUOTED = {"binance": ["ETH/USDT"], "kraken": ["ETH/USDT"]}
CASH_AND_CARRY = {"binance": ["BTC/USDT"], "binanceusdm": ["BTC/USDT:USDT"]}
TRIANGLE = ["BTC/USDT", "ETH/USDT", "ETH/BTC"]
DOLLARS = ["BTC/USDT", "BTC/USDC", "USDC/USDT"]
MARKETS: dict[str, Markets] = {
    "cross_venue": SPOT,
    "market_making": QUOTED,
    "momentum": {"binanceusdm": ["BTC/USDT:USDT"]},
    "spot_perp_basis": CASH_AND_CARRY,
    "funding_carry": CASH_AND_CARRY,
    "lead_lag": CASH_AND_CARRY,
    "triangular": {"kraken": TRIANGLE, "binance": TRIANGLE},
    "conversion": {"kraken": DOLLARS, "gateio": DOLLARS, "binance": ["BTC/USDT"]},
}
"""Strategy -> what is recorded of the market."""
OWN: dict[str, dict[str, Any]] = {
    "triangular": {"apart_ms_max": 250},
    "funding_carry": {
        "enter_bps_per_hour": 0.1,
        "exit_bps_per_hour": 0.05,
        "hold_hours_max": 336.0,
        "guard_ms": 60_000,
    },
}
"""Where books that come every 50 and 100 ms are too far apart for the demo's parameters, and where
eight hours pass in 10 s for the demo's rates."""
SAYS = ("arb.opportunity", "arb.signal", "arb.indication")
OFFER = ("ts_ns", "intent", "qty", "gross", "fees", "net", "edge_bps")
LEG = ("venue", "instrument", "side", "qty", "price_limit", "price_avg", "fee")
MARKET_S = 60.0
IDEAL = PaperConfig(impact_half_life_ms=0)
"""Books forget what was taken as they change, as in a backtest."""


def strategy(named: str) -> list[StrategyConfig]:
    (shown,) = one_built_in(named).strategies
    return [msgspec.structs.replace(shown, params={**shown.params, **OWN.get(named, {})})]


def replayed(paths: list[Path], out: Path, named: str) -> bytes:
    contents = survey(paths)
    config = config_of(contents, strategy(named))
    config = msgspec.structs.replace(config, risk=RISK, paper=IDEAL)
    with closing(OutputFile("--decisions", out)) as file:
        terms = Terms(config=config, hop_ns=0, accounts=paper_accounts)
        Replay(contents, file, terms=terms).run()
    return out.read_bytes()


def backtested(paths: list[Path], out: Path, named: str) -> bytes:
    contents = survey(paths)
    given = Config(strategies=strategy(named), risk=RISK)
    with closing(OutputFile("--decisions", out)) as file:
        config = configured(given, contents, "test")
        Backtest(contents, config, BacktestConfig(bus_us=0), file).run()
    return out.read_bytes()


def said(decisions: bytes) -> list[dict[str, Any]]:
    """Return what a strategy said: of opportunities the arithmetic, not each field that is told."""
    entries = map(json.loads, decisions.splitlines())
    found = [each for entry in entries if entry["stream"] in SAYS for each in entry["messages"]]
    return [
        {**chosen(each, OFFER), "legs": [chosen(leg, LEG) for leg in each["legs"]]}
        if "legs" in each
        else {**each, "strategy_hash": ""}
        for each in found
    ]


def chosen(told: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: told[name] for name in names}


def digest_of(found: list[dict[str, Any]]) -> str:
    return blake2b(json.dumps(found, sort_keys=True).encode(), digest_size=8).hexdigest()


PINNED = {
    ("cross_venue", 3): (7, "111dee9d4afd3ef9"),
    ("market_making", 3): (513, "4f50ea514f776741"),
    ("momentum", 3): (17, "417334d353fa681b"),
    ("spot_perp_basis", 3): (4, "218ff7674f9ed101"),
    ("funding_carry", 3): (1, "b64a9e754a5ee535"),
    ("funding_carry", 4): (1, "2516efa3adefa4d3"),
    ("lead_lag", 3): (8, "10f7f721ec925ceb"),
    ("triangular", 1): (18, "5a379f6abf3db6d7"),
    ("triangular", 7): (4, "19cb3a3c669345c4"),
    ("conversion", 5): (9, "682d9e4d63d1206c"),
}
"""Strategy and seed of the market -> how much it says, and the digest of it."""


def test_every_strategy_has_a_market() -> None:
    assert set(MARKETS) == set(built_ins())
    assert {named for named, _ in PINNED} == set(MARKETS)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("named", "seed"), PINNED)
def test_a_replay_and_a_backtest_decide_the_same_bytes(
    tmp_path: Path, named: str, seed: int
) -> None:
    made = MadeMarket(seed, Shape(premium_bps=90.0, depeg_bps=150.0))
    paths = made.record(tmp_path / "recording", MARKETS[named], MARKET_S)
    expected = replayed(paths, tmp_path / "replay", named)
    assert backtested(paths, tmp_path / "backtest", named) == expected
    found = said(expected)
    assert (len(found), digest_of(found)) == PINNED[named, seed]
