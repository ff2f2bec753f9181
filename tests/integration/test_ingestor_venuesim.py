"""Ingestor and orderbook against the simulated venues: faults happen, books heal and are right."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys

import aiohttp
import pytest

from services.ingestor import listing_child
from shared import streams
from shared.bus.port import Input
from shared.config_sections import OrderbookConfig, VenueConfig
from shared.messages.base import BookState
from shared.messages.market import (
    Funding,
    FundingSettled,
    InstrumentInfo,
    Mark,
    Trade,
    TradesMissed,
)
from shared.venues.registry import EVERY, load_feed, load_simulated
from tests.integration.pipeline import NO_METADATA, pipeline
from tests.support import ROOT, eventually

CHILD = listing_child.CHILD
NUMBERED_APART = ("kraken", "bybit", "okx", "bitstamp", "krakenfutures", "coinbaseexchange")
"""The number of a view there is the session's, or its topic's."""
INSTRUMENTS = {name: [x.instrument for x in load_simulated(name).LISTINGS][:2] for name in EVERY}


@pytest.fixture
def venuesim():
    """A simulator's ready line."""
    with simulator() as ready:
        yield ready


@contextlib.contextmanager
def simulator(*more: str):
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "services.venuesim",
            "--port",
            "0",
            "--seed",
            "7",
            "--json",
            "--more-venues",
            *more,
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


class Control:
    """The simulator's control port, and the comparison of our books with its own."""

    def __init__(self, ready: dict, session: aiohttp.ClientSession, run) -> None:
        self._url, self._session, self._run = ready["control"], session, run

    async def get(self, path: str) -> dict:
        async with self._session.get(f"{self._url}/{path}") as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def fault(self, kind: str, venue: str, **what) -> None:
        body = {"kind": kind, "venue": venue, **what}
        async with self._session.post(f"{self._url}/fault", json=body) as response:
            assert response.status == 200, await response.text()

    async def clear_faults(self) -> None:
        """Let no fault wait any more."""
        async with self._session.delete(f"{self._url}/fault") as response:
            assert response.status == 200, await response.text()

    async def books_are_right(self) -> bool:
        """Every book is LIVE, and at a number that the venue shows it is the venue's book."""
        truth = await self.get("books")
        for venue, instruments in INSTRUMENTS.items():
            for instrument in instruments:
                view = self._run.reader.view(venue, instrument)
                assert view is not None and view.state is BookState.LIVE, (venue, instrument, view)
                book = truth[venue][instrument]
                if venue not in NUMBERED_APART:
                    await self._caught_up(venue, instrument, book["seq"])
                    view = self._run.reader.view(venue, instrument)
                    if view.seq != book["seq"]:
                        return False
                assert levels(view.bids) == levels(book["bids"]), (venue, instrument)
                assert levels(view.asks) == levels(book["asks"]), (venue, instrument)
        return True

    async def _caught_up(self, venue: str, instrument: str, seq: int) -> None:
        for _ in range(100):
            if self._run.reader.view(venue, instrument).seq >= seq:
                return
            await asyncio.sleep(0.002)


def levels(side) -> list[tuple[float, float]]:
    return [(float(price), float(qty)) for price, qty in side[:5]]


@contextlib.asynccontextmanager
async def running(
    ready,
    tmp_path,
    monkeypatch,
    *,
    child=NO_METADATA,
    orderbook=OrderbookConfig(),
    extra=None,
    feeds=False,
    audit_every_s=0.0,
):
    venues = {
        name: VenueConfig(
            instruments=[*names, *(extra or {}).get(name, [])],
            # Below its name: several have the path "/".
            rest_url=ready["venues"][name]["http"],
            ws_url=ready["venues"][name]["ws"],
            feeds=("depth", *load_feed(name).extras) if feeds else ("depth",),
            audit_every_s=audit_every_s,
            accept_unproved=True,
        )
        for name, names in INSTRUMENTS.items()
    }
    async with (
        pipeline(tmp_path, venues, monkeypatch, child=child, orderbook=orderbook) as run,
        aiohttp.ClientSession() as session,
    ):
        control = Control(ready, session, run)
        await eventually(control.books_are_right, timeout_s=20)
        yield run, control


async def test_books_of_all_venues_equal_the_venues_own(venuesim, tmp_path, monkeypatch):
    async with running(venuesim, tmp_path, monkeypatch) as (run, control):
        await eventually(lambda: run.counters.get("checksums_ok", 0) > 20)
        await eventually(control.books_are_right)
        assert await eventually(lambda: run.app.readiness() == (True, ""))
        assert run.counters.get("gaps", 0) == run.counters.get("malformed", 0) == 0
        assert run.counters.get("checksums_failed", 0) == 0


LOST = {"kraken": "checksums_failed"}
"""By what a lost delta is noticed where that is no gap."""
UNPROVED = ("bitstamp", "coinbaseexchange")
"""Where it is noticed by nothing."""
HITS_MAX = 4
NUMBERED = [venue for venue in EVERY if venue not in LOST]
FAULTS = [
    *(("drop", venue, LOST.get(venue, "gaps")) for venue in EVERY if venue not in UNPROVED),
    *(("disconnect", venue, "reconnects") for venue in EVERY),
    *(("reorder", venue, "gaps") for venue in NUMBERED),
    *(("duplicate", venue, "dropped") for venue in NUMBERED),
    ("delay", "binance", "gaps"),
    ("checksum", "kraken", "checksums_failed"),
]


