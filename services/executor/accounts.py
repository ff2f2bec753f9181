"""Builds a gateway per traded venue, as ``executor.mode`` says, and refuses unsafe combinations."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from ipaddress import ip_address
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from services.executor.gateway import Gateway
from services.executor.paper import PaperGateway
from services.executor.paper_account import paper_account
from shared.clock import Clock
from shared.config import check_live, read_secret, simulated_host
from shared.config_sections import Config, VenueConfig
from shared.errors import ConfigError
from shared.ledger import account_digest
from shared.messages.rules import InstrumentRules
from shared.venues.order_port import OrderQuirks
from shared.venues.registry import load_account_feed, load_ccxt_setup, load_feed

if TYPE_CHECKING:  # on paper nobody needs what it brings
    from services.executor.account_stream import AccountSource

Rules = Mapping[tuple[str, str], InstrumentRules]


def is_local(url: str, simulated_host: str = "") -> bool:
    """Tell whether a URL leads to this very machine, or to the named host of a simulation."""
    host = urlsplit(url).hostname or ""
    if host and host in {"localhost", simulated_host}:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def load_quirks(adapter: str) -> OrderQuirks:
    """Return the order-entry module of a venue folder; ``load_ccxt_setup`` has checked the name."""
    return cast("OrderQuirks", import_module(f"shared.venues.{adapter}.orders"))


def open_gateways(
    config: Config,
    rules: Rules,
    clock: Clock,
    environ: Mapping[str, str] = os.environ,  # tidy-ok: handed on to shared.config
) -> dict[str, Gateway]:
    """Return venue -> gateway for every venue with ``trade = true``.

    Raises:
        ConfigError: The mode does not allow an address, or credentials are missing.
    """
    check_live(config, environ)
    venues = {name: venue for name, venue in sorted(config.venues.items()) if venue.trade}
    if not venues:
        raise ConfigError("no venue has trade = true; the executor has nothing to trade on")
    if config.executor.mode == "paper":
        return {name: _paper(name, config, rules, clock) for name in venues}
    return {name: _ccxt(name, venue, config, clock, environ) for name, venue in venues.items()}


def ledger_owner(
    config: Config,
    environ: Mapping[str, str] = os.environ,  # tidy-ok: handed on to shared.config
) -> dict[str, str]:
    """Return whose ledger this executor keeps: the mode and, but on paper, its accounts."""
    owner: dict[str, str] = {"mode": config.executor.mode}
    if config.executor.mode != "paper":
        for name in [name for name, venue in sorted(config.venues.items()) if venue.trade]:
            key = read_secret(f"ARB_{name.upper()}_API_KEY", environ)
            owner[f"account:{name}"] = account_digest(key.reveal())
    return owner


def _paper(name: str, config: Config, rules: Rules, clock: Clock) -> PaperGateway:
    return PaperGateway(
        name,
        rules,
        clock,
        wait=partial(asyncio.sleep, config.executor.paper_latency_ms / 1_000),
        account=paper_account(name, rules, config),
    )


def _ccxt(
    name: str, venue: VenueConfig, config: Config, clock: Clock, environ: Mapping[str, str]
) -> Gateway:
    # Here, because on paper nobody needs ccxt, aiohttp and what they bring.
    from services.executor.ccxt_gateway import CcxtGateway, make_client

    local = is_local(venue.rest_url, simulated_host(environ))
    if config.executor.mode == "simulated" and not local:
        raise ConfigError(
            f'venues.{name}.rest_url is {venue.rest_url!r}, but executor.mode "simulated" sends '
            "orders to loopback addresses only, like http://127.0.0.1:9000"
        )
    prefix = f"ARB_{name.upper()}"
    key = read_secret(f"{prefix}_API_KEY", environ)
    secret = read_secret(f"{prefix}_API_SECRET", environ)
    if not key or not secret:
        raise ConfigError(
            f"{prefix}_API_KEY and {prefix}_API_SECRET (or *_FILE) are not both set, but "
            f'executor.mode "{config.executor.mode}" needs them for venues.{name}'
        )
    adapter = venue.adapter or name
    setup = load_ccxt_setup(adapter)
    timeout_ms = int(config.executor.request_timeout_ms)
    client = make_client(load_feed(adapter).ccxt_id, setup.OPTIONS, key, secret, timeout_ms)
    setup.set_urls(client, venue.rest_url)
    setup.leave_out_unreadable(client)
    return CcxtGateway(
        name,
        client,
        load_quirks(adapter),
        clock,
        account=_account_source(name, venue, config, environ),
    )


def _account_source(
    name: str, venue: VenueConfig, config: Config, environ: Mapping[str, str]
) -> AccountSource | None:
    """Return how the account is followed; ``None`` where it is not to be, or nobody here knows how.

    Raises:
        ConfigError: The mode does not allow the address.
    """
    from services.executor.account_stream import AccountSource

    adapter = venue.adapter or name
    feed = load_account_feed(adapter)
    if feed is None or not config.executor.account_streams:
        return None
    ws_url = venue.account_ws_url or venue.ws_url
    if config.executor.mode == "simulated" and not is_local(ws_url, simulated_host(environ)):
        raise ConfigError(
            f"venues.{name}.ws_url (or account_ws_url) is {ws_url!r}, but executor.mode "
            '"simulated" follows accounts at loopback addresses only, like ws://127.0.0.1:9000'
        )
    return AccountSource(feed, ws_url, load_feed(adapter).to_symbol)
