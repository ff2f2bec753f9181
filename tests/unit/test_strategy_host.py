"""The host of strategies: who gets what, what goes out, and who is disabled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.scanner.engine import OverBudget, StrategyHost
from services.scanner.hosted import OUTPUTS_PER_CALL_MAX, OUTPUTS_PER_S_MAX, TIMER_NS_MIN
from services.scanner.taken_sides import TAKEN_NS
from shared.config import load_config
from shared.engine import NOTHING, InputsOpened
from shared.messages.arb import NearMiss, Opportunity
from shared.messages.base import Message
from shared.messages.control import Alert, Severity
from shared.strategy_files import load_strategies
from tests.decision_builders import MS, SECOND, T0, make_info, make_opportunity, make_view
from tests.strategy_files import TRADES, host_of, write_config, write_strategy

CROSS = 'id = "cross"\nclass = "cross_venue"\nparams = { cooldown_ms = 0 }'
MINE = 'id = "mine"\nclass = "mine.py"'


def feed(host: StrategyHost, now_ns: int = T0, bid: float = 10_050.0) -> list[Message]:
    """Two books that pay, alpha's first; return all that comes of it."""
    out: list[Message] = []
    for venue in ("alpha", "beta"):
        out += host.on_message(make_info(venue), now_ns).messages
    ask = make_view("alpha", asks=[(10_000.0, 1.0)], bids=[(1.0, 1.0)], ts_ns=now_ns)
    out += host.on_message(ask, now_ns).messages
    view = make_view("beta", bids=[(bid, 1.0)], asks=[(1e6, 1.0)], ts_ns=now_ns)
    return [*out, *host.on_message(view, now_ns).messages]


def of(kind: type[Any], messages: list[Message]) -> list[Any]:
    return [message for message in messages if type(message) is kind]


def alone(tmp_path: Path, body: str) -> StrategyHost:
    """A host of one strategy with this body, beside cross-venue."""
    write_strategy(tmp_path, body)
    return host_of(tmp_path, MINE, CROSS)[0]


def test_two_strategies_find_each_their_own(tmp_path: Path) -> None:
    host = alone(tmp_path, TRADES)
    (mine,) = of(Opportunity, feed(host))
    # It takes both sides; the other is offered the same prices once they were not taken.
    cross, again = of(Opportunity, feed(host, T0 + TAKEN_NS))
    assert again.strategy_id == "cross"
    assert (mine.detector, cross.detector) == ("mine.py:Mine", "cross_venue")
    assert (mine.strategy_id, cross.strategy_id) == ("mine", "cross")
    assert len({mine.strategy_hash, cross.strategy_hash, ""}) == 3
    assert mine.opportunity_id != cross.opportunity_id
    assert [leg.price_limit for leg in mine.legs] == [leg.price_limit for leg in cross.legs]
    assert host.counters()["opportunities"] == 3
    assert host.counters()["near_misses_PRICES_TAKEN"] == 3
    assert host.counters()["comparisons"] == 8  # of cross_venue; the other counts nothing
    assert host.gauges()["strategies"] == 2


BROKEN = {
    "raises": ("raise KeyError('no')", "KeyError: 'no' (mine.py:"),
    "raises what is no Exception": ("raise GeneratorExit('gone')", "GeneratorExit: gone"),
    "ends the process": ("raise SystemExit(3)", "SystemExit: 3"),
    "recurses": ("return self.on_depth(view, now_ns)", "RecursionError"),
    "returns a generator": ("return (x for x in [1])", "returned a generator; return a list"),
    "returns no opportunity": ("return [view]", "returned a DepthView in its list"),
    "returns text": ("return 'buy'", "returned a str; return a list"),
    "floods": (f"return [None] * {OUTPUTS_PER_CALL_MAX + 1}", "257 outputs at once"),
    "asserts": ("assert now_ns < 0", "AssertionError (mine.py:"),
    "counts by a gate that it does not declare": (
        "self.near_misses.count(self.near_misses.route(('a', 'A/B'), ('b', 'A/B')), "
        "Stopped('OWN', ()), now_ns)",
        "gate 'OWN' is not declared",
    ),
    "has an error that cannot be shown": (
        "class Odd(Exception):\n            def __str__(self): return 1 / 0\n        raise Odd",
        "Odd: it cannot be shown",
    ),
    "has an error that ends a process when shown": (
        "class Odd(Exception):\n            def __str__(self): raise SystemExit\n        raise Odd",
        "Odd: it cannot be shown",
    ),
}


