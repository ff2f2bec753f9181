"""The look-ahead test passes every built-in and the template, and finds planted cheats."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from services.cli.commands_strategy import EVENTS, SEED, _books, check_strategy
from shared.config_sections import ScannerConfig, StrategyConfig
from shared.errors import ConfigError
from shared.look_ahead import Event, copy, examine, garbage, market, run
from shared.messages.arb import Opportunity
from shared.messages.market import DepthView, Funding, FundingSettled
from shared.messages.rounds import Intent
from shared.strategies import template
from shared.strategies.built_in.funding_carry import FundingCarry
from shared.strategies.features.bars import Bar
from shared.strategies.port import Bars, FundingOf, Strategy, Trades
from shared.strategy_files import built_ins, load
from tests.strategy_files import TRADES, write_strategy

BOOKS = [
    *[(venue, name) for venue in ("venue-1", "venue-2") for name in ("BTC/USDT", "ETH/USDT")],
    ("venue-3", "BTC/USDT:USDT"),
]
CUTS = (10, 60, 300, 700)
WATCHES_ONLY = (
    *("conversion", "funding_carry", "lead_lag", "market_making", "momentum", "triangular"),
)
"""Propose nothing here; what they count, show and do is in their own tests."""


def making(named: str) -> Any:
    instance = load(StrategyConfig(id="check", class_=named), ScannerConfig(), "test")
    assert instance.strategy is not None
    kind, params = type(instance.strategy), instance.strategy.params

    def make() -> Strategy[Any]:
        return kind("check", params)

    return make


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return market(BOOKS, 800, seed=3)


@pytest.mark.parametrize("named", [*built_ins(), template.__file__])
def test_every_strategy_of_ours_passes_and_finds_something(named: str, events: list[Event]) -> None:
    make = making(named)
    assert examine(make, events, CUTS, 1) is None
    if named not in WATCHES_ONLY:
        assert sum(len(each) > 1 for each in run(make, events)) > 3


@pytest.mark.parametrize("named", built_ins())
def test_the_check_of_every_strategy_has_outputs_to_compare(named: str) -> None:
    """Cycles found nothing on prices that do not agree, nor a carry in one settlement alone."""
    make = making(named)
    wanted = make().inputs()
    books = _books(wanted, None)
    events = market(books, EVENTS, SEED, wanted)
    assert sum(len(each) > 1 for each in run(make, events)) > 0
    assert examine(make, events, (700, 1_500), SEED) is None


CHEATS = {
    # Walks up its callers' frames to the list of events, and reads the next one.
    "reads the caller's future": """
    def on_depth(self, view, now_ns):
        try:
            raise ValueError
        except ValueError as error:
            frame = error.__traceback__.tb_frame.f_back
            while frame is not None and "events" not in frame.f_locals:
                frame = frame.f_back
        events = frame.f_locals["events"]
        later = [m for t, m in events if t > now_ns and isinstance(m, DepthView)]
        return [later[0].seq] if later else []
""",
    # Remembers in the class what an earlier run has seen.
    "remembers another run": """
    seen = {}

    def on_depth(self, view, now_ns):
        before = self.seen.get((view.venue, now_ns + 20_000_000))
        self.seen[view.venue, now_ns] = view.seq
        return [before] if before is not None else []
""",
    # What it is given is read by others after it.
    "changes what others read": """
    def on_depth(self, view, now_ns):
        view.bids.clear()
        return [view.seq]
""",
}


@pytest.mark.parametrize("body", CHEATS.values(), ids=CHEATS)
def test_cheats_are_found(tmp_path: Path, body: str, events: list[Event]) -> None:
    make = making(write_strategy(tmp_path, body))
    assert examine(make, events, CUTS, 1) is not None


def test_the_finding_says_where(tmp_path: Path, events: list[Event]) -> None:
    make = making(write_strategy(tmp_path, CHEATS["reads the caller's future"]))
    finding = examine(make, events, CUTS, 1)
    assert finding is not None
    assert finding.at == CUTS[0] - 1  # the last view before everything is garbage
    assert "depends on what comes after event 9" in finding.text


def test_garbage_shares_nothing_but_times(events: list[Event]) -> None:
    changed = garbage(events, 1)
    assert [event.now_ns for event in changed] == [event.now_ns for event in events]
    assert all(a.message != b.message for a, b in zip(changed, events, strict=True))
    assert copy(events) == events


def test_timers_are_part_of_it(tmp_path: Path, events: list[Event]) -> None:
    body = """
    def set_up(self):
        self.at_ns = None

    def next_deadline_ns(self):
        return self.at_ns

    def on_depth(self, view, now_ns):
        self.at_ns = now_ns + 7_000_000
        return []

    def on_timer(self, now_ns):
        self.at_ns = None
        return [now_ns]
