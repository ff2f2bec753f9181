"""When the ingestor asks for REST books to compare with, and what it passes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.ingestor.engine.audits import BOOK_S_MIN, BUDGET_SHARE
from services.ingestor.engine.engine import IngestorEngine
from services.ingestor.engine.requests import FetchSnapshot, LogEntry, SnapshotAnswered
from shared.errors import ParseError
from shared.messages.base import BookState
from shared.messages.book_audit import BookAudit, BookAuditAsked
from shared.venues import port
from shared.venues.audit_port import RestBook
from tests.unit.test_ingestor_engine import BUDGET, World, fetch, settings

BOOKS = ("BTC/USDT", "ETH/USDT")
EVERY_S = 60.0


class Port:
    """A venue whose REST book is what its answer says."""

    levels, weight = 2, 1
    is_numbered = True
    qty_tolerance = 0.5

    def path(self, instrument):
        return f"/audit?{instrument}"

    def read(self, body):
        if body == b"odd":
            raise ParseError("not a book")
        return RestBook([(99.0, 1.0), (98.0, 2.0)], [(101.0, 1.0)], 7)


class AuditedWorld(World):
    """One venue of two books."""

    def __init__(self, every_s=EVERY_S, audited=Port()) -> None:
        super().__init__(v=BOOKS)
        each = settings("v", self.feeds["v"], BOOKS)
        self.engine = IngestorEngine(
            [replace(each, audit=audited, audit_every_s=every_s)],
            source="i#1",
            uniform=lambda _, high: high,
        )
        self.messages, self.actions = [], []
        self._keep(self.engine.start({}, self.now_ns))

    def all_live(self) -> None:
        for connection, instrument in zip(self.open(), BOOKS, strict=True):
            live = port.BookStatus(instrument, BookState.LIVE, "joined", self.now_ns)
            self.frame(connection, live, instrument=instrument)

    def asked(self) -> list[FetchSnapshot]:
        return [each for each in self.took(FetchSnapshot) if "/audit?" in each.url]


def test_each_live_book_is_asked_for_in_its_turn():
    world = AuditedWorld()
    world.all_live()
    turns = []
    for _ in range(4):
        world.run(EVERY_S / 2)
        (asked,) = world.asked()
        turns.append(asked.url)
        world.give(SnapshotAnswered(asked.request, 200, b"book"))
    assert turns == ["http://v/audit?BTC/USDT", "http://v/audit?ETH/USDT"] * 2
    assert world.engine.counters()["audits_asked"] == 4


def test_the_asking_and_the_answer_go_among_the_changes():
    world = AuditedWorld()
    world.all_live()
    world.run(EVERY_S / 2)
    (asked,) = world.published(BookAuditAsked)
    (request,) = world.asked()
    world.give(SnapshotAnswered(request.request, 200, b"book"))
    (answer,) = world.published(BookAudit)
    assert asked.epoch == answer.epoch == world.engine._links[0][1].driver.books["BTC/USDT"][1]
    assert (answer.seq, answer.qty_tolerance) == (7, 0.5)
    assert answer.bid_floor == 98.0, "as many levels as asked for: the venue cut it there"
    assert answer.ask_ceiling is None, "fewer: it is whole"


@pytest.mark.parametrize(("every_s", "audited"), [(0.0, Port()), (EVERY_S, None)])
def test_none_is_asked_for_where_it_is_off_or_the_venue_has_none(every_s, audited):
    world = AuditedWorld(every_s, audited)
    world.all_live()
    world.run(10 * EVERY_S)
    assert not world.asked()


def test_a_book_that_is_not_live_is_passed_over():
    world = AuditedWorld()
    _, second = world.open()
    live = port.BookStatus(BOOKS[1], BookState.LIVE, "joined", world.now_ns)
    world.frame(second, live, instrument=BOOKS[1])
    world.run(EVERY_S)
    assert {asked.url for asked in world.asked()} == {"http://v/audit?ETH/USDT"}


@pytest.mark.parametrize("weight", [1, 50])
def test_it_takes_a_tenth_of_the_venues_weight_at_most(weight):
    class Dear(Port):
        """A book that costs."""

    Dear.weight = weight
    world = AuditedWorld(0.001, Dear())
    world.all_live()
    asked, minutes = 0, 10
    for _ in range(minutes * 60):
        world.run(1)
        for each in world.asked():
            asked += 1
            world.give(SnapshotAnswered(each.request, 200, b"book"))
    affordable = BUDGET.weight_per_minute * BUDGET_SHARE * minutes / weight
    assert 0.8 * min(affordable, 240) <= asked <= affordable + 1
    assert asked <= len(BOOKS) * minutes * 60 / BOOK_S_MIN + 1


@pytest.mark.parametrize("answer", [(500, b""), (404, b"no such pair"), (0, b""), (200, b"odd")])
def test_an_answer_that_is_no_book_leaves_ours_as_it_is(answer):
    world = AuditedWorld()
    world.all_live()
    world.run(EVERY_S / 2)
    (request,) = world.asked()
    world.messages.clear()
    world.give(SnapshotAnswered(request.request, *answer))
    assert world.messages == []
    assert world.engine.counters()["audits_unanswered"] == 1
    assert world.engine.unready() == ""
    if answer[1] == b"odd":
        assert [each.event for each in world.took(LogEntry)] == ["audit_unread"]


def test_what_a_book_needs_goes_first():
    world = AuditedWorld()
    world.all_live()
    first = next(iter(world.engine._open))
    world.frame(first, fetch(weight=10_000), fetch("ETH/USDT"))
    world.took(FetchSnapshot)
    world.run(EVERY_S / 2)
    assert not world.asked(), "while a snapshot waits for the budget"
