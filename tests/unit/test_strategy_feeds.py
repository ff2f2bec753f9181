"""Trades, marks and funding reach the strategies that ask for them, and nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shared.config import load_config
from shared.engine import InputsOpened
from shared.errors import ConfigError
from shared.messages.base import Side
from shared.messages.market import Funding, FundingSettled, Mark, Trade, TradesMissed
from shared.strategy_files import check_strategies
from tests.decision_builders import T0
from tests.strategy_files import HEAD, host_of, write_config, write_strategy

IMPORTS = HEAD.replace(
    "import Depth, Params, Strategy, Warmup",
    "import Depth, FundingOf, Params, Strategy, Trades, Warmup",
)
COUNTS = """
    def set_up(self):
        self.seen = dict.fromkeys(("trades", "gaps", "marks", "fundings"), 0)

    def inputs(self):
        return [Depth("binance", "BTC/USDT"), {wanted}]

    def on_trade(self, trade, now_ns):
        self.seen["trades"] += 1
        return []

    def on_gap(self, missed, now_ns):
        self.seen["gaps"] += 1
        return []

    def on_mark(self, mark, now_ns):
        self.seen["marks"] += 1
        return []

    def on_funding(self, funding, now_ns):
        self.seen["fundings"] += 1
        return []

    def counters(self):
        return self.seen
"""
MINE = 'id = "mine"\nclass = "mine.py"'
BOTH = 'Trades("binance", "BTC/USDT"), FundingOf("binance")'
AT: dict[str, Any] = {"venue": "binance", "instrument": "BTC/USDT", "ts_recv_ns": T0}


def messages(**place: str) -> list[Any]:
    at = {**AT, **place}
    return [
        Trade(**at, trade_id="1", side=Side.BUY, price=1.0, qty=1.0),
        TradesMissed(**at, ongoing=True),
        Mark(**at, mark_price=1.0, index_price=None),
        Funding(**at, mark_price=1.0, index_price=1.0, rate=0.0, ts_funding_ns=T0),
        FundingSettled(**at, rate=0.0, ts_funding_ns=T0),
    ]


def seen(host: Any) -> dict[str, int]:
    return {name: host.counters()[name] for name in ("trades", "gaps", "marks", "fundings")}


def test_what_is_wanted_comes(tmp_path: Path) -> None:
    write_strategy(tmp_path, COUNTS.replace("{wanted}", BOTH), head=IMPORTS)
    host = host_of(tmp_path, MINE)[0]
    assert host.unread == frozenset()
    for message in messages():
        host.on_message(message, T0)
    assert seen(host) == {"trades": 1, "gaps": 1, "marks": 1, "fundings": 2}
    for message in messages(venue="kraken"):
        host.on_message(message, T0)
    assert seen(host) == {"trades": 1, "gaps": 1, "marks": 1, "fundings": 2}


def test_inputs_that_are_opened_anew_are_a_gap(tmp_path: Path) -> None:
    write_strategy(tmp_path, COUNTS.replace("{wanted}", BOTH), head=IMPORTS)
    host = host_of(tmp_path, MINE)[0]
    host.on_message(messages()[0], T0)
    host.on_message(InputsOpened(), T0)
    assert seen(host)["gaps"] == 1


def test_what_nobody_wants_is_not_read(tmp_path: Path) -> None:
    write_strategy(tmp_path, COUNTS.replace("{wanted}", 'Trades("binance")'), head=IMPORTS)
    host = host_of(tmp_path, MINE)[0]
    assert host.unread == {"md.funding"}
    for message in messages():
        host.on_message(message, T0)
    assert seen(host) == {"trades": 1, "gaps": 1, "marks": 0, "fundings": 0}


def test_a_callback_that_fails_ends_its_strategy(tmp_path: Path) -> None:
    body = COUNTS.replace("{wanted}", BOTH).replace('self.seen["marks"] += 1', "raise ValueError")
    write_strategy(tmp_path, body, head=IMPORTS)
    host = host_of(tmp_path, MINE)[0]
    for message in messages():
        host.on_message(message, T0)
    assert "mine" in host.disabled


@pytest.mark.parametrize(
    ("wanted", "feed"), [('Trades("binance")', "trades"), ("FundingOf()", "funding")]
)
def test_a_feed_that_is_not_configured_is_one_line(tmp_path: Path, wanted: str, feed: str) -> None:
    write_strategy(tmp_path, COUNTS.replace("{wanted}", wanted), head=IMPORTS)
    path = write_config(tmp_path, MINE)
    with pytest.raises(ConfigError, match=rf"add '{feed}' to venues\.\w+\.feeds") as caught:
        check_strategies(load_config(path, {}), path)
    assert "\n" not in str(caught.value)
    text = Path(path).read_text(encoding="utf-8")
    text = text.replace("[venues.binance]\n", f'[venues.binance]\nfeeds = ["depth", "{feed}"]\n')
    Path(path).write_text(text, encoding="utf-8")
    check_strategies(load_config(path, {}), path)
