"""The generated market: repeatable, never crossed, paying now and then."""

from __future__ import annotations

from decimal import Decimal

from services.venuesim.app import Options, VenueSim
from shared.exchange.exchange import Exchange
from shared.exchange.orders import IncomingOrder
from shared.messages.base import Side
from shared.messages.terms import OrderType
from shared.venues.registry import ADAPTERS, load_simulated

FEES_BPS = {name: float(load_simulated(name).LISTINGS[0].taker_bps) for name in ADAPTERS}


def market(seed: int) -> VenueSim:
    return VenueSim(Options(seed=seed))


def books(sim: VenueSim) -> dict:
    return {
        (venue, name): (book.seq, book.bids.depth(500), book.asks.depth(500))
        for venue, simulated in sim.venues.items()
        for name, book in simulated.exchange.books.items()
    }


def test_the_same_seed_gives_the_same_market() -> None:
    one, two, other = market(3), market(3), market(4)
    for sim in (one, two, other):
        for _ in range(100):
            sim.step()
    assert books(one) == books(two)
    assert books(one) != books(other)


def test_books_are_deep_and_never_crossed() -> None:
    sim = market(5)
    for _ in range(400):
        sim.step()
        for (venue, name), (_, bids, asks) in books(sim).items():
            assert bids and asks, (venue, name)
            assert bids[0][0] < asks[0][0], (venue, name)
            assert all(lots > 0 for _, lots in (*bids, *asks))
    assert all(len(bids) > 40 and len(asks) > 40 for _, bids, asks in books(sim).values())


def best_edges_bps(sim: VenueSim) -> list[float]:
    """Edges after taker fees of every pair of venues, over all assets."""
    edges = []
    for base in ("BTC", "ETH", "SOL"):
        best = {}
        for venue, simulated in sim.venues.items():
            exchange = simulated.exchange
            listing = next(x for x in exchange.by_instrument.values() if x.base == base)
            book = exchange.books[listing.instrument]
            bid, ask = book.bids.best(), book.asks.best()
            assert bid and ask
            best[venue] = (float(listing.price(bid)), float(listing.price(ask)))
        edges += [
            (best[sell][0] / best[buy][1] - 1) * 10_000 - FEES_BPS[buy] - FEES_BPS[sell]
            for buy in best
            for sell in best
            if buy != sell
        ]
    return edges


def test_some_dislocations_pay_after_fees_and_most_of_the_time_nothing_does() -> None:
    sim = market(6)
    pays, gross = [], 0
    for _ in range(20 * 60):
        sim.step()
        edges = best_edges_bps(sim)
        pays.append(max(edges) > 2.0)
        gross += any(edge > -14.0 for edge in edges) and not pays[-1]
    starts = sum(now and not before for before, now in zip([False, *pays], pays, strict=False))
    assert 3 <= starts <= 30, f"{starts} paying dislocations in a minute"
    assert sum(pays) < len(pays) / 3
    assert gross > 0, "no near miss"
    assert any(pays[: 20 * 10]), "nothing paid within the first ten seconds"


def buy(exchange: Exchange, share: float) -> tuple[int, int]:
    """Take a share of the best twenty ask levels; return the best ask before and after."""
    listing = exchange.by_instrument["BTC/USDT"]
    book = exchange.books["BTC/USDT"]
    before = book.asks.best()
    lots = int(sum(n for _, n in book.asks.depth(20)) * share)
    request = IncomingOrder(
        listing, listing.terms(Side.BUY, listing.qty(lots), None, OrderType.MARKET), "taker"
    )
    exchange.place(request, 0)
    after = book.asks.best()
    assert before and after
    return before, after


def test_what_a_client_takes_comes_back_only_gradually() -> None:
    sim = market(7)
    for _ in range(20):
        sim.step()
    exchange = sim.venues["kraken"].exchange
    before, after = buy(exchange, 0.9)
    assert after > before
    sim.step()
    fair = sim.context.fair("kraken", "BTC")
    soon = exchange.books["BTC/USDT"].asks.best()
    assert soon and soon > before
    for _ in range(20 * 10):
        sim.step()
    listing = exchange.by_instrument["BTC/USDT"]
    late = exchange.books["BTC/USDT"].asks.best()
    assert late
    gap_bps = (float(listing.price(late)) / sim.context.fair("kraken", "BTC") - 1) * 10_000
    assert gap_bps < (float(listing.price(soon)) / fair - 1) * 10_000
    assert gap_bps < 2.0, "the price has not come back"
    assert exchange.ledger.balance("BTC").free > Decimal(100)