@pytest.mark.parametrize(("kind", "venue", "counter"), FAULTS)
async def test_fault_is_noticed_and_the_book_heals(  # noqa: PLR0917
    venuesim, tmp_path, monkeypatch, kind, venue, counter
):
    async with running(venuesim, tmp_path, monkeypatch) as (run, control):
        before = run.counters.get(counter, 0)
        hits = 0
        while run.counters.get(counter, 0) == before:
            # A checksum of the best levels does not show what is lost behind them, or overwritten.
            hits += 1
            assert hits <= (HITS_MAX if venue in LOST else 1), f"{counter}: nothing was noticed"
            await control.fault(kind, venue, instrument=INSTRUMENTS[venue][0], count=1)
            with contextlib.suppress(AssertionError):
                await eventually(lambda: run.counters.get(counter, 0) > before, what=counter)
        await eventually(control.books_are_right, timeout_s=20)


@pytest.mark.parametrize("kind", ["http_429", "ban"])
async def test_limited_snapshot_is_had_later(venuesim, tmp_path, monkeypatch, kind):
    async with running(venuesim, tmp_path, monkeypatch) as (run, control):
        await control.fault(kind, "binance", count=1)
        await control.fault("drop", "binance", instrument="BTC/USDT", count=1)
        await eventually(lambda: run.counters.get("rest_limited", 0) == 1)
        await eventually(control.books_are_right, timeout_s=30)


@pytest.mark.slow
async def test_silent_stall_is_stale_and_heals(venuesim, tmp_path, monkeypatch):
    config = OrderbookConfig(stale_after_ms=1_000)
    async with running(venuesim, tmp_path, monkeypatch, orderbook=config) as (run, control):
        before = run.reader.view("binance", "BTC/USDT").ts_recv_ns
        # A few changes, so that the book has a rhythm.
        await eventually(
            lambda: run.reader.view("binance", "BTC/USDT").ts_recv_ns > before + 1_000_000_000
        )
        await control.fault("stall", "binance", ms=12_000)
        await eventually(lambda: "STALE" in run.reader.states["binance", "BTC/USDT"], timeout_s=20)
        await eventually(lambda: run.reader.is_live("kraken", "BTC/USDT"), what="others go on")
        await eventually(control.books_are_right, timeout_s=40)


async def test_unknown_instruments_are_said_and_the_others_go_on(venuesim, tmp_path, monkeypatch):
    extra = {
        venue: [f"NOPE/{instruments[0].partition('/')[2]}"]
        for venue, instruments in INSTRUMENTS.items()
    }
    async with running(venuesim, tmp_path, monkeypatch, extra=extra) as (run, control):
        inbox = await run.bus.open_inbox(
            [Input(streams.ALERT, start="first")], service="t", instance="t"
        )
        alerted: set[str] = set()

        async def all_said() -> bool:
            for alert in (await inbox.read(0.2)).messages:
                if alert.code != "INSTRUMENT_REFUSED":
                    continue  # no list can be read here
                alerted.add(alert.text.partition(":")[0].split()[0])
            return alerted == set(extra)

        await eventually(all_said)
        assert await eventually(lambda: run.app.readiness() == (True, ""))
        await eventually(control.books_are_right)
        for venue, names in extra.items():
            await eventually(lambda v=venue, n=names: run.reader.view(v, n[0]) is not None)
            view = run.reader.view(venue, names[0])
            assert view.state is BookState.DOWN
            assert view.reason
        await inbox.close()


async def test_rules_of_all_instruments_are_read_and_published(venuesim, tmp_path, monkeypatch):
    async with running(venuesim, tmp_path, monkeypatch, child=CHILD) as (run, _):
        inbox = await run.bus.open_inbox(
            [Input(streams.MD_INSTRUMENT, start="first")], service="t", instance="t"
        )
        known: dict[tuple[str, str], InstrumentInfo] = {}

        async def all_known() -> bool:
            for message in (await inbox.read(0.5)).messages:
                known[message.rules.venue, message.rules.instrument] = message
            return set(known) == {(v, i) for v, names in INSTRUMENTS.items() for i in names}

        await eventually(all_known, timeout_s=30)
        for info in known.values():
            rules = info.rules
            assert rules.tick_size > 0 and rules.lot_size > 0 and rules.taker_fee_bps > 0
        await inbox.close()


async def test_trades_and_funding_come_beside_books(tmp_path, monkeypatch):
    with simulator("--funding-interval-s", "3", "--premium-bps", "100") as ready:
        async with running(ready, tmp_path, monkeypatch, feeds=True) as (run, control):
            inputs = [Input(spec, start="first") for spec in (streams.MD_TRADE, streams.MD_FUNDING)]
            inbox = await run.bus.open_inbox(inputs, service="scanner", instance="t")
            found: dict[type, list] = {}

            async def all_came() -> bool:
                for message in (await inbox.read(0.1)).messages:
                    found.setdefault(type(message), []).append(message)
                return (
                    {m.venue for m in found.get(Trade, ())} == set(INSTRUMENTS)
                    and any(m.interval_ns and m.rate_cap for m in found.get(Funding, ()))
                    and {Mark, FundingSettled, TradesMissed} <= set(found)
                )

            await eventually(all_came, timeout_s=30)
            told = [m for m in found[Funding] if m.interval_ns and m.rate_cap][-1]
            assert (told.interval_ns, told.rate_cap, told.rate_floor) == (3 * 10**9, 0.02, -0.02)
            assert told.index_price is not None
            hourly = [m for m in found[Funding] if m.venue == "krakenfutures"]
            assert {m.interval_ns for m in hourly} == {3_600 * 10**9}, "caps are not told there"
            assert all(m.ts_funding_ns % (3 * 10**9) == 0 for m in found[FundingSettled])
            assert {m.venue for m in found[TradesMissed]} == set(INSTRUMENTS), "when subscribed"
            await eventually(control.books_are_right, timeout_s=20)
            assert run.counters["malformed"] == run.counters["extras_refused"] == 0
            await inbox.close()
