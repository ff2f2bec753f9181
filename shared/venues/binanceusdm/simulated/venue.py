"""The simulated Binance USDT-M, wired: exchange, routed streams, REST, user data stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from shared.exchange.exchange import Exchange
from shared.exchange.funding import Funding, FundingTerms, Payment
from shared.exchange.generator import TICK_MS
from shared.exchange.listing import Listing
from shared.exchange.orders import Fill, IncomingOrder, Order
from shared.messages.base import Side
from shared.messages.terms import OrderType
from shared.simulated import config
from shared.simulated.context import Context
from shared.simulated.hub import Client, Hub
from shared.simulated.port import RestRoute, Route, SocketRoute
from shared.venues.binance.simulated.key_rights import KEY_RIGHTS
from shared.venues.binance.simulated.recorded import RecordedBinance, recorded_listings
from shared.venues.binance.simulated.signing import Credentials
from shared.venues.binance.simulated.streams import MarketStreams
from shared.venues.binance.simulated.subscriptions import SubscriptionRequests
from shared.venues.binance.simulated.web import RestServer
from shared.venues.binance.simulated.wsapi import WebSocketApi
from shared.venues.binanceusdm.simulated import orders as formats
from shared.venues.binanceusdm.simulated.listing import (
    LISTINGS,
    MORE_LISTINGS,
    VENUE,
    perpetual,
)
from shared.venues.binanceusdm.simulated.market import mark_price_event
from shared.venues.binanceusdm.simulated.rest import LISTEN_KEY, FuturesRest

MESSAGES_PER_S = 10
PING_EVERY_S = 180.0
USER_TOPIC = LISTEN_KEY
PUBLIC_KINDS = ("depth", "bookTicker", "trade", "rpiDepth")


def entry_of(kind: str) -> str:
    """Return the entry point that really serves a stream: elsewhere it is silent."""
    name = kind.partition("@")[0]
    return "public" if name.startswith("depth") or name in PUBLIC_KINDS else "market"


def futures_api(rest: FuturesRest, hub: Hub, context: Context) -> WebSocketApi:
    """Return the WebSocket API of the futures market."""
    market, holdings = rest.market, rest.holdings
    return WebSocketApi(
        rest,
        hub,
        context,
        public={
            "depth": market.depth,
            "ticker.book": market.book_ticker,
            "ticker.price": market.ticker_price,
        },
        signed={
            "order.place": rest.new_order,
            "order.cancel": rest.cancel_order,
            "order.status": rest.query_order,
            "account.balance": holdings.balance,
            "v2/account.balance": holdings.balance,
            "account.status": holdings.account,
            "v2/account.status": holdings.account,
            "account.position": holdings.position_risk,
            "v2/account.position": holdings.position_risk,
        },
    )


class BinanceFutures:
    """USDT-M futures behind its protocols."""

    def __init__(
        self, context: Context, listings: tuple[Listing, ...], *, recorded: bool = False
    ) -> None:
        self.venue = VENUE
        self.has_update_ids = True
        self._context = context
        self.exchange = Exchange(
            VENUE,
            listings,
            fee_asset="",
            start={
                asset: config.START_BALANCES.get(asset, config.START_BALANCE_OTHER)
                for asset in dict.fromkeys(listing.quote for listing in listings)
            },
            seed=context.seed,
            shared_update_ids=True,
            numbers_trades_apart=True,
            refuses_fok=True,
        )
        self.hub = Hub(VENUE, context)
        self.hub.ping_every_s = PING_EVERY_S
        credentials = Credentials(f"{VENUE}-simulated-key", f"{VENUE}-simulated-secret")
        self.credentials = {"apiKey": credentials.key, "secret": credentials.secret}
        self.funding = Funding(
            self.exchange.ledger,
            listings,
            mark=self._mark,
            index=self._index,
            terms=FundingTerms(
                context.funding_interval_ms, rate_interval_ms=context.funding_rate_interval_ms
            ),
        )
        self.funding.listeners.append(self._on_payment)
        if not recorded:
            self.exchange.before_orders.append(self.funding.settle_before)
        self.rest = FuturesRest(self.exchange, context.faults, credentials, self.funding)
        self.recorded = RecordedBinance(self.exchange, self.hub) if recorded else None
        self._rest_server = RestServer(self.rest, context, self.recorded)
        self._streams = MarketStreams(
            self.exchange,
            self.hub,
            futures=True,
            messages_per_s=MESSAGES_PER_S,
            entry_of=entry_of,
            generated=not recorded,
        )
        self._user_streams = SubscriptionRequests(
            self.hub, MESSAGES_PER_S, lambda client, name: self._is_alive(name)
        )
        self._api = futures_api(self.rest, self.hub, context)
        self.exchange.order_listeners.append(self._on_order)

    def routes(self) -> list[Route]:
        """Return ``/fapi``, ``/ws-fapi/v1`` and the routed WebSocket paths."""
        user = ("/private/ws", "/private/ws/{key}", "/private/stream")
        return [
            self._api.route("/ws-fapi/v1"),
            RestRoute("/fapi/{rest:.*}", self._rest_server),
            RestRoute(KEY_RIGHTS, self._rest_server),
            *self._streams.routes("/public/ws", "/public/stream", "/market/ws", "/market/stream"),
            *(SocketRoute(path, self._user_streams.on_text, self._open_user) for path in user),
        ]

    def close_position(self, instrument: str, qty: Decimal, now_ms: int, client_id: str) -> Order:
        """Close part of the account's position by the venue's own doing, at the market.

        ``client_id`` says why, as documented: ``adl_autoclose``, ``autoclose-`` and a number.

        Raises:
            RefusedError: There is no such position, or nobody to trade with.
        """
        listing = self.exchange.by_instrument[instrument]
        held = self.exchange.ledger.positions.get(instrument)
        side = Side.SELL if held is not None and held.qty > 0 else Side.BUY
        terms = listing.terms(side, qty, Decimal(0), OrderType.MARKET)
        request = IncomingOrder(listing=listing, terms=terms, client_id=client_id, reduce_only=True)
        return self.exchange.place(request, now_ms)

    def on_tick(self, tick: int, now_ms: int) -> None:
        """Publish what is due."""
        self._streams.on_tick(tick, now_ms)
        if tick % (1_000 // TICK_MS):
            return
        self.rest.countdowns.fire(now_ms)
        if self.recorded is not None:
            return
        self.funding.on_time(now_ms)
        for listing in self.exchange.by_instrument.values():
            name = listing.symbol.lower()
            for speed_s, topic in ((1, f"{name}@markPrice@1s"), (3, f"{name}@markPrice")):
                if topic in self.hub.topics and tick % (speed_s * 1_000 // TICK_MS) == 0:
                    event = mark_price_event(self.funding, listing, now_ms)
                    self._streams.publish(topic, event, listing.instrument)

    def _mark(self, listing: Listing) -> Decimal:
        fair = self._context.fair(VENUE, listing.base)
        return Decimal(repr(fair)).quantize(Decimal("1e-8"))

    def _index(self, listing: Listing) -> Decimal:
        index = self._context.index
        if index is None:
            return self._mark(listing)
        return Decimal(repr(index(listing.base))).quantize(Decimal("1e-8"))

    def _on_payment(self, payment: Payment) -> None:
        if USER_TOPIC in self.hub.topics:
            ledger, now_ms = self.exchange.ledger, self.hub.now_ms()
            self._send_event(formats.funding_update(payment, ledger, now_ms))

    def _open_user(self, client: Client) -> None:
        client.combined = client.path.endswith("/stream")
        key = client.query.get("listenKey", "") or client.path.rpartition("/")[2]
        if any(self._is_alive(name) for name in (key, client.query.get("streams", ""))):
            self.hub.subscribe(client, USER_TOPIC)

    def _is_alive(self, key: str) -> bool:
        return key == LISTEN_KEY and self.hub.now_ms() < self.rest.listen_key_until_ms

    def _on_order(self, order: Order, what: str, fill: Fill | None) -> None:
        if USER_TOPIC not in self.hub.topics:
            return
        now_ms = self.hub.now_ms()
        if fill is not None:
            self._send_event(formats.account_update(order, self.exchange.ledger, now_ms))
        self._send_event(formats.trade_update(order, what, fill, now_ms))

    def _send_event(self, event: dict[str, Any]) -> None:
        frame = msgspec.json.encode(event)
        combined = b'{"stream":"' + LISTEN_KEY.encode() + b'","data":' + frame + b"}"
        self.hub.publish(USER_TOPIC, frame, combined, "")


def open_venue(context: Context, listings: tuple[Listing, ...]) -> BinanceFutures:
    """Return the venue; without listings it lists its usual ones."""
    return BinanceFutures(context, listings or LISTINGS)


def open_recorded(context: Context, samples: Mapping[str, Sequence[bytes]]) -> BinanceFutures:
    """Return the venue for a recording: it lists what was recorded, on the grid seen there."""
    whole, shown = recorded_listings(samples, perpetual)
    venue = BinanceFutures(context, whole, recorded=True)
    venue.rest.market.shown.update(shown)
    return venue


def more_listings() -> tuple[Listing, ...]:
    """Return the markets between assets that it lists where they are asked for."""
    return MORE_LISTINGS