"""
    make = making(write_strategy(tmp_path, body))
    assert examine(make, events, CUTS, 1) is None
    assert sum(len(each) > 1 for each in run(make, events)) == 799


INPUTS = [
    Trades("venue-1"),
    FundingOf("venue-3"),
    Bars("venue-1", "BTC/USDT", 60),
    Bars("venue-1", "BTC/USDT", 300, 500),
]
TELLS = """
    def on_trade(self, trade, now_ns):
        return [trade.price]

    def on_mark(self, mark, now_ns):
        return [mark.mark_price]

    def on_funding(self, funding, now_ns):
        return [funding.rate]

    def on_bar(self, bar, now_ns):
        assert now_ns >= bar.start_ns + bar.interval_ns + 500 * 10**6
        return [bar.start_ns, bar.close]
"""


def test_other_inputs_than_books_are_part_of_it(tmp_path: Path) -> None:
    events = market(BOOKS, 400, seed=3, inputs=INPUTS)
    assert [event.now_ns for event in events] == sorted(event.now_ns for event in events)
    kinds = Counter(type(event.message).__name__ for event in events)
    assert kinds["DepthView"] == 400
    assert min(kinds[name] for name in ("Trade", "Mark", "Funding", "FundingSettled", "Bar")) > 0
    for length_s in (60, 300):
        starts = [
            event.message.start_ns
            for event in events
            if isinstance(event.message, Bar) and event.message.interval_ns == length_s * 10**9
        ]
        steps = {b - a for a, b in itertools.pairwise(starts)}
        assert len(starts) > 15
        assert steps == {length_s * 10**9}, "bars of one length follow each other without holes"
    make = making(write_strategy(tmp_path, TELLS))
    assert examine(make, events, CUTS[:3], 1) is None


def test_a_cheat_with_bars_is_found(tmp_path: Path) -> None:
    body = """
    seen = {}

    def on_bar(self, bar, now_ns):
        before = self.seen.get(bar.start_ns + bar.interval_ns)
        self.seen[bar.start_ns] = bar.close
        return [before] if before is not None else []
"""
    make = making(write_strategy(tmp_path, body))
    assert examine(make, market(BOOKS, 400, 3, INPUTS), CUTS[:3], 1) is not None


CARRY = {
    "short_venue": "venue-3",
    "short_instrument": "BTC/USDT:USDT",
    "long_venue": "venue-1",
    "long_instrument": "BTC/USDT",
    "settled_count": 1,
    "enter_bps_per_hour": 0.01,
    "exit_bps_per_hour": -5.0,
    "flip_bps": 0.5,
    "guard_ms": 3_600_000,
    "hold_hours_max": 200.0,
    "apr_bps_min": 0.0,
    "basis_credit_bps_max": 500.0,
    "slippage_bps_max": 100.0,
    "cooldown_ms": 0,
}
"""Opens at any rate that pays and closes at the next one that charges."""


def carry(kind: type[FundingCarry] = FundingCarry) -> Any:
    given = StrategyConfig(id="check", class_="funding_carry", params=CARRY)
    strategy = load(given, ScannerConfig(), "test").strategy
    assert isinstance(strategy, FundingCarry)
    return lambda: kind("check", strategy.params)


def test_a_carry_that_opens_and_closes_by_rates_does_not_look_ahead() -> None:
    make = carry()
    events = market(BOOKS, 800, 3, make().inputs())
    assert sum(len(each) > 1 for each in run(make, events)) > 20
    assert examine(make, events, CUTS, 1) is None


def test_a_carry_that_knows_the_rates_to_come_is_found() -> None:
    class Knows(FundingCarry):
        heard: ClassVar[list[tuple[int, Any]]] = []

        def on_depth(self, view: DepthView, now_ns: int) -> Any:
            for at_ns, funding in self.heard:
                if now_ns < at_ns <= now_ns + 10**9:
                    super().on_funding(funding, now_ns)
            return super().on_depth(view, now_ns)

        def on_funding(self, funding: Funding | FundingSettled, now_ns: int) -> Any:
            self.heard.append((now_ns, funding))
            return super().on_funding(funding, now_ns)

    make = carry(Knows)
    assert examine(make, market(BOOKS, 400, 3, make().inputs()), CUTS[:3], 1) is not None


def test_garbage_of_other_inputs_shares_nothing_but_times() -> None:
    events = market(BOOKS, 400, 3, INPUTS)[len(BOOKS) :]
    changed = garbage(events, 1)
    assert [event.now_ns for event in changed] == [event.now_ns for event in events]
    assert all(a.message != b.message for a, b in zip(changed, events, strict=True))


def test_check_says_what_is_wrong(tmp_path: Path) -> None:
    path = write_strategy(tmp_path, CHEATS["remembers another run"])
    with pytest.raises(ConfigError, match="two runs on the same market differ"):
        check_strategy(path)
    path = write_strategy(tmp_path, "    def on_depth(self, view, now_ns):\n        view.nothing\n")
    with pytest.raises(ConfigError, match=r"fails on a made-up market: AttributeError.*mine.py:17"):
        check_strategy(path)
    path = write_strategy(tmp_path, "    def on_depth(self, view, now_ns):\n        return [1]\n")
    with pytest.raises(ConfigError, match="returns what is no opportunity"):
        check_strategy(path)
    path = write_strategy(tmp_path, "    def on_depth(self, view, now_ns):\n        yield 1\n")
    with pytest.raises(ConfigError, match=r"on_depth is a generator \(yield\); write def on_depth"):
        check_strategy(path)
    path = write_strategy(tmp_path, "    def on_rules(self, rules, now_ns):\n        pass\n")
    with pytest.raises(ConfigError, match="on_rules returned a NoneType; return a list"):
        check_strategy(path)
    body = "    def on_depth(self, view, now_ns):\n        while True: pass\n"
    with pytest.raises(ConfigError, match=r"DoesNotReturn: .* more than 5 s .*mine.py:17"):
        check_strategy(write_strategy(tmp_path, body))


def test_check_finds_what_differs_between_processes(tmp_path: Path) -> None:
    names = 'NAMES = {f"n{number}" for number in range(50)}\n'
    body = TRADES.replace("isinstance(each, Opportunity)", "self.takes(each)")
    takes = """
    def takes(self, found):
        return isinstance(found, Opportunity) and next(iter(NAMES)) > "n25"
