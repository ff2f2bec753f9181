"""The judge of the fault drill objects to what is wrong, and to nothing else."""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec
import pytest

from shared.errors import Unavailable
from shared.messages.arb import Opportunity
from shared.messages.base import BookState
from shared.simulated.faults import PARAMETERS
from tests.decision_builders import BOOKS, MS, T0, make_opportunity, make_view
from tests.drill.drill import Drill, look_back
from tests.drill.faults import KINDS, OF_ORDERS
from tests.drill.judge import Judge, Look, Verdict
from tests.drill.record import Healed
from tests.drill.truth import TOLD_SINGLY, BookTruth, Truth

NAME = "BTC/USDT"
SECOND = 1_000 * MS
LATER = T0 + 10 * SECOND
SINGLY = next(iter(TOLD_SINGLY))


def told(*states: tuple[int, str, int, int], until_ns: int = LATER) -> dict:
    """An answer of the control port; a state: time, venue, best bid, best ask (lots of 0.1)."""
    books = {venue: {NAME: {"tick": "1", "lot": "0.1"}} for venue in ("alpha", "beta", SINGLY)}
    rows = [
        [number, venue, NAME, ts_ns, number, [[bid, 10]], [[ask, 10]]]
        for number, (ts_ns, venue, bid, ask) in enumerate(states, 1)
    ]
    last = len(rows)
    return {
        "ts_ns": until_ns,
        "last": last,
        "lost": False,
        "states": rows,
        "happened": [[T0, "drop", "alpha"]],
        "books": books,
    }


def judge(*states: tuple[int, str, int, int], unproved: tuple[str, ...] = ()) -> Judge:
    truth = Truth()
    truth.take(told(*states))
    return Judge(truth, 2 * SECOND, unproved)


STILL = ((T0 - SECOND, "alpha", 9_999, 10_000), (T0 - SECOND, "beta", 10_050, 10_051))
"""Both books as ``make_opportunity`` walks them, and they stay so."""


def both_views(qty: float = 1.0) -> list:
    asked = make_view("alpha", bids=[(9_999.0, 1.0)], asks=[(10_000.0, qty)])
    return [asked, make_view("beta", bids=[(10_050.0, 1.0)], asks=[(10_051.0, 1.0)])]


def found(**changes: object) -> Opportunity:
    assert BOOKS[:2] == (("alpha", NAME), ("beta", NAME))
    return make_opportunity(**changes)


def objections(one: Judge, views: list, *, opportunity: Opportunity) -> list[str]:
    for view in views:
        one.on_view(view)
    one.on_opportunity(opportunity)
    one.work()
    assert one.counts.opportunities == 1
    return [f"{each.venue}: {each.why}" for each in one.objections]


def test_an_opportunity_of_right_books_stands() -> None:
    assert objections(judge(*STILL), both_views(), opportunity=found()) == []


def test_a_planted_wrong_view_is_objected_to() -> None:
    [why] = objections(judge(*STILL), both_views(qty=7.0), opportunity=found())
    assert why.startswith("alpha: its book was WRONG: levels that it never had together")
    assert "7.0" in why


def test_levels_behind_those_that_were_used_may_be_wrong() -> None:
    asked, offered = both_views()
    asked = msgspec.structs.replace(asked, asks=[*asked.asks, (10_002.0, 9.0)])
    one = judge(*STILL)
    assert one.verdict_of(asked, T0)[0] is Verdict.WRONG
    assert objections(one, [asked, offered], opportunity=found()) == []


def test_a_planted_opportunity_without_a_view_is_objected_to() -> None:
    why = objections(judge(*STILL), both_views(), opportunity=found(seq=5))
    assert [line.partition(" view")[0] for line in why] == ["alpha: no LIVE", "beta: no LIVE"]


def test_an_opportunity_of_a_book_that_is_not_live_is_objected_to() -> None:
    views = [msgspec.structs.replace(view, state=BookState.GAP) for view in both_views()]
    assert len(objections(judge(*STILL), views, opportunity=found())) == 2


