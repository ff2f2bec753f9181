"""Dead-man's switches of simulated venues: what they cancel, and when."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from services.lab.listings import LISTINGS
from services.lab.variety import PLENTY
from shared.exchange.countdowns import WHOLE_ACCOUNT, Countdowns
from shared.exchange.exchange import Exchange
from shared.exchange.orders import IncomingOrder, Order
from shared.messages.base import Side
from shared.messages.terms import TimeInForce

BTC, SOL = "BTC/USDT", "SOL/USDT"


def resting(exchange: Exchange, instrument: str) -> Order:
    listing = exchange.by_instrument[instrument]
    price = D(100)
    terms = listing.terms(Side.BUY, D(1), price, time_in_force=TimeInForce.GTC)
    return exchange.place(IncomingOrder(listing=listing, terms=terms, client_id=instrument), 0)


@pytest.fixture
def exchange() -> Exchange:
    return Exchange("alpha", LISTINGS[0], fee_asset="", start=PLENTY, seed=1)


def test_an_instrument_is_canceled_when_its_time_has_come_and_no_other(exchange: Exchange) -> None:
    btc, sol, switches = resting(exchange, BTC), resting(exchange, SOL), Countdowns(exchange)
    switches.set(BTC, 1_000, 50)
    assert switches.fire(1_049) == 0
    assert switches.fire(1_050, "dead man") == 1
    assert (btc.is_open, sol.is_open, btc.reason) == (False, True, "dead man")


def test_one_for_the_whole_account_cancels_all_once(exchange: Exchange) -> None:
    resting(exchange, BTC)
    resting(exchange, SOL)
    switches = Countdowns(exchange)
    switches.set(WHOLE_ACCOUNT, 1_000, 0)
    assert switches.fire(1_000) == 2
    late = resting(exchange, BTC)
    assert switches.fire(9_000) == 0
    assert late.is_open


def test_it_is_renewed_and_turned_off(exchange: Exchange) -> None:
    order, switches = resting(exchange, BTC), Countdowns(exchange)
    switches.set(BTC, 1_000, 0)
    switches.set(BTC, 1_000, 900)
    assert switches.fire(1_000) == 0
    switches.set(BTC, 0, 1_100)
    assert switches.fire(9_000) == 0
    assert order.is_open
