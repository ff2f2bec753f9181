"""When a watcher shouts, how often, and when it says that it is over."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from aiohttp import web

from services.cli.silence import ALERTMANAGER, NOTIFIER, S, Silence, words
from services.cli.watch import Watcher, parse_listen
from services.cli.watch_door import CONNECTIONS_MAX, Door
from shared.config_notifier import NotifierConfig, NotifyChannel
from shared.errors import ConfigError
from shared.notify.requests import Send, Sent

LIMIT = 180 * S


def test_it_shouts_after_the_limit_then_seldom_and_says_when_it_is_over() -> None:
    silence = Silence((NOTIFIER,), LIMIT, 0)
    assert silence.heard(NOTIFIER, 10 * S) is None
    assert not silence.due(189 * S)
    assert silence.next_ns() == 190 * S
    shouts = [at for at in range(0, 4 * 3_600, 10) if silence.due(at * S)]
    assert shouts == [190, 490, 1_390, 4_990, 8_590, 12_190]
    over = silence.heard(NOTIFIER, 14_000 * S)
    assert over is not None and over.is_over
    assert words(over, "desk") == "[desk] over: the notifier's ping is heard again, after 13990 s"
    assert not silence.due(14_001 * S)


def test_who_was_never_heard_is_missed_if_expected() -> None:
    silence = Silence((NOTIFIER,), LIMIT, 0)
    (shout,) = silence.due(LIMIT)
    assert "since this watcher started 180 s ago" in words(shout, "desk")


def test_another_source_is_missed_once_it_was_heard() -> None:
    silence = Silence((NOTIFIER,), LIMIT, 0)
    silence.heard(ALERTMANAGER, 1 * S)
    silence.heard(NOTIFIER, 100 * S)
    assert [shout.source for shout in silence.due(185 * S)] == [ALERTMANAGER]
    assert "Alertmanager's ArbWatchdog was not heard for" in words(
        Silence((ALERTMANAGER,), LIMIT, 0).due(LIMIT)[0], "desk"
    ).replace("since this watcher started 180 s ago", "for")


@pytest.mark.parametrize("text", ["9466", "host:", ":9466", "host:99999", "host:x", ""])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        parse_listen(text)


def test_an_address_of_either_kind_is_read() -> None:
    assert parse_listen("[::1]:9466") == ("::1", 9_466)
    assert parse_listen("0.0.0.0:0") == ("0.0.0.0", 0)


@pytest.mark.parametrize(("asked_s", "waited_s"), [(None, 10.0), (0.0, 1.0), (86_000.0, 60.0)])
async def test_a_provider_cannot_hold_a_shout_up_for_a_day(
    asked_s: float | None, waited_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = NotifierConfig(channels=[NotifyChannel(name="ops", kind="webhook", url="http://h/x")])
    watcher = Watcher(section, Silence((NOTIFIER,), S, 0), {"ARB_NOTIFY_OPS_SECRET": "key"})
    waited: list[float] = []

    async def refuse(send: Send) -> Sent:
        return Sent(send.channel, send.note_id, "HTTP 429", asked_s)

    async def sleep(duration_s: float) -> None:
        waited.append(duration_s)

    monkeypatch.setattr(watcher._courier, "send", refuse)
    monkeypatch.setattr("services.cli.watch.asyncio.sleep", sleep)
    watcher.tell("a shout")
    await asyncio.wait_for(watcher._finish(), 5)
    assert waited == [waited_s] * 4


async def test_idle_connections_are_few_and_none_stays() -> None:
    """Hundreds of them would leave no file to reach a channel with."""
    door = Door(web.Application(), open_s=1.0)
    host, port = await door.open("127.0.0.1", 0)
    held = [await asyncio.open_connection(host, port) for _ in range(CONNECTIONS_MAX + 20)]
    try:
        for reader, _ in held[CONNECTIONS_MAX:]:
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 5) == b"", "there is no room"
        for reader, _ in held[:CONNECTIONS_MAX]:
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 5) == b"", "it was idle too long"
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
        told = await asyncio.wait_for(reader.read(), 5)
        assert b" 404 " in told and b"Connection: close" in told
        writer.close()
    finally:
        for _, each in held:
            each.close()
        await door.close()
