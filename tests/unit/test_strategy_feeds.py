"""Trades, marks and funding reach the strategies that ask for them, and nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.ingestor.engine.settings import venue_settings
from services.scanner.extras import CATCH_UP_NS
from shared.config import load_config
from shared.engine import InputsOpened
from shared.errors import ConfigError
from shared.feeds import WantedFeed
from shared.messages.base import Side
from shared.messages.market import Funding, FundingSettled, Mark, Trade, TradesMissed
from shared.strategies.saved_state import encode_state
from shared.strategy_inputs import check_strategies, feeds_of_strategies
from shared.venues.port import FeedKind
from tests.decision_builders import T0, make_view
from tests.strategy_files import HEAD, host_of, write_config, write_strategy

IMPORTS = HEAD.replace(
    "import Depth, Params, Strategy, Warmup",
    "import Bars, Depth, FundingOf, Params, Strategy, Trades, Warmup",
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
S = 1_000_000_000
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
    host.on_message(InputsOpened(), T0 + 1)
    assert host.next_deadline_ns() == T0 + 1 + CATCH_UP_NS
    host.on_timer(T0 + 1 + CATCH_UP_NS)
    assert seen(host)["gaps"] == 1, "no trade told that nothing is missing"


def test_what_was_traded_before_comes_first_and_books_wait_for_it(tmp_path: Path) -> None:
    body = (
        COUNTS.replace("{wanted}", BOTH)
        .replace('self.seen["trades"] += 1', "self.times.append(now_ns)")
        .replace("def set_up(self):", "def set_up(self):\n        self.times = []")
    )
    body += "    def on_depth(self, view, now_ns):\n        self.times.append(now_ns)\n"
    write_strategy(tmp_path, body, head=IMPORTS)
    host = host_of(tmp_path, MINE)[0]
    host.on_message(InputsOpened(), T0 + 10 * S)
    host.on_message(make_view("binance", "BTC/USDT"), T0 + 10 * S)
    for number in range(1, 4):
        host.on_message(trade(number, T0 + number * S, 1.0), T0 + 10 * S)
    host.on_message(trade(4, T0 + 11 * S, 1.0), T0 + 11 * S)
    times = host._roster.all[0].strategy.times
    assert times == [T0 + at * S for at in (1, 2, 3, 11, 11)]


@pytest.mark.parametrize("saved", [False, True])
def test_a_warmed_state_is_that_of_one_that_never_stopped(tmp_path: Path, saved: bool) -> None:
    write_strategy(
        tmp_path, BARS.replace("{wanted}", 'Trades(), Bars("", "", 1, 500)'), head=IMPORTS
    )
    trades = [
        trade(n, T0 + n * S // 7, 1.0 + n % 5, instrument=f"{'XY'[n % 2]}/Z") for n in range(200)
    ]
    whole = host_of(tmp_path, MINE)[0]
    for each in trades:
        run_timers(whole, each.ts_recv_ns)
        whole.on_message(each, each.ts_recv_ns)
    warmed = host_of(tmp_path, MINE)[0]
    if saved:
        first = host_of(tmp_path, MINE)[0]
        for each in trades[:120]:
            run_timers(first, each.ts_recv_ns)
            first.on_message(each, each.ts_recv_ns)
        warmed.restore("mine", first.save("mine", T0), T0)
    opened_ns = trades[-1].ts_recv_ns
    warmed.on_message(InputsOpened(), opened_ns)
    for each in trades[40 if saved else 0 :]:  # what the stream still has
        warmed.on_message(each, opened_ns)
    states = [encode_state(each._roster.all[0].strategy.save()) for each in (whole, warmed)]
    assert states[0] == states[1], "what it was given, and when, byte for byte"
    for each in (whole, warmed):
        each.on_timer(opened_ns + 5 * S)
        assert len(each._roster.all[0].strategy.bars) > 50
    states = [encode_state(each._roster.all[0].strategy.save()) for each in (whole, warmed)]
    assert states[0] == states[1]


def test_a_state_older_than_what_the_stream_keeps_has_a_gap(tmp_path: Path) -> None:
    host, bars = bars_host(tmp_path, 'Bars("", "", 1, 0)')
    for number in range(1, 5):
        host.on_message(trade(number, MINUTE + number * S, 1.0), MINUTE + number * S)
    host.on_message(InputsOpened(), MINUTE + 9 * S)
    for number in range(7, 11):
        now_ns = max(MINUTE + number * S, MINUTE + 9 * S)
        host.on_message(trade(number, MINUTE + number * S, 1.0), now_ns)
    host.on_timer(MINUTE + 12 * S)
    spoiled = [(bar.start_ns - MINUTE) // S for bar, _ in bars if not bar.complete]
    assert spoiled == [1, 4, 5, 6, 7], "the first, and from the last that it knew to the next"


def run_timers(host: Any, until_ns: int) -> None:
    while (due_ns := host.next_deadline_ns()) is not None and due_ns <= until_ns:
        host.on_timer(due_ns)


def test_what_nobody_wants_is_not_read(tmp_path: Path) -> None:
    write_strategy(tmp_path, COUNTS.replace("{wanted}", 'Trades("binance")'), head=IMPORTS)
    host = host_of(tmp_path, MINE)[0]
    assert host.unread == {"md.funding"}
    for message in messages():
        host.on_message(message, T0)
    assert seen(host) == {"trades": 1, "gaps": 1, "marks": 0, "fundings": 0}


BARS = """
    def set_up(self):
        self.bars = []

    def inputs(self):
        return [Depth("binance", "BTC/USDT"), {wanted}]

    def on_bar(self, bar, now_ns):
        self.bars.append((bar, now_ns))
        return []
