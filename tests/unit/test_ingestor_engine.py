"""The ingestor's engine as a host sees it: inputs and times in, steps out."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from decimal import Decimal

import msgspec
import pytest

from services.ingestor.engine import IngestorEngine
from services.ingestor.engine.connection import BACKOFF_S, BACKOFF_S_MAX, TICK_NS
from services.ingestor.engine.listings import REPEAT_NS, REREAD_NS, REREAD_ODD_NS
from services.ingestor.engine.requests import (
    CloseConnection,
    ConnectionClosed,
    ConnectionOpened,
    FetchSnapshot,
    FrameReceived,
    ListingAnswered,
    ListingJob,
    LogEntry,
    OpenConnection,
    ReadListings,
    SendFrames,
    SnapshotAnswered,
)
from services.ingestor.engine.settings import VenueSettings, venue_settings
from services.ingestor.engine.snapshots import CONCURRENT_MAX
from services.ingestor.engine.trade_limit import TRADES_PER_S_MAX
from shared.config_sections import VenueConfig
from shared.engine import BusBack, BusLost, Stopping
from shared.errors import ParseError
from shared.messages.base import BookState
from shared.messages.control import Alert, Severity
from shared.messages.market import (
    InstrumentInfo,
    ResyncRequest,
    Trade,
    TradesMissed,
    VenueStatus,
)
from shared.venues import port
from tests.decision_builders import make_rules, told_info

S = 1_000_000_000
T0 = 1_700_000_000 * S
BUDGET = port.RestBudget(weight_per_minute=600, snapshot_share=0.5)  # 5 a second, a burst of 50


class Session:
    """Answers what it is told to, and notes what it was asked."""

    def __init__(self) -> None:
        self.on_open_effects: list = []
        self.effects: list = []
        self.calls: list[tuple] = []
        self.times: list[int] = []

    def _note(self, now_ns, *call):
        self.calls.append(call)
        self.times.append(now_ns)

    def on_open(self, now_ns):
        self._note(now_ns, "open")
        return self.on_open_effects

    def on_frame(self, raw, now_ns):
        self._note(now_ns, "frame", raw)
        return self.effects

    def on_snapshot(self, instrument, body, now_ns):
        self._note(now_ns, "snapshot", instrument, body)
        return ()

    def on_snapshot_failed(self, instrument, retry_after_s, now_ns):
        self._note(now_ns, "snapshot_failed", instrument, retry_after_s)
        return ()

    def on_resync(self, instrument, epoch, now_ns):
        self._note(now_ns, "resync", instrument, epoch)
        return ()

    def on_refresh(self, instrument, epoch, now_ns):
        self._note(now_ns, "refresh", instrument, epoch)
        return ()

    def on_timer(self, now_ns):
        self._note(now_ns, "timer")
        return ()

    def on_facts(self, topic, body, now_ns):
        self._note(now_ns, "facts", topic, body)
        return ()

    def on_facts_failed(self, topic, retry_after_s, now_ns):
        self._note(now_ns, "facts_failed", topic)

    def on_close(self, now_ns):
        self._note(now_ns, "close")
        return ()

    def told(self, kind: str) -> list[tuple]:
        return [call for call in self.calls if call[0] == kind]


@dataclass
class Feed:
    """A venue of one connection per instrument."""

    rest_budget: port.RestBudget = BUDGET
    lifetime_s: float = 3_600.0
    sessions: dict[str, Session] = field(default_factory=dict)
    extras: tuple[port.FeedKind, ...] = tuple(port.FeedKind)[1:]
    address: port.AskedAddress | None = None
    ws_url: str = ""

    def connections(self, venue, instruments):
        for instrument in instruments:
            self.sessions[instrument] = session = Session()
            link = port.FeedConnection(venue, f"/{instrument}", (instrument,), session, instrument)
            yield replace(link, address=self.address)

    def extra_connections(self, venue, kind, instruments):
        self.sessions[kind] = session = Session()
        yield port.FeedConnection(venue, f"/{kind}", tuple(instruments), session, kind, kind)


class World:
    """An engine, the feeds behind it, and all it said; time moves when told to."""

    def __init__(
        self,
        extras: tuple[port.FeedKind, ...] = (),
        feed: Feed | None = None,
        **venues: tuple[str, ...],
    ) -> None:
        self.now_ns = T0
        self.feeds = {name: feed or Feed() for name in venues}
        self.engine = IngestorEngine(
            [
                replace(
                    settings(name, self.feeds[name], which), extras=dict.fromkeys(extras, which)
                )
                for name, which in venues.items()
            ],
            source="i#1",
            uniform=lambda _, high: high,
        )
        self.messages: list = []
        self.actions: list = []
        self._keep(self.engine.start({}, self.now_ns))

    def session(self, venue="v", instrument="BTC/USDT") -> Session:
        return self.feeds[venue].sessions[instrument]

    def give(self, result) -> None:
        self._keep(self.engine.on_message(result, self.now_ns))

    def frame(self, connection: int, *effects, venue="v", instrument="BTC/USDT") -> None:
        self.session(venue, instrument).effects = list(effects)
        self.give(FrameReceived(connection, b"x", self.now_ns))

    def run(self, seconds: float) -> None:
        """Let time pass, as a host does."""
        end_ns = self.now_ns + int(seconds * 1e9)
        while (deadline_ns := self.engine.next_deadline_ns()) is not None and deadline_ns <= end_ns:
            self.now_ns = max(self.now_ns, deadline_ns)
            self._keep(self.engine.on_timer(self.now_ns))
            after_ns = self.engine.next_deadline_ns()
            assert after_ns is None or after_ns > self.now_ns
        self.now_ns = end_ns

    def took(self, kind: type) -> list:
        """The actions of a kind since the last time, which are then forgotten."""
        found = [action for action in self.actions if type(action) is kind]
        self.actions = [action for action in self.actions if type(action) is not kind]
        return found

    def published(self, kind: type) -> list:
        found = [message for message in self.messages if type(message) is kind]
        self.messages.clear()
        return found

    def open(self) -> list[int]:
        """Let every connection asked for come up."""
        ids = [action.connection for action in self.took(OpenConnection)]
        for connection in ids:
            self.give(ConnectionOpened(connection))
        return ids

    def _keep(self, step) -> None:
        assert not step.actions
        self.messages += step.messages
        self.actions += step.at_once


def settings(name: str, feed, instruments: tuple[str, ...]) -> VenueSettings:
    return VenueSettings(
        name=name,
        feed=feed,
        rest_url=f"http://{name}",
        ws_url=f"ws://{name}",
        instruments=instruments,
        listing=ListingJob(name, name, "", list(instruments)),
    )


@pytest.fixture
def world() -> World:
    return World(v=("BTC/USDT", "ETH/USDT"), w=("BTC/USDT",))


def fetch(instrument="BTC/USDT", *, weight=10, not_before_ns=0) -> port.FetchSnapshot:
    return port.FetchSnapshot(instrument, f"/book?{instrument}", weight, not_before_ns)


# --- connections


def test_everything_is_asked_for_at_the_start_and_said_to_be_down(world):
    assert [(a.connection, a.url, a.venue) for a in world.took(OpenConnection)] == [
        (1, "ws://v/BTC/USDT", "v"),
        (2, "ws://v/ETH/USDT", "v"),
        (3, "ws://w/BTC/USDT", "w"),
    ]
    assert [[job.venue for job in a.jobs] for a in world.took(ReadListings)] == [["v", "w"]]
    statuses = world.published(VenueStatus)
    assert [(s.venue, s.state, s.source) for s in statuses] == [
        ("v", BookState.DOWN, "i#1"),
        ("w", BookState.DOWN, "i#1"),
    ]
    assert world.engine.unready() == "v is not connected"
    assert world.engine.checkpoints() == {}


def test_connection_that_cannot_be_had_is_tried_again_ever_later_and_alone(world):
    world.open()
    delays, failed, gauge = [], 1, world.engine.gauges()
    assert gauge == {"connections": 3}
    for _ in range(10):
        before_ns = world.now_ns
        world.give(ConnectionClosed(failed, "OSError: no route to host"))
        (note,) = [n for n in world.took(LogEntry) if n.event == "disconnected"]
        assert note.fields["reason"] == "OSError: no route to host"
        world.run(BACKOFF_S_MAX)
        (again,) = world.took(OpenConnection)
        failed = again.connection
        delays.append(note.fields["retry_s"])
        assert world.now_ns - before_ns == int(BACKOFF_S_MAX * 1e9)
    assert delays[:4] == [BACKOFF_S, BACKOFF_S * 2, BACKOFF_S * 4, BACKOFF_S * 8]
    assert delays[-1] == BACKOFF_S_MAX
    assert world.engine.gauges() == {"connections": 2}
    assert not world.session("v", "ETH/USDT").told("close")


def test_connection_that_lived_starts_its_backoff_over(world):
    first, *_ = world.open()
    world.give(ConnectionClosed(first, "lost"))
    world.run(1)
    (second,) = world.open()
    world.run(60)
    world.took(LogEntry)
    world.give(ConnectionClosed(second, "lost"))
    assert [n.fields["retry_s"] for n in world.took(LogEntry)] == [BACKOFF_S]


@pytest.mark.parametrize(
    ("lives_s", "book", "pauses"),
    [
        (30, BookState.SYNCING, [BACKOFF_S] * 4),  # closed every half minute
        (6, BookState.LIVE, [BACKOFF_S] * 4),
        (6, BookState.UNPROVED, [BACKOFF_S] * 4),
        (6, BookState.SYNCING, [BACKOFF_S, 2 * BACKOFF_S, 4 * BACKOFF_S, 8 * BACKOFF_S]),
        (4, BookState.LIVE, [BACKOFF_S, 2 * BACKOFF_S, 4 * BACKOFF_S, 8 * BACKOFF_S]),
    ],
)
def test_a_venue_that_closes_again_and_again_is_back_as_soon_as_it_had_served(
    world, lives_s, book, pauses
):
    connection, *_ = world.open()
    told = []
    for _ in pauses:
        world.frame(connection, port.BookStatus("BTC/USDT", book, "", world.now_ns))
        world.run(lives_s)
        world.took(LogEntry)
        world.give(ConnectionClosed(connection, "received 1000 (OK)", 1000))
        told += [n.fields["retry_s"] for n in world.took(LogEntry) if n.event == "disconnected"]
        world.run(told[-1] + 0.3)
        (connection,) = world.open()
    assert told == pauses


def test_what_an_earlier_connection_delivers_is_not_used(world):
    first, *_ = world.open()
    world.give(ConnectionClosed(first, "lost"))
    world.run(1)
    world.open()
    world.session().calls.clear()
    world.frame(first, port.Malformed("never seen"))
    world.give(ConnectionClosed(first, "twice"))
    world.give(ConnectionOpened(first))
    assert world.session().calls == []
    assert world.engine.counters()["malformed"] == 0
    assert world.engine.gauges() == {"connections": 3}


def test_connection_is_renewed_before_the_venues_limit():
    world = World(v=("BTC/USDT",))
    (first,) = world.open()
    world.run(3_600 * 0.95 - 1)
    assert not world.took(CloseConnection)
    world.run(1)
    assert world.took(CloseConnection) == [CloseConnection(first)]
    assert world.session().told("close") == [("close",)]
    assert [s.reason for s in world.published(VenueStatus) if not s.instrument][-1] != ""
    world.run(BACKOFF_S)
    assert [a.connection for a in world.took(OpenConnection)] == [first + 1]


def read_address(body: bytes, base: str) -> str:
    """A venue whose answer is the URL."""
    if not body:
        raise ParseError("no URL in it")
    return f"{base or 'ws://told'}/{body.decode()}"


@pytest.mark.parametrize(
    ("ws_url", "url"), [("ws://v", "ws://told/7"), ("ws://elsewhere", "ws://v/BTC/USDT/7")]
)
def test_venue_that_must_be_asked_where_to_connect_is_asked_each_time(ws_url, url):
    """What is configured goes before what the venue says; ``ws_url`` is the venue's own."""
    asked = port.AskedAddress("/where", 10, read_address)
    world = World(feed=Feed(address=asked, ws_url=ws_url), v=("BTC/USDT",))
    for _ in range(2):
        assert not world.took(OpenConnection)
        (request,) = world.took(FetchSnapshot)
        assert (request.method, request.url) == ("POST", "http://v/where")
        world.give(SnapshotAnswered(request.request, 200, b"7"))
        (wanted,) = world.actions[-1:]
        assert (type(wanted), wanted.url) == (OpenConnection, url)
        (connection,) = world.open()
        assert world.engine.unready() != "v is not connected"
        world.give(ConnectionClosed(connection, "lost"))
        world.run(1)


