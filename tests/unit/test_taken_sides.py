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
from shared.messages.rounds import Intent
from shared.strategies.gates import Gate
from shared.strategies.near_misses import NEAR_MISS_INTERVAL_NS
from tests.decision_builders import MS, T0, make_info, make_leg, make_offer, make_view
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
    return sides.sift(found, {("alpha", "BTC/USDT"): ALPHA_ASKS}, now_ns)


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
