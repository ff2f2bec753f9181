"""What the engine must know of each venue, made from the configuration. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from urllib.parse import urlsplit

from services.ingestor.engine.requests import ListingJob
from shared.config_sections import VenueConfig
from shared.errors import ConfigError
from shared.feeds import WantedFeed, extras_of
from shared.messages.base import FeedName
from shared.two_feeds import check_two_feeds
from shared.venues.audit_port import BookAuditPort
from shared.venues.port import Feed, FeedKind
from shared.venues.registry import load_book_audit, load_feed


@dataclass(frozen=True, slots=True)
class VenueSettings:
    """One venue; ``name`` is the configured one. URLs have no slash at their end.

    ``extras`` are the instruments of each feed beside books. Each book is compared every
    ``audit_every_s`` with the one that ``audit`` reads; 0: never. Where two ingestors follow the
    venue, ``ingestor_feed`` is which of them this is.
    """

    name: str
    feed: Feed
    rest_url: str
    ws_url: str
    instruments: tuple[str, ...]
    listing: ListingJob
    taker_fee_bps: Decimal | None = None
    extras: Mapping[FeedKind, tuple[str, ...]] = field(default_factory=dict)
    audit: BookAuditPort | None = None
    audit_every_s: float = 0.0
    ingestor_feed: FeedName = FeedName.ONLY


def venue_settings(
    venues: Mapping[str, VenueConfig],
    wanted: Iterable[WantedFeed] = (),
    ingestor_feed: FeedName = FeedName.A,
) -> list[VenueSettings]:
    """Return the settings of the configured venues; ``wanted`` is what strategies ask for.

    ``ingestor_feed`` is which ingestor this is of those venues that two follow. Feed b has books
    only: trades that both published would count twice.

    Raises:
        ConfigError: A venue or feed that is unknown, a URL that cannot be one, or a venue that two
            ingestors cannot follow.
    """
    check_two_feeds(venues)
    wanted = tuple(wanted)
    return [_settings_of(name, config, wanted, ingestor_feed) for name, config in venues.items()]


def _settings_of(
    name: str, config: VenueConfig, wanted: tuple[WantedFeed, ...], ingestor_feed: FeedName
) -> VenueSettings:
    adapter = config.adapter or name
    feed = load_feed(adapter)
    extras = extras_of(name, config, feed.extras, wanted)
    if ingestor_feed is FeedName.B:
        extras = {}
    return VenueSettings(
        name=name,
        feed=feed,
        rest_url=_checked_url(name, "rest_url", config.rest_url or feed.rest_url, "http"),
        ws_url=_checked_url(name, "ws_url", config.ws_url or feed.ws_url, "ws"),
        instruments=tuple(config.instruments),
        listing=ListingJob(adapter, name, config.rest_url, list(config.instruments)),
        taker_fee_bps=config.taker_fee_bps,
        extras=extras,
        audit=load_book_audit(adapter),
        audit_every_s=config.audit_every_s,
        ingestor_feed=ingestor_feed if config.two_feeds else FeedName.ONLY,
    )


def _checked_url(venue: str, field: str, url: str, scheme: str) -> str:
    """Return the URL without its last slash.

    Raises:
        ConfigError: Not a URL of this kind.
    """
    if not url:
        return ""  # a client of ccxt knows its venue's own
    parts = urlsplit(url)
    if parts.scheme not in (scheme, scheme + "s") or not parts.hostname:
        raise ConfigError(f"venues.{venue}.{field} = {url!r}; give {scheme}://... or {scheme}s://")
    return url.rstrip("/")