@pytest.mark.parametrize(
    ("status", "body", "error", "reason"),
    [
        (200, b"", "", "no address: no URL in it"),
        (503, b"down", "", "no address: HTTP 503"),
        (0, b"", "TimeoutError()", "no address: TimeoutError()"),
    ],
)
def test_address_that_is_not_told_is_asked_for_again_ever_later(status, body, error, reason):
    world = World(feed=Feed(address=port.AskedAddress("/where", 1, read_address)), v=("BTC/USDT",))
    delays = []
    for _ in range(3):
        (request,) = world.took(FetchSnapshot)
        world.give(SnapshotAnswered(request.request, status, body, error=error))
        (note,) = [n for n in world.took(LogEntry) if n.event == "disconnected"]
        assert note.fields["reason"] == reason
        delays.append(note.fields["retry_s"])
        assert not world.took(OpenConnection)
        world.run(delays[-1])
    assert delays == [BACKOFF_S, BACKOFF_S * 2, BACKOFF_S * 4]


def test_address_is_not_asked_for_within_the_venues_pause():
    world = World(feed=Feed(address=port.AskedAddress("/where", 1, read_address)), v=("BTC/USDT",))
    (request,) = world.took(FetchSnapshot)
    world.give(SnapshotAnswered(request.request, 429, retry_after="20"))
    world.run(19)
    assert not world.took(FetchSnapshot)
    world.run(1)
    assert len(world.took(FetchSnapshot)) == 1


