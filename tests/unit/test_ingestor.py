"""The ingestor's parts that need no network: rate budget, effects, escalation."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from services.ingestor.driver import RESYNCS_MAX, SENDS_MAX, FeedDriver
from services.ingestor.outbox import Outbox
from services.ingestor.snapshots import BURST_S, WeightBucket, retry_after_s
from shared.clock import ManualClock
from shared.errors import BusUnavailable
from shared.messages.base import BookState
from shared.messages.control import Alert, Severity
from shared.messages.market import BookSnapshot, Trade, VenueStatus
from shared.messages.rules import InstrumentRules
from shared.observe import Observer
from shared.venues.port import (
    BookStatus,
    Checked,
    Emit,
    FeedConnection,
    Gap,
    Malformed,
    RestBudget,
    Send,
    VenueState,
)
from tests.support import eventually

S = 1_000_000_000
BUDGET = RestBudget(weight_per_minute=600, snapshot_share=0.5)  # 5 a second, a burst of 50
TRADE = Trade(
    venue="v", instrument="BTC/USDT", trade_id="1", side="buy", price=1.0, qty=1.0, ts_recv_ns=1
)


def test_bucket_gives_a_burst_and_then_its_rate():
    bucket = WeightBucket(BUDGET, 0)
    burst = int(5 * BURST_S)
    assert [bucket.take(10, 0) for _ in range(burst // 10)] == [0] * (burst // 10)
    assert bucket.take(10, 0) == pytest.approx(2 * S)
    assert bucket.take(10, 0) == pytest.approx(4 * S)
    assert bucket.take(10, 5 * S) == pytest.approx(1 * S)
    assert bucket.take(50, 1_000 * S) == 0, "it does not save up more than its burst"
    assert bucket.take(5, 1_000 * S) == pytest.approx(1 * S)


def test_request_heavier_than_the_bucket_has_its_turn():
    bucket = WeightBucket(BUDGET, 0)
    assert bucket.take(100, 0) == pytest.approx(10 * S)


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [(429, "7", 7.0), (429, None, 10.0), (418, None, 120.0), (403, None, 60.0), (502, None, 0.0),
     (429, "soon", 10.0), (503, "3", 3.0), (429, "-5", 0.0), (599, None, 0.0)],
)  # fmt: skip
def test_time_to_stay_away(status, header, seconds):
    assert retry_after_s(status, header) == seconds


class Session:
    """Answers what it is told to."""

    def __init__(self) -> None:
        self.effects: list = []
        self.resyncs: list[tuple[str, int]] = []

    def on_open(self, now_ns):
        return [BookStatus("BTC/USDT", BookState.LIVE, "", 5)]

    def on_frame(self, raw, now_ns):
        return self.effects

    def on_timer(self, now_ns):
        return ()

    def on_close(self, now_ns):
        return [BookStatus("BTC/USDT", BookState.DOWN, "connection closed", 5)]

    def on_resync(self, instrument, epoch, now_ns):
        self.resyncs.append((instrument, epoch))
        return ()


class Sink(list):
    put = list.append


@pytest.fixture
def driver():
    connection = FeedConnection("v", "/", ("BTC/USDT", "NOPE/USDT"), Session())
    driver = FeedDriver(connection, Sink(), Observer("ingestor", "i"), lambda *_: None)
    driver.on_open(1 * S)
    return driver


def test_effects_go_where_they_belong(driver):
    session, sink, observer = driver.connection.session, driver._sink, driver._observer
    sink.clear()
    session.effects = [
        Emit(TRADE), Send("hello"), Gap("BTC/USDT", 1, 2), Malformed("bad"),
        Checked("BTC/USDT", False), Checked("BTC/USDT", True), Checked("BTC/USDT", None),
        BookStatus("BTC/USDT", BookState.GAP, "because", 6),
    ]  # fmt: skip
    driver.on_frame(b"", 2 * S)
    assert sink[0] is TRADE
    assert (sink[1].state, sink[1].reason, sink[1].epoch) == (BookState.GAP, "because", 6)
    assert list(driver.take_sends()) == ["hello"]
    counted = ("gaps", "malformed", "checksums_failed", "checksums_ok")
    assert [observer.counters[name] for name in counted] == [1, 1, 1, 1]


def test_same_status_twice_is_said_once(driver):
    driver._sink.clear()
    driver.connection.session.effects = [BookStatus("BTC/USDT", BookState.GAP, "because", 6)]
    driver.on_frame(b"", 2 * S)
    driver.on_frame(b"", 3 * S)
    assert len(driver._sink) == 1
    assert [s.state for s in driver.statuses(4 * S)] == [BookState.GAP]


def test_session_that_floods_the_connection_loses_it(driver):
    driver.connection.session.effects = [Send("x")] * (SENDS_MAX + 1)
    driver.on_frame(b"", 2 * S)
    assert driver.reconnect_reason is not None
    assert len(driver.take_sends()) == SENDS_MAX


def test_book_lost_again_and_again_costs_the_connection(driver):
    for turn in range(RESYNCS_MAX):
        driver.on_resync("BTC/USDT", 5, (10 + turn) * S)
    assert driver.reconnect_reason is None
    assert driver.connection.session.resyncs == [("BTC/USDT", 5)] * RESYNCS_MAX
    driver.on_resync("BTC/USDT", 5, 20 * S)
    assert "BTC/USDT" in driver.reconnect_reason


def test_book_lost_now_and_then_does_not(driver):
    for turn in range(10):
        driver.on_resync("BTC/USDT", 5, 61 * turn * S)
    assert driver.reconnect_reason is None


def test_resync_of_a_book_that_is_not_live_is_not_counted(driver):
    driver.connection.session.effects = [BookStatus("BTC/USDT", BookState.SYNCING, "", 6)]
    driver.on_frame(b"", 2 * S)
    driver.on_resync("BTC/USDT", 5, 3 * S)
    assert driver.connection.session.resyncs == []


def test_refused_instrument_is_down_with_the_venues_reason_and_does_not_spoil_readiness(driver):
    driver.connection.session.effects = [BookStatus("NOPE/USDT", BookState.SYNCING, "", 7)]
    driver.on_frame(b"", 2 * S)
    assert "NOPE/USDT" in driver.unready()
    driver._sink.clear()
    for _ in range(2):
        driver.on_refused("NOPE/USDT", "no such symbol", 3 * S)
    alert, status = driver._sink
    assert isinstance(alert, Alert)
    assert isinstance(status, VenueStatus)
    assert (status.state, status.reason) == (BookState.DOWN, "no such symbol")
    assert driver.unready() == ""


def test_closed_connection_takes_every_book_down_with_the_reason(driver):
    driver.on_close(2 * S, "no route to host")
    assert [(s.state, s.reason) for s in driver.statuses(3 * S)] == [
        (BookState.DOWN, "no route to host")
    ]
    assert "not connected" in driver.unready()


class Bus:
    """A bus that can be away, and takes its time."""

    def __init__(self) -> None:
        self.commits: list[list] = []
        self.positions: list[dict] = []
        self.away = False
        self.slow = asyncio.Event()
        self.slow.set()

    async def publish(self, messages):
        await self.commit(None, messages)

    async def commit(self, batch, messages):
        await self.slow.wait()
        if self.away:
            raise BusUnavailable("away")
        self.commits.append(list(messages))

    async def note_positions(self, fields):
        self.positions.append(dict(fields))


@pytest.fixture
async def outbox():
    bus, lost = Bus(), []
    observer = Observer("ingestor", "i")
    outbox = Outbox(
        bus, ManualClock(), observer,
        present=lambda: ["present"], on_loss=lambda: lost.append(1), position_interval_s=0.0,
    )  # fmt: skip
    outbox.bus, outbox.lost, outbox.counters = bus, lost, observer.counters
    task = asyncio.create_task(outbox.run())
    yield outbox
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_one_turn_of_the_loop_is_one_commit(outbox):
    for n in range(3):
        outbox.put(n)
    await eventually(lambda: outbox.bus.commits == [[0, 1, 2]])


async def test_slow_bus_makes_larger_batches(outbox):
    outbox.bus.slow.clear()
    outbox.put(0)
    await asyncio.sleep(0)
    for n in range(1, 5):
        await asyncio.sleep(0)
        outbox.put(n)
    outbox.bus.slow.set()
    await eventually(lambda: outbox.bus.commits == [[0], [1, 2, 3, 4]])


async def test_position_waits_for_what_was_put_before_it(outbox):
    outbox.bus.slow.clear()
    outbox.put(0)
    outbox.note("frames", 1, 1)
    await asyncio.sleep(0)
    outbox.put(1)
    outbox.note("frames", 2, 1)
    await asyncio.sleep(0.01)
    assert outbox.bus.positions == []
    outbox.bus.slow.set()
    await eventually(lambda: outbox.bus.positions == [{"frames": "2"}])
    assert outbox.bus.commits == [[0], [1]]


async def test_lost_bus_says_the_present_first_and_lets_every_book_start_anew(outbox):
    outbox.bus.away = True
    outbox.put(0)
    await eventually(lambda: not outbox.connected)
    outbox.put(1)
    assert outbox.lost == []
    outbox.bus.away = False
    await eventually(lambda: outbox.lost == [1])
    assert outbox.bus.commits == [["present"]]
    outbox.put(2)
    await eventually(lambda: outbox.bus.commits[-1] == [2])
    assert outbox.counters["bus_losses"] == 1


async def test_bus_too_far_behind_is_a_loss(outbox, monkeypatch):
    monkeypatch.setattr("services.ingestor.outbox.MESSAGES_MAX", 10)
    outbox.bus.slow.clear()
    outbox.put(0)
    await asyncio.sleep(0)
    for n in range(20):
        outbox.put(n)
    outbox.bus.slow.set()
    await eventually(lambda: outbox.lost == [1])
    assert outbox.counters["outbox_dropped"] == 20


# --- is the book what its name says?


def told_rules(instrument="BTC/USDT", tick="0.01", **changes):
    values = {
        "venue": "v", "instrument": instrument, "tick_size": Decimal(tick),
        "lot_size": Decimal("0.001"), "qty_min": Decimal(0), "notional_min": Decimal(0),
        "taker_fee_bps": Decimal(10), "maker_fee_bps": Decimal(10),
    }  # fmt: skip
    return InstrumentRules(**(values | changes))


def whole_book(*prices: float) -> Emit:
    bids = [(price, 1.0) for price in sorted(prices, reverse=True)]
    asks = [(price * 2, 1.0) for price in sorted(prices)]
    return Emit(
        BookSnapshot(
            venue="v", instrument="BTC/USDT", epoch=5, seq=1, bids=bids, asks=asks, ts_recv_ns=1
        )
    )


def give(driver, *effects, at_s=2):
    driver._sink.clear()
    driver.connection.session.effects = list(effects)
    driver.on_frame(b"", at_s * S)
    return [message for message in driver._sink if isinstance(message, BookSnapshot)]


def test_book_of_other_prices_than_the_tick_allows_is_withheld_named_once_and_released(driver):
    assert give(driver, whole_book(0.00008123, 0.00008124, 0.00008125))
    driver.on_rules(told_rules(tick="0.0001"), 3 * S)
    (alert,) = [m for m in driver._sink if isinstance(m, Alert)]
    assert "another instrument's book" in alert.text and "0.0001" in alert.text
    assert [(s.state, s.refused) for s in driver.statuses(4 * S)] == [(BookState.DOWN, True)]
    live = BookStatus("BTC/USDT", BookState.LIVE, "", 6)
    assert give(driver, whole_book(0.00008126, 0.00008127), live) == []
    assert [s.state for s in driver.statuses(4 * S)] == [BookState.DOWN]
    assert driver.unready() == ""
    driver.on_rules(told_rules(tick="0.00000001"), 5 * S)
    assert driver.connection.session.resyncs == [("BTC/USDT", 6)]
    assert give(driver, whole_book(0.00008126), live)
    assert [(s.state, s.refused) for s in driver.statuses(6 * S)] == [(BookState.LIVE, False)]


def test_a_few_old_orders_off_a_new_tick_are_no_reason(driver):
    driver.on_rules(told_rules(tick="0.1"), 2 * S)
    assert give(driver, whole_book(99.5, 99.4, 99.3, 99.2, 99.15, 99.1, 99.0))


def test_rules_that_are_no_rules_prove_nothing(driver):
    driver.on_rules(told_rules(tick="1", active=False, reason="no tick_size"), 2 * S)
    assert give(driver, whole_book(99.55))


def test_instrument_not_listed_is_withheld_even_if_its_book_comes(driver):
    driver.on_missing("BTC/USDT", "the venue does not list this instrument", 2 * S)
    assert give(driver, whole_book(99.5), BookStatus("BTC/USDT", BookState.LIVE, "", 6)) == []
    (status,) = driver.statuses(3 * S)
    assert (status.state, status.refused) == (BookState.DOWN, True)
    assert "does not list" in status.reason


def test_state_of_the_venue_is_a_warning_with_the_newest_reason_and_no_refusal(driver):
    down = BookStatus("BTC/USDT", BookState.DOWN, "the venue's system is maintenance", 5)
    give(driver, VenueState("the venue's system is maintenance"), down)
    (alert,) = [m for m in driver._sink if isinstance(m, Alert)]
    assert (alert.severity, alert.code) == (Severity.WARNING, "VENUE_STATE")
    down = BookStatus("BTC/USDT", BookState.DOWN, "the venue's system is cancel_only", 6)
    give(driver, VenueState("the venue's system is cancel_only"), down)
    (status,) = driver.statuses(3 * S)
    assert "cancel_only" in status.reason and not status.refused
    assert "cancel_only" in driver.unready()
    give(driver, VenueState(""), BookStatus("BTC/USDT", BookState.LIVE, "", 7))
    assert [m.severity for m in driver._sink if isinstance(m, Alert)] == [Severity.INFO]
    assert driver.unready() == ""