def test_a_limit_that_is_no_price_of_the_book_is_objected_to() -> None:
    planted = found()
    legs = [msgspec.structs.replace(leg, price_limit=leg.price_limit + 1) for leg in planted.legs]
    planted = msgspec.structs.replace(planted, legs=legs)
    why = objections(judge(*STILL), both_views(), opportunity=planted)
    assert all("no price of the levels it used" in line for line in why)
    assert len(why) == 2


def test_more_than_the_levels_hold_is_objected_to() -> None:
    planted = found()
    legs = [msgspec.structs.replace(leg, qty=leg.qty * 100) for leg in planted.legs]
    planted = msgspec.structs.replace(planted, legs=legs)
    why = objections(judge(*STILL), both_views(), opportunity=planted)
    assert all("are more than" in line for line in why)
    assert len(why) == 2


def test_a_book_that_the_venue_left_long_ago_is_objected_to() -> None:
    moved = ((T0 - 3 * SECOND, "alpha", 9_990, 9_991),)
    early = ((T0 - 5 * SECOND, *STILL[0][1:]), STILL[1])
    [why] = objections(judge(*early, *moved), both_views(), opportunity=found())
    assert why == "alpha: its book was OLD: 3.00 s old"


def test_a_book_that_is_late_within_the_limit_stands() -> None:
    moved = ((T0 - SECOND // 2, "alpha", 9_990, 9_991),)
    assert objections(judge(*STILL, *moved), both_views(), opportunity=found()) == []


def test_a_book_that_is_of_the_future_is_objected_to() -> None:
    [why] = objections(
        judge((T0 + SECOND, *STILL[0][1:]), STILL[1]), both_views(), opportunity=found()
    )
    assert why.startswith("alpha: its book was WRONG")


def test_a_book_that_nothing_proves_is_objected_to_whatever_it_shows() -> None:
    one = judge(*STILL, unproved=("beta",))
    [why] = objections(one, both_views(), opportunity=found())
    assert why.startswith("beta: its book is UNPROVED")


def test_a_number_that_the_venue_did_not_have_then_is_wrong() -> None:
    one = judge(*STILL)
    book = one.truth.books["alpha", NAME]
    book.is_numbered = True
    right = msgspec.structs.replace(both_views()[0], seq=1)
    assert one.verdict_of(right, T0)[0] is Verdict.RIGHT
    assert one.verdict_of(msgspec.structs.replace(right, seq=2), T0)[0] is Verdict.WRONG


def test_of_levels_that_came_back_the_state_of_the_number_counts() -> None:
    there = (T0 - 3 * SECOND, *STILL[0][1:])
    left, back = (T0 - 2 * SECOND, "alpha", 9_990, 9_991), STILL[0]
    one = judge(there, left, back)
    one.truth.books["alpha", NAME].is_numbered = True
    view = both_views()[0]
    assert one.verdict_of(msgspec.structs.replace(view, seq=3), T0)[0] is Verdict.RIGHT
    assert one.verdict_of(msgspec.structs.replace(view, seq=2), T0)[0] is Verdict.WRONG
    verdict, _, why = one.verdict_of(msgspec.structs.replace(view, seq=1), T0 + SECOND)
    assert (verdict, why) == (Verdict.OLD, "3.00 s old")


@pytest.mark.parametrize(
    ("venue", "bid", "verdict"),
    [
        (SINGLY, 100, Verdict.RIGHT),  # the ask moved, the bid not yet
        (SINGLY, 99, Verdict.WRONG),
        ("alpha", 100, Verdict.WRONG),  # tells both in one message
    ],
)
def test_only_what_is_told_level_by_level_may_be_between_two_states(
    venue: str, bid: int, verdict: Verdict
) -> None:
    one = judge((T0 - SECOND, venue, 100, 102), (T0 - MS, venue, 101, 103))
    view = make_view(venue, bids=[(float(bid), 1.0)], asks=[(103.0, 1.0)])
    assert one.verdict_of(view, T0)[0] is verdict


def test_a_view_may_stop_where_its_snapshot_ended() -> None:
    one = judge()
    book: BookTruth = one.truth.books["alpha", NAME]
    book.add(T0 - SECOND, 1, [[100, 10], [99, 10]], [[103, 10], [104, 10]])
    short = make_view("alpha", bids=[(100.0, 1.0)], asks=[(103.0, 1.0), (104.0, 1.0)])
    assert one.verdict_of(short, T0)[0] is Verdict.RIGHT
    holed = make_view("alpha", bids=[(99.0, 1.0)], asks=[(103.0, 1.0), (104.0, 1.0)])
    assert one.verdict_of(holed, T0)[0] is Verdict.WRONG


def test_of_states_that_a_short_view_fits_the_one_of_its_number_counts() -> None:
    one = judge()
    book: BookTruth = one.truth.books["alpha", NAME]
    book.is_numbered = True
    asks = [[103, 10], *([104 + at, 10] for at in range(30))]
    for number in (1, 2):  # they differ beyond the view
        book.add(T0 + number * MS, number, [[100, 10], [90 + number, 10]], asks)
    view = make_view("alpha", bids=[(100.0, 1.0)], asks=[(103.0, 1.0)])
    for number, verdict in ((1, Verdict.RIGHT), (2, Verdict.RIGHT), (3, Verdict.WRONG)):
        told = msgspec.structs.replace(view, seq=number)
        assert one.verdict_of(told, T0 + SECOND)[0] is verdict, number


def test_states_are_forgotten_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.drill.truth.STATES_KEPT", 2)
    book: BookTruth = judge().truth.books["alpha", NAME]
    for number in range(4):
        book.add(T0 + number, number, [[100 + number % 2, 1]], [[103, 1]])
    assert book.find(((100.0, 0.1),), ((103.0, 0.1),), T0 + 9) is not None
    assert book.find(((100.0, 0.1),), ((103.0, 0.1),), T0 + 1) is None


def looks(*seen: tuple[float, Verdict, float | None]) -> deque[Look]:
    """Seconds after T0, verdict, and since when the venue has what is shown."""
    book = judge().truth.books["alpha", NAME]
    made: deque[Look] = deque()
    for number, (at_s, verdict, since_s) in enumerate(seen):
        state = None
        if since_s is not None:
            book.add(T0 + int(since_s * SECOND), number, [[100 + number, 1]], [[999, 1]])
            state = book.last
        made.append(Look(T0 + int(at_s * SECOND), verdict, BookState.LIVE, "", state))
    return made


def test_healed_is_what_is_right_after_the_last_that_was_not() -> None:
    one = Healed("alpha", "drop", NAME, None)
    right, wrong = Verdict.RIGHT, Verdict.WRONG
    look_back(
        one, looks((0.1, right, -1), (0.2, wrong, None), (0.5, right, 0.4), (0.6, right, 0.5)), T0
    )
    assert one.healed_s == pytest.approx(0.5)
    assert one.wrong_s == pytest.approx(0.3)
    assert one.states == ["RIGHT", "WRONG", "RIGHT"]


def test_what_the_venue_had_only_before_the_fault_is_not_healed() -> None:
    one = Healed("alpha", "drop", NAME, None)
    seen = looks((0.1, Verdict.RIGHT, -1), (0.7, Verdict.RIGHT, 0))
    look_back(one, deque([seen[0]]), T0)
    assert one.healed_s is None
    look_back(one, seen, T0)
    assert one.healed_s == pytest.approx(0.7)


def test_every_fault_of_the_simulated_venues_is_provoked_or_is_of_orders() -> None:
    assert {*KINDS, *OF_ORDERS} == PARAMETERS.keys()


async def test_a_drill_whose_readers_failed_ends_instead_of_waiting_for_ever() -> None:
    async def fail() -> None:
        raise Unavailable("simulated venues: truth: no answer")

    drill = Drill(*[None] * 6, Judge(Truth(), SECOND), None)
    drill.readers = [asyncio.create_task(fail())]
    with pytest.raises(Unavailable, match="no answer"):
        await asyncio.wait_for(drill.conclude(), 10)


@pytest.mark.parametrize(("after_ns", "judged"), [(SECOND, {}), (3 * SECOND, {"WRONG": 1})])
def test_what_was_before_the_first_state_that_was_read_is_not_judged(
    after_ns: int, judged: dict[str, int]
) -> None:
    one = judge((T0, "alpha", 9_999, 10_000))
    one.on_view(
        make_view("alpha", bids=[(9_998.0, 1.0)], asks=[(9_999.0, 1.0)], ts_ns=T0 + after_ns)
    )
    one.work()
    assert one.counts.views == judged