@pytest.mark.parametrize(
    ("code", "is_told"), [(1012, True), (1013, True), (1006, False), (0, False)]
)
def test_venue_that_says_it_goes_away_is_told_to_the_operator(world, code, is_told):
    connection, *_ = world.open()
    world.messages.clear()
    world.give(ConnectionClosed(connection, "received it", code))
    alerts = [(a.severity, a.code, a.subject) for a in world.published(Alert)]
    assert alerts == ([(Severity.WARNING, "VENUE_STATE", "v")] if is_told else [])


def test_session_that_asks_for_a_new_connection_gets_one_after_its_last_words(world):
    first, *_ = world.open()
    world.frame(first, port.Send("a"), port.Reconnect("broken"), port.Send("b"))
    sent, closed = [a for a in world.actions if type(a) in {SendFrames, CloseConnection}]
    assert (sent, closed) == (SendFrames(first, ["a", "b"]), CloseConnection(first))
    assert world.engine.counters()["reconnects"] == 1
    assert world.engine.gauges() == {"connections": 2}


def test_sessions_timer_runs_while_the_connection_is_open():
    world = World(v=("BTC/USDT",))
    (connection,) = world.open()
    assert world.session().told("timer") == [("timer",)]
    world.run(1)
    assert len(world.session().told("timer")) == 1 + S // TICK_NS
    world.give(ConnectionClosed(connection, "lost"))
    world.session().calls.clear()
    world.run(BACKOFF_S / 2)
    assert world.session().calls == []


