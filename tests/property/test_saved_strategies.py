"""A strategy whose scanner is started again says what it would have said without, byte for byte."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.scanner.engine import StrategyHost
from shared.config_sections import Config, StrategyConfig
from shared.look_ahead import Event, market
from shared.messages.market import InstrumentInfo
from shared.messages.rounds import RoundsTold
from shared.messages.rules import InstrumentRules
from shared.strategies import template
from shared.strategies.features.bars import Bar
from shared.strategies.port import Bars, FundingOf, Trades
from shared.strategy_files import built_ins, load_strategies
from tests.strategy_files import HEAD, write_strategy

BOOKS = [
    *[(venue, name) for venue in ("venue-1", "venue-2") for name in ("BTC/USDT", "ETH/USDT")],
    *[("venue-1", name) for name in ("ETH/BTC", "BTC/USDC", "USDC/USDT")],
    ("venue-3", "BTC/USDT:USDT"),
]
INPUTS = [Trades(), FundingOf(), Bars("", "", 60)]
ENCODE = msgspec.msgpack.Encoder().encode

ODD = HEAD.replace("import Depth,", "import Bars, Depth, FundingOf, Trades,").replace(
    "from typing", "from collections import OrderedDict, defaultdict, deque\nfrom typing"
)
ODD_BODY = """
    def set_up(self):
        self.last = deque(maxlen=7)
        self.sums = defaultdict(float)
        self.seen = {"a": {"b"}, ("t", 1): None}
        self.order = OrderedDict()
        self.me = self
        self.call = self.add
        self.kind = Pairs
        self.large = 2**80
        self.pairs = Pairs(self.id, PairLimits(0.0, 1e4, 2_000, 0, 500), self.near_misses)

    def inputs(self):
        return [Depth(), Trades(), FundingOf(), Bars("", "", 60, 500), Bars("", "", 300)]

    def on_rules(self, rules, now_ns):
        self.pairs.take_rules(rules)
        return []

    def add(self, name, value):
        self.sums[name] += value
        self.last.append((name, value))
        self.order.setdefault(name, []).append(len(self.last))
        del self.order[name][:-3]

    def on_trade(self, trade, now_ns):
        self.me.call(trade.venue, trade.price)
        return []

    def on_bar(self, bar, now_ns):
        self.call(bar.instrument, bar.close)
        return []

    def on_mark(self, mark, now_ns):
        self.call("mark", mark.mark_price)
        return []

    def on_depth(self, view, now_ns):
        found = [self.pairs.compare(pair, now_ns) for pair in self.pairs.take_view(view)]
        for each in found:
            if isinstance(each, Stopped) and isinstance(self.me, Mine):
                route = next(iter(self.pairs._books.values())).pairs
                if route:
                    self.near_misses.count(route[0].route, each, now_ns)
        whole = round(sum(self.sums.values())) + self.large
        return [each for each in found if isinstance(each, Opportunity) and whole % 3]
"""


def messages(seed: int, length: int) -> list[Event]:
    """A market as the scanner reads it: the bars it makes itself."""
    return [
        event for event in market(BOOKS, length, seed, INPUTS) if not isinstance(event.message, Bar)
    ]


class Scanner:
    """A host, and what it has said."""

    def __init__(self, entry: StrategyConfig) -> None:
        self.entry = entry
        self.host = self.new()
        self.published: list[bytes] = []

    def new(self) -> StrategyHost:
        host = StrategyHost(load_strategies(Config(strategies=[self.entry])))
        host.on_message(RoundsTold(ts_ns=1, rounds=[]), 1)
        return host

    def feed(self, events: Sequence[Event]) -> None:
        for now_ns, given_message in events:
            message: Any = given_message
            for _ in range(100):
                due_ns = self.host.next_deadline_ns()
                if due_ns is None or due_ns > now_ns:
                    break
                self.published.append(ENCODE(self.host.on_timer(due_ns).messages))
            if isinstance(message, InstrumentRules):
                message = InstrumentInfo(ts_ns=now_ns, rules=message)
            self.published.append(ENCODE(self.host.on_message(message, now_ns).messages))

    def restart(self, now_ns: int) -> None:
        saved, before = self.host.save(self.entry.id, now_ns), self.host
        self.host = self.new()
        self.host._sides = before._sides  # the host's, forgotten: real restarts outlast them
        self.host.restore(self.entry.id, saved, now_ns)


def check(entry: StrategyConfig, seed: int, cuts: Sequence[int]) -> None:
    events = messages(seed, 250)
    whole, cut = Scanner(entry), Scanner(entry)
    whole.feed(events)
    begin = 0
    for end in [*sorted(at % len(events) for at in cuts), len(events)]:
        cut.feed(events[begin:end])
        cut.restart(events[max(0, end - 1)].now_ns)
        begin = end
    assert not whole.host.disabled
    assert cut.published == whole.published
    assert any(len(each) > 1 for each in whole.published)
    now_ns = events[-1].now_ns
    assert cut.host.save(entry.id, now_ns) == whole.host.save(entry.id, now_ns)


CUTS = st.lists(st.integers(0, 2_000), min_size=1, max_size=3)


@pytest.mark.parametrize("named", [*built_ins(), str(template.__file__)])
@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 1_000), cuts=CUTS)
@example(seed=86, cuts=[1])
@example(seed=1, cuts=[473])
def test_a_restart_changes_nothing_that_a_strategy_says(
    named: str, seed: int, cuts: list[int]
) -> None:
    check(StrategyConfig(id="it", class_=named), seed, cuts)


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 1_000), cuts=CUTS)
def test_nor_what_one_of_a_users_own_says(seed: int, cuts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write_strategy(Path(folder), ODD_BODY, head=ODD)
        check(StrategyConfig(id="it", class_=path), seed, cuts)
