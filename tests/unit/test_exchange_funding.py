"""Funding of simulated perpetuals: rates, settlements, payments, premiums that converge."""

from __future__ import annotations

import itertools
from dataclasses import replace
from decimal import Decimal

import pytest

from shared.exchange.accounts import AccountLedger
from shared.exchange.exchange import Exchange
from shared.exchange.funding import HISTORY_START, Funding, FundingTerms, Payment
from shared.exchange.generator import MarketGenerator, Shape
from shared.exchange.orders import IncomingOrder
from shared.exchange.premiums import Premiums
from shared.messages.base import Side
from shared.messages.terms import OrderType
from shared.simulated.context import Context
from shared.simulated.faults import FaultTable
from shared.venues.binance.simulated.listing import LISTINGS as SPOT
from shared.venues.binanceusdm.simulated.listing import LISTINGS
from shared.venues.registry import TRADED, load_simulated

BTC, ETH, _ = LISTINGS
HOUR_MS = 3_600_000
START_MS = 1_700_000_000_000
INTERVAL_MS = 60_000


class World:
    """A ledger, prices that can be set, and funding every minute."""

    def __init__(self, **terms) -> None:
        self.ledger = AccountLedger({"USDT": Decimal(1_000_000)}, Decimal(20))
        self.mark = {x.instrument: Decimal(60_000) for x in LISTINGS}
        self.index = Decimal(60_000)
        self.paid: list[Payment] = []
        self.funding = Funding(
            self.ledger,
            LISTINGS,
            mark=lambda listing: self.mark[listing.instrument],
            index=lambda listing: self.index,
            terms=FundingTerms(**{"interval_ms": INTERVAL_MS, **terms}),
        )
        self.funding.listeners.append(self.paid.append)
        self.now_ms = START_MS
        self.funding.on_time(self.now_ms)

    def hold(self, side: Side, qty: str) -> None:
        price = self.mark[BTC.instrument]
        self.ledger.settle_perpetual(BTC, side, Decimal(qty), price)

    def pass_interval(self) -> None:
        end_ms = self.funding.next_ms(self.now_ms)
        while self.now_ms < end_ms:
            self.now_ms += 1_000
            self.funding.on_time(self.now_ms)


@pytest.mark.parametrize(
    ("premium", "rate"),
    [
        ("0", "0.0001"),  # within 5 bps of the interest it is the interest
        ("0.0006", "0.0001"),
        ("-0.0004", "0.0001"),
        ("0.001", "0.0005"),
        ("-0.001", "-0.0005"),
        ("1", "0.02"),
        ("-1", "-0.02"),
    ],
)
def test_the_rate_of_eight_hours(premium: str, rate: str) -> None:
    assert FundingTerms().rate_of(Decimal(premium)) == Decimal(rate)


def test_a_shorter_interval_pays_its_share() -> None:
    terms = FundingTerms(interval_ms=HOUR_MS)
    assert terms.rate_of(Decimal(0)) == Decimal("0.00001250")
    assert terms.rate_of(Decimal("0.01")) == Decimal("0.00118750")


@pytest.mark.parametrize(("side", "sign"), [(Side.BUY, -1), (Side.SELL, 1)])
def test_longs_pay_a_positive_rate_on_the_position_then_held(side: Side, sign: int) -> None:
    world = World(interval_ms=8 * HOUR_MS)
    world.now_ms = world.funding.next_ms(world.now_ms) - 5_000
    world.hold(side, "0.5")
    free = world.ledger.balance("USDT").free
    total = world.ledger.total("USDT")
    world.pass_interval()
    (payment,) = world.paid
    assert payment.amount == sign * Decimal("0.5") * 60_000 * Decimal("0.0001")
    assert world.ledger.balance("USDT").free == free + payment.amount
    assert world.ledger.total("USDT") == total, "the house has the other side"
    assert (payment.asset, payment.listing) == ("USDT", BTC)


def test_only_the_position_at_the_instant_counts() -> None:
    world = World()
    world.hold(Side.BUY, "1")
    world.hold(Side.SELL, "1")
    world.pass_interval()
    assert world.paid == []


DERIVATIVES = [name for name in TRADED if load_simulated(name).LISTINGS[0].perpetual]