def test_times_given_to_a_session_never_fall(world):
    connection, *_ = world.open()
    world.run(1)
    world.give(FrameReceived(connection, b"received before the timer ran", world.now_ns - S))
    assert world.session().times == sorted(world.session().times)


# --- snapshots


def test_snapshot_waits_for_the_sessions_time(world):
    connection, *_ = world.open()
    world.frame(connection, fetch(not_before_ns=world.now_ns + 3 * S))
    world.run(2.9)
    assert not world.took(FetchSnapshot)
    world.run(0.2)
    (asked,) = world.took(FetchSnapshot)
    assert (asked.url, asked.connection) == ("http://v/book?BTC/USDT", connection)
    world.give(SnapshotAnswered(asked.request, 200, b"{}"))
    assert world.session().told("snapshot") == [("snapshot", "BTC/USDT", b"{}")]


def books(count: int) -> tuple[str, ...]:
    return tuple(f"C{n}/USDT" for n in range(count))


def answer_all(world: World, seconds: float) -> list[int]:
    """Answer every request at once for a while; return the second each was asked in."""
    started_ns, asked_s = world.now_ns, []
    while world.now_ns < started_ns + seconds * S:
        for action in world.took(FetchSnapshot):
            asked_s.append((world.now_ns - started_ns) // S)
            world.give(SnapshotAnswered(action.request, 200, b"{}"))
        if not any(type(action) is FetchSnapshot for action in world.actions):
            world.run(0.1)
    return asked_s


def test_burst_of_requests_is_followed_by_the_venues_rate():
    """A budget of 50 at once and 5 a second, for requests of 10."""
    names = books(9)
    world = World(v=names)
    for name, connection in zip(names, world.open(), strict=True):
        world.frame(connection, fetch(name), instrument=name)
    asked_s = answer_all(world, 12)
    assert asked_s == [0] * 5 + [2, 4, 6, 8]


def test_request_heavier_than_the_whole_budget_has_its_turn():
    world = World(v=("BTC/USDT", "ETH/USDT"))
    for name, connection in zip(("BTC/USDT", "ETH/USDT"), world.open(), strict=True):
        world.frame(connection, fetch(name, weight=100), instrument=name)
    asked_s = answer_all(world, 60)
    assert len(asked_s) == 2
    assert 20 <= asked_s[1] - asked_s[0] <= 21


def test_few_requests_are_in_flight_and_those_of_gone_connections_are_forgotten():
    names = books(7)
    world = World(v=names)
    connections = world.open()
    for name, connection in zip(names, connections, strict=True):
        world.frame(connection, fetch(name, weight=1), instrument=name)
    asked = world.took(FetchSnapshot)
    assert len(asked) == CONCURRENT_MAX
    world.give(ConnectionClosed(connections[4], "lost"))
    world.give(SnapshotAnswered(asked[0].request, 200, b"{}"))
    assert [a.instrument for a in world.took(FetchSnapshot)] == [names[5]]


def test_newer_request_replaces_one_that_waits_and_one_in_flight(world):
    connection, *_ = world.open()
    world.frame(connection, fetch())
    (first,) = world.took(FetchSnapshot)
    world.frame(connection, fetch(not_before_ns=world.now_ns + 5 * S))
    world.frame(connection, fetch())
    (second,) = world.took(FetchSnapshot)
    world.give(SnapshotAnswered(first.request, 200, b"old"))
    world.give(SnapshotAnswered(second.request, 200, b"new"))
    assert world.session().told("snapshot") == [("snapshot", "BTC/USDT", b"new")]
    world.run(10)
    assert not world.took(FetchSnapshot)


def test_answer_for_an_earlier_connection_is_not_delivered(world):
    connection, *_ = world.open()
    world.frame(connection, fetch())
    (asked,) = world.took(FetchSnapshot)
    world.give(ConnectionClosed(connection, "lost"))
    world.run(1)
    world.open()
    world.give(SnapshotAnswered(asked.request, 200, b"{}"))
    world.give(SnapshotAnswered(asked.request, 200, b"{}"))
    assert world.session().told("snapshot") == []
    assert world.engine.counters()["answers_late"] == 2


@pytest.mark.parametrize(("header", "seconds"), [("7", 7), (None, 10)])
def test_venue_at_its_limit_is_left_alone_as_long_as_it_says_and_others_are_not(
    world, header, seconds
):
    first, second, other = world.open()
    world.frame(first, fetch())
    (asked,) = world.took(FetchSnapshot)
    world.give(SnapshotAnswered(asked.request, 429, retry_after=header))
    failed = ("snapshot_failed", "BTC/USDT", float(seconds))
    assert world.session().told("snapshot_failed") == [failed]
    world.frame(second, fetch("ETH/USDT"), instrument="ETH/USDT")
    world.frame(other, fetch(), venue="w")
    assert [a.venue for a in world.took(FetchSnapshot)] == ["w"]
    world.run(seconds - 0.1)
    assert not world.took(FetchSnapshot)
    world.run(0.2)
    assert [a.instrument for a in world.took(FetchSnapshot)] == ["ETH/USDT"]
    assert world.engine.counters()["rest_limited"] == 1


def test_definite_refusal_takes_the_instrument_down_and_no_answer_is_tried_again(world):
    first, second, _ = world.open()
    world.frame(first, port.BookStatus("BTC/USDT", BookState.SYNCING, "", 5), fetch())
    world.frame(second, fetch("ETH/USDT"), instrument="ETH/USDT")
    refused, lost = world.took(FetchSnapshot)
    world.messages.clear()
    world.give(SnapshotAnswered(refused.request, 400, b"Invalid symbol"))
    world.give(SnapshotAnswered(lost.request, 0, error="TimeoutError()"))
    failed = ("snapshot_failed", "ETH/USDT", 0.0)
    assert world.session("v", "ETH/USDT").told("snapshot_failed") == [failed]
    lines = [line for line in world.took(LogEntry) if line.event == "snapshot_failed"]
    assert [line.fields["venue"] for line in lines] == ["v", "v"]
    alert, status = world.messages
    assert (alert.code, alert.subject) == ("INSTRUMENT_REFUSED", "v|BTC/USDT")
    assert status.refused
    assert "the venue answered 400: Invalid symbol" in status.reason


# --- listings


def listed(venue: str, *names: str) -> ListingAnswered:
    return ListingAnswered(venue, [make_rules(venue, name) for name in names])


def test_venue_whose_list_fails_is_named_once_and_tried_again_alone(world):
    assert len(world.took(ReadListings)) == 1
    world.give(listed("v", "BTC/USDT"))
    for n in range(3):
        world.give(ListingAnswered("w", error="NetworkError: no route"))
        world.run(60)
        (reading,) = world.took(ReadListings)
        assert [job.venue for job in reading.jobs] == ["w"], n
    (alert,) = world.published(Alert)
    assert (alert.code, alert.subject) == ("LISTING_UNREAD", "w")
    assert "w" in alert.text and "no route" in alert.text and "nothing is traded" in alert.text
    assert world.engine.counters()["metadata_failures"] == 3


def test_lists_are_read_again_when_all_have_answered_and_rules_are_repeated(world):
    world.took(ReadListings)
    world.give(listed("v", "BTC/USDT"))
    assert len(world.published(InstrumentInfo)) == 1
    world.run(REPEAT_NS / 1e9)
    assert len(world.published(InstrumentInfo)) == 1
    world.run(2 * REREAD_NS / 1e9)
    assert not world.took(ReadListings), "w has not answered"
    world.give(listed("w", "BTC/USDT"))
    world.run(1)
    assert [[job.venue for job in a.jobs] for a in world.took(ReadListings)] == [["v"]]
    world.run(REREAD_NS / 1e9)
    world.give(listed("v", "BTC/USDT"))
    world.run(1)
    assert [[job.venue for job in a.jobs] for a in world.took(ReadListings)] == [["w"]]


def test_instrument_that_the_list_lost_is_looked_for_again_soon(world):
    world.took(ReadListings)
    for venue in ("v", "w"):
        world.give(listed(venue, "BTC/USDT"))
    world.run(REREAD_NS / 1e9)
    world.took(ReadListings)
    world.give(ListingAnswered("v", missing={"BTC/USDT": "the venue does not list it"}))
    world.give(listed("w", "BTC/USDT"))
    world.run(REREAD_ODD_NS / 1e9 - 1)
    assert not world.took(ReadListings)
    world.run(1)
    assert [[job.venue for job in a.jobs] for a in world.took(ReadListings)] == [["v"]]


def test_what_is_not_traded_is_said_once_for_each_reason(world):
    odd = told_info("v", tick_size=Decimal(0)).rules
    told: list = []
    for rules in (odd, odd, make_rules("v"), odd):
        world.give(ListingAnswered("v", [rules, make_rules("v", "ETH/USDT")]))
        world.give(listed("w", "BTC/USDT"))
        told += world.messages
        world.messages.clear()
        world.run(REREAD_NS / 1e9)
        world.messages.clear()
    alerts = [m for m in told if type(m) is Alert]
    assert [(alert.code, alert.severity, alert.subject) for alert in alerts] == [
        ("INSTRUMENT_NOT_TRADED", Severity.WARNING, "v|BTC/USDT")
    ] * 2, "again after it was traded in between"
    assert alerts[0].text.startswith("v BTC/USDT is not traded: tick_size is 0")
    rules = [m.rules for m in told if type(m) is InstrumentInfo and m.rules.venue == "v"]
    assert [r.active for r in rules if r.instrument == "BTC/USDT"] == [False, False, True, False]
    assert all(r.active for r in rules if r.instrument == "ETH/USDT")


def test_configured_fee_overrides_what_the_venue_reports():
    engine = IngestorEngine(
        [replace(settings("v", Feed(), ("BTC/USDT",)), taker_fee_bps=Decimal("2.5"))],
        source="i",
        uniform=lambda _, high: high,
    )
    engine.start({}, T0)
    step = engine.on_message(listed("v", "BTC/USDT"), T0)
    assert [m.rules.taker_fee_bps for m in step.messages] == [Decimal("2.5")]


# --- the bus


LIVE = port.BookStatus("BTC/USDT", BookState.LIVE, "", 5)
TRADE = Trade(
    venue="v", instrument="BTC/USDT", trade_id="1", side="buy", price=1.0, qty=1.0, ts_recv_ns=1
)


def test_while_the_bus_is_away_only_statuses_are_said_and_the_venue_is_kept(world):
    connection, *_ = world.open()
    world.frame(connection, LIVE)
    world.messages.clear()
    world.give(BusLost("away"))
    world.give(BusLost("still away"))
    assert world.engine.unready() == "the bus is lost"
    world.frame(connection, port.Emit(TRADE), port.Send("ping"))
    assert world.took(SendFrames) == [SendFrames(connection, ["ping"])]
    world.run(1)
    assert {type(message) for message in world.messages} == {VenueStatus}
    counters = world.engine.counters()
    assert (counters["bus_losses"], counters["outbox_dropped"]) == (1, 1)
    assert world.session().told("close") == []


def test_bus_that_is_back_hears_the_present_and_every_book_starts_anew(world):
    first, second, other = world.open()
    world.frame(first, LIVE)
    gone = port.BookStatus("ETH/USDT", BookState.DOWN, "unknown", 6, refused=True)
    world.frame(second, gone, instrument="ETH/USDT")
    world.frame(other, LIVE, venue="w")
    world.give(ConnectionClosed(other, "lost"))
    world.give(BusLost("away"))
    world.messages.clear()
    world.give(BusBack())
    assert [(s.venue, s.instrument) for s in world.published(VenueStatus)] == [
        ("v", ""),
        ("v", "BTC/USDT"),
        ("v", "ETH/USDT"),
        ("w", ""),
        ("w", "BTC/USDT"),
    ]
    assert world.session().told("resync") == [("resync", "BTC/USDT", 5)]
    assert world.session("v", "ETH/USDT").told("resync") == [], "refused"
    assert world.session("w").told("resync") == [], "not connected"
    world.give(BusBack())
    assert len(world.session().told("resync")) == 1


def test_reader_that_lost_a_book_is_heard_and_other_venues_are_none_of_ours(world):
    connection, *_ = world.open()
    world.frame(connection, LIVE)
    request = ResyncRequest(venue="v", instrument="BTC/USDT", epoch=5, reason="gap", ts_ns=1)
    world.give(request)
    world.give(msgspec.structs.replace(request, venue="elsewhere"))
    world.give(msgspec.structs.replace(request, refresh=True))
    assert world.session().told("resync") == [("resync", "BTC/USDT", 5)]
    assert world.session().told("refresh") == [("refresh", "BTC/USDT", 5)]
    levels = [n.level.value for n in world.took(LogEntry) if n.event == "resync_requested"]
    assert levels == ["warning", "info"]


def test_statuses_are_repeated(world):
    world.messages.clear()
    world.run(2)
    assert len([s for s in world.published(VenueStatus) if s.venue == "v"]) == 4


def test_stopped_ingestor_takes_every_book_down_and_asks_for_nothing_more(world):
    connection, *_ = world.open()
    world.frame(connection, LIVE)
    world.messages.clear()
    world.give(Stopping())
    by_book = {(s.venue, s.instrument): s for s in world.published(VenueStatus)}
    assert {s.state for s in by_book.values()} == {BookState.DOWN}
    assert by_book["v", "BTC/USDT"].reason == "the ingestor was stopped"
    assert len(world.took(CloseConnection)) == 3
    world.actions.clear()
    world.run(100)
    world.frame(connection, port.Emit(TRADE))
    assert (world.actions, world.messages) == ([], [])


# --- the protocol

VENUES = {
    "binance": VenueConfig(instruments=["BTC/USDT", "ETH/USDT"]),
    "binanceusdm": VenueConfig(instruments=["BTC/USDT:USDT"]),
    "kraken": VenueConfig(instruments=["BTC/USD", "SOL/USD"]),
}
FRAMES = (
    b"{",
    b"{}",
    b'{"result":null,"id":1}',
    b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":2,"u":2,'
    b'"b":[["99","1"]],"a":[]}}',
    b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}',
    b'{"channel":"heartbeat"}',
    b'{"channel":"status","type":"update","data":[{"system":"maintenance"}]}',
)
BOOK = b'{"lastUpdateId":1,"bids":[["99","1"]],"asks":[["101","1"]]}'


