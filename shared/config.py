"""Configuration: one TOML file for the whole system, plus environment for places and secrets.

The only module that reads files of configuration and environment variables. Unknown keys, wrong
types and impossible values are refused with the place and what would be right.

Environment: ``ARB_CONFIG`` (path), ``ARB_REDIS_URL``, ``ARB_REDIS_TLS_CA_FILE``, ``ARB_INSTANCE``,
``ARB_HTTP_HOST``, ``ARB_HTTP_PORT``, ``ARB_EXPORTER_HOST``, ``ARB_EXPORTER_PORT``,
``ARB_DASHBOARD_*`` (shared/config_dashboard.py), ``ARB_LOG_LEVEL``, ``ARB_INGESTOR_VENUES``,
``ARB_INGESTOR_FEED`` (shared/two_feeds.py),
``ARB_POSITION_INTERVAL_MS``, ``ARB_SIMULATED_HOST``, ``ARB_RECORD``, ``ARB_LEDGER``,
``ARB_RECORDER_DIR``; secrets ``ARB_<VENUE>_API_KEY``, ``ARB_<VENUE>_API_SECRET``,
``ARB_REDIS_USERNAME``, ``ARB_REDIS_PASSWORD``, ``ARB_PLAN_KEY``, ``ARB_COMMAND_KEY``,
``ARB_NOTIFY_<CHANNEL>_SECRET``, each also as ``*_FILE``; ``ARB_KEYS_DIR`` (else
``XDG_STATE_HOME``): where plan and command key are made if not given; ``ARB_LIVE_TRADING`` is the
second consent that live trading needs.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from shared.config_base import Section
from shared.config_dashboard import check_dashboard, with_environment
from shared.config_inventory import check_inventory
from shared.config_limits import MAY_BE_ZERO
from shared.config_notifier import check_notifier
from shared.config_paper import check_paper
from shared.config_parse import (
    check_names,
    check_venues,
    read_section,
    read_strategies,
    read_toml,
)
from shared.config_sections import (
    LEDGER_SCHEMES,
    SECTIONS,
    BusConfig,
    Config,
    StrategyConfig,
    VenueConfig,
)
from shared.errors import ConfigError
from shared.services import SERVICE_NAMES

S = TypeVar("S", bound=msgspec.Struct)
LIVE_TRADING_PHRASE = "yes-trade-real-money"
DEFAULT_CONFIG = "arb.toml"
ENVIRON: Mapping[str, str] = os.environ
POSITION_INTERVAL_MS_MAX = 60_000


class Secret:
    """A string that is not shown when it is printed or logged."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text; call it only where it is sent."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret('***')" if self._value else "Secret('')"


def read_secret(name: str, environ: Mapping[str, str] = os.environ) -> Secret:
    """Return the secret in ``NAME`` or in the file that ``NAME_FILE`` points to; empty if neither.

    Raises:
        ConfigError: ``NAME_FILE`` cannot be read, or both are given.
    """
    value, path = environ.get(name, ""), environ.get(f"{name}_FILE", "")
    if value and path:
        raise ConfigError(f"both {name} and {name}_FILE are set; give one of them")
    if path:
        try:
            value = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError(f"{name}_FILE: cannot read {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{name}_FILE: {path} is not text; give one line of UTF-8") from error
    return Secret(value)


def parse_config(text: str, where: str) -> Config:
    """Parse and check TOML text; ``where`` names it in errors.

    Raises:
        ConfigError: Something is wrong; the text names the place and what would be right.
    """
    return _config_of(read_toml(text, where), where)