@pytest.mark.parametrize(("code", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_strategy_that_misbehaves_is_disabled_and_the_other_trades_on(
    tmp_path: Path, code: str, reason: str
) -> None:
    host = alone(tmp_path, f"    def on_depth(self, view, now_ns):\n        {code}\n")
    out = feed(host)
    (alert,) = of(Alert, out)
    assert (alert.code, alert.severity) == ("STRATEGY_DISABLED", Severity.CRITICAL)
    assert alert.subject == "mine"
    assert reason in alert.text
    assert reason in host.notes()["strategy mine"]
    assert [each.detector for each in of(Opportunity, out)] == ["cross_venue"]
    again = feed(host, T0 + 10 * MS)
    assert not of(Alert, again)  # told once
    assert {each.detector for each in of(Opportunity, again)} == {"cross_venue"}
    assert host.gauges()["strategies_disabled"] == 1


@pytest.mark.parametrize("values", ["None", "(type('Odd', (), {'__str__': lambda s: 1 / 0})(),)"])
def test_near_misses_that_cannot_be_shown_disable_their_strategy_alone(
    tmp_path: Path, values: str
) -> None:
    body = f"""
    gates = {{"OWN": ("why",)}}

    def on_depth(self, view, now_ns):
        route = self.near_misses.route(("a", "A/B"), ("b", "A/B"))
        self.near_misses.count(route, Stopped("OWN", {values}), now_ns)
"""
    host = alone(tmp_path, body)
    feed(host)
    due = [*host.on_timer(T0 + 2 * SECOND).messages, *host.on_timer(T0 + 9 * SECOND).messages]
    (alert,) = of(Alert, due)
    assert alert.subject == "mine"
    assert "near misses" in alert.text
    assert {each.detector for each in of(Opportunity, feed(host, T0 + 10 * SECOND))} == {
        "cross_venue"
    }


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        ("qty=found.qty * -1", ".qty"),
        ("net=Decimal('NaN')", ".net"),
        ("ts_recv_ns=now_ns + 10**12", ".ts_recv_ns"),
        ("legs=[]", "legs"),
        ("base='B T C'", ".base"),
        ("qty=object()", "object"),
        ("edge_bps='much'", "edge_bps"),
    ],
)
def test_what_no_reader_would_take_does_not_go_out(tmp_path: Path, change: str, flaw: str) -> None:
    body = f"""{TRADES}
        from decimal import Decimal
        import msgspec
        return [msgspec.structs.replace(found, {change}) for found in out]
""".replace("return [each for each", "out = [each for each")
    host = alone(tmp_path, body)
    out = feed(host)
    assert flaw in of(Alert, out)[0].text
    assert [each.detector for each in of(Opportunity, out)] == ["cross_venue"]


def test_a_strategy_cannot_change_what_others_read(tmp_path: Path) -> None:
    body = """
    def on_depth(self, view, now_ns):
        view.bids.clear()
        view.asks[:] = [(1.0, 1.0)]
"""
    host = alone(tmp_path, body)
    (found,) = of(Opportunity, feed(host))
    assert (found.detector, found.legs[0].price_avg) == ("cross_venue", 10_000)


def test_what_it_found_is_of_now(tmp_path: Path) -> None:
    body = f"""{TRADES}
        import msgspec
        return [msgspec.structs.replace(found, ts_ns=now_ns - 10**12) for found in out]
""".replace("return [each for each", "out = [each for each")
    host = alone(tmp_path, body)
    assert {found.ts_ns for found in of(Opportunity, feed(host))} == {T0}


