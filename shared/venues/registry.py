"""Adapter name -> feed. Venue folders are imported only when a configuration names them."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from shared.errors import ConfigError
from shared.venues.port import Feed

ADAPTERS = ("binance", "binanceusdm", "kraken")


def load_feed(adapter: str) -> Feed:
    """Return the feed of an adapter.

    Raises:
        ConfigError: No such adapter.
    """
    if adapter not in ADAPTERS:
        raise ConfigError(f"no venue adapter {adapter!r}; there are: {', '.join(ADAPTERS)}")
    return cast("Feed", import_module(f"shared.venues.{adapter}.feed").FEED)
