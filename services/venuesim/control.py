"""The control port: state, accounts, books and faults of the simulated venues. Loopback only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from services.venuesim.replay import FRAMES_PER_ADVANCE_MAX, VenueReplay
from shared.exchange.exchange import Exchange
from shared.exchange.orders import Fill, Order
from shared.simulated.context import Context
from shared.simulated.faults import CONNECTION_FAULTS, FaultError
from shared.simulated.port import SimulatedVenue
from shared.simulated.truth import TruthLog

SPEED_MAX = 10_000.0
RECENT_MAX = 10_000  # orders and fills in one answer
TRUTH_LEVELS_MAX = 100


def json_response(body: Any, status: int = 200) -> web.Response:
    """Return a JSON answer."""
    payload = msgspec.json.encode(body)
    return web.Response(body=payload, status=status, content_type="application/json")


class Advance(msgspec.Struct, forbid_unknown_fields=True):
    """How far to play: so many frames at most, and so much recorded time at most."""

    frames_max: Annotated[int, Meta(ge=1, le=FRAMES_PER_ADVANCE_MAX)] = FRAMES_PER_ADVANCE_MAX
    span_ms: Annotated[float, Meta(gt=0)] | None = None


class Market(msgspec.Struct, forbid_unknown_fields=True):
    """Whether the generated market moves; else books change by clients' orders alone."""

    moves: bool


class Play(msgspec.Struct, forbid_unknown_fields=True):
    """How many times faster than recorded."""

    speed: Annotated[float, Meta(gt=0, le=SPEED_MAX)]