def test_the_same_failure_reads_the_same_in_every_process(tmp_path: Path) -> None:
    host = alone(
        tmp_path, "    def on_depth(self, view, now_ns):\n        raise ValueError(object())\n"
    )
    assert "<object object at 0x...>" in of(Alert, feed(host))[0].text


def test_a_flood_over_many_calls_is_one_too(tmp_path: Path) -> None:
    host, calls = alone(tmp_path, TRADES), 0
    while not host.disabled:
        calls += 1
        feed(host, T0 + calls * 100_000)
    assert calls > OUTPUTS_PER_S_MAX // 2 - 1
    assert f"more than {OUTPUTS_PER_S_MAX} outputs within a second" in host.disabled["mine"]


def test_as_much_in_more_time_is_none(tmp_path: Path) -> None:
    host = alone(tmp_path, TRADES)
    for call in range(OUTPUTS_PER_S_MAX):
        feed(host, T0 + call * 5 * MS)
    assert not host.disabled


def test_too_slow_is_an_input_like_any_other(tmp_path: Path) -> None:
    host = alone(tmp_path, TRADES)
    assert host.on_message(OverBudget("nobody", "x"), T0) is NOTHING
    (alert,) = host.on_message(OverBudget("mine", "took 30 ms"), T0).messages
    assert isinstance(alert, Alert)
    assert "took 30 ms" in alert.text
    assert [each.detector for each in of(Opportunity, feed(host))] == ["cross_venue"]


def test_inputs_say_what_a_strategy_gets(tmp_path: Path) -> None:
    write_strategy(
        tmp_path,
        f"""{TRADES}
    def inputs(self):
        return [Depth("alpha", "BTC/USDT"), Depth("beta")]
""",
    )
    host, _ = host_of(tmp_path, MINE)
    assert len(of(Opportunity, feed(host))) == 1
    seen = []
    host._roster.all[0].on_depth = lambda view, now_ns: seen.append(view.instrument)
    host.on_message(make_view("alpha", "ETH/USDT"), T0)
    host.on_message(make_view("beta", "ETH/USDT"), T0)
    assert len(seen) == 1


def test_what_comes_before_the_warm_up_is_over_is_counted_and_kept_back(tmp_path: Path) -> None:
    write_strategy(
        tmp_path, f"{TRADES}\n    def warmup(self):\n        return Warmup(span_ms=1_000)\n"
    )
    host, _ = host_of(tmp_path, MINE)
    assert not of(Opportunity, feed(host))
    assert not of(Opportunity, feed(host, T0 + 999 * MS))
    assert host.counters()["outputs_in_warmup"] > 0
    assert host.counters()["opportunities"] == 0
    assert of(Opportunity, feed(host, T0 + 1_000 * MS))


TIMER = """
    def set_up(self):
        self.at_ns = None

    def on_depth(self, view, now_ns):
        self.at_ns = {first}
        return []

    def next_deadline_ns(self):
        return self.at_ns

    def on_timer(self, now_ns):
        self.at_ns = {then}
        {do}
        return []
"""


def test_a_timer_is_called_when_it_is_due(tmp_path: Path) -> None:
    host = alone(
        tmp_path, TIMER.format(first="now_ns + 5_000_000", then="None", do="raise ValueError")
    )
    feed(host, bid=1.0)
    assert host.next_deadline_ns() == T0 + 5 * MS
    assert not host.on_timer(T0 + 4 * MS).messages
    assert of(Alert, host.on_timer(T0 + 5 * MS).messages)


def test_a_timer_without_end_is_slowed_down(tmp_path: Path) -> None:
    host = alone(tmp_path, TIMER.format(first="now_ns", then="now_ns - 1", do="pass"))
    feed(host, bid=1.0)
    for call in range(3):
        deadline_ns = host.next_deadline_ns()
        assert deadline_ns == T0 + (call + 1) * TIMER_NS_MIN
        host.on_timer(deadline_ns)
    assert not host.disabled


