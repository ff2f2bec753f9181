"""Simulated venues that are killed come back with their accounts, to the byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from services.cli.stack import free_port
from services.venuesim import store as store_module
from services.venuesim.app import Options, VenueSim
from services.venuesim.control import account
from services.venuesim.store import Store, read_changes
from shared.errors import ConfigError
from shared.exchange.orders import IncomingOrder
from shared.messages.base import Side
from shared.messages.terms import TimeInForce
from tests.integration.venuesim_clients import SYMBOLS, VENUES, client
from tests.support import ROOT, eventually


@contextmanager
def process(folder: Path, port: int, *more: str) -> Iterator[SimpleNamespace]:
    """The venues as a process of their own; ``kill`` is ``kill -9``."""
    arguments = (
        "--seed",
        "5",
        "--json",
        "--more-venues",
        "--port",
        str(port),
        "--state",
        str(folder),
    )
    started = subprocess.Popen(
        [sys.executable, "-m", "services.venuesim", *arguments, *more],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def kill() -> str:
        os.kill(started.pid, signal.SIGKILL)
        return started.communicate(timeout=20)[1]

    try:
        line = started.stdout.readline()  # type: ignore[union-attr]
        assert line, started.communicate(timeout=20)[1]
        yield SimpleNamespace(description=json.loads(line), kill=kill)
    finally:
        if started.poll() is None:
            started.kill()
        started.communicate()


async def accounts(description: dict[str, Any]) -> dict[str, Any]:
    url = f"{description['control']}/accounts"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.json()


def of_account(told: dict[str, Any], venue: str) -> dict[str, Any]:
    return {name: part for name, part in told[venue].items() if name != "balances"}


async def trade(exchange: Any, symbol: str, qty: float) -> dict[str, Any]:
    """One order that fills, and one that rests far below the market."""
    book = await exchange.fetch_order_book(symbol, 5)
    ask = book["asks"][0][0]
    far = float(exchange.price_to_precision(symbol, book["bids"][0][0] * 0.7))
    near = float(exchange.price_to_precision(symbol, ask * 1.01))
    filled = await exchange.create_order(symbol, "limit", "buy", qty, near)
    resting = await exchange.create_order(symbol, "limit", "buy", qty, far)
    return {"filled": filled["id"], "resting": resting["id"]}


async def seen(exchange: Any, symbol: str) -> dict[str, Any]:
    """What a client can ask of its account."""
    balance = await exchange.fetch_balance()
    opened = await exchange.fetch_open_orders(symbol)
    trades = await exchange.fetch_my_trades(symbol)
    names = ["used"] if ":" in symbol else ["free", "used"]  # an open loss at the mark is not free
    return {
        "balances": {name: balance[name] for name in names},
        "open": [(o["id"], o["clientOrderId"], o["price"], o["remaining"]) for o in opened],
        "trades": [(t["id"], t["order"], t["price"], t["amount"], t["fee"]) for t in trades],
    }


@pytest.mark.parametrize("venue", VENUES)
async def test_after_kill_9_a_client_finds_its_account_and_no_id_repeats(venue, tmp_path):
    symbol, qty, port = SYMBOLS[venue], 0.01, free_port()
    with process(tmp_path, port) as first:
        async with client(first, venue) as exchange:
            await exchange.load_markets()
            ids = await trade(exchange, symbol, qty)
            before = await seen(exchange, symbol)
        told = of_account(await accounts(first.description), venue)
        first.kill()
    assert [row[0] for row in before["open"]] == [ids["resting"]]
    assert before["trades"]
    with process(tmp_path, port) as second:
        async with client(second, venue) as exchange:
            await exchange.load_markets()
            assert await seen(exchange, symbol) == before
            assert of_account(await accounts(second.description), venue) == told
            again = await trade(exchange, symbol, qty)
            after = await seen(exchange, symbol)
            await exchange.cancel_order(ids["resting"], symbol)
            assert [o["id"] for o in await exchange.fetch_open_orders(symbol)] == [again["resting"]]
    assert not set(again.values()) & set(ids.values())
    numbers = [row[0] for row in after["trades"]]
    assert len(numbers) > len(before["trades"])
    assert len(set(numbers)) == len(numbers)


async def test_every_order_that_was_answered_is_there_after_a_kill_at_any_moment(tmp_path):
    venue, port, answered = "binance", free_port(), set()
    symbol = SYMBOLS[venue]
    for _ in range(3):
        with process(tmp_path, port) as running:
            async with client(running, venue) as exchange:
                await exchange.load_markets()
                known = {o["id"] for o in await exchange.fetch_orders(symbol, limit=1_000)}
                assert known == answered
                for number in range(25):
                    side = "buy" if number % 2 else "sell"
                    order = await exchange.create_order(symbol, "market", side, 0.001)
                    answered.add(order["id"])
                running.kill()  # with the last answer just out
    assert len(answered) == 75, "no id repeated"


# -- the file ------------------------------------------------------------------------------


def opened(folder: Path) -> VenueSim:
    return VenueSim(Options(seed=5, state=str(folder)))


def used(folder: Path, orders: int = 6) -> tuple[VenueSim, list[dict[str, Any]]]:
    """A simulation with some orders; and its account of one venue after each."""
    sim = opened(folder)
    sim.step()
    exchange, states = sim.venues["binance"].exchange, []
    listing = next(iter(exchange.by_instrument.values()))
    for number in range(orders):
        best = exchange.books[listing.instrument].asks.best()
        assert best is not None
        price = listing.price(best + 100_000) if number % 2 else listing.price(best - 900_000)
        terms = listing.terms(Side.BUY, listing.lot * 20, price, time_in_force=TimeInForce.GTC)
        exchange.place(IncomingOrder(listing, terms, f"c{number}"), 1_000 + number)
        assert sim.is_kept()
        states.append(account_of(sim))
    return sim, states


def account_of(sim: VenueSim) -> dict[str, Any]:
    return account(sim.venues["binance"].exchange)


def closed(sim: VenueSim) -> None:
    assert sim.store is not None
    sim.store.close()


def test_a_torn_last_record_is_cut_off_and_said(tmp_path, capsys):
    sim, states = used(tmp_path)
    closed(sim)
    path = tmp_path / "binance.state"
    whole = path.read_bytes()
    for missing in (1, 7, 200):
        path.write_bytes(whole[:-missing])
        again = opened(tmp_path)
        assert account_of(again) == states[-2]
        closed(again)
        said = capsys.readouterr().err
        assert said.startswith(f"venuesim: {path}: a kill tore its last record: ")
        assert said.count("\n") == 1
        closed(opened(tmp_path))
        assert capsys.readouterr().err == "", "it was cut off"


def test_wherever_a_kill_tears_the_file_a_whole_moment_comes_back(tmp_path, capsys):
    sim, states = used(tmp_path)
    closed(sim)
    path = tmp_path / "binance.state"
    whole, moments = path.read_bytes(), []
    begins = len(whole) - len(whole) // 3
    for end in range(begins, len(whole), 23):
        path.write_bytes(whole[:end])
        again = opened(tmp_path)
        moments.append(states.index(account_of(again)))
        closed(again)
    assert moments == sorted(moments)
    assert len(set(moments)) > 1


@pytest.mark.parametrize("at", [2, 6, 9, 40, -30])
def test_a_damaged_file_is_one_clear_error(tmp_path, at):
    sim, _ = used(tmp_path)
    closed(sim)
    path = tmp_path / "binance.state"
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(bytes(data))
    done = subprocess.run(
        [sys.executable, "-m", "services.venuesim", "--state", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"venuesim: {path} is damaged at byte ")
    assert done.stderr.count("\n") == 1
    assert path.read_bytes() == bytes(data), "nobody touched it"


def test_what_does_not_fit_is_one_clear_error(tmp_path):
    sim, _ = used(tmp_path)
    closed(sim)
    (tmp_path / "binance.state").rename(tmp_path / "kraken.state")
    with pytest.raises(ConfigError, match=r"kraken\.state is of binance, version 1"):
        opened(tmp_path)
    (tmp_path / "kraken.state").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"damaged at byte 0: the state it begins with"):
        opened(tmp_path)


def test_one_simulation_at_a_time_uses_a_folder(tmp_path):
    sim = opened(tmp_path)
    with pytest.raises(ConfigError, match="another simulation is using it"):
        opened(tmp_path)
    closed(sim)
    closed(opened(tmp_path))


def test_a_folder_that_cannot_be_used_is_one_clear_error(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConfigError, match="--state"):
        opened(file / "below")


def test_a_file_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "GROWTH_BYTES_MAX", 5_000)
    sim, states = used(tmp_path, orders=60)
    path = tmp_path / "binance.state"
    state = sum(1 for _ in read_changes(path, "binance"))
    assert state < 30, "it was begun anew"
    closed(sim)
    again = opened(tmp_path)
    assert account_of(again) == states[-1]
    assert path.stat().st_size < 60 * 400
    closed(again)
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == ".new") == []


def test_nothing_is_told_that_cannot_be_written(tmp_path):
    sim, _ = used(tmp_path)
    store = sim.store
    assert isinstance(store, Store)
    os.close(store._files[0]._fd)  # as if the disk had gone
    exchange = sim.venues["binance"].exchange
    exchange.cancel(next(iter(exchange.open_orders.values())), 2_000)
    assert not sim.is_kept()
    with pytest.raises(store_module.StateLostError, match="the accounts cannot be written: "):
        sim.step()
    store._files[0]._fd = -1
    store.close()


async def test_funding_goes_on_where_it_was(tmp_path):
    port = free_port()
    short = ("--funding-interval-s", "1")
    with process(tmp_path, port, *short) as first:
        async with client(first, "binanceusdm") as exchange:
            await exchange.load_markets()
            await exchange.create_order(SYMBOLS["binanceusdm"], "market", "buy", 0.01)

            async def has_paid() -> bool:
                told = await accounts(first.description)
                return len(told["binanceusdm"]["fundings"]) >= 2

            await eventually(has_paid, timeout_s=20)
            before = await accounts(first.description)
        first.kill()
    with process(tmp_path, port, *short) as second:
        async with client(second, "binanceusdm") as exchange:
            await exchange.load_markets()
            after = await accounts(second.description)
            paid = after["binanceusdm"]["fundings"]
            known = before["binanceusdm"]["fundings"]
            assert paid[: len(known)] == known
            times = [row["ts_ms"] for row in paid]
            assert times == sorted(set(times)), "none is paid twice"
            ids = [row["info"]["tranId"] for row in await exchange.fetch_funding_history()]
            assert len(set(ids)) == len(ids)
