"""Sides of books in use: no price is offered twice, the best offer goes first, nobody starves."""

from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from services.scanner.engine import StrategyHost
from services.scanner.taken_sides import TAKEN_NS, TakenSides
from shared.messages.arb import NearMiss, Opportunity
from shared.messages.base import Message, Side
from shared.messages.market import DepthView
from shared.messages.rounds import Intent
from shared.messages.terms import Resting
from shared.strategies.gates import Gate
from shared.strategies.near_misses import NEAR_MISS_INTERVAL_NS
from tests.decision_builders import MS, SECOND, T0, make_info, make_leg, make_offer, make_view
from tests.strategy_files import host_of, write_strategy

ALPHA_ASKS = make_view("alpha", asks=[(100.0, 2.0), (101.0, 3.0)])


def offer(strategy: str, *places: tuple[str, Side], net: str = "1", **changes: Any) -> Opportunity:
    """An opportunity of one unit a leg."""
    legs = [make_leg(venue, side, "1", "100") for venue, side in places]
    name = f"{strategy}{places}{net}"
    values = {"strategy_id": strategy, "net": D(net), "opportunity_id": name[:64], **changes}
    return make_offer(legs, **values)


def from_alpha(strategy: str, to: str, net: str = "1", **changes: Any) -> Opportunity:
    return offer(strategy, ("alpha", Side.BUY), (to, Side.SELL), net=net, **changes)


def sift(sides: TakenSides, *found: Message, now_ns: int = T0) -> list[Message]:
    return sides.sift(found, {("alpha", "BTC/USDT"): ALPHA_ASKS}, now_ns)[0]


def test_of_one_turn_the_highest_profit_goes_first_and_the_others_are_held_back() -> None:
    sides = TakenSides()
    small, large = from_alpha("a", "beta", "3"), from_alpha("b", "gamma", "40")
    apart = offer("c", ("beta", Side.BUY), ("beta", Side.SELL))
    assert sift(sides, small, large, apart) == [large, apart]
    assert sides.held_back == 1


def test_profits_in_different_assets_are_not_compared() -> None:
    sides = TakenSides()
    first, second = from_alpha("a", "beta", "1", quote="BTC"), from_alpha("b", "gamma", "9")
    assert sift(sides, first, second) == [first]


def test_what_opens_a_round_comes_after_profits_and_what_closes_one_always_passes() -> None:
    sides = TakenSides()
    opening = from_alpha("a", "beta", "99", intent=Intent.OPEN, round_id="r")
    profit = from_alpha("b", "gamma", "1")
    closing = from_alpha("c", "beta", "-5", intent=Intent.CLOSE, round_id="s")
    assert sift(sides, opening, profit, closing) == [closing]
    assert sift(sides, profit, closing, now_ns=T0 + MS) == [closing]


def test_what_is_to_rest_takes_no_side_and_is_never_held_back() -> None:
    sides = TakenSides()
    takes = from_alpha("a", "beta")
    rests = from_alpha("b", "beta", resting=Resting(rest_ms=500))
    assert sift(sides, rests, takes, rests) == [rests, takes, rests]


def test_a_side_is_free_again_when_its_book_shows_that_it_was_taken() -> None:
    sides = TakenSides()
    assert sift(sides, from_alpha("a", "beta"))
    later = from_alpha("b", "gamma")
    sides.see(make_view("alpha", asks=[(100.0, 1.5), (101.0, 9.0)], seq=2))  # not all of it yet
    assert not sift(sides, later, now_ns=T0 + MS)
    sides.see(make_view("alpha", asks=[(100.0, 1.0), (101.0, 9.0)], seq=3))
    assert sift(sides, later, now_ns=T0 + 2 * MS) == [later]


def test_a_side_is_free_again_after_a_time_or_when_the_offer_has_expired() -> None:
    for change, free_ns in (({}, TAKEN_NS), ({"ts_expire_ns": T0 + 50 * MS}, 50 * MS)):
        sides, later = TakenSides(), from_alpha("b", "gamma")
        assert sift(sides, from_alpha("a", "beta", **change))
        assert not sift(sides, later, now_ns=T0 + free_ns - 1)
        assert sift(sides, later, now_ns=T0 + free_ns) == [later]


