"""How instruments are spread over sockets, the same for every venue."""

from __future__ import annotations

import pytest

from shared.errors import ConfigError
from shared.venues.port import FeedKind
from shared.venues.registry import EVERY, load_feed, load_simulated


def is_perpetual(venue: str) -> bool:
    return ":" in load_simulated(venue).LISTINGS[0].instrument


def named(venue: str, count: int) -> list[str]:
    quoted = load_simulated(venue).LISTINGS[0].instrument.partition("/")[2]
    return [f"A{number}/{quoted}" for number in range(count)]


@pytest.mark.parametrize("venue", EVERY)
@pytest.mark.parametrize("count", [1, 50, 51, 230])
def test_every_instrument_has_one_socket_of_each_kind(venue: str, count: int) -> None:
    feed, wanted = load_feed(venue), named(venue, count)
    kinds = {FeedKind.DEPTH: feed.connections("x", wanted)}
    for kind in feed.extras:
        kinds[kind] = feed.extra_connections("x", kind, wanted)
    for kind, sockets in kinds.items():
        assert [each for socket in sockets for each in socket.instruments] == wanted
        assert {(socket.venue, socket.kind) for socket in sockets} == {("x", kind)}
        first = sockets[0].name.removesuffix("-0")
        assert [socket.name for socket in sockets] == [f"{first}-{n}" for n in range(len(sockets))]
        assert len({id(socket.session) for socket in sockets}) == len(sockets)
    names = [socket.name for sockets in kinds.values() for socket in sockets]
    assert len(set(names)) == len(names), "two kinds share no name"


@pytest.mark.parametrize(
    ("venue", "sockets"),
    [
        ("gateio", [("/ws/v4/", "spot-0", 50), ("/ws/v4/", "spot-1", 1)]),
        ("kraken", [("/v2", "v2-0", 50), ("/v2", "v2-1", 1)]),
    ],
)
def test_fifty_instruments_share_a_socket(venue: str, sockets: list[tuple[str, str, int]]) -> None:
    found = load_feed(venue).connections(venue, named(venue, 51))
    assert [(each.path, each.name, len(each.instruments)) for each in found] == sockets


@pytest.mark.parametrize("venue", EVERY)
def test_what_the_venue_cannot_have_is_one_line(venue: str) -> None:
    other = "BTC/USDT" if is_perpetual(venue) else "BTC/USDT:USDT"
    with pytest.raises(ConfigError, match="venue x: "):
        load_feed(venue).connections("x", [other])