def random_life(seed: int, steps: int = 1_500) -> tuple[IngestorEngine, bytes]:
    """Feed real sessions whatever may come; return the engine and all it said."""
    rng = random.Random(seed)
    engine = IngestorEngine(venue_settings(VENUES), source="i", uniform=random.Random(seed).uniform)
    now_ns, connections, requests, readings = T0, {0: ""}, [], []
    step, published = engine.start({}, now_ns), []
    for _ in range(steps):
        published.append([step.messages, [repr(action) for action in step.at_once]])
        for action in step.at_once:
            if type(action) is OpenConnection:
                connections[action.connection] = action.venue
            elif type(action) is FetchSnapshot:
                requests.append(action)
            elif type(action) is ReadListings:
                readings += [job.venue for job in action.jobs]
        assert all(
            sum(asked.venue == venue for asked in requests) <= CONCURRENT_MAX for venue in VENUES
        )
        now_ns += rng.randrange(50_000_000)
        deadline_ns = engine.next_deadline_ns()
        if deadline_ns is not None and deadline_ns <= now_ns:
            step = engine.on_timer(now_ns)
            after_ns = engine.next_deadline_ns()
            assert after_ns is not None and after_ns > now_ns
            continue
        connection = rng.choice(list(connections))
        match rng.randrange(12):
            case 0 if requests:
                asked = requests.pop(rng.randrange(len(requests)))
                status = rng.choice([0, 200, 200, 200, 400, 429, 502])
                step = engine.on_message(SnapshotAnswered(asked.request, status, BOOK), now_ns)
            case 1 if readings:
                step = engine.on_message(ListingAnswered(readings.pop(), error="no"), now_ns)
            case 2:
                closed = ConnectionClosed(connection, "lost", rng.choice([0, 1006, 1012]))
                step = engine.on_message(closed, now_ns)
            case 3:
                step = engine.on_message(rng.choice([BusLost("away"), BusBack()]), now_ns)
            case 4 | 5 | 6 | 7:
                step = engine.on_message(ConnectionOpened(connection), now_ns)
            case _:
                frame = FrameReceived(connection, rng.choice(FRAMES), now_ns - rng.randrange(1000))
                step = engine.on_message(frame, now_ns)
    return engine, msgspec.json.encode(published)