@pytest.mark.parametrize("adapter", DERIVATIVES)
def test_an_order_just_after_the_instant_changes_nothing_of_it(adapter: str) -> None:
    """Venues settle with a tick, up to a second late; a position closed meanwhile was held."""
    prices = {"BTC": 60_000.0, "ETH": 3_000.0, "SOL": 150.0}
    context = Context(
        1,
        FaultTable({}),
        lambda: START_MS * 1_000_000,
        lambda venue, base: prices.get(base, 1.0),
        lambda delay_s, action: None,
        funding_interval_ms=INTERVAL_MS,
    )
    venue = load_simulated(adapter).open_venue(context, ())
    exchange = venue.exchange
    listing = next(iter(exchange.by_instrument.values()))
    MarketGenerator([exchange], 1).step(START_MS)
    instant_ms = venue.funding.next_ms(START_MS)

    def trade(side: Side, now_ms: int) -> None:
        terms = listing.terms(side, listing.qty(10), None, OrderType.MARKET)
        assert exchange.place(IncomingOrder(listing, terms, f"{now_ms}"), now_ms).fills

    venue.funding.on_time(START_MS)
    trade(Side.BUY, instant_ms)  # who trades at the instant holds it then, as in our books
    trade(Side.SELL, instant_ms + 1)
    venue.funding.on_time(instant_ms + 900)
    (paid,) = venue.funding.payments
    assert (paid.listing, paid.ts_ms) == (listing, instant_ms)
    assert paid.amount < 0


def test_later_samples_of_the_premium_weigh_more() -> None:
    late, early = World(), World()
    for number in range(58):
        for world, is_high in ((late, number > 28), (early, number <= 28)):
            world.mark[BTC.instrument] = Decimal(66_000 if is_high else 60_000)
            world.now_ms += 1_000
            world.funding.on_time(world.now_ms)
    assert late.funding.rate(BTC) > early.funding.rate(BTC) > 0


def test_history_is_what_settled_and_each_interval_begins_anew() -> None:
    world = World()
    world.mark[BTC.instrument] = Decimal(120_000)
    world.pass_interval()
    high = world.funding.history(BTC, world.now_ms)[-1]
    assert (high.ts_ms, high.mark) == (world.now_ms, Decimal(120_000))
    assert high.ts_ms % INTERVAL_MS == 0
    world.mark[BTC.instrument] = Decimal(60_000)
    world.pass_interval()
    history = world.funding.history(BTC, world.now_ms)
    assert len(history) == HISTORY_START + 2
    assert history[-1].rate < high.rate
    assert [b.ts_ms - a.ts_ms for a, b in zip(history, list(history)[1:], strict=False)] == (
        [INTERVAL_MS] * (HISTORY_START + 1)
    )


def test_a_long_pause_settles_the_first_and_the_last() -> None:
    world = World()
    world.hold(Side.BUY, "1")
    world.funding.on_time(world.now_ms + 10 * INTERVAL_MS)
    assert 1 <= len(world.paid) <= 2


def test_premiums_jump_converge_and_repeat_by_seed() -> None:
    def run(seed: int) -> list[float]:
        premiums = Premiums([("v", "BTC")], seed, tick_ms=50, size_bps=40.0)
        found = []
        for tick in range(1, 4_000):
            premiums.step(tick)
            found.append(premiums.bps["v", "BTC"])
        return found

    series = run(3)
    assert series == run(3) != run(4)
    assert 10 < max(map(abs, series)) <= 80
    assert sum(abs(b) < abs(a) for a, b in itertools.pairwise(series)) > 3_900


def generated(premium_bps: float) -> tuple[MarketGenerator, list[float]]:
    exchanges = [
        Exchange(x[0].venue, x, fee_asset="", start={}, seed=7) for x in (SPOT[:2], LISTINGS[:2])
    ]
    market = MarketGenerator(exchanges, 7, Shape(premium_bps=premium_bps))
    seen = []
    for tick in range(300):
        market.step(START_MS + 50 * tick)
        seen += [market.fair(SPOT[0].venue, "BTC"), market.index("BTC")]
    return market, seen


def test_premiums_move_perpetuals_and_nothing_else() -> None:
    calm, without = generated(0.0)
    wild, with_premiums = generated(200.0)
    assert without == with_premiums
    apart = [
        wild.fair(LISTINGS[0].venue, b) / calm.fair(LISTINGS[0].venue, b) for b in ("BTC", "ETH")
    ]
    assert max(abs(ratio - 1) for ratio in apart) > 0.002


def test_an_inverse_contract_is_paid_in_coins() -> None:
    inverse = replace(BTC, instrument="BTC/USD:BTC", quote="USD", qty_scale=0, inverse=True)
    ledger = AccountLedger({"BTC": Decimal(1)}, Decimal(20))
    funding = Funding(
        ledger,
        [inverse],
        mark=lambda _: Decimal(50_000),
        index=lambda _: Decimal(50_000),
        terms=FundingTerms(INTERVAL_MS),
    )
    funding.on_time(START_MS)
    ledger.settle_perpetual(inverse, Side.SELL, Decimal(10_000), Decimal(50_000))
    assert ledger.position_margin("BTC") == Decimal("0.01")
    funding.on_time(funding.next_ms(START_MS))
    (paid,) = funding.payments
    rate = funding.history(inverse, START_MS)[-1].rate
    assert (paid.asset, paid.amount) == ("BTC", (Decimal("0.2") * rate).quantize(Decimal("1e-8")))
    assert ledger.balance("BTC").free == 1 + paid.amount
