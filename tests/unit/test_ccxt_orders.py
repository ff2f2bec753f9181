"""The generic gateway where it is careful: errors, lookups, pages of executions, refusals."""

from __future__ import annotations

import asyncio
from typing import Any

import ccxt
import pytest

from services.cli import settings
from services.executor.accounts import open_gateways
from shared.accounts import ccxt_errors
from shared.accounts.ccxt_capabilities import Capability, Finding, Probed
from shared.accounts.ccxt_dry_run import SYMBOL, DryRun
from shared.accounts.ccxt_orders import GenericOrders
from shared.clock import ManualClock
from shared.config import load_config
from shared.errors import Cause, ConfigError, OutcomeUnknown, Rejected, Unavailable

YES = dict.fromkeys(Capability, Finding(True, "here"))
CLASSES = [name for name in vars(ccxt) if name in ccxt.errors.__all__]
INSTRUMENT = "BTC/USDT"


def quirks(**changes: Any) -> GenericOrders:
    values = {"ccxt_id": "any", "findings": YES, "fills_until": True, "weights": {"submit": 1.0}}
    return GenericOrders(Probed(**{**values, **changes}))


async def read(what: str, request: Any) -> Any:
    return await request


@pytest.mark.parametrize("kind", CLASSES)
def test_only_a_reason_that_is_named_is_a_definite_no(kind: str) -> None:
    told = ccxt_errors.meaning(kind, "", 200)
    if told.outcome is Rejected:
        assert kind in ccxt_errors.MEANINGS
    for status in (500, 502, 503, 408, 409):
        assert ccxt_errors.meaning(kind, "", status).outcome is OutcomeUnknown
    assert ccxt_errors.meaning(kind, "", 429).cause is Cause.RATE


@pytest.mark.parametrize(
    "kind, text",
    [
        ("OperationFailed", '{"code":-1006,"msg":"Execution status unknown."}'),
        ("RequestTimeout", '{"code":-1007,"msg":"Timeout waiting for response from backend."}'),
        ("BadResponse", ""),
        ("NullResponse", ""),
        ("DuplicateOrderId", ""),
        ("InvalidOrder", '{"code":-2010,"msg":"Duplicate order sent."}'),
        ("BadRequest", '{"code":12141,"msg":"Duplicate clientOrderId."}'),
    ],
)
@pytest.mark.parametrize("status", [200, 400])
def test_an_order_that_may_be_there_is_no_definite_no_whatever_the_status(
    kind: str, text: str, status: int
) -> None:
    assert ccxt_errors.meaning(kind, text, status).outcome is OutcomeUnknown


@pytest.mark.parametrize(
    "kind, cause",
    [
        ("ExchangeNotAvailable", Cause.RATE),
        ("PermissionDenied", Cause.KEY),
        ("RestrictedLocation", Cause.ACCOUNT),
    ],
)
def test_a_403_with_a_reason_is_no_ban(kind: str, cause: Cause) -> None:
    assert ccxt_errors.meaning(kind, "", 403).cause is cause


def test_every_class_in_the_table_is_one_of_ccxt() -> None:
    assert set(ccxt_errors.MEANINGS) <= set(CLASSES)


async def test_an_order_says_how_long_it_is_valid() -> None:
    """As the native gateways do: a late one is refused when "no such order" begins to count."""
    run = DryRun("binanceus", {})
    terms = ("limit", "buy", "1", "100", quirks().order_params("ours"))
    built = await run.build("create_order", SYMBOL, *terms)
    assert (built.fields["newClientOrderId"], built.fields["recvWindow"]) == ("ours", "2000")


class Venue:
    """An exchange that finds orders by its own id, and by ours as ``finds`` says."""

    def __init__(
        self,
        finds: str,
        trades: tuple[dict[str, Any], ...] = (),
        *,
        status: str | None = "closed",
        our_id: str | None = "ours",
        filled: str | None = "0",
    ) -> None:
        self.finds, self.trades, self.status, self.our_id = finds, trades, status, our_id
        self.lookups, self.filled = 0, filled

    async def fetch_my_trades(self, instrument: str) -> Any:
        return self.trades

    async def fetch_order(self, order_id: str | None, instrument: str, params: Any = None) -> Any:
        order = {"id": "7", "clientOrderId": self.our_id, "symbol": instrument}
        order |= {"status": self.status, "filled": self.filled}
        if order_id == "7":
            return order
        self.lookups += 1
        if self.finds == "another":
            return {**order, "clientOrderId": "theirs"}
        if self.finds == "server error":
            raise OutcomeUnknown("OrderNotFound: 502", cause=Cause.SERVICE)
        if self.finds == "ours" and params == {"clientOrderId": "ours"}:
            return order
        raise Rejected("OrderNotFound: no such order")


