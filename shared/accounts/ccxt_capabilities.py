"""What a venue can do through ccxt, by what its client documents and by the requests it builds.

Nothing is asked from the venue, and no answer of a good day counts: ``has`` and ``features`` say
what the client's authors documented, a dry run (``ccxt_dry_run``) shows whether a client order id
and a time in force leave with a request as they were given. What is not known is missing.

A client order id counts as sent where the order carries it unchanged, in a field of the venue's
own name. An order can be asked for by it where that request carries it in the same field, or in
the path, and says no venue order id beside it. Where the field is called what ccxt calls it, the
client may only have passed it through: then it counts if the method documents the parameter.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import Any

import msgspec

from shared.accounts.ccxt_dry_run import FAILURES, NOW_MS, SYMBOL, Built, DryRun
from shared.messages.terms import TimeInForce

ORDER_ID = "ab0123456789abc000"
"""As long as ours are, letters and digits."""
CLIENT_ID = "clientOrderId"
WINDOW = "recvWindow"
VALIDITY_MS = 2_000
"""An order that arrives later than this after it was signed must be refused: the executor takes "no
such order" for "never arrived" from 2.5 s on (``NOT_FOUND_AFTER_SENT_NS``)."""
KEYS = frozenset({"apiKey", "secret"})
"""The credentials that a venue's section has names for."""
TICK_SIZE = 4
"""ccxt's ``precisionMode`` in which a market's precision of prices is a step."""
TIMES: Mapping[TimeInForce, dict[str, Any]] = {
    TimeInForce.IOC: {"timeInForce": "IOC"},
    TimeInForce.FOK: {"timeInForce": "FOK"},
    TimeInForce.PO: {"postOnly": True},
}


class Capability(StrEnum):
    """What a venue can do for an order of ours; the value is its name in tables."""

    BOOKS = "market data"
    KEYS = "key and secret are enough"
    SPOT = "spot orders"
    CLIENT_ID = "client order id"
    VALIDITY = "late orders are refused"
    IOC = "IOC orders"
    QUERY = "query by client order id"
    CANCEL = "cancel by venue order id"
    OPEN_ORDERS = "open orders"
    FILLS = "all executions since a time"
    BALANCES = "balances"
    PRICES = "prices on request"
    CANCEL_BY_CLIENT_ID = "cancel by client order id"
    CANCEL_ALL = "cancel-all"
    POST_ONLY = "post-only orders"
    FOK = "FOK orders"
    REDUCE_ONLY = "reduce-only orders"
    FEE_ASSET = "fee and its asset"
    CLOCK = "venue's time"
    DEAD_MAN = "dead-man's switch"
    ACCOUNT_STREAM = "account stream"
    BATCH = "several orders at once"
    AMEND = "change of an order"
    OCO = "OCO orders"


NEEDED = tuple(Capability)[: list(Capability).index(Capability.PRICES) + 1]
"""Without one of them nothing is sent: an order could not be found again, or not be judged."""


class Finding(msgspec.Struct, frozen=True):
    """Whether a venue can do something; ``why`` says where that comes from, or what is missing."""

    can: bool
    why: str


Findings = Mapping[Capability, Finding]


class Probed(msgspec.Struct, frozen=True, kw_only=True):
    """What was found about a ccxt exchange; ``weights`` are costs in its ``rateLimit`` units."""

    ccxt_id: str
    findings: dict[Capability, Finding]
    times_in_force: frozenset[TimeInForce] = frozenset()
    fills_limit: int | None = None
    """Executions in one answer; ``None``: not documented."""
    fills_until: bool = False
    """Whether executions can be asked for up to a time."""
    fills_span_ms: int | None = None
    rate_limit_ms: float = 0.0
    weights: dict[str, float] = {}


def missing(findings: Findings) -> list[str]:
    """Return what is needed for live arbitrage and is not there, each with its reason."""
    return [f"{what} ({findings[what].why})" for what in NEEDED if not findings[what].can]


def probe(ccxt_id: str, options: Mapping[str, Any], books: Finding) -> Probed:
    """Return what an exchange can do through ccxt; never raises for one that ccxt has.

    Args:
        ccxt_id: How ccxt calls it.
        options: Of its client.
        books: Whether its books are read here; ccxt does not know.
    """

    async def run() -> Probed:
        try:
            dry_run = DryRun(ccxt_id, options)
        except FAILURES as error:
            no = Finding(False, f"its client cannot be made: {error}"[:150])
            return Probed(ccxt_id=ccxt_id, findings=dict.fromkeys(Capability, no))
        return await _Probe(dry_run).probed(ccxt_id, books)

    # In a loop of its own: who asks may be in one, and what is left over here ends with it.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, run()).result()


