"""Make and show configurations. Pure but for the files it is told to read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from shared.bus.address import CA_SETTING, Endpoint, check_ca_file, is_of_sentinel
from shared.bus.keys import accept_unsigned_until_ns, variable_of
from shared.config import (
    DEFAULT_CONFIG,
    check_live,
    ingestor_venues,
    load_bus_config,
    load_config,
    position_interval_ms,
    read_secret,
    simulated_host,
)
from shared.config_dashboard import DashboardConfig
from shared.config_notifier import HEARTBEAT_VARIABLE, secret_variable
from shared.config_sections import (
    BusConfig,
    Config,
    ExporterConfig,
    VenueConfig,
)
from shared.domain.instrument import is_spot, split_instrument
from shared.errors import ConfigError
from shared.feeds import extras_of
from shared.store.extra import must_have
from shared.strategy_inputs import check_strategies
from shared.streams import SIGNED
from shared.two_feeds import check_two_feeds, venues_of_feed
from shared.venues.ccxt_classes import check_exchange
from shared.venues.ccxt_source import check_fee
from shared.venues.registry import check_streaming, check_takes_orders, load_feed
from shared.watch.link import Target


def to_toml(config: Config) -> str:
    """Return the configuration as TOML that reads back as the same configuration."""
    lines: list[str] = []
    values = msgspec.to_builtins(config, builtin_types=(Decimal,))
    strategies = values.pop("strategies")
    _table(lines, (), values)
    for each in strategies:
        lines += ["", "[[strategies]]", *(f"{name} = {_scalar(v)}" for name, v in each.items())]
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
    if isinstance(value, dict):
        told = {name: item for name, item in value.items() if item is not None}
        inner = ", ".join(f"{json.dumps(name)} = {_scalar(item)}" for name, item in told.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, Decimal):
        return json.dumps(format(value, "f"))
    return json.dumps(value)  # a JSON string or number is a TOML string or number


def config_for_venues(
    instruments: Iterable[tuple[str, str]],
    http: str,
    ws: str,
    redis_url: str,
    *,
    dashboard: DashboardConfig = DashboardConfig(port=0),
    audit_every_s: float = 0.0,
    **sections: Any,
) -> Config:
    """Return a configuration whose venues are served below their names at these addresses.

    Books are compared with REST books where ``audit_every_s`` says so: those of a recording are not
    the venue's of that moment.
    """
    by_venue: dict[str, list[str]] = {}
    for venue, instrument in instruments:
        by_venue.setdefault(venue, []).append(instrument)
    return Config(
        bus=BusConfig(url=redis_url),
        exporter=ExporterConfig(port=0),
        dashboard=dashboard,
        venues={
            venue: VenueConfig(
                instruments=sorted(names),
                rest_url=f"{http}/{venue}",
                ws_url=f"{ws}/{venue}",
                audit_every_s=audit_every_s,
            )
            for venue, names in sorted(by_venue.items())
        },
        **sections,
    )


def with_funding(config: Config) -> Config:
    """Return a configuration that subscribes to funding wherever derivatives are traded."""
    replace = msgspec.structs.replace
    venues = {
        name: replace(venue, feeds=("depth", "funding")) if has_derivatives(venue) else venue
        for name, venue in config.venues.items()
    }
    return replace(config, venues=venues)


def has_derivatives(venue: VenueConfig) -> bool:
    """Tell whether anything but spot is configured there."""
    return not all(is_spot(instrument) for instrument in venue.instruments)


def check_gateways(config: Config, where: str) -> None:
    """Refuse a venue whose exchange of ccxt is none, or lacks what orders need, or has only books.

    What orders need is left to live and simulated trading: on paper none is sent.

    Raises:
        ConfigError: There is one; the text says what is missing.
    """
    generic = [(n, v) for n, v in config.venues.items() if v.ccxt_id]
    for name, venue in generic:
        check_exchange(venue.ccxt_id, f"{where}: venues.{name}.ccxt_id: ")
    if config.executor.mode == "paper":
        return
    for name, venue in config.venues.items():
        if venue.trade and not venue.ccxt_id:
            try:
                check_takes_orders(name, venue.adapter or name)
            except ConfigError as error:
                raise ConfigError(f"{where}: {error}") from error
    generic = [(n, v) for n, v in generic if v.trade]
    if not generic:
        return
    # Here, because nobody else needs ccxt to check a configuration.
    from shared.accounts.venue_capabilities import check_generic, probed

    for name, venue in generic:
        try:
            check_generic(name, venue, probed(name, venue))
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error


def check(path: str | None, environ: Mapping[str, str] = os.environ) -> Config:
    """Load a configuration and check also what only shows at start-up.

    Raises:
        ConfigError: Something is wrong; the text names the place and what would be right.
    """
    config = load_config(path, environ)
    where = path or environ.get("ARB_CONFIG") or DEFAULT_CONFIG
    if not config.venues:
        raise ConfigError(
            f'{where}: no venue; add one, like [venues.NAME] instruments = ["BTC/USDT"]'
        )
    for name, venue in config.venues.items():
        try:
            feed = load_feed(venue.adapter or name)
            feed.connections(name, venue.instruments)
            check_streaming(venue.adapter or name)
            check_fee(venue)
            extras_of(name, venue, feed.extras)
        except ConfigError as error:
            raise ConfigError(f"{where}: venues.{name}: {error}") from error
    try:
        check_two_feeds(config.venues)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    check_gateways(config, where)
    Endpoint(config.bus, f"{where}: bus.url (or ARB_REDIS_URL)")
    if config.bus.tls_ca_file:
        check_ca_file(config.bus.tls_ca_file, f"{where}: {CA_SETTING}")
    for name in secret_names(config):
        read_secret(name, environ)
    accept_unsigned_until_ns(config.bus)
    venues_of_feed(ingestor_venues(config, environ), environ)
    simulated_host(environ)
    position_interval_ms(environ)
    check_live(config, environ)
    check_strategies(config, where)
    if config.recorder.enabled:
        must_have("pyarrow")
    return config


def without_limits(config: Config) -> list[str]:
    """Return the quote assets that are traded and that risk has no limits in."""
    traded = [name for venue in config.venues.values() if venue.trade for name in venue.instruments]
    quotes = sorted({split_instrument(name).quote for name in traded})
    return [quote for quote in quotes if config.risk.limits_in(quote) is None]


def secret_names(config: Config) -> list[str]:
    """Return the names of all secrets that a configuration can use."""
    names = ["ARB_REDIS_USERNAME", "ARB_REDIS_PASSWORD"]
    if is_of_sentinel(config.bus.url):
        names += ["ARB_REDIS_SENTINEL_USERNAME", "ARB_REDIS_SENTINEL_PASSWORD"]
    names.append("ARB_LEDGER_URL")
    names += [variable_of(spec.signed_with) for spec in SIGNED]
    for venue in config.venues:
        for owner in ("", "SENTINEL_"):
            names += [f"ARB_{owner}{venue.upper()}_API_{part}" for part in ("KEY", "SECRET")]
    names += [secret_variable(channel.name) for channel in config.notifier.channels]
    if config.notifier.heartbeat_url:
        names.append(HEARTBEAT_VARIABLE)
    return names


def secrets_set(config: Config, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return where each secret comes from, never what it is."""
    found = {}
    for name in secret_names(config):
        if environ.get(name):
            found[name] = "*** (environment)"
        elif path := environ.get(f"{name}_FILE"):
            found[name] = f"*** (file {path})"
        else:
            found[name] = "not set"
    return found


def target(given: str | None) -> Target:
    """Return the Redis to talk to: what was given, else the environment's, else the configured.

    The rest of ``[bus]`` holds for all three, so TLS works wherever the services' does.

    Raises:
        ConfigError: The configuration exists and its section ``[bus]`` is wrong.
    """
    if given == "":  # an unset variable of a shell: not to be taken for another Redis
        raise ConfigError("--redis is empty; give a URL, like redis://127.0.0.1:6379/0")
    url = given or os.environ.get("ARB_REDIS_URL", "")
    setting = "--redis" if given else "ARB_REDIS_URL"
    if url and not url.startswith("rediss"):
        return Target(BusConfig(url=url), setting)  # whatever state the configuration is in
    path = os.environ.get("ARB_CONFIG") or DEFAULT_CONFIG
    return Target(load_bus_config(url=url), setting if url else f"{path}: bus.url")