class Control:
    """Endpoints under ``/control``."""

    def __init__(
        self, venues: Mapping[str, SimulatedVenue], context: Context, replay: VenueReplay | None
    ) -> None:
        self._venues, self._context, self._replay = venues, context, replay
        self.truth = TruthLog(venues, context.faults)
        self.ticks = 0
        self.market_moves = True

    def add_routes(self, app: web.Application) -> None:
        """Register the endpoints."""
        app.router.add_get("/control", self._help)
        app.router.add_get("/control/state", self._state)
        app.router.add_get("/control/accounts", self._accounts)
        app.router.add_get("/control/books", self._books)
        app.router.add_get("/control/truth", self._truth)
        app.router.add_get("/control/credentials", self._credentials)
        app.router.add_post("/control/fault", self._fault)
        app.router.add_delete("/control/fault", self._clear)
        app.router.add_post("/control/market", self._market)
        app.router.add_get("/control/replay", self._replay_state)
        app.router.add_post("/control/replay/advance", self._advance)
        app.router.add_post("/control/replay/play", self._play)

    async def _help(self, request: web.Request) -> web.Response:
        paths = [
            "state",
            "accounts",
            "books",
            "truth",
            "credentials",
            "fault",
            "market",
            "replay",
            "replay/advance",
            "replay/play",
        ]
        return json_response({"endpoints": [f"/control/{path}" for path in paths]})

    async def _state(self, request: web.Request) -> web.Response:
        faults = self._context.faults
        venues = {
            name: {
                **venue.hub.counters,
                "connections": len(venue.hub.clients),
                "connections_total": venue.hub.counters["connections"],
                "subscriptions": sum(len(topics) for topics in venue.hub.topics.values()),
                "open_orders": len(venue.exchange.open_orders),
                "fills": len(venue.exchange.fills),
                "forgotten": venue.exchange.forgotten,
            }
            for name, venue in self._venues.items()
        }
        waiting = [
            {"kind": f.kind, "venue": f.venue, "instrument": f.instrument, "count": f.count}
            for f in faults.waiting
        ]
        body = {"ticks": self.ticks, "market_moves": self.market_moves, "venues": venues}
        return json_response(body | {"faults": {"happened": faults.happened, "waiting": waiting}})

    async def _accounts(self, request: web.Request) -> web.Response:
        return json_response({n: account(venue.exchange) for n, venue in self._venues.items()})

    async def _credentials(self, request: web.Request) -> web.Response:
        return json_response({name: venue.credentials for name, venue in self._venues.items()})

    async def _books(self, request: web.Request) -> web.Response:
        limit = request.query.get("limit", "1000")
        if not _is_whole(limit):
            return json_response({"error": f"limit={limit[:40]}: a whole number"}, 400)
        return json_response({n: books(v.exchange, int(limit)) for n, v in self._venues.items()})

    async def _truth(self, request: web.Request) -> web.Response:
        after, levels = request.query.get("after", "0"), request.query.get("levels", "20")
        for name, value in (("after", after), ("levels", levels)):
            if not _is_whole(value):
                return json_response({"error": f"{name}={value[:40]}: a whole number"}, 400)
        if not 1 <= int(levels) <= TRUTH_LEVELS_MAX:
            return json_response({"error": f"levels={levels}: 1 to {TRUTH_LEVELS_MAX}"}, 400)
        names = request.query.getall("venue", list(self._venues))
        for name in names:
            if name not in self._venues:
                return self._no_such_venue(name)
        return json_response(self.truth.since(int(after), int(levels), names))

    def _no_such_venue(self, name: str) -> web.Response:
        return json_response({"error": f"venue {name!r}: one of {', '.join(self._venues)}"}, 400)

    async def _fault(self, request: web.Request) -> web.Response:
        try:
            body = msgspec.json.decode(await request.read())
            now_ms = self._context.venue_ms("")
            fault = self._context.faults.inject(body, now_ms)
        except msgspec.DecodeError as error:
            return json_response({"error": f"not JSON: {error}"}, 400)
        except FaultError as error:
            return json_response({"error": str(error)}, 400)
        done: dict[str, Any] = {"accepted": fault.kind, "venue": fault.venue, "count": fault.count}
        if fault.kind in CONNECTION_FAULTS:
            self._context.faults.count(fault.kind, fault.venue)
            hub = self._venues[fault.venue].hub
            is_lost = fault.kind == "disconnect"
            code = 0 if is_lost else int(fault.number("code"))
            done["connections"] = hub.disconnect() if is_lost else hub.close(code)
        return json_response(done)

    async def _clear(self, request: web.Request) -> web.Response:
        venue = request.query.get("venue", "")
        if venue and venue not in self._venues:
            return self._no_such_venue(venue)
        self._context.faults.clear(venue)
        return json_response({"cleared": True})

    async def _market(self, request: web.Request) -> web.Response:
        if self._replay is not None:
            return json_response({"error": "a recording moves by replay/advance or play"}, 409)
        try:
            wanted = msgspec.json.decode(await request.read(), type=Market)
        except msgspec.DecodeError as error:
            return json_response({"error": f'{error}; give {{"moves": true or false}}'}, 400)
        self.market_moves = wanted.moves
        return json_response({"moves": self.market_moves})

    async def _replay_state(self, request: web.Request) -> web.Response:
        if self._replay is None:
            return json_response({"error": "not a replay; start with --capture PATH"}, 409)
        return json_response(self._replay_row(self._replay))

    async def _advance(self, request: web.Request) -> web.Response:
        if self._replay is None:
            return json_response({"error": "not a replay; start with --capture PATH"}, 409)
        try:
            wanted = msgspec.json.decode(await request.read() or b"{}", type=Advance)
        except msgspec.DecodeError as error:
            right = '{"frames_max": 1 to 2000, "span_ms": above 0}'
            return json_response({"error": f"{error}; give {right}"}, 400)
        span_ns = None if wanted.span_ms is None else int(wanted.span_ms * 1_000_000)
        played = self._replay.advance(wanted.frames_max, span_ns)
        await asyncio.sleep(0)  # the frames are written before the answer is
        return json_response({"played": played, **self._replay_row(self._replay)})

    async def _play(self, request: web.Request) -> web.Response:
        if self._replay is None:
            return json_response({"error": "not a replay; start with --capture PATH"}, 409)
        try:
            wanted = msgspec.json.decode(await request.read(), type=Play)
        except msgspec.DecodeError as error:
            right = f'{{"speed": above 0, at most {SPEED_MAX:g}}}'
            return json_response({"error": f"{error}; give {right}"}, 400)
        self._replay.play(wanted.speed)
        return json_response(self._replay_row(self._replay))

    def _replay_row(self, replay: VenueReplay) -> dict[str, Any]:
        sent = {name: venue.hub.counters["frames_sent"] for name, venue in self._venues.items()}
        markets = [venue.recorded for venue in self._venues.values() if venue.recorded]
        return {
            "sent": sent,
            "ts_ns": replay.clock_ns,
            "done": replay.done,
            "ts_first_ns": replay.contents.first_ns,
            "ts_last_ns": replay.contents.last_ns,
            "frames_played": replay.frames_played,
            "faulty_lines": replay.faulty_lines,
            "unusable": sum(market.unusable for market in markets),
            "unheard": replay.unsubscribed(),
        }