class _Probe:
    def __init__(self, run: DryRun) -> None:
        self._run = run
        self._client = run.client
        self._spot: dict[str, Any] = (self._client.features or {}).get("spot") or {}
        self._weights: dict[str, float] = {}

    async def probed(self, ccxt_id: str, books: Finding) -> Probed:
        order = await self._order({"timeInForce": "GTC"})
        sent = self._client_id_sent(order)
        times = {time: await self._time_in_force(time, order) for time in TIMES}
        fills, limit, until = await self._fills()
        no_derivatives = Finding(False, "spot only through the generic gateway")
        not_used = "is not used through the generic gateway"
        findings = {
            Capability.BOOKS: books,
            Capability.KEYS: self._keys(),
            Capability.SPOT: self._market(),
            Capability.CLIENT_ID: sent,
            Capability.VALIDITY: await self._validity(order),
            Capability.IOC: times[TimeInForce.IOC],
            Capability.QUERY: await self._by_client_id("lookup", "fetch_order", order, sent),
            Capability.CANCEL: await self._by_venue_id("cancel", "cancel_order"),
            Capability.OPEN_ORDERS: await self._documented("open", "fetch_open_orders"),
            Capability.FILLS: fills,
            Capability.BALANCES: await self._documented("balances", "fetch_balance"),
            Capability.PRICES: await self._prices(),
            Capability.CANCEL_BY_CLIENT_ID: await self._by_client_id(
                "cancel", "cancel_order", order, sent
            ),
            Capability.CANCEL_ALL: await self._documented(
                "cancel_all", "cancel_all_orders", SYMBOL
            ),
            Capability.POST_ONLY: times[TimeInForce.PO],
            Capability.FOK: times[TimeInForce.FOK],
            Capability.REDUCE_ONLY: no_derivatives,
            Capability.FEE_ASSET: Finding(False, "ccxt documents none; unknown where not told"),
            Capability.CLOCK: await self._documented("clock", "fetch_time"),
            Capability.DEAD_MAN: Finding(False, f"a dead-man's switch {not_used}"),
            Capability.ACCOUNT_STREAM: Finding(False, f"an account stream {not_used}"),
            **NOT_SENT,
        }
        await self._by_venue_id("query", "fetch_order")
        times_in_force = {time for time, found in times.items() if found.can}
        until_days = (self._spot.get("fetchMyTrades") or {}).get("untilDays")
        return Probed(
            ccxt_id=ccxt_id,
            findings=findings,
            times_in_force=frozenset({TimeInForce.GTC, *times_in_force}),
            fills_limit=limit,
            fills_until=until,
            fills_span_ms=int(until_days * 86_400_000) if until_days else None,
            rate_limit_ms=float(self._client.rateLimit),
            weights=self._weights,
        )

    def _keys(self) -> Finding:
        required = {name for name, needed in self._client.requiredCredentials.items() if needed}
        if more := sorted(required - KEYS):
            return Finding(False, f"it needs {', '.join(more)} as well")
        return Finding(True, "requiredCredentials")

    def _market(self) -> Finding:
        if self._client.has.get("spot") is not True or not self._spot:
            return Finding(False, "ccxt documents no spot orders there")
        return Finding(True, "has.spot, features.spot")

    async def _documented(self, kind: str, method: str, *values: Any) -> Finding:
        """Judge what ``has`` says; "emulated" is no answer of the venue itself."""
        name = _camel(method)
        told = self._client.has.get(name)
        if told is not True:
            return Finding(False, f"has.{name} is {_told(told)}")
        built = self._note(kind, await self._run.build(method, *values))
        if built.failure:
            return Finding(False, f"the request cannot be built: {built.failure}")
        return Finding(True, f"has.{name}")

    async def _prices(self) -> Finding:
        """Judge whether a book can be asked for, and its tick is told as a price."""
        if self._client.precisionMode != TICK_SIZE:
            return Finding(False, "precisionMode: prices have digits there, not a tick")
        return await self._documented("book", "fetch_order_book", SYMBOL, 5)

    async def _order(self, params: dict[str, Any]) -> Built:
        values = (SYMBOL, "limit", "buy", "1", "100", {CLIENT_ID: ORDER_ID, **params})
        return self._note("submit", await self._run.build("create_order", *values))

    def _client_id_sent(self, order: Built) -> Finding:
        if order.failure:
            return Finding(False, f"an order cannot be built: {order.failure}")
        if not (field := _field_of_id(order)):
            return Finding(False, "the order does not carry it as it is")
        if field == CLIENT_ID and not self._names_parameter("create_order"):
            return Finding(False, "not documented, perhaps only passed through")
        return Finding(True, f"sent as {field}")

    async def _validity(self, order: Built) -> Finding:
        """Judge whether an order can say how long it is valid, in a field that the client knows."""
        if order.failure:
            return Finding(False, f"an order cannot be built: {order.failure}")
        if WINDOW not in order.fields:
            return Finding(False, f"the order carries no {WINDOW}: it may arrive at any time")
        short = await self._order({"timeInForce": "GTC", WINDOW: VALIDITY_MS})
        if short.fields.get(WINDOW) != str(VALIDITY_MS):
            return Finding(False, f"the order does not carry a {WINDOW} of {VALIDITY_MS} ms")
        return Finding(True, f"sent as {WINDOW}, {VALIDITY_MS} ms")

    async def _time_in_force(self, time: TimeInForce, order: Built) -> Finding:
        documented = ((self._spot.get("createOrder") or {}).get("timeInForce") or {}).get(time.name)
        if documented is not True:
            return Finding(False, f"features: timeInForce.{time.name} is {_told(documented)}")
        built = await self._order(TIMES[time])
        if built.failure:
            return Finding(False, f"an order cannot be built: {built.failure}")
        if (built.fields, built.path) == (order.fields, order.path):
            return Finding(False, "the order does not say it")
        return Finding(True, f"features: timeInForce.{time.name}")

    async def _by_client_id(self, kind: str, method: str, order: Built, sent: Finding) -> Finding:
        if not sent.can:
            return Finding(False, "no client order id is sent")
        documented = self._client.has.get(f"{_camel(method)}WithClientOrderId")
        if documented is False:
            return Finding(False, f"has.{_camel(method)}WithClientOrderId is False")
        built = self._note(kind, await self._run.build(method, None, SYMBOL, {CLIENT_ID: ORDER_ID}))
        if built.failure:
            return Finding(False, f"the request cannot be built: {built.failure}")
        steps = built.path.split("/")
        if "None" in {*built.fields.values(), *steps}:
            return Finding(False, "the request asks for a venue order id as well")
        if ORDER_ID in steps:
            return Finding(True, "in the path of the request")
        field, ordered = _field_of_id(built), _field_of_id(order)
        if not field:
            return Finding(False, "the request does not carry it as it is")
        if _plain(field) != _plain(ordered):
            return Finding(False, f"ordered as {ordered}, asked for as {field}")
        if field == CLIENT_ID and documented is not True and not self._names_parameter(method):
            return Finding(False, "not documented, perhaps only passed through")
        return Finding(True, f"sent as {field}")

    async def _by_venue_id(self, kind: str, method: str) -> Finding:
        if self._client.has.get(_camel(method)) is not True:
            return Finding(False, f"has.{_camel(method)} is not True")
        built = self._note(kind, await self._run.build(method, "777", SYMBOL))
        if built.failure:
            return Finding(False, f"the request cannot be built: {built.failure}")
        if "777" not in {*built.fields.values(), *built.path.split("/")}:
            return Finding(False, "the request does not carry it")
        return Finding(True, f"has.{_camel(method)}")

    async def _fills(self) -> tuple[Finding, int | None, bool]:
        """Judge whether all executions since a time can be read, whatever a page holds."""
        told = self._client.has.get("fetchMyTrades")
        if told is not True:
            return Finding(False, f"has.fetchMyTrades is {_told(told)}"), None, False
        documented = self._spot.get("fetchMyTrades") or {}
        limit = documented.get("limit")
        limit = limit if isinstance(limit, int) and limit > 1 else None
        since_ms = NOW_MS - 3_600_000
        plain = self._note(
            "fills", await self._run.build("fetch_my_trades", SYMBOL, since_ms, limit)
        )
        params = {"until": NOW_MS - 1_000}
        bounded = await self._run.build("fetch_my_trades", SYMBOL, since_ms, limit, params)
        differs = not bounded.failure and bounded.fields != plain.fields
        until = differs and ("until" not in bounded.fields or documented.get("untilDays"))
        if plain.failure:
            return Finding(False, f"the request cannot be built: {plain.failure}"), None, False
        if until:
            return Finding(True, "has.fetchMyTrades, up to a time"), limit, True
        if limit is None:
            why = "neither the size of a page is documented nor can they be asked for up to a time"
            return Finding(False, why), None, False
        return Finding(True, f"has.fetchMyTrades, {limit} at most"), limit, False

    def _names_parameter(self, method: str) -> bool:
        """Tell whether the method's own description names the parameter."""
        text = getattr(type(self._client), method).__doc__ or ""
        return re.search(rf"params\.{CLIENT_ID}\b", text) is not None

    def _note(self, kind: str, built: Built) -> Built:
        if not built.failure:
            self._weights[kind] = max(built.cost, self._weights.get(kind, 0.0))
        return built


NOT_SENT: Findings = {
    Capability.BATCH: Finding(False, "orders go one by one: each has an outcome of its own"),
    Capability.AMEND: Finding(False, "an order is canceled and made anew: one id is one order"),
    Capability.OCO: Finding(False, "a plan is the only owner of what follows a fill"),
}
"""What no gateway sends, whatever the venue offers."""


def _field_of_id(built: Built) -> str:
    """Return the name of the field that holds the client order id and nothing else."""
    names = [name for name, value in built.fields.items() if value == ORDER_ID]
    others = [name for name in names if name != CLIENT_ID]
    return (others or names or [""])[0]


def _plain(field: str) -> str:
    """Return a field's name without what venues put before it when the order is new or known."""
    last = field.rpartition(".")[2].lower()
    return re.sub(r"^(new|orig)", "", re.sub(r"[^a-z0-9]", "", last))


def _camel(method: str) -> str:
    first, *rest = method.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _told(value: Any) -> str:
    return "not documented" if value is None else str(value)