@pytest.mark.parametrize("deadline", ["'soon'", "1.5", "True", "1 / 0"])
def test_a_deadline_that_is_no_time(tmp_path: Path, deadline: str) -> None:
    host = alone(tmp_path, f"    def next_deadline_ns(self):\n        return {deadline}\n")
    feed(host)
    assert "mine" in host.disabled
    assert of(Opportunity, feed(host, T0 + SECOND))


@pytest.mark.parametrize("inputs", ["None", "[1]", "[()] * 3 + [(1, 2, 3)]", "1 / 0"])
def test_inputs_that_are_none_disable_at_the_start(tmp_path: Path, inputs: str) -> None:
    host = alone(tmp_path, f"    def inputs(self):\n        return {inputs}\n")
    (alert,) = host.start({}, T0).messages
    assert isinstance(alert, Alert)
    assert alert.subject == "mine"
    assert of(Opportunity, feed(host))


def test_what_a_strategy_counts_is_held_to_bounds(tmp_path: Path) -> None:
    body = """
    def counters(self):
        many = {f"n{i}": i for i in range(100)}
        return {"good": 3, "opportunities": 10**6, "bad name": 1, "x" * 65: 1, **many}

    def gauges(self):
        return {"broken": 1 / 0}
"""
    host = alone(tmp_path, body)
    counters = host.counters()
    assert counters["good"] == 3
    assert counters["opportunities"] == 0
    assert "bad name" not in counters
    assert len(counters) < 60
    assert "broken" not in host.gauges()


ENDS = "raise SystemExit('by its own hand')"


class Told:
    """What watches: which strategies were asked, and what is reported of them."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.reported: list[tuple[str, str]] = []
        self.is_asking = False

    def begin(self, strategy_id: str) -> None:
        self.asked.append(strategy_id)
        self.is_asking = True

    def end(self) -> None:
        self.is_asking = False

    def report(self, strategy_id: str, reason: str) -> None:
        self.reported.append((strategy_id, reason))


def watched(tmp_path: Path, body: str) -> tuple[StrategyHost, Told]:
    write_strategy(tmp_path, body)
    told = Told()
    config = load_config(write_config(tmp_path, MINE, CROSS), {})
    return StrategyHost(load_strategies(config), told), told


@pytest.mark.parametrize("name", ["counters", "gauges"])
def test_a_strategy_that_ends_the_process_when_it_is_asked_what_it_counts(
    tmp_path: Path, name: str
) -> None:
    host, told = watched(tmp_path, f"    def {name}(self):\n        {ENDS}\n")
    assert host.counters()["depth_views"] == 0
    assert host.gauges()["strategies"] == 2
    (reported,) = told.reported
    assert reported[0] == "mine"
    assert reported[1].startswith(f"{name}(): SystemExit: by its own hand (mine.py:")
    assert "cross" in told.asked
    assert not told.is_asking
    (alert,) = of(Alert, host.on_message(OverBudget(*reported), T0).messages)
    assert (alert.subject, alert.code) == ("mine", "STRATEGY_DISABLED")
    assert of(Opportunity, feed(host)), "the other goes on"


@pytest.mark.parametrize("name", ["inputs", "warmup"])
def test_a_strategy_that_ends_the_process_when_it_is_asked_what_it_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_strategy(tmp_path, TRADES)
    strategies = load_strategies(load_config(write_config(tmp_path, MINE, CROSS), {}))
    mine = next(each.strategy for each in strategies if each.id == "mine")

    def ends() -> None:
        raise SystemExit("by its own hand")

    monkeypatch.setattr(mine, name, ends, raising=False)
    told = Told()
    host = StrategyHost(strategies, told)
    (alert,) = of(Alert, host.start({}, T0).messages)
    assert alert.subject == "mine"
    assert "SystemExit: by its own hand" in alert.text
    assert told.asked == ["mine", "cross"]
    assert not told.is_asking
    assert of(Opportunity, feed(host))


def test_a_value_of_a_near_miss_that_ends_the_process_when_shown(tmp_path: Path) -> None:
    body = f"""
    gates = {{"TOO_WIDE": ("spread_bps",)}}

    def set_up(self):
        self.route = self.near_misses.route(("alpha", "BTC/USDT"), ("beta", "BTC/USDT"))

    def on_depth(self, view, now_ns):
        class Odd:
            def __str__(self):
                {ENDS}
        self.near_misses.count(self.route, Stopped("TOO_WIDE", (Odd(),), -3.0), now_ns)
        return []