def _config_of(raw: Mapping[str, Any], where: str) -> Config:
    check_names(raw, Config.__struct_fields__, where, "")
    given = raw.get("venues", {})
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where}: venues must be tables, one a venue, like [venues.NAME]")
    sections: dict[str, Any] = {
        name: read_section(raw.get(name, {}), kind, where, name) for name, kind in SECTIONS.items()
    }
    sections["venues"] = {
        name: read_section(part, VenueConfig, where, f"venues.{name}")
        for name, part in given.items()
    }
    sections["strategies"] = read_strategies(raw.get("strategies", []), where)
    config = Config(**sections)
    _check_money(config, where)
    for place, text, example in (
        # A server would take an empty address for every one.
        ("observe.http_host", config.observe.http_host, 'an address, like "127.0.0.1"'),
        ("exporter.host", config.exporter.host, 'an address, like "127.0.0.1"'),
        ("recorder.dir", config.recorder.dir, 'a directory, like "data"'),
        ("recorder.ledger_file", config.recorder.ledger_file, 'a file, like "ledger.sqlite"'),
    ):
        if not text.strip():
            raise ConfigError(f"{where}: {place} is empty; give {example}")
    check_dashboard(config.dashboard, where)
    url = config.recorder.ledger_url
    if url and not url.startswith(LEDGER_SCHEMES):
        raise ConfigError(
            f"{where}: recorder.ledger_url is no URL of PostgreSQL; give one like "
            "postgresql://arbstream@localhost/arbstream, or leave it out for a file"
        )
    if unknown := sorted(config.process.processors.keys() - set(SERVICE_NAMES)):
        raise ConfigError(
            f"{where}: process.processors names {unknown[0]}; services are "
            f"{', '.join(SERVICE_NAMES)}"
        )
    check_venues(config.venues, where)
    check_inventory(config, where)
    check_paper(config, where)
    check_notifier(config.notifier, where)
    return config


def _check_money(config: Config, where: str) -> None:
    """Every Decimal of a section is a limit, so it must be positive."""
    amounts = {f"executor.paper_balances.{a}": x for a, x in config.executor.paper_balances.items()}
    parts: dict[str, Section] = {
        "risk": config.risk,
        "executor": config.executor,
        "sentinel": config.sentinel,
    }
    parts |= {f"risk.per_quote.{quote}": own for quote, own in config.risk.per_quote.items()}
    parts |= {f"risk.per_asset.{asset}": own for asset, own in config.risk.per_asset.items()}
    for place, part in parts.items():
        for name in part.__struct_fields__:
            value = getattr(part, name)
            if isinstance(value, Decimal) and not (name in MAY_BE_ZERO and value == 0):
                amounts[f"{place}.{name}"] = value
    for place, amount in amounts.items():
        if not (amount.is_finite() and amount > 0):
            raise ConfigError(f"{where}: {place} = {amount}; give a number above 0")
    for name, venue in config.venues.items():
        fee = venue.taker_fee_bps
        if fee is not None and not (fee.is_finite() and fee >= 0):
            raise ConfigError(f"{where}: venues.{name}.taker_fee_bps = {fee}; give 0 or more")
        if fee is not None and venue.trade and config.risk.loss_cap_bps < 2 * fee:
            raise ConfigError(
                f"{where}: risk.loss_cap_bps = {config.risk.loss_cap_bps} does not pay for trading "
                f"a leg back at venues.{name}.taker_fee_bps = {fee}; give at least {2 * fee}"
            )