def account(exchange: Exchange) -> dict[str, Any]:
    """Return what one venue holds: balances, positions, orders, fills (Decimals as text)."""
    ledger = exchange.ledger
    return {
        "balances": {
            asset: {"free": f"{b.free:f}", "used": f"{b.used:f}"}
            for asset, b in ledger.balances.items()
        },
        "positions": {name: f"{p.qty:f}" for name, p in ledger.positions.items()},
        "funding": {asset: f"{amount:f}" for asset, amount in ledger.funding.items()},
        "fundings": [
            {"ts_ms": ts_ms, "asset": asset, "amount": f"{amount:f}"}
            for ts_ms, asset, amount in ledger.fundings
        ],
        "position_costs": {name: f"{p.cost:f}" for name, p in ledger.positions.items()},
        "fees": {asset: f"{amount:f}" for asset, amount in ledger.fees.items()},
        "open_orders": [order_row(order) for order in exchange.open_orders.values()],
        "orders": [order_row(order) for order in list(exchange.orders.values())[-RECENT_MAX:]],
        "fills": [fill_row(fill) for fill in list(exchange.fills)[-RECENT_MAX:]],
    }


def order_row(order: Order) -> dict[str, Any]:
    """Return an order with our own field names."""
    request, listing = order.request, order.request.listing
    return {
        "venue_order_id": str(order.id),
        "client_order_id": request.client_id,
        "instrument": listing.instrument,
        "side": request.side.value,
        "type": request.type.value.lower(),
        "price": f"{listing.price(order.ticks):f}",
        "qty": f"{listing.qty(order.lots):f}",
        "filled": f"{listing.qty(order.filled_lots):f}",
        "cost": f"{order.cost:f}",
        "status": order.status.value,
        "ts_ms": order.ts_ms,
    }


def fill_row(fill: Fill) -> dict[str, Any]:
    """Return a fill with our own field names."""
    return {
        "trade_id": str(fill.trade_id),
        "venue_order_id": str(fill.order_id),
        "client_order_id": fill.client_id,
        "instrument": fill.listing.instrument,
        "side": fill.side.value,
        "price": f"{fill.price:f}",
        "qty": f"{fill.qty:f}",
        "fee": f"{fill.fee:f}",
        "fee_asset": fill.fee_asset,
        "maker": fill.maker,
        "pnl": f"{fill.pnl:f}",
        "ts_ms": fill.ts_ms,
    }


def _is_whole(text: str) -> bool:
    return text.isdecimal() and len(text) <= 18


def books(exchange: Exchange, limit: int) -> dict[str, Any]:
    """Return one venue's books as numbers, best first, with the update id they are at."""
    answer = {}
    for instrument, book in exchange.books.items():
        listing = exchange.by_instrument[instrument]
        answer[instrument] = {
            "seq": book.seq,
            "bids": [
                [float(listing.price(p)), float(listing.qty(n))] for p, n in book.bids.depth(limit)
            ],
            "asks": [
                [float(listing.price(p)), float(listing.qty(n))] for p, n in book.asks.depth(limit)
            ],
        }
    return answer
