"""Simulated markets between assets: consistent, apart now and then, and a peg that breaks."""

from __future__ import annotations

import pytest

from services.venuesim.__main__ import parse_arguments
from services.venuesim.app import Options, VenueSim
from shared.exchange.crosses import DEPEG_FIRST_S
from shared.exchange.generator import TICK_MS
from tests.unit.test_venuesim_market import books

LEGS = ("BTC/USDT", "ETH/BTC", "ETH/USDT")


def market(seed: int = 7, **options: float) -> VenueSim:
    return VenueSim(Options(seed=seed, more_markets=True, **options))


def middle(sim: VenueSim, venue: str, name: str) -> float:
    exchange = sim.venues[venue].exchange
    listing, book = exchange.by_instrument[name], exchange.books[name]
    bid, ask = book.bids.best(), book.asks.best()
    assert bid
    assert ask
    return float(listing.price(bid) + listing.price(ask)) / 2


def test_other_markets_are_the_same_with_these_and_without() -> None:
    plain, more = VenueSim(Options(seed=7)), market()
    for sim in (plain, more):
        for _ in range(300):
            sim.step()
    before, after = books(plain), books(more)
    # Of a venue's own numbers the sequence is shared by its books; levels are not.
    assert {key: book[1:] for key, book in before.items()} == {
        key: after[key][1:] for key in before
    }
    assert {name for _, name in after.keys() - before.keys()} == {
        "ETH/BTC",
        "BNB/BTC",
        "BTC/USDC",
        "USDC/USDT",
        "BTC/USD",
    }


def test_the_same_seed_gives_the_same_crosses() -> None:
    one, two, other = market(3), market(3), market(4)
    for sim in (one, two, other):
        for _ in range(100):
            sim.step()
    assert books(one) == books(two)
    assert books(one) != books(other)


def test_a_triangle_is_consistent_and_pays_after_fees_now_and_then() -> None:
    sim = market()
    edges = []
    for _ in range(1_200):
        sim.step()
        btc, eth_btc, eth = (middle(sim, "binance", name) for name in LEGS)
        edges.append(abs(eth / (btc * eth_btc) - 1) * 1e4)
    assert sorted(edges)[len(edges) // 2] < 4, "mostly they agree, to their spreads"
    paying = [edge for edge in edges if edge > 3 * 10]
    assert 10 < len(paying) < 400


def test_a_stable_coin_keeps_its_peg_unless_asked_to_break_it() -> None:
    ticks = round((DEPEG_FIRST_S + 8) * 1_000 / TICK_MS)
    calm, broken = market(), market(depeg_bps=150.0)
    least = {id(sim): 1.0 for sim in (calm, broken)}
    for sim in (calm, broken):
        for _ in range(ticks):
            sim.step()
            least[id(sim)] = min(least[id(sim)], middle(sim, "gateio", "USDC/USDT"))
    assert least[id(calm)] > 0.999
    assert least[id(broken)] == pytest.approx(0.985, abs=0.001)


def test_a_market_that_somebody_trades_in_comes_back_sooner() -> None:
    taken, left = market(5), market(5)
    for sim in (taken, left):
        crosses = sim._market.crosses
        while not crosses.apart_bps:
            sim.step()
        if sim is taken:
            for venue, instrument in crosses.apart_bps:
                crosses.absorb(venue, instrument)
        for _ in range(10):
            sim.step()
    sizes = [
        sum(abs(bps) for bps in sim._market.crosses.apart_bps.values()) for sim in (taken, left)
    ]
    assert sizes[0] < sizes[1] * 0.7


def test_options_that_cannot_be_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--depeg-bps", "-1"], ["--more-markets", "--capture", "x"]):
        with pytest.raises(SystemExit) as ended:
            parse_arguments(arguments)
        assert ended.value.code == 2
        assert arguments[0] in capsys.readouterr().err