def load_config(path: str | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """Load the file at ``path`` (else ``ARB_CONFIG``, else ``arb.toml``), apply the environment.

    Raises:
        ConfigError: Missing, unreadable or wrong.
    """
    if path == "":
        raise ConfigError("--config is empty; give a file, like arb.toml")
    where = path or environ.get("ARB_CONFIG") or DEFAULT_CONFIG
    config = parse_config(_read(where), where)
    strategies = beside(config.strategies, Path(where))
    config = msgspec.structs.replace(config, strategies=strategies)
    return apply_environment(config, environ)


def load_with_section(
    path: str, name: str, kind: type[S], *, passed_over: Sequence[str] = ()
) -> tuple[Config, S]:
    """Load a configuration with one further section; those ``passed_over`` are ignored.

    Raises:
        ConfigError: Missing, unreadable or wrong.
    """
    raw = read_toml(_read(path), path)
    section = read_section(raw.pop(name, {}), kind, path, name)
    config = _config_of({k: part for k, part in raw.items() if k not in passed_over}, path)
    own = beside(config.strategies, Path(path))
    return msgspec.structs.replace(config, strategies=own), section


def load_strategies_of(path: str) -> list[StrategyConfig]:
    """Load only the strategies of a configuration, whatever else it says.

    Raises:
        ConfigError: Missing, unreadable or wrong.
    """
    if not path:
        raise ConfigError("--strategies is empty; give a file, like arb.toml")
    raw = read_toml(_read(path), path)
    found = read_strategies(raw.get("strategies", []), path)
    if not found:  # asked for by name: the built-in one would run unnoticed instead
        raise ConfigError(f"{path}: no [[strategies]] in it; add one, with an id and a class")
    return beside(found, Path(path))


def beside(strategies: Sequence[StrategyConfig], path: Path) -> list[StrategyConfig]:
    """Return the strategies with files of their own looked for beside the configuration."""
    return [
        msgspec.structs.replace(each, class_=str(path.parent.absolute() / each.class_))
        if each.class_.partition(":")[0].endswith(".py")
        else each
        for each in strategies
    ]


def load_bus_config(
    path: str | None = None, environ: Mapping[str, str] = os.environ, *, url: str = ""
) -> BusConfig:
    """Load only where Redis is: the command line must reach it even if other sections are wrong.

    Args:
        path: As for :func:`load_config`; where it is not given, the file need not exist.
        url: Instead of the configured one and of ``ARB_REDIS_URL``.

    Raises:
        ConfigError: The file cannot be read, or its section ``[bus]`` is wrong.
    """
    where = path or environ.get("ARB_CONFIG") or DEFAULT_CONFIG
    bus = BusConfig()
    if path or environ.get("ARB_CONFIG") or Path(where).exists():
        bus = read_section(read_toml(_read(where), where).get("bus", {}), BusConfig, where, "bus")
    bus = apply_environment(Config(bus=bus), environ).bus
    return msgspec.structs.replace(bus, url=url) if url else bus


def _read(where: str) -> str:
    try:
        return Path(where).read_text(encoding="utf-8-sig")  # editors of Windows put a mark before
    except OSError as error:
        raise ConfigError(
            f"cannot read configuration {where}: {error.strerror}; give --config FILE or ARB_CONFIG"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{where}: not valid TOML: byte {error.start} is not UTF-8; save it as UTF-8 text"
        ) from error


def apply_environment(config: Config, environ: Mapping[str, str] = os.environ) -> Config:
    """Return ``config`` with the places that the environment overrides.

    Raises:
        ConfigError: A variable has an impossible value.
    """
    changes: dict[str, Any] = {}
    bus: dict[str, Any] = {}
    if url := environ.get("ARB_REDIS_URL"):
        bus["url"] = url
    if path := environ.get("ARB_REDIS_TLS_CA_FILE"):
        bus["tls_ca_file"] = path
    changes["bus"] = msgspec.structs.replace(config.bus, **bus)
    observe: dict[str, Any] = {}
    if host := environ.get("ARB_HTTP_HOST"):
        observe["http_host"] = host
    if port := environ.get("ARB_HTTP_PORT"):
        observe["http_port"] = _port_of("ARB_HTTP_PORT", port)
    if level := environ.get("ARB_LOG_LEVEL"):
        if level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ConfigError(f"ARB_LOG_LEVEL={level}: one of DEBUG, INFO, WARNING, ERROR")
        observe["log_level"] = level
    changes["observe"] = msgspec.structs.replace(config.observe, **observe)
    recorder: dict[str, Any] = {}
    if wanted := environ.get("ARB_RECORD"):
        if wanted not in {"yes", "no"}:
            raise ConfigError(f"ARB_RECORD={wanted}: yes or no")
        recorder["enabled"] = wanted == "yes"
    if wanted := environ.get("ARB_LEDGER"):
        if wanted not in {"yes", "no"}:
            raise ConfigError(f"ARB_LEDGER={wanted}: yes or no")
        recorder["ledger"] = wanted == "yes"
    if directory := environ.get("ARB_RECORDER_DIR"):
        recorder["dir"] = directory
    if ledger_url := read_secret("ARB_LEDGER_URL", environ).reveal():
        if not ledger_url.startswith(LEDGER_SCHEMES):
            raise ConfigError(
                "ARB_LEDGER_URL is no URL of PostgreSQL; give one like "
                "postgresql://arbstream@localhost/arbstream"
            )
        recorder["ledger_url"] = ledger_url
    changes["recorder"] = msgspec.structs.replace(config.recorder, **recorder)
    exporter: dict[str, Any] = {}
    if host := environ.get("ARB_EXPORTER_HOST"):
        exporter["host"] = host
    if port := environ.get("ARB_EXPORTER_PORT"):
        exporter["port"] = _port_of("ARB_EXPORTER_PORT", port)
    changes["exporter"] = msgspec.structs.replace(config.exporter, **exporter)
    changes["dashboard"] = with_environment(config.dashboard, environ)
    return msgspec.structs.replace(config, **changes)


def _port_of(name: str, text: str) -> int:
    if not _is_whole(text) or int(text) > 65535:
        raise ConfigError(f"{name}={text}: not a port number, 0 to 65535")
    return int(text)


def check_live(config: Config, environ: Mapping[str, str] = os.environ) -> None:
    """Refuse live trading unless it was asked for twice.

    Raises:
        ConfigError: ``mode = "live"`` without the phrase in ``ARB_LIVE_TRADING``.
    """
    if config.executor.mode == "live" and environ.get("ARB_LIVE_TRADING") != LIVE_TRADING_PHRASE:
        raise ConfigError(
            'executor.mode is "live" but ARB_LIVE_TRADING is not '
            f"{LIVE_TRADING_PHRASE!r}; live trading must be asked for twice"
        )


def simulated_host(environ: Mapping[str, str] = os.environ) -> str:
    """Return the one host beside loopback that mode ``simulated`` may send to; empty if none.

    ``ARB_SIMULATED_HOST`` names a container on this machine's own network, so it has no dot: no
    exchange can be reached by such a name.

    Raises:
        ConfigError: The name could be a public address.
    """
    host = environ.get("ARB_SIMULATED_HOST", "")
    if any(mark in host for mark in ".:/"):
        raise ConfigError(f"ARB_SIMULATED_HOST={host}: the bare name of a container, like venuesim")
    return host


def ingestor_venues(
    config: Config, environ: Mapping[str, str] = os.environ
) -> dict[str, VenueConfig]:
    """Return the venues one ingestor serves: all, or those that ``ARB_INGESTOR_VENUES`` names.

    Raises:
        ConfigError: A name that is not configured, or no venue at all.
    """
    if not config.venues:
        raise ConfigError("no [venues.*] is configured; name at least one with its instruments")
    wanted = environ.get("ARB_INGESTOR_VENUES", "").replace(",", " ").split()
    for name in wanted:
        if name not in config.venues:
            known = ", ".join(config.venues)
            raise ConfigError(f"ARB_INGESTOR_VENUES names {name}; configured are: {known}")
    return {name: config.venues[name] for name in wanted or config.venues}


def instance_name(service: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return this process's name among the instances of its service: ``ARB_INSTANCE``, else unique.

    A name that survives a restart lets a durable consumer find its own pending entries at once.
    """
    return environ.get("ARB_INSTANCE") or f"{service}-{socket.gethostname()}-{os.getpid()}"


def position_interval_ms(environ: Mapping[str, str] = os.environ) -> int:
    """Return how often positions are written, from ``ARB_POSITION_INTERVAL_MS`` (200 if not set).

    Raises:
        ConfigError: Not a whole number of milliseconds.
    """
    text = environ.get("ARB_POSITION_INTERVAL_MS", "") or "200"
    if not _is_whole(text) or int(text) > POSITION_INTERVAL_MS_MAX:
        raise ConfigError(
            f"ARB_POSITION_INTERVAL_MS={text}: a whole number of milliseconds, at most "
            f"{POSITION_INTERVAL_MS_MAX}"
        )
    return int(text)


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 9
