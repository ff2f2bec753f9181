"""Inverse perpetuals at the simulated Bybit: what is listed, and orders by the gateway and ccxt."""

from __future__ import annotations

from decimal import Decimal as D

from services.venuesim.app import Options
from shared.accounts.ccxt_gateway import CcxtGateway
from shared.accounts.gateway import OrderRequest
from shared.accounts.venue_capabilities import load_quirks
from shared.clock import SystemClock
from shared.domain.accounting import Books
from shared.domain.executions import Execution, cost_of
from shared.messages.base import Side
from shared.messages.terms import OrderTerms
from shared.venues.registry import load_feed
from tests.integration.test_funding_paid import made_client
from tests.integration.venuesim_clients import client, simulation
from tests.support import eventually

NAME = "BTC/USD:BTC"
OPTIONS = Options(
    seed=5,
    funding_interval_s=1,
    funding_rate_interval_s=28_800,
    more_venues=True,
    more_markets=True,
)


async def test_an_unmodified_client_and_the_rules_agree_on_contracts() -> None:
    async with simulation(OPTIONS) as (server, _), client(server, "bybit") as exchange:
        markets = await exchange.load_markets()
        market = markets[NAME]
        assert (market["inverse"], market["settle"], market["contractSize"]) == (True, "BTC", 1)
        rules = load_feed("bybit").rules("bybit", market)
        assert (rules.lot_size, rules.qty_min, rules.contract_size) == (1, 1, 1)
        assert rules.active
        linear = markets["BTC/USDT:USDT"]
        assert (linear["linear"], linear["settle"]) == (True, "USDT")
        book = await exchange.watch_order_book(NAME, 50)
        assert 50_000 < book["bids"][0][0] < book["asks"][0][0]
        assert all(size == int(size) for _, size in book["bids"])
        ticker = await exchange.fetch_ticker(NAME)
        assert float(ticker["info"]["markPrice"]) > 0
        rate = await exchange.fetch_funding_rate(NAME)
        assert rate["fundingTimestamp"] % 1_000 == 0


async def test_our_accounts_are_the_venue_s_in_coins_to_the_last_digit() -> None:
    async with simulation(OPTIONS) as (server, _), client(server, "bybit") as exchange:
        await exchange.load_markets()
        venue = server.sim.venues["bybit"]
        balance = venue.exchange.ledger.balance("BTC")
        began, before_ns = balance.free + balance.used, SystemClock().now_ns() - 10**9
        gateway = CcxtGateway(
            "bybit", made_client(server, "bybit"), load_quirks("bybit"), SystemClock()
        )
        try:
            await gateway.start()

            async def trade(
                number: int, side: Side, qty: int, *, reduce_only: bool = False
            ) -> None:
                best = (await exchange.fetch_order_book(NAME))[
                    "asks" if side is Side.BUY else "bids"
                ]
                limit = D(str(best[0][0])) * (D("1.01") if side is Side.BUY else D("0.99"))
                order = OrderRequest(
                    client_order_id=f"abinverse{number}",
                    terms=OrderTerms(
                        venue="bybit",
                        instrument=NAME,
                        side=side,
                        qty=D(qty),
                        price_limit=limit.quantize(D(1)),
                    ),
                    reduce_only=reduce_only,
                )
                await gateway.submit(order)

            await trade(1, Side.SELL, 120_000)
            await trade(2, Side.SELL, 33_333)
            held = await gateway.positions([NAME, "BTC/USDT:USDT"])
            assert held == {NAME: D(-153_333)}
            (shown,) = await exchange.fetch_positions([NAME])
            assert (shown["side"], shown["contracts"]) == ("short", 153_333)
            await eventually(lambda: len(venue.funding.payments) >= 2, timeout_s=30)
            await trade(3, Side.BUY, 50_000, reduce_only=True)
            await trade(4, Side.BUY, 103_333, reduce_only=True)
            assert not any((await gateway.positions([NAME])).values())

            fills = await gateway.fills_since([NAME], before_ns)
            paid = await gateway.funding_since([NAME], before_ns)
            books = Books()
            for fill in fills:
                assert fill.fee_asset == "BTC" and fill.fee is not None
                books.trade(
                    Execution(
                        venue="bybit",
                        instrument=NAME,
                        side=fill.side,
                        qty=fill.qty,
                        cost=cost_of(NAME, fill.qty, fill.price),
                        fee=fill.fee,
                        fee_asset=fill.fee_asset,
                    )
                )
            for each in paid:
                assert (each.instrument, each.asset) == (NAME, "BTC")
                books.fund("bybit", NAME, each.amount, each.asset)
            change = balance.free + balance.used - began
            assert change and set(books.results) == {"BTC"}
            assert books.inventory_change() == {"bybit": {"BTC": change}}
            result = books.results["BTC"]
            assert result.realized == change
            assert result.funding == sum((each.amount for each in paid), D(0)) != 0
            told = (await gateway.balances())["BTC"]
            assert told.free + told.used == balance.free + balance.used
        finally:
            await gateway.close()