@pytest.mark.parametrize("finds", ["nothing", "another", "server error"])
async def test_no_such_order_counts_for_nothing_until_one_was_found_by_our_id(finds: str) -> None:
    orders, venue = quirks(), Venue(finds)
    for _ in range(2):
        with pytest.raises(OutcomeUnknown) as told:
            await orders.find(venue, read, INSTRUMENT, "never", "")
        assert not orders.is_not_found(str(told.value)), "the gateway would take it for a no"
        assert await orders.find(venue, read, INSTRUMENT, "ours", "7")


async def test_an_order_found_by_our_id_proves_that_others_would_be() -> None:
    orders, venue = quirks(), Venue("ours")
    assert await orders.find(venue, read, INSTRUMENT, "ours", "7")
    with pytest.raises(Rejected) as told:
        await orders.find(venue, read, INSTRUMENT, "never", "")
    assert orders.is_not_found(str(told.value))


@pytest.mark.parametrize("status", ["open", None])
async def test_an_order_that_may_still_work_proves_nothing_of_those_that_ended(status) -> None:
    """Some venues find by our id only what is open; ours that filled at once would be missed."""
    orders, venue = quirks(), Venue("ours", status=status)
    assert await orders.find(venue, read, INSTRUMENT, "ours", "7")
    assert await orders.find(venue, read, INSTRUMENT, "ours", "")
    with pytest.raises(OutcomeUnknown, match="no order was found there yet"):
        await orders.find(venue, read, INSTRUMENT, "never", "")


@pytest.mark.parametrize("venue_order_id", ["7", ""])
async def test_an_order_that_does_not_say_what_it_filled_is_unknown(venue_order_id: str) -> None:
    """Taken for nothing, an order that was canceled in part would leave that part to nobody."""
    venue = Venue("ours", status="canceled", filled=None)
    with pytest.raises(OutcomeUnknown, match="not how much of it is filled"):
        await quirks().find(venue, read, INSTRUMENT, "ours", venue_order_id)
    made = {"id": "7", "status": "canceled", "filled": None}
    with pytest.raises(OutcomeUnknown, match="not how much of it is filled"):
        quirks().fills_in(venue, made, INSTRUMENT)
    assert quirks().fills_in(venue, {**made, "status": None}, INSTRUMENT) == [], "it is asked for"


async def test_an_order_without_an_id_of_ours_is_not_looked_up() -> None:
    venue = Venue("ours", our_id=None)
    assert await quirks().find(venue, read, INSTRUMENT, "", "7")
    assert venue.lookups == 0


NEWEST = ({"order": "7", "timestamp": 2}, {"order": "1", "timestamp": 1})


async def test_a_start_has_its_proof_in_the_newest_execution() -> None:
    with pytest.raises(Rejected) as told:
        await quirks().find(Venue("ours", NEWEST), read, INSTRUMENT, "never", "")
    assert quirks().is_not_found(str(told.value))


async def test_a_proof_that_fails_is_tried_once_a_question() -> None:
    venue = Venue("nothing", NEWEST)
    with pytest.raises(OutcomeUnknown, match="no order was found there yet"):
        async with asyncio.timeout(5):
            await quirks().find(venue, read, INSTRUMENT, "never", "")
    assert venue.lookups == 2, "of the order that is asked for, and of the newest execution's"


@pytest.mark.parametrize("trades", [({"order": None, "timestamp": 3},), NEWEST[1:], ()])
async def test_without_such_an_order_nothing_is_proven(trades: Any) -> None:
    with pytest.raises(OutcomeUnknown, match="no order was found there yet"):
        await quirks().find(Venue("ours", trades), read, INSTRUMENT, "never", "")


async def test_an_order_is_not_canceled_by_an_id_that_the_venue_does_not_take() -> None:
    orders = quirks(findings={**YES, Capability.CANCEL_BY_CLIENT_ID: Finding(False, "no")})
    with pytest.raises(Unavailable, match="not canceled, its venue order id is not known yet"):
        await orders.cancel(Venue("ours"), INSTRUMENT, "ours", "")


