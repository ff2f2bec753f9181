"""A trade of which both sides are ours: one trade id, two fills, and neither is a repeat."""

from __future__ import annotations

import json
from decimal import Decimal as D
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from services.cli.export import History
from services.risk.adopted_fills import AdoptedFills
from services.risk.checkpoint import LEDGER
from shared.accounts.gateway import FillReport
from shared.messages.base import Message, Side
from shared.messages.execution import Fill
from shared.messages.fill_key import FillKey, fill_key
from shared.messages.restated import FillRestated
from shared.sql_ledger.database import open_to_write
from shared.sql_ledger.rows import entry_text, rows_of
from shared.venues.binance import orders as binance
from shared.venues.bybit import orders as bybit
from shared.venues.gateio import orders as gateio
from shared.watch.collector import Collector
from tests.decision_builders import SPOT, T0, make_fill, make_risk, order_of
from tests.executor_model import PERP
from tests.unit.test_executor_funding import holding
from tests.unit.test_executor_reductions import close_by_itself, fill, reduced

BUY = make_fill("plan-a", "alpha", Side.BUY, "0.1", trade_id="7", fee=None)
SELL = make_fill("plan-b", "alpha", Side.SELL, "0.1", trade_id="7", fee=None)
ORDERS: list[Message] = [order_of(BUY), order_of(SELL)]


def with_fee(told: Fill, fee: str) -> Fill:
    return msgspec.structs.replace(told, fee=D(fee), fee_asset="USDT", fee_quote=D(fee))


TOLD = [BUY, SELL, BUY, SELL, with_fee(SELL, "2"), with_fee(BUY, "1"), BUY, with_fee(SELL, "2")]
"""Both sides, told again, and their fees told later."""


def test_the_key_is_stated_once() -> None:
    assert fill_key(BUY) == FillKey("alpha", SPOT, "7", Side.BUY)
    assert fill_key(BUY) != fill_key(SELL)
    assert FillKey._fields == ("venue", "instrument", "trade_id", "side")
    assert fill_key(BUY).text == "alpha|BTC/USDT|7|buy"
    report = FillReport(
        trade_id="7", venue_order_id="1", instrument=SPOT, side=Side.BUY, price=D(1), qty=D(1)
    )
    assert report.key_at("alpha") == fill_key(BUY)


def test_risk_books_both_sides_once() -> None:
    engine = make_risk()
    for message in [*ORDERS, *TOLD]:
        engine.on_message(message, T0)
    ledger = engine.ledger
    assert ledger.positions[f"alpha|{SPOT}"] == D(0)
    assert ledger.books.inventory["alpha|USDT"] == D(-3), "both fees, and nothing else"
    assert ledger.orders.filled("plan-a", Side.BUY) == {SPOT: D("0.1")}
    assert ledger.orders.filled("plan-b", Side.SELL) == {SPOT: D("0.1")}


def test_risk_states_both_sides_again_once() -> None:
    engine = make_risk()
    for message in [*ORDERS, BUY, SELL]:
        engine.on_message(message, T0)
    for told in (BUY, SELL) * 2:
        engine.on_message(
            FillRestated(ts_ns=T0 + 1, fill=told, report_asset="USD", report_price=D(1)), T0
        )
    assert engine.ledger.books.results["USD"].realized == D(0)
    assert engine.ledger.books.inventory["alpha|BTC"] == D(0)
    assert set(engine.ledger.exposure.values()) == {D(0)}


def test_a_fill_that_an_older_version_counted_is_not_counted_again() -> None:
    """Its checkpoint remembers fills without their side."""
    engine = make_risk()
    for message in [*ORDERS, BUY]:
        engine.on_message(message, T0)
    saved = engine.checkpoints()
    state = json.loads(saved[LEDGER])
    assert list(state["ledger"]["fills_seen"].values()) == [False]
    state["ledger"]["fills_seen"] = {"5f11ab3e1d8d3f85": False}  # as that version named it
    engine = make_risk()
    engine.start({**saved, LEDGER: json.dumps(state).encode()}, T0)
    for told in (BUY, with_fee(BUY, "1"), with_fee(BUY, "1")):
        engine.on_message(told, T0)
    assert engine.ledger.positions[f"alpha|{SPOT}"] == D("0.1")
    assert engine.ledger.books.inventory["alpha|USDT"] == D(-1001)
    assert not engine.ledger.has_unknown_fees()


def test_adopted_fills_of_both_sides_are_kept_and_those_of_older_versions_told_with_their_fee():
    adopted = AdoptedFills()
    for told in TOLD:
        adopted.keep(told)
    assert adopted.take("plan-a") == [BUY]
    assert adopted.take("plan-b") == [with_fee(SELL, "2")]
    older = msgspec.json.encode({"fills": {f"alpha|{SPOT}|7": BUY}})
    adopted = msgspec.json.decode(older, type=AdoptedFills)
    adopted.keep(with_fee(BUY, "1"))
    assert adopted.take("plan-a") == [with_fee(BUY, "1")]


