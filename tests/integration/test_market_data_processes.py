"""Simulated venues, ingestor and orderbook as processes; some are killed, the books come back."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import aiohttp
import psutil
import pytest

from shared import streams
from shared.bus.opening import open_bus
from shared.bus.port import Input
from shared.config_sections import BusConfig
from shared.embedded import EmbeddedServer
from shared.messages.base import BookState
from shared.messages.market import DepthView
from tests.integration.processes import ServiceProcess
from tests.support import ROOT, eventually

pytestmark = pytest.mark.e2e


class Scene:
    """All views as they come, and the venues' own books."""

    def __init__(self, ready: dict, inbox, session: aiohttp.ClientSession) -> None:
        self._ready, self._inbox, self._session = ready, inbox, session
        self.views: dict[tuple[str, str], DepthView] = {}
        self.epochs: dict[tuple[str, str], int] = {}

    async def look(self) -> None:
        for view in (await self._inbox.read(0.05)).messages:
            self.views[view.venue, view.instrument] = view

    async def all_live(self) -> bool:
        """Every book is LIVE, shown within the last second, and of a newer epoch than noted."""
        await self.look()
        for item in self._ready["instruments"]:
            key = (item["venue"], item["instrument"])
            view = self.views.get(key)
            assert view is not None and view.state is BookState.LIVE, (key, view)
            assert view.epoch > self.epochs.get(key, 0), f"{key} has no new epoch"
        return True

    async def right(self) -> bool:
        """A view that shows the number the venue shows has the venue's best prices."""
        async with self._session.get(self._ready["control"] + "/books") as response:
            truth = await response.json()
        compared = 0
        for _ in range(5):
            await self.look()
            for (venue, instrument), view in self.views.items():
                book = truth[venue][instrument]
                if venue != "kraken" and view.seq == book["seq"]:
                    compared += 1
                    assert view.bids[0] == tuple(map(float, book["bids"][0]))
                    assert view.asks[0] == tuple(map(float, book["asks"][0]))
        return compared > 0

    def forget(self, *, epochs: bool) -> None:
        """From now on only new views count, and (``epochs``) only new epochs."""
        if epochs:
            self.epochs = {key: view.epoch for key, view in self.views.items()}
        self.views.clear()


@pytest.fixture
async def scene(tmp_path):
    sim = subprocess.Popen(
        [sys.executable, "-m", "services.venuesim", "--port", "0", "--seed", "5", "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        ready = json.loads(sim.stdout.readline())
        with EmbeddedServer(tmp_path / "valkey") as server:
            config = f'[bus]\nurl = "{server.url}"\n' + venues_toml(ready)
            bus = await open_bus(BusConfig(url=server.url), service="t", instance="t")
            inbox = await bus.open_inbox([Input(streams.MD_DEPTH)], service="t", instance="t")
            with (
                ServiceProcess("ingestor", tmp_path, config) as ingestor,
                ServiceProcess("orderbook", tmp_path, config) as orderbook,
            ):
                async with aiohttp.ClientSession() as session:
                    scene = Scene(ready, inbox, session)
                    await eventually(scene.all_live, timeout_s=30)
                    yield scene, server, ingestor, orderbook
            await inbox.close()
            await bus.close()
    finally:
        sim.terminate()
        sim.wait(10)
        sim.stdout.close()


def venues_toml(ready: dict) -> str:
    names: dict[str, list[str]] = {}
    for item in ready["instruments"]:
        names.setdefault(item["venue"], []).append(item["instrument"])
    return "".join(
        f"[venues.{venue}]\ninstruments = {json.dumps(instruments)}\n"
        f'rest_url = "{ready["http"]}/{venue}"\nws_url = "{ready["ws"]}/{venue}"\n'
        "accept_unproved = true\n"
        for venue, instruments in names.items()
    )


async def test_killed_ingestor_comes_back_with_new_epochs(scene):
    scene, _, ingestor, orderbook = scene
    ingestor.end(signal.SIGKILL)
    await scene.look()
    scene.forget(epochs=True)
    ingestor.start()
    await eventually(scene.all_live, timeout_s=30)
    await eventually(scene.right)
    assert orderbook.process.poll() is None


async def test_killed_orderbook_comes_back_with_the_same_epochs(scene):
    scene, _, _, orderbook = scene
    await eventually(scene.right)
    epochs = {key: view.epoch for key, view in scene.views.items()}
    orderbook.end(signal.SIGKILL)
    await scene.look()
    scene.forget(epochs=False)
    orderbook.start()
    await eventually(scene.all_live, timeout_s=30)
    assert {key: view.epoch for key, view in scene.views.items()} == epochs, "no resync was needed"


async def test_killed_redis_comes_back_with_new_epochs(scene):
    scene, server, ingestor, orderbook = scene
    server.kill()
    scene.forget(epochs=True)
    await eventually(lambda: any(e["event"] == "bus_lost" for e in ingestor.events()))
    server.start()
    await eventually(scene.all_live, timeout_s=30)
    await eventually(scene.right)
    assert ingestor.process.poll() is orderbook.process.poll() is None


async def test_stopped_in_order_both_exit_zero_and_leave_nothing(scene):
    scene, _, ingestor, orderbook = scene
    children = psutil.Process(ingestor.process.pid).children(recursive=True)
    assert ingestor.end(signal.SIGTERM) == 0

    async def down() -> bool:
        await scene.look()
        return {view.state for view in scene.views.values()} == {BookState.DOWN}

    await eventually(down)
    assert orderbook.end(signal.SIGTERM) == 0
    await eventually(lambda: not any(child.is_running() for child in children))
