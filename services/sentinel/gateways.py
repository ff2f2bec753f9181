"""Opens the venue gateways of the sentinel, with keys of its own."""

from __future__ import annotations

from collections.abc import Mapping

from services.sentinel.kill_switch import traded_of
from services.sentinel.transport import VenueGateways
from shared.accounts.gateway import PricedGateway
from shared.clock import Clock
from shared.config_sections import Config
from shared.errors import ConfigError

OWNER = "sentinel"
"""Its keys are ``ARB_SENTINEL_<VENUE>_API_KEY`` and ``..._API_SECRET``; else the venue's own."""


def open_gateways(config: Config, clock: Clock, environ: Mapping[str, str]) -> VenueGateways:
    """Return the gateways of all venues that are traded.

    A venue that cannot be opened does not hold up the others: every request to it fails with the
    reason.
    """
    gateways: dict[str, PricedGateway] = {}
    missing: dict[str, str] = {}
    for name in traded_of(config):
        # Here, because on paper nobody needs ccxt, aiohttp and what they bring.
        from shared.accounts.opening import open_account

        try:
            gateways[name] = open_account(name, config, clock, environ, owner=OWNER)
        except ConfigError as error:
            missing[name] = str(error)
    timeout_s = config.executor.request_timeout_ms / 1_000
    return VenueGateways(gateways, timeout_s=timeout_s, missing=missing)