"""


def bars_host(tmp_path: Path, wanted: str) -> tuple[Any, list[Any]]:
    """A host of one strategy, and the bars that it was given, each with the time."""
    write_strategy(tmp_path, BARS.replace("{wanted}", wanted), head=IMPORTS)
    host = host_of(tmp_path, MINE)[0]
    return host, host._roster.all[0].strategy.bars


def trade(number: int, at_ns: int, price: float, **place: str) -> Trade:
    times = {"ts_venue_ns": at_ns, "ts_recv_ns": at_ns}
    told = {**AT, **place, **times, "trade_id": str(number)}
    return Trade(**told, side=Side.BUY, price=price, qty=1.0)


MINUTE = T0 // (60 * S) * 60 * S


def test_a_bar_is_closed_by_time_once_late_trades_had_theirs(tmp_path: Path) -> None:
    host, bars = bars_host(tmp_path, 'Bars("binance", "BTC/USDT", 60, 500)')
    assert host.unread == {"md.funding"}
    for number, (second, price) in enumerate([(1, 100.0), (30, 104.0), (59, 101.0)], start=1):
        host.on_message(trade(number, MINUTE + second * S, price), MINUTE + second * S)
    end_ns = MINUTE + 60 * S
    assert host.next_deadline_ns() == end_ns + S // 2
    host.on_message(trade(5, end_ns + S // 10, 99.0), end_ns + S // 10)
    host.on_message(trade(6, end_ns - 1, 107.0), end_ns + S // 5)  # late, and still in time
    assert not bars
    host.on_timer(end_ns + S // 2)
    ((bar, now_ns),) = bars
    assert now_ns == end_ns + S // 2
    assert (bar.venue, bar.instrument) == ("binance", "BTC/USDT")
    assert (bar.start_ns, bar.interval_ns) == (MINUTE, 60 * S)
    assert (bar.open, bar.high, bar.low, bar.close, bar.trades) == (100.0, 107.0, 100.0, 107.0, 4)
    host.on_message(trade(7, end_ns - 1, 500.0), end_ns + S)
    assert host.counters()["bar_trades_late"] == 1
    host.on_timer(end_ns + 61 * S)
    assert [bar.close for bar, _ in bars] == [107.0, 99.0]


def test_bars_are_of_what_was_asked_for(tmp_path: Path) -> None:
    host, bars = bars_host(tmp_path, 'Bars("binance", "", 1, 0), Bars("binance", "ETH/USDT", 2, 0)')
    for number, place in enumerate([{}, {"instrument": "ETH/USDT"}, {"venue": "kraken"}], start=1):
        host.on_message(trade(number, MINUTE, 1.0, **place), MINUTE)
    host.on_timer(MINUTE + 2 * S)
    got = [(bar.venue, bar.instrument, bar.interval_ns // S, bar.trades) for bar, _ in bars]
    assert got == [
        ("binance", "BTC/USDT", 1, 1),
        ("binance", "BTC/USDT", 1, 0),
        ("binance", "ETH/USDT", 1, 1),
        ("binance", "ETH/USDT", 1, 0),
        ("binance", "ETH/USDT", 2, 1),
    ]


@pytest.mark.parametrize("how", ["missed", "opened"])
def test_a_bar_that_lacks_trades_says_so(tmp_path: Path, how: str) -> None:
    host, bars = bars_host(tmp_path, 'Bars("binance", "BTC/USDT", 1, 0)')
    for number in range(1, 4):
        host.on_message(trade(number, MINUTE + number * S, 1.0), MINUTE + number * S)
    missed = TradesMissed(**AT, ongoing=False) if how == "missed" else InputsOpened()
    host.on_message(missed, MINUTE + 3 * S + 1)
    for number in range(4, 7):
        host.on_message(trade(number, MINUTE + number * S, 1.0), MINUTE + number * S)
    host.on_timer(MINUTE + 7 * S)
    assert [bar.complete for bar, _ in bars] == [False, True, False, False, True, True]


def test_without_bars_wanted_no_trade_is_kept(tmp_path: Path) -> None:
    write_strategy(tmp_path, COUNTS.replace("{wanted}", BOTH), head=IMPORTS)
    host = host_of(tmp_path, MINE)[0]
    host.on_message(messages()[0], T0)
    assert "bar_trades_late" not in host.counters()
    assert host.next_deadline_ns() is None


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ('Bars("binance", "BTC/USDT", 0)', "interval_s = 0; give an int from 1 to 86400"),
        ('Bars("binance", "BTC/USDT", 1.5)', "interval_s = 1.5; give an int"),
        ('Bars("binance", "BTC/USDT", True)', "interval_s = True; give an int"),
        ('Bars("binance", "BTC/USDT", 60, -1)', "lateness_ms = -1; give an int from 0 to 60000"),
        ("Bars(1)", "venue and instrument are texts"),
    ],
)
def test_bars_that_cannot_be_made_are_one_line(tmp_path: Path, wanted: str, expected: str) -> None:
    write_strategy(tmp_path, BARS.replace("{wanted}", wanted), head=IMPORTS)
    path = write_config(tmp_path, MINE)
    with pytest.raises(ConfigError) as caught:
        check_strategies(load_config(path, {}), path)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_callback_that_fails_ends_its_strategy(tmp_path: Path) -> None:
    body = COUNTS.replace("{wanted}", BOTH).replace('self.seen["marks"] += 1', "raise ValueError")
    write_strategy(tmp_path, body, head=IMPORTS)
    host = host_of(tmp_path, MINE)[0]
    for message in messages():
        host.on_message(message, T0)
    assert "mine" in host.disabled


WANTED = {
    'Trades("binance")': [WantedFeed(FeedKind.TRADES, "binance")],
    'Bars("kraken", "ETH/USDT", 5)': [WantedFeed(FeedKind.TRADES, "kraken", "ETH/USDT")],
    'Trades(), Bars("kraken"), Trades()': [
        WantedFeed(FeedKind.TRADES),
        WantedFeed(FeedKind.TRADES, "kraken"),
    ],
    'FundingOf("usdm", "BTC/USDT:USDT")': [
        WantedFeed(FeedKind.FUNDING, "usdm", "BTC/USDT:USDT"),
    ],
    'Depth("kraken")': [],
}
PERPETUAL = """
[venues.usdm]
adapter = "binanceusdm"
instruments = ["BTC/USDT:USDT"]
"""


@pytest.mark.parametrize(("wanted", "feeds"), WANTED.items(), ids=WANTED)
def test_what_a_strategy_wants_is_subscribed(
    tmp_path: Path, wanted: str, feeds: list[WantedFeed]
) -> None:
    write_strategy(tmp_path, COUNTS.replace("{wanted}", wanted), head=IMPORTS)
    path = write_config(tmp_path, MINE, more=PERPETUAL)
    config = load_config(path, {})
    check_strategies(config, path)
    found = feeds_of_strategies(config)
    assert found == (feeds, {})
    subscribed = {each.name: each.extras for each in venue_settings(config.venues, found.feeds)}
    for venue, extras in subscribed.items():
        for kind in FeedKind:
            names = [
                name
                for name in config.venues[venue].instruments
                if any(
                    each.kind is kind
                    and each.venue in {"", venue}
                    and each.instrument in {"", name}
                    for each in feeds
                )
            ]
            assert list(extras.get(kind, ())) == names


def test_a_strategy_that_cannot_be_asked_keeps_no_other_from_its_feeds(tmp_path: Path) -> None:
    write_strategy(tmp_path, COUNTS.replace("{wanted}", BOTH), head=IMPORTS)
    write_strategy(tmp_path, "    def inputs(self):\n        1 / 0\n", "odd.py")
    tables = ('id = "gone"\nclass = "gone.py"', 'id = "odd"\nclass = "odd.py"', MINE)
    found = feeds_of_strategies(load_config(write_config(tmp_path, *tables), {}))
    assert {each.kind for each in found.feeds} == {FeedKind.TRADES, FeedKind.FUNDING}
    assert "cannot read" in found.unasked["gone"]
    assert "inputs(): ZeroDivisionError" in found.unasked["odd"]
    assert len(found.unasked) == 2


UNFED = {
    'FundingOf("binance")': "wants funding of binance, which is not in the feeds of binance; usdm",
    'FundingOf("usdm", "BTC/USDT")': "wants BTC/USDT; add it to venues.usdm.instruments",
    'FundingOf("", "BTC/USDT")': "which is not in the feeds of binance, kraken; usdm has it",
    'Trades("okx")': "wants okx, which is not configured; there are: usdm, binance, kraken",
    'Bars("kraken", "XRP/USDT")': "wants XRP/USDT; add it to venues.kraken.instruments",
    'Bars("usdm", "ETH/USD:ETH")': "of inverse contracts are in contracts, of which no bars",
}


@pytest.mark.parametrize(("wanted", "expected"), UNFED.items(), ids=UNFED)
def test_an_input_for_which_nothing_would_come_is_one_line(
    tmp_path: Path, wanted: str, expected: str
) -> None:
    write_strategy(tmp_path, COUNTS.replace("{wanted}", wanted), head=IMPORTS)
    more = PERPETUAL
    if "inverse" in expected:
        more = more.replace('["BTC', '["ETH/USD:ETH", "BTC')
    path = write_config(tmp_path, MINE, more=more)
    with pytest.raises(ConfigError) as caught:
        check_strategies(load_config(path, {}), path)
    assert expected in str(caught.value)
    assert "strategies.mine: " in str(caught.value)
    assert "\n" not in str(caught.value)
