"""An exchange made again from its records is the one that was recorded, whatever happened to it."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.exchange.exchange import Exchange
from shared.exchange.funding import Funding, FundingTerms
from shared.exchange.matching import BookSide
from shared.exchange.order_log import ORDERS_MAX
from shared.exchange.orders import RefusedError
from shared.exchange.restore import rest_orders, restore
from shared.exchange.state import TRADE_IDS_AHEAD, Change, Recorder
from shared.messages.base import Side
from tests.property.test_exchange_money import MID, act, exchange_of, steps

KINDS = ("fees in BNB", "fees in quote", "perpetual", "inverse")
SETTLES_MS = 1_000


def open_kind(kind: str, orders_max: int = ORDERS_MAX) -> tuple[Exchange, Funding | None]:
    exchange = exchange_of(kind)
    exchange.log.orders_max = orders_max
    if kind not in ("perpetual", "inverse"):
        return exchange, None
    funding = Funding(
        exchange.ledger,
        tuple(exchange.by_instrument.values()),
        mark=lambda _: Decimal(MID + 20),
        index=lambda _: Decimal(MID),
        terms=FundingTerms(SETTLES_MS),
    )
    return exchange, funding


def sent(change: Change) -> Change:
    """As a file gives it back."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(change), type=Change)


def restored(kind: str, changes: list[Change], **limits: int) -> tuple[Exchange, Funding | None]:
    exchange, funding = open_kind(kind, **limits)
    restore(exchange, funding, [sent(change) for change in changes])
    rest_orders(exchange)
    return exchange, funding


def content(exchange: Exchange, funding: Funding | None) -> dict[str, Any]:
    """Everything that a client can ask of its account, and what later answers depend on."""
    ledger, log = exchange.ledger, exchange.log
    return {
        "orders": list(log.orders.items()),
        "open": list(log.open),
        "closed": list(log.closed),
        "fills": list(log.fills),
        "forgotten": exchange.forgotten,
        "last_order_id": exchange.last_order_id,
        "balances": ledger.balances,
        "positions": ledger.positions,
        "moved": (ledger.house, ledger.fees, ledger.funding, list(ledger.fundings)),
        "found": [log.find(None, f"c{n}") for n in range(60)],
        "reducing": [log.reduce_only.closing(x) for x in exchange.by_instrument.values()],
        "funding": funding
        and (list(funding.payments), funding.settled, funding.due_ms, funding.next_payment_id),
    }


def queues(exchange: Exchange) -> list[list[list[int]]]:
    """The clients' orders of every level, in the order in which they will be filled."""
    sides = [side for book in exchange.books.values() for side in (book.bids, book.asks)]
    levels = [side.levels[price] for side in sides for price in sorted(side.levels)]
    own = [[entry for entry in level.queue if entry[0]] for level in levels]
    return [entries for entries in own if entries]


def play(
    kind: str, taken: list, whole_every: int, **limits: int
) -> tuple[Exchange, Funding | None, list[Change]]:
    """Let everything happen; return the records since the last one that was whole."""
    exchange, funding = open_kind(kind, **limits)
    recorder = Recorder(exchange, funding)
    changes = [recorder.everything()]
    for number, step in enumerate(taken):
        with contextlib.suppress(RefusedError):  # an answer like others; nothing changed
            act(exchange, step, number)
        if funding is not None:
            funding.on_time(1_000_000 + number * SETTLES_MS // 3)
        recorder.look()
        if number % whole_every == whole_every - 1:
            changes = [recorder.everything()]
        elif recorder.has_news:
            changes.append(recorder.take())
    return exchange, funding, changes


@pytest.mark.parametrize("kind", KINDS)
@given(taken=steps, whole_every=st.integers(5, 70))
@settings(max_examples=60, deadline=None)
def test_a_restored_exchange_is_the_one_that_was_recorded(kind, taken, whole_every):
    exchange, funding, changes = play(kind, taken, whole_every)
    again = restored(kind, changes)
    assert content(*again) == content(exchange, funding)
    assert queues(again[0]) == queues(exchange)
    for instrument, newest in exchange.trade_ids.newest_of.items():
        ahead = again[0].trade_ids.newest_of[instrument] - newest
        assert 0 <= ahead <= TRADE_IDS_AHEAD
    for asset in ("USDT", "BTC", "BNB"):
        assert again[0].ledger.total(asset) == exchange.ledger.total(asset)


@pytest.mark.parametrize("kind", KINDS)
@given(taken=steps, later=steps)
@settings(max_examples=30, deadline=None)
def test_it_goes_on_as_the_other_would_have(kind, taken, later):
    exchange, funding, changes = play(kind, taken, whole_every=1_000)
    for name, book in exchange.books.items():  # nobody but the account is left in the market
        listing = exchange.by_instrument[name]
        for side in (book.bids, book.asks):
            for price in tuple(side.prices()):
                exchange.background_quote(listing, _side_of(side), price, 0, 0)
    again, its_funding = restored(kind, changes)
    before = len(exchange.fills)
    for number, step in enumerate(later, start=1_000):
        said = [_act(each, step, number) for each in (exchange, again)]
        assert said[0] == said[1]
    told = [content(each, of) for each, of in ((exchange, funding), (again, its_funding))]
    ids = [[fill.trade_id for fill in each.fills] for each in (exchange, again)]
    assert len(ids[0]) == len(ids[1])
    for name in ("open", "closed", "balances", "positions", "moved", "last_order_id", "reducing"):
        assert told[0][name] == told[1][name], name
    assert not set(ids[1][before:]) & set(ids[0][:before]), "a trade id repeats"


def _side_of(side: BookSide) -> Side:
    return Side.BUY if side.sign < 0 else Side.SELL


def _act(exchange: Exchange, step: tuple, number: int) -> str:
    try:
        act(exchange, step, number)
    except RefusedError as error:
        return str(error.reason)
    return ""


@given(taken=steps)
@settings(max_examples=30, deadline=None)
def test_what_is_forgotten_is_forgotten_after_it_too(taken):
    exchange, funding, changes = play("fees in quote", taken, whole_every=7, orders_max=3)
    again = restored("fees in quote", changes, orders_max=3)
    assert content(*again) == content(exchange, funding)
    assert len(exchange.log.closed) <= 3


def test_trade_ids_are_set_aside_before_they_are_used_up():
    exchange, _ = open_kind("fees in quote")
    recorder = Recorder(exchange, None)
    name = next(iter(exchange.by_instrument))
    aside = [recorder.everything().counters.trade_ids[name]]
    for _ in range(3 * TRADE_IDS_AHEAD):
        assert exchange.trade_ids.next(name) <= aside[-1]
        recorder.look()
        if recorder.has_news:
            aside.append(recorder.take().counters.trade_ids[name])
    assert len(aside) < 10, "rarely"
    assert all(later > earlier for earlier, later in pairwise(aside))