class Trades:
    """Executions in pages of three, from the oldest or from the newest on."""

    def __init__(self, count: int, first: str, *, hears_until: bool = True) -> None:
        self.rows: list[dict[str, Any]] = [
            {"id": str(n), "order": "7", "side": "buy", "timestamp": 1_000 + n}
            for n in range(count)
        ]
        self.first, self.hears_until = first, hears_until

    def milliseconds(self) -> int:
        return 5_000

    async def fetch_my_trades(self, instrument: str, since: int, limit: Any, params: Any) -> Any:
        until = params.get("until", 10**9) if self.hears_until else 10**9
        found = [row for row in self.rows if since <= row["timestamp"] <= until]
        return found[:3] if self.first == "oldest" else found[-3:]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 20])
@pytest.mark.parametrize("first", ["oldest", "newest"])
@pytest.mark.parametrize("known", [3, None])
@pytest.mark.parametrize("span_ms", [None, 7])
async def test_executions_are_read_to_both_ends(count, first, known, span_ms) -> None:
    orders = quirks(fills_limit=known, fills_span_ms=span_ms)
    trades = Trades(count, first)
    if span_ms:
        trades.milliseconds = lambda: 1_100 - 60_000  # type: ignore[method-assign]
    told = await orders.fills_since(trades, read, [INSTRUMENT], 1_000)
    assert sorted(told, key=lambda row: row["timestamp"]) == trades.rows


@pytest.mark.parametrize(
    "trades, changes, why",
    [
        (Trades(4, "newest"), {"fills_until": False, "fills_limit": 3}, "a full page"),
        (Trades(4, "newest", hears_until=False), {}, "executions after the time"),
        (Trades(900, "oldest"), {}, "more than 100 pages"),
    ],
)
async def test_part_of_the_executions_is_never_taken_for_all(trades, changes, why) -> None:
    with pytest.raises(Unavailable, match=why):
        await quirks(**changes).fills_since(trades, read, [INSTRUMENT], 1_000)


@pytest.mark.parametrize("name", ["id", "order"])
async def test_executions_that_cannot_be_told_apart_are_not_taken_for_one(name: str) -> None:
    trades = Trades(2, "oldest")
    for row in trades.rows:
        row[name] = None
    with pytest.raises(Unavailable, match=f"an execution without {name}"):
        await quirks().fills_since(trades, read, [INSTRUMENT], 1_000)


async def test_a_page_of_one_millisecond_may_not_be_all_of_it() -> None:
    trades = Trades(9, "oldest")
    for row in trades.rows:
        row["timestamp"] = 1_000
    with pytest.raises(Unavailable, match="a whole page of one millisecond"):
        await quirks(fills_limit=3).fills_since(trades, read, [INSTRUMENT], 1_000)


SECTION = """
[venues.other]
adapter = "kraken"
ccxt_id = "kraken"
instruments = ["BTC/USDT"]
rest_url = "http://127.0.0.1:9"
"""


def test_a_configuration_that_could_not_trade_is_not_right(tmp_path) -> None:
    path = tmp_path / "arb.toml"
    path.write_text(f'[executor]\nmode = "simulated"\n{SECTION}')
    with pytest.raises(ConfigError, match=r"arb\.toml: venues\.other: .*query by client order id"):
        settings.check(str(path), {})
    config = load_config(str(path), {})
    keys = {"ARB_OTHER_API_KEY": "k", "ARB_OTHER_API_SECRET": "s"}
    with pytest.raises(ConfigError, match=r"venues\.other: "):
        open_gateways(config, {}, ManualClock(), keys)
    path.write_text(SECTION)
    assert settings.check(str(path), {}).venues["other"].ccxt_id, "on paper nothing is sent"
    path.write_text(SECTION.replace('ccxt_id = "kraken"', 'ccxt_id = "krakn"'))
    with pytest.raises(ConfigError, match=r"venues\.other\.ccxt_id: ccxt has no exchange 'krakn'"):
        settings.check(str(path), {})
    path.write_text(f'[executor]\nmode = "simulated"\n{SECTION}\ntrade = false')
    assert not settings.check(str(path), {}).venues["other"].trade
