"""Make and show configurations. Pure but for the files it is told to read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from services.cli.link import check_url, shown
from shared.config import BusConfig, Config, VenueConfig, check_live, load_config
from shared.errors import ConfigError
from shared.venues.registry import load_feed

DEFAULT_CONFIG = "arb.toml"


def to_toml(config: Config) -> str:
    """Return the configuration as TOML that reads back as the same configuration."""
    lines: list[str] = []
    _table(lines, (), msgspec.to_builtins(config, builtin_types=(Decimal,)))
    return "\n".join(lines).strip() + "\n"


def _table(lines: list[str], path: tuple[str, ...], values: Mapping[str, Any]) -> None:
    plain = {k: v for k, v in values.items() if v is not None and not isinstance(v, dict)}
    if plain and path:
        lines += ["", f"[{'.'.join(path)}]"]
    lines += [f"{name} = {_scalar(value)}" for name, value in plain.items()]
    for name, value in values.items():
        if isinstance(value, dict):
            _table(lines, (*path, name), value)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(_scalar(item) for item in value)}]"
    if isinstance(value, Decimal):
        return json.dumps(format(value, "f"))
    return json.dumps(value)  # a JSON string or number is a TOML string or number


def config_for_venues(
    instruments: Iterable[tuple[str, str]], http: str, ws: str, redis_url: str, **sections: Any
) -> Config:
    """Return a configuration whose venues are all served at one HTTP and one WebSocket address."""
    by_venue: dict[str, list[str]] = {}
    for venue, instrument in instruments:
        by_venue.setdefault(venue, []).append(instrument)
    return Config(
        bus=BusConfig(url=redis_url),
        venues={
            venue: VenueConfig(instruments=sorted(names), rest_url=http, ws_url=ws)
            for venue, names in sorted(by_venue.items())
        },
        **sections,
    )


def check(path: str | None, environ: Mapping[str, str] = os.environ) -> Config:
    """Load a configuration and check also what only shows at start-up.

    Raises:
        ConfigError: With the place and what would be right.
    """
    config = load_config(path, environ)
    where = path or environ.get("ARB_CONFIG") or DEFAULT_CONFIG
    if not config.venues:
        raise ConfigError(
            f'{where}: no venue; add one, like [venues.NAME] instruments = ["BTC/USDT"]'
        )
    for name, venue in config.venues.items():
        try:
            load_feed(venue.adapter or name).connections(name, venue.instruments)
        except ConfigError as error:
            raise ConfigError(f"{where}: venues.{name}: {error}") from error
    try:
        check_url(config.bus.url)
    except ConfigError as error:
        raise ConfigError(f"{where}: bus.url (or ARB_REDIS_URL): {error}") from error
    check_live(config, environ)
    return config


def masked(config: Config) -> Config:
    """Return the configuration without the password its Redis URL may hold."""
    return msgspec.structs.replace(
        config, bus=msgspec.structs.replace(config.bus, url=shown(config.bus.url))
    )


def secrets_set(config: Config, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return where each secret comes from, never what it is."""
    names = ["ARB_REDIS_USERNAME", "ARB_REDIS_PASSWORD"]
    for venue in config.venues:
        names += [f"ARB_{venue.upper()}_API_KEY", f"ARB_{venue.upper()}_API_SECRET"]
    found = {}
    for name in names:
        if environ.get(name):
            found[name] = "*** (environment)"
        elif path := environ.get(f"{name}_FILE"):
            found[name] = f"*** (file {path})"
        else:
            found[name] = "not set"
    return found


def redis_url(given: str | None, config_path: str | None = None) -> str:
    """Return the Redis to talk to: what was given, else the environment, else the configuration.

    Raises:
        ConfigError: The configuration exists and is wrong.
    """
    if given:
        return given
    if url := os.environ.get("ARB_REDIS_URL"):
        return url
    path = config_path or os.environ.get("ARB_CONFIG") or DEFAULT_CONFIG
    return load_config(path).bus.url if config_path or Path(path).exists() else BusConfig().url
