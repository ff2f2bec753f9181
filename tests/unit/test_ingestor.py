"""What the ingestor makes of a session's effects and of a venue's list."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.ingestor.engine.driver import RESYNCS_MAX, SENDS_MAX, FeedDriver
from services.ingestor.engine.step_builder import StepBuilder
from shared.messages.base import BookState
from shared.messages.control import Alert, Severity
from shared.messages.market import BookSnapshot, Trade, VenueStatus
from shared.messages.rules import InstrumentRules
from shared.retry_after import retry_after_s
from shared.venues.port import (
    BookStatus,
    Checked,
    Emit,
    FeedConnection,
    Gap,
    Malformed,
    Send,
    VenueState,
)

S = 1_000_000_000
TRADE = Trade(
    venue="v", instrument="BTC/USDT", trade_id="1", side="buy", price=1.0, qty=1.0, ts_recv_ns=1
)


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (429, "7", 7.0),
        (429, None, 10.0),
        (418, None, 120.0),
        (403, None, 60.0),
        (502, None, 0.0),
        (429, "soon", 10.0),
        (503, "3", 3.0),
        (429, "-5", 0.0),
        (599, None, 0.0),
    ],
)
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


@pytest.fixture
def driver():
    connection = FeedConnection("v", "/", ("BTC/USDT", "NOPE/USDT"), Session())
    driver = FeedDriver(connection, StepBuilder(), lambda *_: None)
    driver.on_open(1 * S)
    return driver


def test_effects_go_where_they_belong(driver):
    session, sink = driver.connection.session, driver._out.messages
    sink.clear()
    session.effects = [
        Emit(TRADE),
        Send("hello"),
        Gap("BTC/USDT", 1, 2),
        Malformed("bad"),
        Checked("BTC/USDT", False),
        Checked("BTC/USDT", True),
        Checked("BTC/USDT", None),
        BookStatus("BTC/USDT", BookState.GAP, "because", 6),
    ]
    driver.on_frame(b"", 2 * S)
    assert sink[0] is TRADE
    assert (sink[1].state, sink[1].reason, sink[1].epoch) == (BookState.GAP, "because", 6)
    assert driver.sends == ["hello"]
    counted = ("gaps", "malformed", "checksums_failed", "checksums_ok")
    assert [driver._out.counters[name] for name in counted] == [1, 1, 1, 1]


def test_same_status_twice_is_said_once(driver):
    driver._out.messages.clear()
    driver.connection.session.effects = [BookStatus("BTC/USDT", BookState.GAP, "because", 6)]
    driver.on_frame(b"", 2 * S)
    driver.on_frame(b"", 3 * S)
    assert len(driver._out.messages) == 1
    assert [s.state for s in driver.statuses(4 * S)] == [BookState.GAP]


def test_session_that_floods_the_connection_loses_it(driver):
    driver.connection.session.effects = [Send("x")] * (SENDS_MAX + 1)
    driver.on_frame(b"", 2 * S)
    assert driver.reconnect_reason is not None
    assert len(driver.sends) == SENDS_MAX


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
    driver._out.messages.clear()
    for _ in range(2):
        driver.on_refused("NOPE/USDT", "no such symbol", 3 * S)
    alert, status = driver._out.messages
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


# --- is the book what its name says?


def told_rules(instrument="BTC/USDT", tick="0.01", **changes):
    values = {
        "venue": "v",
        "instrument": instrument,
        "tick_size": Decimal(tick),
        "lot_size": Decimal("0.001"),
        "qty_min": Decimal(0),
        "notional_min": Decimal(0),
        "taker_fee_bps": Decimal(10),
        "maker_fee_bps": Decimal(10),
    }
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
    driver._out.messages.clear()
    driver.connection.session.effects = list(effects)
    driver.on_frame(b"", at_s * S)
    return [message for message in driver._out.messages if isinstance(message, BookSnapshot)]


def test_book_of_other_prices_than_the_tick_allows_is_withheld_named_once_and_released(driver):
    assert give(driver, whole_book(0.00008123, 0.00008124, 0.00008125))
    driver.on_rules(told_rules(tick="0.0001"), 3 * S)
    (alert,) = [m for m in driver._out.messages if isinstance(m, Alert)]
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
    (alert,) = [m for m in driver._out.messages if isinstance(m, Alert)]
    assert (alert.severity, alert.code) == (Severity.WARNING, "VENUE_STATE")
    down = BookStatus("BTC/USDT", BookState.DOWN, "the venue's system is cancel_only", 6)
    give(driver, VenueState("the venue's system is cancel_only"), down)
    (status,) = driver.statuses(3 * S)
    assert "cancel_only" in status.reason and not status.refused
    assert "cancel_only" in driver.unready()
    give(driver, VenueState(""), BookStatus("BTC/USDT", BookState.LIVE, "", 7))
    assert [m.severity for m in driver._out.messages if isinstance(m, Alert)] == [Severity.INFO]
    assert driver.unready() == ""
