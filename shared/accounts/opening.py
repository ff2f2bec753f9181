"""Opens the gateway of a venue account through ccxt, and refuses what ``executor.mode`` forbids."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from shared.accounts.account_stream import AccountSource
from shared.accounts.ccxt_gateway import CcxtGateway, make_client
from shared.accounts.ccxt_orders import GenericOrders
from shared.accounts.venue_capabilities import check_generic, load_quirks, probed
from shared.clock import Clock
from shared.config import Secret, read_secret, simulated_host
from shared.config_sections import Config, VenueConfig
from shared.errors import ConfigError
from shared.venues.order_port import OrderQuirks
from shared.venues.registry import (
    check_takes_orders,
    load_account_feed,
    load_ccxt_setup,
    load_feed,
)


def is_local(url: str, simulated_host: str = "") -> bool:
    """Tell whether a URL leads to this very machine, or to the named host of a simulation."""
    host = urlsplit(url).hostname or ""
    if host and host in {"localhost", simulated_host}:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def read_keys(
    name: str, config: Config, environ: Mapping[str, str], owner: str = ""
) -> tuple[Secret, Secret]:
    """Return the key and the secret of a venue's account.

    Those of ``owner`` (``ARB_<OWNER>_<VENUE>_API_KEY``) come first where there are any.

    Raises:
        ConfigError: One of them is missing.
    """
    prefix = f"ARB_{name.upper()}"
    if owner and read_secret(f"ARB_{owner.upper()}_{name.upper()}_API_KEY", environ):
        prefix = f"ARB_{owner.upper()}_{name.upper()}"
    key = read_secret(f"{prefix}_API_KEY", environ)
    secret = read_secret(f"{prefix}_API_SECRET", environ)
    if not key or not secret:
        raise ConfigError(
            f"{prefix}_API_KEY and {prefix}_API_SECRET (or *_FILE) are not both set, but "
            f'executor.mode "{config.executor.mode}" needs them for venues.{name}'
        )
    return key, secret


def open_account(
    name: str,
    config: Config,
    clock: Clock,
    environ: Mapping[str, str],
    *,
    owner: str = "",
) -> CcxtGateway:
    """Return the gateway of a venue's account, with keys of ``owner`` where there are any.

    Raises:
        ConfigError: The mode does not allow an address, credentials are missing, no order can be
            sent there, or ccxt's exchange cannot do what live arbitrage needs.
    """
    venue = config.venues[name]
    adapter = venue.adapter or name
    if not venue.ccxt_id:
        check_takes_orders(name, adapter)
    local = is_local(venue.rest_url, simulated_host(environ))
    if config.executor.mode == "simulated" and not local:
        raise ConfigError(
            f'venues.{name}.rest_url is {venue.rest_url!r}, but executor.mode "simulated" sends '
            "orders to loopback addresses only, like http://127.0.0.1:9000"
        )
    key, secret = read_keys(name, config, environ, owner)
    setup = load_ccxt_setup(adapter)
    timeout_ms = int(config.executor.request_timeout_ms)
    ccxt_id = venue.ccxt_id or load_feed(adapter).ccxt_id
    quirks = _generic(name, venue) if venue.ccxt_id else load_quirks(adapter)
    client = make_client(ccxt_id, setup.OPTIONS, key, secret, timeout_ms)
    setup.set_urls(client, venue.rest_url)
    setup.leave_out_unreadable(client)
    source = None if venue.ccxt_id else _account_source(name, venue, config, environ)
    # Whoever else has keys cancels with them, and waits for no other address.
    return CcxtGateway(name, client, quirks, clock, account=source, refuses_withdrawals=not owner)


def _generic(name: str, venue: VenueConfig) -> OrderQuirks:
    found = probed(name, venue)
    check_generic(name, venue, found)
    return GenericOrders(found)


def _account_source(
    name: str, venue: VenueConfig, config: Config, environ: Mapping[str, str]
) -> AccountSource | None:
    """Return how the account is followed; ``None`` where it is not to be, or nobody here knows how.

    Raises:
        ConfigError: The mode does not allow the address.
    """
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
