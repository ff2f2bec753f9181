"""ccxt.pro and ``arb books`` watch the same simulated venues and must see the same books."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from services.venuesim.app import Options
from shared.embedded import EmbeddedServer
from tests.integration.processes import ServiceProcess
from tests.integration.test_market_data_processes import venues_toml
from tests.integration.venuesim_clients import SYMBOLS, client, simulation, within
from tests.support import ROOT, eventually

pytestmark = pytest.mark.e2e

LEVELS = 10
REMEMBERED_MAX = 5_000

NUMBERED = ("binance", "binanceusdm", "gateio", "kucoin")
"""Of whose books ccxt.pro has the number that we have."""

Sides = tuple[tuple[tuple[float, float], ...], tuple[tuple[float, float], ...]]


def sides(book) -> Sides:
    """The top of a book in one comparable form."""
    return tuple(
        tuple((float(row[0]), float(row[1])) for row in book[side][:LEVELS])
        for side in ("bids", "asks")
    )


class Watcher:
    """Every state of one book that ccxt.pro went through, by number where the venue numbers."""

    def __init__(self, exchange, venue: str) -> None:
        self._exchange, self._venue = exchange, venue
        self.by_number: dict[int, Sides] = {}
        self.seen: dict[Sides, None] = {}

    async def watch(self) -> None:
        while len(self.seen) < REMEMBERED_MAX:
            book = await self._exchange.watch_order_book(SYMBOLS[self._venue])
            self.seen[sides(book)] = None
            if book.get("nonce") is not None:
                self.by_number[book["nonce"]] = sides(book)

    def agrees(self, ours) -> bool | None:
        """Whether ccxt.pro saw this very book; None if it never held that moment."""
        if self._venue not in NUMBERED:
            return True if sides(ours) in self.seen else None
        theirs = self.by_number.get(ours["seq"])
        return None if theirs is None else theirs == sides(ours)


async def arb_books(url: str) -> list[dict]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.cli.main",
        "books",
        "--levels",
        str(LEVELS),
        "--json",
        "--redis",
        url,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(out)["books"]


@pytest.mark.parametrize("venue", SYMBOLS)
async def test_they_see_the_same_book(tmp_path, venue):
    async with (
        simulation(Options(seed=6, more_venues=True)) as (server, _),
        client(server, venue) as exchange,
    ):
        watcher = Watcher(exchange, venue)
        await within(exchange.watch_order_book(SYMBOLS[venue]))
        watching = asyncio.create_task(watcher.watch())
        with EmbeddedServer(tmp_path / "valkey") as valkey:
            config = f'[bus]\nurl = "{valkey.url}"\n' + venues_toml(server.description)
            with (
                ServiceProcess("ingestor", tmp_path, config),
                ServiceProcess("orderbook", tmp_path, config),
            ):
                same: set[str] = set()

                async def equal() -> bool:
                    for ours in await arb_books(valkey.url):
                        mine = (ours["venue"], ours["instrument"]) == (venue, SYMBOLS[venue])
                        if mine and ours["live"]:
                            verdict = watcher.agrees(ours)
                            if verdict is False:  # at once: an assertion would mean "not yet"
                                pytest.fail(f"{venue} differs at {ours['seq']}")
                            if verdict:
                                same.add(f"{ours['epoch']}:{ours['seq']}")
                    return len(same) >= 3

                await eventually(equal, timeout_s=60, what="three moments seen by both")
        watching.cancel()
