"""The ingestor against a scripted venue over real sockets and a real bus."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from services.ingestor.app import build, new_engine
from shared import streams
from shared.bus.opening import open_bus
from shared.bus.port import Input
from shared.clock import SystemClock
from shared.config_sections import BusConfig, OrderbookConfig, VenueConfig
from shared.errors import ConfigError
from shared.messages.control import Alert
from shared.messages.market import BookDelta, BookSnapshot, VenueStatus
from shared.observe import Observer
from shared.venues.registry import load_feed
from tests.integration.mini_venue import MiniVenue
from tests.integration.pipeline import pipeline
from tests.support import eventually


def venues(venue: MiniVenue, *instruments: str) -> dict[str, VenueConfig]:
    config = VenueConfig(
        instruments=list(instruments or ["BTC/USDT"]),
        rest_url=f"http://127.0.0.1:{venue.port}",
        ws_url=f"ws://127.0.0.1:{venue.port}",
    )
    return {"binance": config}


async def live(run, venue: MiniVenue) -> None:
    """Wait until the book is LIVE and equals the venue's."""

    def equal() -> bool:
        view = run.reader.view()
        assert view is not None and view.state.value == "LIVE", view
        assert view.bids == sorted(venue.bids.items(), reverse=True)
        assert view.asks == sorted(venue.asks.items())
        return True

    await eventually(equal)


async def test_book_is_live_and_follows_the_venue(tmp_path, monkeypatch):
    async with MiniVenue() as venue, pipeline(tmp_path, venues(venue), monkeypatch) as run:
        await live(run, venue)
        await venue.send(venue.change([(99.5, 3.0)]), venue.change([(99.5, 0.0)], [(100.5, 1.0)]))
        await live(run, venue)
        assert run.reader.view().seq == venue.seq
        assert venue.snapshots == 1
        assert await eventually(lambda: run.app.readiness() == (True, ""))


async def test_what_arrives_together_travels_in_one_entry(tmp_path, monkeypatch):
    async with MiniVenue() as venue, pipeline(tmp_path, venues(venue), monkeypatch) as run:
        await live(run, venue)
        before = await run.entries(streams.MD_BOOK)
        # Written without yielding, so that it is there to be read at once.
        await venue.send(*(venue.change([(99.0, float(n))]) for n in range(1, 200)))
        await live(run, venue)
        assert await run.entries(streams.MD_BOOK) - before < 50


async def test_lost_delta_is_a_gap_and_heals_with_a_new_epoch(tmp_path, monkeypatch):
    async with MiniVenue() as venue, pipeline(tmp_path, venues(venue), monkeypatch) as run:
        await live(run, venue)
        epoch = run.reader.view().epoch
        venue.may_answer.clear()
        venue.change([(99.5, 3.0)])
        await venue.send(venue.change([(99.6, 3.0)]))
        await eventually(lambda: "GAP" in run.reader.states["binance", "BTC/USDT"])
        venue.may_answer.set()
        await live(run, venue)
        assert run.reader.view().epoch > epoch
        assert run.counters["gaps"] == 1


async def test_duplicate_is_dropped_without_a_resync(tmp_path, monkeypatch):
    async with MiniVenue() as venue, pipeline(tmp_path, venues(venue), monkeypatch) as run:
        await live(run, venue)
        frame = venue.change([(99.5, 3.0)])
        await venue.send(frame, frame, venue.change([(99.5, 4.0)]))
        await live(run, venue)
        assert (run.counters["dropped"], venue.snapshots) == (1, 1)


async def test_malformed_frame_is_counted_and_the_feed_goes_on(tmp_path, monkeypatch):
    async with MiniVenue() as venue, pipeline(tmp_path, venues(venue), monkeypatch) as run:
        await live(run, venue)
        await venue.send("{", venue.change([(99.5, 3.0)]))
        await live(run, venue)
        assert run.counters["malformed"] == 1


async def test_disconnect_is_down_and_then_a_new_epoch(tmp_path, monkeypatch):
    async with MiniVenue() as venue, pipeline(tmp_path, venues(venue), monkeypatch) as run:
        await live(run, venue)
        epoch = run.reader.view().epoch
        await venue.disconnect()
        await eventually(lambda: "DOWN" in run.reader.states["binance", "BTC/USDT"])
        venue.change([(99.7, 1.0)])
        await live(run, venue)
        assert run.reader.view().epoch > epoch
        assert (venue.connects, run.counters["reconnects"]) == (2, 1)


