"""A configuration as it may be shown: without the secrets that its URLs may hold."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from shared.bus.address import mask
from shared.config_sections import Config


def masked(config: Config) -> Config:
    """Return the configuration without the secrets that its URLs may hold."""
    replace = msgspec.structs.replace
    venues = {
        name: replace(
            venue,
            rest_url=mask(venue.rest_url),
            ws_url=mask(venue.ws_url),
            account_ws_url=mask(venue.account_ws_url),
        )
        for name, venue in config.venues.items()
    }
    notifier = replace(
        config.notifier,
        heartbeat_url=_server_of(config.notifier.heartbeat_url),
        channels=[replace(each, url=_server_of(each.url)) for each in config.notifier.channels],
    )
    return replace(
        config,
        bus=replace(config.bus, url=mask(config.bus.url)),
        recorder=replace(config.recorder, ledger_url=mask(config.recorder.ledger_url)),
        venues=venues,
        notifier=notifier,
    )


def secret_urls(config: Config) -> list[str]:
    """Return the names of the settings whose URLs may hold a secret."""
    return _differing(msgspec.to_builtins(config), msgspec.to_builtins(masked(config)))


def _differing(value: Any, shown: Any, name: str = "") -> list[str]:
    found: dict[str, None] = {}
    if isinstance(value, dict):
        for key in value:
            inner = f"{name}.{key}" if name else str(key)
            found |= dict.fromkeys(_differing(value[key], shown[key], inner))
    elif isinstance(value, list):
        for one, other in zip(value, shown, strict=True):
            found |= dict.fromkeys(_differing(one, other, name))
    elif value != shown:
        found[name] = None
    return list(found)


def _server_of(url: str) -> str:
    """Return a URL without its path and query: who knows those of a hook may post there."""
    scheme, separator, rest = url.partition("://")
    server, *path = re.split(r"[/?#]", rest, maxsplit=1)
    return f"{scheme}{separator}{server}/***" if path and path[0] else url