"""
    path = write_strategy(tmp_path, body + takes + names)
    with pytest.raises(ConfigError, match="two processes on the same market differ"):
        check_strategy(path)


def test_check_says_what_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_strategy(write_strategy(tmp_path, TRADES), as_json=True)
    assert '"look_ahead":"nonefound"' in capsys.readouterr().out.replace(" ", "")


def test_check_claims_nothing_of_a_strategy_that_says_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_strategy(
        write_strategy(tmp_path, "    def on_depth(self, view, now_ns):\n        return []\n")
    )
    told = " ".join(capsys.readouterr().out.split())
    assert "found 0 opportunities" in told
    assert "so whether it looks ahead is not known" in told


CHEATS_ON_TRADES = {
    "reads the next trade": """
    def on_trade(self, trade, now_ns):
        try:
            raise ValueError
        except ValueError as error:
            frame = error.__traceback__.tb_frame.f_back
            while frame is not None and "events" not in frame.f_locals:
                frame = frame.f_back
        later = [m for t, m in frame.f_locals["events"] if t > now_ns and type(m) is type(trade)]
        return [later[0].price] if later else []
""",
    "remembers the trades of another run": """
    seen = {}

    def on_trade(self, trade, now_ns):
        number = int(trade.trade_id)
        after = [price for n, price in self.seen.items() if n > number]
        self.seen[number] = trade.price
        return after[:1]
""",
    "changes the book from a trade": """
    def on_depth(self, view, now_ns):
        self.view = view
        return []

    def on_trade(self, trade, now_ns):
        self.view.asks.clear()
        return [trade.price]
""",
}


@pytest.mark.parametrize("body", CHEATS_ON_TRADES.values(), ids=CHEATS_ON_TRADES)
def test_cheats_are_found_with_trades(tmp_path: Path, body: str) -> None:
    events = market(BOOKS, 400, seed=3, inputs=[Trades()])
    assert sum(type(event.message).__name__ == "Trade" for event in events) > 100
    assert examine(making(write_strategy(tmp_path, body)), events, (10, 60, 300), 1) is not None


def test_what_trades_say_is_no_cheat(tmp_path: Path) -> None:
    body = """
    def on_trade(self, trade, now_ns):
        return [trade.price]
"""
    events = market(BOOKS, 400, seed=3, inputs=[Trades()])
    assert examine(making(write_strategy(tmp_path, body)), events, (10, 60, 300), 1) is None


def test_rounds_that_are_proposed_are_told_as_filled(events: list[Event]) -> None:
    decode = msgspec.msgpack.Decoder(list[Opportunity]).decode
    kind = making("spot_perp_basis")
    published = [each for one in run(kind, events) for each in decode(one)]
    intents = Counter(each.intent for each in published)
    assert intents[Intent.OPEN] > 0
    assert intents[Intent.CLOSE] > 0
    assert examine(kind, events, CUTS, 1) is None