async def test_announced_restart_and_planned_renewal_start_new_epochs(tmp_path, monkeypatch):
    monkeypatch.setattr(type(load_feed("binance")), "lifetime_s", 1.0)
    async with MiniVenue() as venue, pipeline(tmp_path, venues(venue), monkeypatch) as run:
        await live(run, venue)
        epoch = run.reader.view().epoch
        await venue.send('{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}')
        await eventually(lambda: venue.connects == 2)
        await eventually(lambda: venue.connects >= 3, what="the renewal")
        venue.change([(99.7, 1.0)])
        await live(run, venue)
        assert run.reader.view().epoch > epoch


def test_url_of_the_wrong_kind_is_a_configuration_error(tmp_path):
    config = VenueConfig(instruments=["BTC/USDT"], ws_url="http://127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"venues\.binance\.ws_url"):
        new_engine({"binance": config}, SystemClock(), Observer("ingestor", "i"))


async def test_venue_that_is_not_there_yet_is_waited_for(tmp_path, monkeypatch):
    async with MiniVenue() as venue:
        config = venues(venue)
    async with pipeline(tmp_path, config, monkeypatch) as run:
        await eventually(lambda: run.counters.get("reconnects", 0) >= 2)
        ready, reason = run.app.readiness()
        assert not ready
        assert "binance is not connected" in reason


async def test_snapshot_refused_for_a_while_is_asked_again_after_the_venues_time(
    tmp_path, monkeypatch
):
    async with MiniVenue() as venue:
        venue.refuse = [web.Response(status=429, headers={"Retry-After": "1"})]
        async with pipeline(tmp_path, venues(venue), monkeypatch) as run:
            loop = asyncio.get_running_loop()
            await eventually(lambda: venue.snapshots == 1)
            refused_s = loop.time()
            await live(run, venue)
            assert loop.time() - refused_s > 0.9
            assert (venue.snapshots, run.counters["rest_limited"]) == (2, 1)


async def test_server_error_on_the_snapshot_is_tried_again(tmp_path, monkeypatch):
    async with MiniVenue() as venue:
        venue.refuse = [web.Response(status=502), web.Response(text="<html>")]
        async with pipeline(tmp_path, venues(venue), monkeypatch) as run:
            await live(run, venue)
            assert venue.snapshots == 3


async def test_unknown_instrument_is_said_and_the_others_go_on(tmp_path, monkeypatch):
    async with MiniVenue() as venue:
        config = venues(venue, "BTC/USDT", "NOPE/USDT")
        async with pipeline(tmp_path, config, monkeypatch) as run:
            inbox = await run.bus.open_inbox(
                [Input(streams.ALERT, start="first"), Input(streams.MD_STATUS, start="first")],
                service="t",
                instance="t",
            )
            await live(run, venue)

            async def has_alerted() -> bool:
                for message in (await inbox.read(1.0)).messages:
                    if isinstance(message, Alert):  # no list can be read here, which is told too
                        alerts.extend([message] * (message.code == "INSTRUMENT_REFUSED"))
                    elif isinstance(message, VenueStatus) and message.instrument == "NOPE/USDT":
                        reasons.add(message.reason)
                return bool(alerts) and any("Invalid symbol" in reason for reason in reasons)

            alerts: list[Alert] = []
            reasons: set[str] = set()
            await eventually(has_alerted)
            assert "NOPE/USDT" in alerts[0].text
            assert await eventually(lambda: run.app.readiness() == (True, ""))
            await inbox.close()


async def test_stalled_stream_on_a_live_connection_is_caught(tmp_path, monkeypatch):
    """The venue answers requests, but the book's stream is dead: the connection is renewed."""
    config = OrderbookConfig(stale_after_ms=300)
    async with (
        MiniVenue() as venue,
        pipeline(tmp_path, venues(venue), monkeypatch, orderbook=config) as run,
    ):
        await live(run, venue)
        for n in range(20):
            await venue.send(venue.change([(99.5, 1.0 + n)]))
            await asyncio.sleep(0.01)
        await live(run, venue)
        venue.change([(99.9, 1.0)])  # lost, with everything after it
        await eventually(lambda: "STALE" in run.reader.states["binance", "BTC/USDT"])
        await live(run, venue)
        assert venue.snapshots >= 2


async def test_redis_killed_and_back_every_book_gets_a_new_epoch(tmp_path, monkeypatch):
    async with MiniVenue() as venue, pipeline(tmp_path, venues(venue), monkeypatch) as run:
        await live(run, venue)
        epoch, connects = run.reader.view().epoch, venue.connects
        run.server.kill()
        for n in range(5):
            await venue.send(venue.change([(99.5, 1.0 + n)]))
            await asyncio.sleep(0.1)
        assert not run.app.readiness()[0]
        run.server.start()
        await live(run, venue)
        assert run.reader.view().epoch > epoch
        assert venue.connects == connects, "the venue's connection was kept"
        assert run.counters["bus_losses"] >= 1


async def test_resync_asked_by_a_reader_makes_a_new_epoch_once(tmp_path, monkeypatch):
    async with MiniVenue() as venue, pipeline(tmp_path, venues(venue), monkeypatch) as run:
        await live(run, venue)
        inbox = await run.bus.open_inbox([Input(streams.MD_BOOK)], service="t", instance="t")
        # The reader's engine forgets the book, as after a trimmed stream.
        run.reader.engine.drop_shard(0)
        run.reader.engine.own(0, None, 0)
        await venue.send(venue.change([(99.5, 3.0)]))
        await live(run, venue)
        messages = []
        while not any(isinstance(m, BookSnapshot) for m in messages):
            messages += (await inbox.read(1.0)).messages
        assert isinstance(messages[0], BookDelta)
        assert venue.snapshots == 2
        await inbox.close()


async def test_positions_count_the_frames_whose_effects_are_published(tmp_path, monkeypatch):
    async with MiniVenue() as venue, pipeline(tmp_path, venues(venue), monkeypatch) as run:
        await live(run, venue)
        for n in range(7):
            await venue.send(venue.change([(99.5, 1.0 + n)]))
        expected = 7 + 1  # and the acknowledgement

        async def noted() -> bool:
            raw = await run.ask("HGET", "{arb}:position", "ingestor:i1:frames:binance")
            return raw is not None and int(raw) == expected

        await eventually(noted)
        assert run.counters["frames"] == expected


async def test_price_that_wanders_off_is_followed_by_newer_snapshots(tmp_path, monkeypatch):
    """The snapshot tells 1000 levels a side; the price goes further than that."""
    async with MiniVenue() as venue:
        venue.bids = {round(100 - n / 100, 2): 1.0 for n in range(1_500)}
        venue.asks = {round(100.01 + n / 100, 2): 1.0 for n in range(3_000)}
        async with pipeline(tmp_path, venues(venue), monkeypatch) as run:
            await eventually(run.reader.is_live)
            for turn in range(1, 5):
                for best in sorted(venue.asks)[:600]:
                    await venue.send(venue.change([(best, 2.0)], [(best, 0.0)]))
                await eventually(lambda turn=turn: venue.snapshots > turn, what="a newer snapshot")
                await eventually(lambda: run.reader.view().seq == venue.seq)
                view = run.reader.view()
                assert view.asks == sorted(venue.asks.items())[:20]
            assert run.reader.states["binance", "BTC/USDT"][-1] == "LIVE"
            assert set(run.reader.states["binance", "BTC/USDT"]) <= {"SYNCING", "LIVE"}
            assert run.counters["gaps"] == 0


async def test_stop_of_the_newer_of_two_ingestors_leaves_the_books_to_the_older(
    tmp_path, monkeypatch
):
    async with MiniVenue() as venue, pipeline(tmp_path, venues(venue), monkeypatch) as run:
        await live(run, venue)
        epoch = run.reader.view().epoch
        url = run.server.url
        bus = await open_bus(BusConfig(url=url), service="ingestor", instance="i2")
        observer = Observer("ingestor", "i2")
        engine = new_engine(venues(venue), SystemClock(), observer)
        other = build(engine, bus, SystemClock(), observer, position_interval_s=1.0)
        task = asyncio.create_task(other.run())
        await eventually(lambda: run.reader.view().epoch > epoch)
        await live(run, venue)
        epoch = run.reader.view().epoch
        await eventually(lambda: other.readiness() == (True, ""))
        await other.drain()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await bus.close()
        await eventually(lambda: "DOWN" in run.reader.states["binance", "BTC/USDT"])
        await live(run, venue)
        assert run.reader.view().epoch > epoch
        await venue.send(venue.change([(99.5, 3.0)]))
        await live(run, venue)