@pytest.mark.parametrize("seed", range(5))
def test_whatever_comes_is_survived_within_bounds_and_deadlines_lie_ahead(seed):
    engine, _ = random_life(seed)
    counters = engine.counters()
    assert counters["frames"] > 50
    assert counters["reconnects"] > 5
    assert counters["bus_losses"] > 5


def test_same_inputs_at_the_same_times_give_the_same_bytes():
    assert random_life(3)[1] == random_life(3)[1]
    assert random_life(3)[1] != random_life(4)[1]


# --- trades and funding beside books


TRADES = port.FeedKind.TRADES


@pytest.fixture
def beside() -> World:
    """A venue whose trades come on a connection of their own; the book is LIVE."""
    world = World((TRADES,), v=("BTC/USDT",))
    books, _ = world.open()
    world.frame(books, LIVE)
    world.messages.clear()
    return world


def test_lost_trades_are_said_and_cost_no_book(beside):
    assert beside.engine.unready() == ""
    beside.give(ConnectionClosed(2, "lost"))
    (missed,) = beside.published(TradesMissed)
    assert (missed.venue, missed.instrument, missed.ongoing) == ("v", "BTC/USDT", True)
    beside.run(1)
    statuses = [m for m in beside.messages if type(m) is VenueStatus]
    assert {(s.instrument, s.state) for s in statuses} == {
        ("", BookState.LIVE),
        ("BTC/USDT", BookState.LIVE),
    }
    assert beside.engine.unready() == ""
    assert any(type(m) is TradesMissed and m.ongoing for m in beside.messages), "for late readers"


