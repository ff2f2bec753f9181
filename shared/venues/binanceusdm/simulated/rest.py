"""The simulated USDT-M REST API ``/fapi``: orders and account (public answers: ``market``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.exchange.countdowns import Countdowns
from shared.exchange.exchange import Exchange
from shared.exchange.funding import Funding
from shared.simulated.faults import FaultTable
from shared.simulated.rest import Request
from shared.venues.binance.simulated import orders as common
from shared.venues.binance.simulated.key_rights import KEY_RIGHTS, key_rights
from shared.venues.binance.simulated.rest import Route, SpotRest, selected_fills
from shared.venues.binance.simulated.signing import ApiError, Credentials, RateMeter
from shared.venues.binanceusdm.simulated import orders as formats
from shared.venues.binanceusdm.simulated.changes import Changes
from shared.venues.binanceusdm.simulated.holdings import Holdings
from shared.venues.binanceusdm.simulated.market import FuturesMarketData, paged, span

LISTEN_KEY = "simulated-listen-key"
LISTEN_KEY_LIFE_MS = 60 * 60_000
FUNDING_FEE = "FUNDING_FEE"


class FuturesRest(SpotRest):
    """Endpoints of USDT-M; what is the same as on spot is inherited."""

    venue = "binanceusdm"
    futures = True
    restricted_error = (-4088, "User can not place order currently")

    def __init__(
        self,
        exchange: Exchange,
        faults: FaultTable,
        credentials: Credentials,
        funding: Funding,
    ) -> None:
        self.funding = funding
        self.listen_key_until_ms = 0
        self.countdowns = Countdowns(exchange)
        self.market = FuturesMarketData(exchange, funding)
        self.holdings = Holdings(exchange, funding.mark)
        self.changes = Changes(self)
        super().__init__(exchange, faults, credentials)
        self.meter = RateMeter(2_400, 300)

    def _routes(self) -> dict[tuple[str, str], Route]:
        v1, v2, v3, market = "/fapi/v1/", "/fapi/v2/", "/fapi/v3/", self.market
        batch, changes = v1 + "batchOrders", self.changes
        routes = {
            ("GET", v1 + "ping"): Route(lambda p, now: {}, weight=1),
            ("GET", v1 + "time"): Route(lambda p, now: {"serverTime": now}, weight=1),
            ("GET", v1 + "exchangeInfo"): Route(market.exchange_info, weight=1),
            ("GET", v1 + "depth"): Route(market.depth, weight=0),
            ("GET", v1 + "trades"): Route(market.trades, weight=5),
            ("GET", v1 + "aggTrades"): Route(market.aggregate_trades, weight=20),
            ("GET", v1 + "ticker/bookTicker"): Route(market.book_ticker, weight=2),
            ("GET", v1 + "ticker/price"): Route(market.ticker_price, weight=1),
            ("GET", v2 + "ticker/price"): Route(market.ticker_price, weight=1),
            ("GET", v1 + "ticker/24hr"): Route(market.ticker_day, weight=1),
            ("GET", v1 + "premiumIndex"): Route(market.premium_index, weight=1),
            ("GET", v1 + "fundingRate"): Route(market.funding_rate, weight=1),
            ("GET", v1 + "fundingInfo"): Route(market.funding_info, weight=1),
            ("POST", v1 + "order"): Route(self.new_order, weight=0, auth="SIGNED", is_order=True),
            ("POST", v1 + "order/test"): Route(self.test_order, weight=1, auth="SIGNED"),
            ("PUT", v1 + "order"): Route(changes.modify, weight=0, auth="SIGNED", is_order=True),
            ("POST", batch): Route(changes.place_batch, weight=5, auth="SIGNED"),
            ("PUT", batch): Route(changes.modify_batch, weight=5, auth="SIGNED"),
            ("DELETE", batch): Route(changes.cancel_batch, weight=1, auth="SIGNED"),
            ("DELETE", v1 + "order"): Route(self.cancel_order, weight=1, auth="SIGNED"),
            ("GET", v1 + "order"): Route(self.query_order, weight=1, auth="SIGNED"),
            ("GET", v1 + "openOrder"): Route(self.query_open, weight=1, auth="SIGNED"),
            ("GET", v1 + "openOrders"): Route(self.open_orders, weight=1, auth="SIGNED"),
            ("DELETE", v1 + "allOpenOrders"): Route(self.cancel_all, weight=1, auth="SIGNED"),
            ("GET", v1 + "allOrders"): Route(self.all_orders, weight=5, auth="SIGNED"),
            ("GET", v1 + "userTrades"): Route(self.my_trades, weight=5, auth="SIGNED"),
            ("GET", v1 + "income"): Route(self.income, weight=30, auth="SIGNED"),
            ("GET", v1 + "leverageBracket"): Route(self.leverage_bracket, weight=1, auth="SIGNED"),
            ("GET", v1 + "commissionRate"): Route(self.commission_rate, weight=20, auth="SIGNED"),
            ("GET", v1 + "accountConfig"): Route(self.account_config, weight=5, auth="SIGNED"),
            ("GET", v1 + "positionSide/dual"): Route(self.position_mode, weight=30, auth="SIGNED"),
            ("GET", v1 + "multiAssetsMargin"): Route(self.margin_mode, weight=30, auth="SIGNED"),
            ("POST", v1 + "leverage"): Route(self.set_leverage, weight=1, auth="SIGNED"),
            ("POST", v1 + "countdownCancelAll"): Route(self.countdown, weight=10, auth="SIGNED"),
            ("GET", KEY_RIGHTS): Route(lambda p, now: key_rights(self.account_state), 1, "SIGNED"),
            ("POST", v1 + "listenKey"): Route(self.listen_key, weight=1, auth="KEY"),
            ("PUT", v1 + "listenKey"): Route(self.listen_key, weight=1, auth="KEY"),
            ("DELETE", v1 + "listenKey"): Route(self.end_listen_key, weight=1, auth="KEY"),
        }
        for version in (v2, v3):
            routes["GET", version + "account"] = Route(
                self.holdings.account, weight=5, auth="SIGNED"
            )
            routes["GET", version + "balance"] = Route(
                self.holdings.balance, weight=5, auth="SIGNED"
            )
            routes["GET", version + "positionRisk"] = Route(
                self.holdings.position_risk, weight=5, auth="SIGNED"
            )
        return routes

    def check_enabled(self, sent: Request) -> None:
        """Nothing: USDT-M's listings exclude no endpoint."""

    # -- orders ------------------------------------------------------------------------------

    def new_order(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Place an order; answers ACK unless RESULT is asked for."""
        order = self.place(parameters, now_ms)
        result = parameters.get("newOrderRespType") == "RESULT"
        return formats.futures_order(order) if result else formats.acknowledged(order)

    def cancel_order(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Cancel an order."""
        order, _ = self.cancel(parameters, now_ms)
        return formats.futures_order(order)

    def query_order(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Answer the state of one order."""
        return formats.futures_order(self.wanted_order(parameters, -2013, "Order does not exist."))

    def query_open(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Answer the state of one open order."""
        order = self.wanted_order(parameters, -2013, "Order does not exist.")
        if not order.is_open:
            raise ApiError(-2013, "Order does not exist.")
        return formats.futures_order(order)

    def open_orders(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Answer open orders."""
        return [formats.futures_order(order) for order in self.selected_open(parameters)]

    def cancel_all(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Cancel all open orders of a symbol."""
        common.listing_of(self.exchange, parameters)
        for order in self.selected_open(parameters):
            self.exchange.cancel(order, now_ms)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def all_orders(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Answer open and closed orders of a symbol."""
        return [formats.futures_order(order) for order in self.selected_orders(parameters)]

    def my_trades(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Answer own fills of a symbol."""
        return [formats.futures_trade(fill) for fill in selected_fills(self.exchange, parameters)]

    def income(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Answer what fundings paid and took; other kinds of income are not told here."""
        if parameters.get("incomeType", FUNDING_FEE) != FUNDING_FEE:
            return []
        symbol = parameters.get("symbol")
        start_ms, end_ms = span(parameters, now_ms)
        rows = [
            formats.funding_fee(payment)
            for payment in self.funding.payments
            if symbol in {None, "", payment.listing.symbol} and start_ms <= payment.ts_ms <= end_ms
        ]
        return paged(rows, parameters, start_ms)

    def countdown(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Set or stop the dead-man switch of a symbol."""
        listing = common.listing_of(self.exchange, parameters)
        countdown_ms = int(common.number(parameters, "countdownTime"))
        self.countdowns.set(listing.instrument, countdown_ms, now_ms)
        return {"symbol": listing.symbol, "countdownTime": str(countdown_ms)}

    # -- account -----------------------------------------------------------------------------

    def check_state(
        self, parameters: Mapping[str, Any], *, changes_orders: bool, places: bool
    ) -> None:
        """Refuse what the injected state of the account does not allow.

        Raises:
            ApiError: As the venue answers it.
        """
        super().check_state(parameters, changes_orders=changes_orders, places=places)
        one_way = parameters.get("positionSide", "BOTH") == "BOTH"
        if places and one_way and self.account_state == "hedge_mode":
            raise ApiError(-4061, "Order's position side does not match user's setting.")

    def account_config(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Answer what the account may do, and its modes."""
        return {
            "feeTier": 0,
            "canTrade": self.account_state != "restricted",
            "canDeposit": True,
            "canWithdraw": False,
            "updateTime": 0,
            "tradeGroupId": -1,
            **self.position_mode(parameters, now_ms),
            **self.margin_mode(parameters, now_ms),
        }

    def position_mode(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Answer whether the account is in hedge mode."""
        return {"dualSidePosition": self.account_state == "hedge_mode"}

    def margin_mode(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Answer whether all assets are one margin."""
        return {"multiAssetsMargin": self.account_state == "multi_assets"}

    def leverage_bracket(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Answer one bracket per symbol."""
        wanted = parameters.get("symbol")
        leverage = int(self.exchange.ledger.leverage)
        bracket = {
            "bracket": 1,
            "initialLeverage": leverage,
            "notionalCap": 1_000_000_000,
            "notionalFloor": 0,
            "maintMarginRatio": 0.004,
            "cum": 0.0,
        }
        return [
            {"symbol": symbol, "brackets": [bracket]}
            for symbol in self.exchange.by_symbol
            if not wanted or symbol == wanted
        ]

    def commission_rate(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Answer a symbol's fees."""
        listing = common.listing_of(self.exchange, parameters)
        return {
            "symbol": listing.symbol,
            "makerCommissionRate": f"{listing.maker_bps / 10_000:.6f}",
            "takerCommissionRate": f"{listing.taker_bps / 10_000:.6f}",
            "rpiCommissionRate": "0.000100",
        }

    def set_leverage(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Accept any leverage; the account's own stays what it is."""
        listing = common.listing_of(self.exchange, parameters)
        leverage = int(common.number(parameters, "leverage"))
        return {"symbol": listing.symbol, "leverage": leverage, "maxNotionalValue": "1000000000"}

    def listen_key(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Return the key of the user data stream, good for an hour more."""
        self.listen_key_until_ms = now_ms + LISTEN_KEY_LIFE_MS
        return {"listenKey": LISTEN_KEY}

    def end_listen_key(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """End the user data stream's key."""
        self.listen_key_until_ms = 0
        return {}