def test_watch_counts_both_sides_once() -> None:
    collector = Collector()
    for message in [*ORDERS, *TOLD]:
        collector.on_message(message)
    assert len(collector.fills) == 2
    assert collector.fills_unowned == 0
    assert collector.books.exposure == {"BTC": D(0)}
    assert collector.books.results["USDT"].fees_missing == 0
    assert collector.books.inventory["alpha|USDT"] == D(-3)


def test_export_has_both_sides_with_their_fees() -> None:
    history = History()
    for message in [*ORDERS, *TOLD]:
        history.on_message(message)
    history.on_message(FillRestated(ts_ns=T0, fill=SELL, report_asset="USD", report_price=D(1)))
    bought, sold = history.fills()
    assert [(each.side, each.fee) for each in (bought, sold)] == [(Side.BUY, 1), (Side.SELL, 2)]
    assert (bought.report_asset, sold.report_asset) == ("", "USD")
    assert history.unowned == 0


def test_the_sql_ledger_has_both_sides_however_often_they_are_read(tmp_path: Path) -> None:
    ledger = open_to_write(tmp_path / "l")
    for _ in range(2):
        for number, told in enumerate(TOLD):
            ledger.write(rows_of(told, entry_text(f"{number}-0", 0)), {})
    rows = ledger.query("SELECT side, plan_id, fee FROM fills ORDER BY side")
    assert [tuple(row) for row in rows] == [("buy", "plan-a", "1"), ("sell", "plan-b", "2")]
    ledger.close()


def test_the_executor_books_both_sides_of_what_it_finds() -> None:
    """One of our orders has traded with the venue's own that closes a position."""
    world = holding()
    world.positions["gamma"] = {PERP: D("-0.1")}
    world.settle(60)
    close_by_itself(world, fill(world, "own1", "0.06"), fill(world, "own1", "0.02", Side.SELL))
    world.positions["gamma"] = {PERP: D("-0.04")}
    world.settle(10)
    world.crash()
    world.settle(10)
    assert [(each.trade_id, each.side) for each in reduced(world)] == [("own1", Side.BUY)]
    keys = list(world.engine.state.reductions)
    assert keys == [f"gamma|{PERP}|own1|buy", f"gamma|{PERP}|own1|sell"], "each is judged"


def test_what_an_older_version_found_closed_is_not_told_again() -> None:
    world = holding()
    world.positions["gamma"] = {PERP: D("-0.1")}
    world.settle(60)
    world.engine.state.reductions[f"gamma|{PERP}|own1"] = world.now_ns
    close_by_itself(world, fill(world, "own1", "0.06"))
    world.positions["gamma"] = {PERP: D("-0.04")}
    world.settle(10)
    assert reduced(world) == []


def test_one_side_told_for_the_other_is_still_refused() -> None:
    engine = make_risk()
    for message in [order_of(BUY), BUY, msgspec.structs.replace(BUY, side=Side.SELL)]:
        engine.on_message(message, T0)
    assert engine.ledger.positions[f"alpha|{SPOT}"] == D("0.1")


# What venues list


async def read(what: str, request: Any) -> Any:
    return await request


def trade(number: int, order: str, side: Side) -> dict[str, Any]:
    return {"id": str(number), "order": order, "side": side.value, "timestamp": 1}


async def test_a_page_that_ends_between_both_sides_hides_neither(monkeypatch) -> None:
    """The venue is asked from a trade id on; the next page begins with the last one's trade."""
    monkeypatch.setattr(binance, "FILLS_PAGE", 3)
    rows = [trade(1, "a", Side.BUY), trade(2, "a", Side.BUY), trade(3, "a", Side.BUY)]
    rows += [trade(3, "b", Side.SELL), trade(4, "b", Side.SELL)]

    async def fetch_my_trades(instrument: str, since: Any, limit: int, params: Any) -> Any:
        return [row for row in rows if int(row["id"]) >= params.get("fromId", 0)][:limit]

    client = SimpleNamespace(fetch_my_trades=fetch_my_trades, nonce=lambda: 2)
    found = await binance.all_fills(client, read, [SPOT], 1, 10)
    assert found == rows


async def test_gate_and_bybit_list_both_sides() -> None:
    rows = [
        {"id": "7", "currency_pair": "BTC_USDT", "side": side, "order_id": order, "execTime": "1"}
        | {"symbol": "BTCUSDT", "execId": "7", "orderId": order, "fees": [], "execType": "Trade"}
        for side, order in (("buy", "a"), ("sell", "b"))
    ]

    async def listed(params: Any) -> Any:
        return rows

    async def listed_in_pages(params: Any) -> Any:
        return {"result": {"list": rows, "nextPageCursor": ""}}

    client = SimpleNamespace(
        privateSpotGetMyTrades=listed,
        privateGetV5ExecutionList=listed_in_pages,
        parse_trade=lambda row, market=None: {**row, "timestamp": 1},
        nonce=lambda: 2,
        market=lambda name: {"id": "BTCUSDT"},
    )
    for venue in (gateio, bybit):
        found = await venue.fills_since(client, read, [SPOT], 1)
        assert [row["side"] for row in found] == ["buy", "sell"], venue.__name__