def test_the_other_side_of_a_book_and_another_instrument_are_others() -> None:
    sides = TakenSides()
    assert sift(sides, from_alpha("a", "beta"))
    back = offer("b", ("beta", Side.BUY), ("alpha", Side.SELL))
    assert sift(sides, back, now_ns=T0 + MS) == [back]


def test_the_same_again_is_left_to_the_pause_of_its_strategy() -> None:
    sides = TakenSides()
    assert sift(sides, from_alpha("a", "beta"))
    assert sift(sides, from_alpha("a", "beta"), now_ns=T0 + MS)
    assert not sift(sides, from_alpha("a", "gamma"), now_ns=T0 + MS)  # another pair of it


@pytest.mark.parametrize("every_ms", [1, 20, 499, 500, 700])
def test_offers_that_come_to_nothing_keep_prices_from_nobody_for_good(every_ms: int) -> None:
    sides, passed = TakenSides(), {"greedy": 0, "other": 0}
    for tick in range(4_000 // every_ms):
        now_ns = T0 + tick * every_ms * MS
        for name, to in (("greedy", "beta"), ("other", "gamma")):
            found = from_alpha(name, to, "5" if name == "greedy" else "1", now_ns=now_ns)
            passed[name] += len(sift(sides, found, now_ns=now_ns))
    assert passed["other"] >= 2
    assert passed["greedy"] >= 2


def feed(host: StrategyHost) -> list[Message]:
    """Alpha is below two other venues at once: each pair would buy there."""
    out: list[Message] = []
    for venue in ("alpha", "beta", "gamma"):
        out += host.on_message(make_info(venue), T0).messages
    for venue, bid in (("beta", 10_050.0), ("gamma", 10_060.0)):
        view = make_view(venue, bids=[(bid, 1.0)], asks=[(1e6, 1.0)])
        out += host.on_message(view, T0).messages
    ask = make_view("alpha", asks=[(10_000.0, 1.0)], bids=[(1.0, 1.0)])
    return [*out, *host.on_message(ask, T0).messages]


def test_pairs_and_strategies_of_one_tick_do_not_sell_one_side_twice(tmp_path: Path) -> None:
    write_strategy(tmp_path)
    mine = 'id = "mine"\nclass = "mine.py"'
    host, _ = host_of(tmp_path, 'id = "cross"\nclass = "cross_venue"', mine)
    (found,) = [each for each in feed(host) if isinstance(each, Opportunity)]
    assert [leg.venue for leg in found.legs] == ["alpha", "gamma"]  # it pays more
    assert host.counters()["opportunities"] == 1
    assert host.counters()["near_misses_PRICES_TAKEN"] == 3

    due_ns = host.next_deadline_ns()
    assert due_ns is not None
    assert due_ns <= T0 + NEAR_MISS_INTERVAL_NS
    told = host.on_timer(T0 + NEAR_MISS_INTERVAL_NS).messages
    why = [x for x in told if isinstance(x, NearMiss) and x.gate == Gate.PRICES_TAKEN]
    assert {(x.strategy_id, x.sell_venue) for x in why} == {
        ("cross", "beta"),
        ("mine", "beta"),
        ("mine", "gamma"),
    }
    assert why[0].context["taken_by"] == "cross"
    assert (why[0].context["venue"], why[0].context["side"]) == ("alpha", "buy")


@pytest.mark.parametrize("nets", [("1", "1", "1"), ("9", "5", "1"), ("1", "5", "9")])
def test_of_three_whose_offers_come_to_nothing_each_gets_its_turn(nets: tuple[str, ...]) -> None:
    sides, passed = TakenSides(), dict.fromkeys("abc", 0)
    for tick in range(6_000 // 20):
        now_ns = T0 + tick * 20 * MS
        found = [
            from_alpha(name, f"to-{name}", net, ts_expire_ns=now_ns + 500 * MS)
            for name, net in zip("abc", nets, strict=True)
        ]
        for each in sift(sides, *found, now_ns=now_ns):
            assert isinstance(each, Opportunity)
            passed[each.strategy_id] += 1
    assert min(passed.values()) >= 2, passed


def test_of_equals_the_one_goes_first_that_has_offered_nothing_for_longest() -> None:
    sides, out = TakenSides(), []
    for tick in range(6):
        now_ns = T0 + tick * SECOND
        found = [from_alpha(name, f"to-{name}", now_ns=now_ns) for name in "abc"]
        out += [x.strategy_id for x in sift(sides, *found, now_ns=now_ns)]
        sides.see(make_view("alpha", asks=[(100.0, 1.0)], seq=2 + tick))  # it was taken
    assert out == ["a", "b", "c", "a", "b", "c"]


def test_another_pair_of_the_same_strategy_gets_its_turn_too() -> None:
    sides, passed = TakenSides(), {"beta": 0, "gamma": 0}
    for tick in range(3_000 // 20):
        now_ns = T0 + tick * 20 * MS
        for to in ("beta", "gamma"):
            found = from_alpha("a", to, ts_expire_ns=now_ns + 500 * MS)
            passed[to] += len(sift(sides, found, now_ns=now_ns))
    assert min(passed.values()) >= 2, passed


def test_an_offer_held_back_costs_no_pause(tmp_path: Path) -> None:
    host, _ = host_of(tmp_path, 'id = "cross"\nclass = "cross_venue"\nparams.cooldown_ms = 60_000')
    (first,) = [each for each in feed(host) if isinstance(each, Opportunity)]
    assert first.legs[1].venue == "gamma"
    again = make_view("alpha", asks=[(10_000.0, 1.0)], bids=[(1.0, 1.0)], seq=3)
    (second,) = opportunities(host, again, T0 + TAKEN_NS)
    assert second.legs[1].venue == "beta"


GREEDY = """
    def set_up(self) -> None:
        limits = PairLimits(self.params.edge_bps_min, 10_000.0, 2_000, 0, 500)
        self.pairs = Pairs(self.id, limits, self.near_misses)
        self.held = []

    def on_rules(self, rules, now_ns):
        self.pairs.take_rules(rules)
        return []

    def on_depth(self, view, now_ns):
        found = [self.pairs.compare(pair, now_ns) for pair in self.pairs.take_view(view)]
        return [each for each in found if isinstance(each, Opportunity)]

    def on_held_back(self, held, now_ns):
        self.held.append((held.strategy_id, held.legs[1].venue, now_ns))
        {then}

    def gauges(self):
        return {{"held": len(self.held)}}
"""


def test_a_strategy_is_told_what_of_its_own_was_held_back(tmp_path: Path) -> None:
    write_strategy(tmp_path, GREEDY.format(then=""))
    mine = 'id = "mine"\nclass = "mine.py"'
    host, _ = host_of(tmp_path, 'id = "cross"\nclass = "cross_venue"', mine)
    feed(host)
    assert host.gauges()["held"] == 2  # both pairs: cross offered what pays more
    assert not host.disabled


def test_what_answers_with_an_offer_or_raises_is_disabled(tmp_path: Path) -> None:
    for then, why in (("return [held]", "on_held_back() returned"), ("1 / 0", "ZeroDivision")):
        write_strategy(tmp_path, GREEDY.format(then=then))
        mine = 'id = "mine"\nclass = "mine.py"'
        host, _ = host_of(tmp_path, 'id = "cross"\nclass = "cross_venue"', mine)
        feed(host)
        assert why in host.disabled["mine"]
        assert "cross" not in host.disabled


def test_of_what_a_warmup_keeps_back_nothing_is_told(tmp_path: Path) -> None:
    body = (
        GREEDY.format(then="") + "\n    def warmup(self):\n        return Warmup(span_ms=1_000)\n"
    )
    write_strategy(tmp_path, body)
    host, _ = host_of(tmp_path, 'id = "mine"\nclass = "mine.py"')
    assert not [each for each in feed(host) if isinstance(each, Opportunity)]
    assert host.counters()["outputs_in_warmup"] == 2
    assert host.gauges()["held"] == 0


def opportunities(host: StrategyHost, view: DepthView, now_ns: int) -> list[Opportunity]:
    found = host.on_message(view, now_ns).messages
    return [each for each in found if isinstance(each, Opportunity)]