def test_bus_that_is_back_hears_that_trades_are_missing(beside):
    beside.give(BusLost("away"))
    beside.messages.clear()
    beside.give(BusBack())
    (missed,) = beside.published(TradesMissed)
    assert not missed.ongoing


def test_flood_of_trades_is_bounded_counted_and_said(beside):
    flood = [port.Emit(TRADE)] * (TRADES_PER_S_MAX + 7)
    beside.frame(2, *flood, instrument=TRADES)
    kinds = [type(message) for message in beside.messages]
    assert (kinds.count(Trade), kinds.count(TradesMissed)) == (TRADES_PER_S_MAX, 1)
    assert beside.engine.counters()["trades_dropped"] == 7
    beside.messages.clear()
    beside.run(1)
    beside.frame(2, port.Emit(TRADE), instrument=TRADES)
    assert [type(m) for m in beside.messages if type(m) is not VenueStatus][-1] is Trade


def test_refused_trades_are_said_until_they_come(beside):
    beside.frame(2, port.FeedRefused("BTC/USDT", "no such stream"), instrument=TRADES)
    assert beside.engine.counters()["extras_refused"] == 1
    beside.run(1)
    (first, *_) = beside.published(TradesMissed)
    assert first.ongoing and "refused" in first.reason
    assert beside.engine.unready() == ""