"""
    host, told = watched(tmp_path, body)
    assert of(Opportunity, feed(host))
    (alert,) = of(Alert, host.on_timer(T0 + SECOND).messages)
    assert alert.subject == "mine"
    assert "near misses: SystemExit: by its own hand" in alert.text
    assert not told.is_asking


def test_own_gates_are_published_with_the_names_of_their_values(tmp_path: Path) -> None:
    body = """
    gates = {"TOO_WIDE": ("spread_bps",)}

    def set_up(self):
        self.route = self.near_misses.route(("alpha", "BTC/USDT"), ("beta", "BTC/USDT"))

    def on_depth(self, view, now_ns):
        self.near_misses.count(self.route, Stopped("TOO_WIDE", (12.5,), -3.0), now_ns)
        return []
"""
    host = alone(tmp_path, body)
    feed(host)
    mine = [m for m in of(NearMiss, host.on_timer(T0 + SECOND).messages) if m.gate == "TOO_WIDE"]
    assert [(m.detector, m.count, m.context) for m in mine] == [
        ("mine.py:Mine", 2, {"spread_bps": "12.5"})
    ]
    assert host.counters()["near_misses_TOO_WIDE"] == 2


def test_values_that_a_gate_does_not_name_disable(tmp_path: Path) -> None:
    body = """
    gates = {"TOO_WIDE": ("spread_bps",)}

    def on_depth(self, view, now_ns):
        route = self.near_misses.route(("a", "A/B"), ("b", "A/B"))
        self.near_misses.count(route, Stopped("TOO_WIDE", (1, 2)), now_ns)
        return []
"""
    host = alone(tmp_path, body)
    feed(host)
    assert of(Alert, host.on_timer(T0 + SECOND).messages)
    assert "near misses" in host.disabled["mine"]


def test_make_opportunity_is_what_a_strategy_may_return() -> None:
    assert isinstance(make_opportunity(), Opportunity)


def test_after_its_shards_changed_hands_no_old_view_prices_anything(tmp_path: Path) -> None:
    host = alone(tmp_path, TRADES)
    assert len(of(Opportunity, feed(host))) == 1
    assert host.on_message(InputsOpened(), T0 + MS) is NOTHING

    fresh = make_view("beta", bids=[(10_060.0, 1.0)], asks=[(1e6, 1.0)], ts_ns=T0 + 2 * MS)
    assert not of(Opportunity, host.on_message(fresh, T0 + 2 * MS).messages)

    ask = make_view("alpha", asks=[(10_000.0, 1.0)], bids=[(1.0, 1.0)], ts_ns=T0 + 3 * MS)
    assert len(of(Opportunity, host.on_message(ask, T0 + 3 * MS).messages)) == 1


def test_nor_while_strategies_hear_of_it_book_by_book(tmp_path: Path) -> None:
    """A view of another book has them look at those whose turn is still to come."""
    body = (
        TRADES.replace("self.pairs = ", "self.all, self.told = [], 0; self.pairs = ")
        .replace(
            "found = [", "self.all = self.pairs.take_view(view) or self.all\n        found = ["
        )
        .replace("in self.pairs.take_view(view)]", "in self.all]")
    )
    host = alone(
        tmp_path,
        f"{body}"
        "    def on_held_back(self, held, now_ns):\n"
        "        self.told += 1\n"
        "    def counters(self):\n"
        "        return {'told': self.told}\n",
    )
    other = make_view("alpha", instrument="ETH/USDT", ts_ns=T0)
    host.on_message(other, T0)
    assert len(of(Opportunity, feed(host))) == 1
    assert not of(Opportunity, host.on_message(InputsOpened(), T0 + MS).messages)
    counted = host.counters()
    assert (counted["outputs_in_warmup"], counted["told"], counted["opportunities"]) == (1, 1, 1)
