"""Builds a gateway per traded venue, as ``executor.mode`` says, and refuses unsafe combinations."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from services.executor.paper import PaperGateway
from services.executor.paper_account import paper_account
from services.executor.paper_conditions import conditions_at
from shared.accounts.gateway import Gateway
from shared.bus.inputs import newest_followed
from shared.bus.port import Input
from shared.clock import Clock
from shared.config import check_live, read_secret
from shared.config_sections import Config, VenueConfig, same_books
from shared.errors import ConfigError
from shared.ledger import account_digest
from shared.messages.rules import InstrumentRules
from shared.streams import MD_TRADE

Rules = Mapping[tuple[str, str], InstrumentRules]


def open_gateways(
    config: Config,
    rules: Rules,
    clock: Clock,
    environ: Mapping[str, str] = os.environ,  # tidy-ok: handed on to shared.config
) -> dict[str, Gateway]:
    """Return venue -> gateway for every venue with ``trade = true``.

    Raises:
        ConfigError: The mode does not allow an address, credentials are missing, or two venues are
            one account.
    """
    check_live(config, environ)
    venues = {name: venue for name, venue in sorted(config.venues.items()) if venue.trade}
    if not venues:
        raise ConfigError("no venue has trade = true; the executor has nothing to trade on")
    if config.executor.mode == "paper":
        return {name: _paper(name, config, rules, clock) for name in venues}
    _check_accounts(venues, environ)
    # Here, because on paper nobody needs ccxt, aiohttp and what they bring.
    from shared.accounts.opening import open_account

    return {name: open_account(name, config, clock, environ) for name in venues}


def _check_accounts(venues: Mapping[str, VenueConfig], environ: Mapping[str, str]) -> None:
    """Refuse two sections of one account: its balances would count twice.

    Raises:
        ConfigError: There are two at one venue with the same key.
    """
    firsts, known = same_books(venues), dict[tuple[str, str], str]()
    for name in venues:
        key = read_secret(f"ARB_{name.upper()}_API_KEY", environ).reveal()
        other = known.setdefault((firsts.get(name, name), key), name)
        if key and other != name:
            raise ConfigError(
                f"venues.{name} has the key of venues.{other}: two sections of one account count "
                f"its balances twice; trade in one of them, or use another account's key"
            )


def read_on_paper(config: Config) -> list[Input]:
    """Return what paper accounts want beside what the executor reads: trades fill what rests."""
    if config.executor.mode != "paper":
        return []
    return [newest_followed("executor", MD_TRADE.name, range(config.bus.shards))]


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


def former_accounts(
    config: Config,
    environ: Mapping[str, str] = os.environ,  # tidy-ok: handed on to shared.config
) -> dict[str, str]:
    """Return what the ledger has of accounts by the keys that they had before, where one is named.

    Raises:
        ConfigError: A key is named as the one before itself.
    """
    former: dict[str, str] = {}
    for name, digest in ledger_owner(config, environ).items():
        venue = name.removeprefix("account:")
        if venue == name or not (key := read_secret(former_variable(venue), environ)):
            continue
        if account_digest(key.reveal()) == digest:
            raise ConfigError(
                f"{former_variable(venue)} is the key itself; give the one that the account was "
                "traded with before, or none"
            )
        former[name] = account_digest(key.reveal())
    return former


def former_variable(venue: str) -> str:
    """Return what names the key (not its secret) that an account was traded with before."""
    return f"ARB_{venue.upper()}_API_KEY_FORMER"


def _paper(name: str, config: Config, rules: Rules, clock: Clock) -> PaperGateway:
    conditions = conditions_at(name, config)

    async def wait() -> None:
        await asyncio.sleep(conditions.latency_ns() / 1e9)

    return PaperGateway(
        name,
        rules,
        clock,
        wait=wait,
        account=paper_account(name, rules, config),
        lets_rest=True,
        conditions=conditions,
    )