def test_trades_of_a_market_that_is_not_listed_are_held_back(beside):
    beside.give(ListingAnswered("v", missing={"BTC/USDT": "not listed"}))
    beside.messages.clear()
    beside.frame(2, port.Emit(TRADE), instrument=TRADES)
    assert beside.messages == []


def test_venue_state_of_a_connection_beside_books_closes_nothing(beside):
    beside.frame(2, port.VenueState("the venue announced a restart"), instrument=TRADES)
    assert beside.published(Alert) == []
    beside.run(1)
    assert {m.state for m in beside.messages if type(m) is VenueStatus} == {BookState.LIVE}


# --- facts beside books


FUNDING = port.FeedKind.FUNDING


def ask_facts(world: World, *topics: str) -> None:
    facts = [port.FetchFacts(topic, f"/{topic}", 1) for topic in topics]
    world.frame(2, *facts, instrument=FUNDING)


@pytest.fixture
def funded() -> World:
    """A venue whose funding comes on a connection of its own."""
    world = World((FUNDING,), v=("BTC/USDT",))
    world.open()
    return world


def test_facts_are_fetched_and_handed_to_who_asked(funded):
    ask_facts(funded, "terms")
    (asked,) = funded.took(FetchSnapshot)
    assert (asked.url, asked.connection) == ("http://v/terms", 2)
    funded.give(SnapshotAnswered(asked.request, 200, b"[]"))
    assert funded.session(instrument=FUNDING).told("facts") == [("facts", "terms", b"[]")]
    assert funded.engine.counters()["snapshots_requested"] == 0


@pytest.mark.parametrize("status", [400, 404, 429, 503, 0])
def test_facts_that_cannot_be_had_cost_no_instrument(funded, status):
    ask_facts(funded, "terms")
    (asked,) = funded.took(FetchSnapshot)
    funded.messages.clear()
    funded.give(SnapshotAnswered(asked.request, status, b"no"))
    assert funded.session(instrument=FUNDING).told("facts_failed") == [("facts_failed", "terms")]
    assert funded.session(instrument=FUNDING).told("facts") == []
    assert funded.published(Alert) == []


def test_books_go_before_facts(funded):
    ask_facts(funded, *(f"history-{n}" for n in range(CONCURRENT_MAX + 3)))
    first = funded.took(FetchSnapshot)
    assert len(first) == CONCURRENT_MAX
    funded.frame(1, fetch(weight=1))
    assert not funded.took(FetchSnapshot), "only so many at once"
    funded.give(SnapshotAnswered(first[0].request, 200, b"[]"))
    (asked,) = funded.took(FetchSnapshot)
    assert asked.instrument == "BTC/USDT"


def test_facts_asked_for_on_a_connection_that_is_gone_are_forgotten(funded):
    ask_facts(funded, "terms")
    (asked,) = funded.took(FetchSnapshot)
    funded.give(ConnectionClosed(2, "lost"))
    funded.give(SnapshotAnswered(asked.request, 200, b"[]"))
    assert funded.session(instrument=FUNDING).told("facts") == []
