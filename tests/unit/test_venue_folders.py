"""What a venue's folder holds, and that nothing but the registry has to know of it."""

from __future__ import annotations

import re

import pytest

from shared.accounts.venue_capabilities import load_quirks
from shared.simulated.port import Simulated
from shared.venues.order_port import OrderQuirks
from shared.venues.port import Feed, Recordings
from shared.venues.registry import (
    EVERY,
    TRADED,
    CcxtSetup,
    load_ccxt_setup,
    load_feed,
    load_recordings,
    load_simulated,
    takes_orders,
)
from tests.support import ROOT

VENUES = ROOT / "shared" / "venues"
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EVERY_VENUE_HAS = (
    "symbols.py",
    "parse.py",
    "feed.py",
    "recordings.py",
    "ccxt_urls.py",
    "simulated/venue.py",
)
WHERE_ORDERS_ARE_SENT = "orders.py"

PLACES = {
    "shared/venues/registry.py": True,
    "arb.example.toml": True,
    "docker-compose.yml": False,
    "deploy/demo.toml": False,
}
"""Where else a venue's name stands, and whether it is written there by hand."""


def asked_by(protocol: type) -> set[str]:
    """Return what a protocol names, attributes and methods."""
    return {name for name in (*vars(protocol), *protocol.__annotations__) if name[0] != "_"}


def test_every_folder_of_a_venue_has_its_row() -> None:
    folders = {path.parents[1].name for path in VENUES.glob("*/simulated/venue.py")}
    assert folders == set(EVERY)


@pytest.mark.parametrize("adapter", EVERY)
def test_a_folder_holds_what_the_guide_asks_for(adapter: str) -> None:
    section = GUIDE.partition("## Add a venue")[2].partition("\n## ")[0]
    for name in EVERY_VENUE_HAS:
        assert (VENUES / adapter / name).exists(), f"{adapter} has no {name}"
        assert f"`{name}`" in section, f"the guide does not name {name}"
    assert f"`{WHERE_ORDERS_ARE_SENT}`" in section
    assert takes_orders(adapter) is (VENUES / adapter / WHERE_ORDERS_ARE_SENT).exists()
    assert set(re.findall(r"`(\w+\.py|simulated/\w+\.py)`", section)) >= set(EVERY_VENUE_HAS)


@pytest.mark.parametrize("adapter", EVERY)
def test_a_venue_is_named_in_its_folder_and_in_the_places_of_the_guide(adapter: str) -> None:
    name = re.compile(rf"\b{adapter}\b")
    files = [path for top in ("services", "shared", "deploy") for path in (ROOT / top).rglob("*")]
    files += ROOT.glob("*.toml")
    files += ROOT.glob("*.yml")
    found = {
        str(path.relative_to(ROOT))
        for path in files
        if path.suffix in {".py", ".toml", ".yml"}
        and VENUES / adapter not in path.parents
        # a venue may be made from the folder of its sister
        and not any((VENUES / other) in path.parents for other in EVERY)
        and name.search(path.read_text(encoding="utf-8"))
    }
    assert found <= set(PLACES)
    assert found >= {place for place, is_written in PLACES.items() if is_written}
    section = GUIDE.partition("## Add a venue")[2].partition("\n## ")[0]
    assert all(f"`{place}`" in section for place, is_written in PLACES.items() if is_written)


@pytest.mark.parametrize("adapter", EVERY)
@pytest.mark.parametrize(
    ("load", "protocol"),
    [
        (load_feed, Feed),
        (load_recordings, Recordings),
        (load_ccxt_setup, CcxtSetup),
        (load_simulated, Simulated),
    ],
    ids=lambda value: value.__name__,
)
def test_a_folder_offers_what_is_asked_of_it(load, protocol, adapter: str) -> None:
    offered = load(adapter)
    missing = sorted(name for name in asked_by(protocol) if not hasattr(offered, name))
    assert not missing, f"{adapter}: {protocol.__name__} has no {', '.join(missing)}"


@pytest.mark.parametrize("adapter", TRADED)
def test_a_folder_with_orders_offers_what_is_asked_of_them(adapter: str) -> None:
    test_a_folder_offers_what_is_asked_of_it(load_quirks, OrderQuirks, adapter)


@pytest.mark.parametrize("adapter", EVERY)
def test_a_venue_lists_what_its_feed_can_subscribe(adapter: str) -> None:
    feed = load_feed(adapter)
    assert feed.venue == adapter
    for listing in load_simulated(adapter).LISTINGS:
        assert listing.venue == adapter
        assert feed.to_symbol(listing.instrument) in {listing.symbol, listing.instrument}


@pytest.mark.parametrize("adapter", EVERY)
def test_recorded_lines_that_name_no_book_have_a_session(adapter: str) -> None:
    """Acknowledgements and heartbeats, which a reader sees as well."""
    reader = load_recordings(adapter)
    for venue in reader.venues:
        session = reader.session(venue, "")
        assert not session.on_frame(b'{"op":"subscribe","event":"subscribe"}', 1)
