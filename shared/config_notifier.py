"""The section ``[notifier]``: who is told what, and over which channels. Pure.

Secrets are none of it: each channel's is in ``ARB_NOTIFY_<NAME>_SECRET`` (docs/notifier.md).
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from msgspec import Meta

from shared.config_base import PositiveInt, Section
from shared.errors import ConfigError

CHANNELS_MAX: Final = 16
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
_ADDRESS: Final = re.compile(r"[^@\s<>,;:\\\"]+@[^@\s<>,;:\\\"]+")
_CHAT: Final = re.compile(r"-?[0-9]{1,20}|@[A-Za-z][A-Za-z0-9_]{3,63}")
RESERVED: Final = {"heartbeat"}
"""Names whose variable is of something else."""


class NotifyChannel(Section, frozen=True, kw_only=True):
    """One way to a person or a program, and the severities that take it.

    ``chat`` is Telegram's id of a chat or ``@channel``. ``url`` is where a webhook posts to, or
    another server of Telegram's API. The rest is of email.
    """

    name: str
    kind: Literal["telegram", "slack", "discord", "webhook", "email"]
    severities: tuple[Literal["critical", "warning", "info"], ...] = ("critical", "warning")
    chat: str = ""
    url: str = ""
    host: str = ""
    port: Annotated[int, Meta(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    sender: str = ""
    to: tuple[str, ...] = ()


class NotifierConfig(Section, frozen=True, kw_only=True):
    """Who is told. Without channels `arb up` runs no notifier.

    ``system`` stands in every message. ``heartbeat_url`` is pinged while all is well (`arb watch`,
    or a dead man's switch of others) every ``heartbeat_interval_ms``. Net exposure of an asset
    above ``exposure_notional_max`` (dollars) is told once no plan is in flight for
    ``exposure_for_ms``; a drawdown from ``drawdown_share`` of ``risk.drawdown_max`` on. Without
    ``judges_metrics`` latency, lag, clocks, host and the like are left to Prometheus.
    """

    system: str = "arbstream"
    channels: list[NotifyChannel] = []
    heartbeat_url: str = ""
    heartbeat_interval_ms: Annotated[int, Meta(ge=1_000, le=3_600_000)] = 60_000
    exposure_notional_max: Decimal = Decimal(100)
    exposure_for_ms: PositiveInt = 30_000
    drawdown_share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    judges_metrics: bool = True


HEARTBEAT_VARIABLE: Final = "ARB_NOTIFY_HEARTBEAT_SECRET"
"""The token that goes with each ping of ``heartbeat_url``; empty: none."""


def secret_variable(name: str) -> str:
    """Return the variable that holds a channel's secret."""
    return f"ARB_NOTIFY_{name.upper()}_SECRET"


def check_notifier(section: NotifierConfig, where: str) -> None:
    """Refuse channels that could tell nobody anything.

    Raises:
        ConfigError: With the place and what would be right.
    """
    if not section.exposure_notional_max.is_finite() or section.exposure_notional_max <= 0:
        raise ConfigError(
            f"{where}: notifier.exposure_notional_max = {section.exposure_notional_max}; "
            "give a number above 0"
        )
    if not section.system.strip() or len(section.system) > 64 or not section.system.isprintable():
        raise ConfigError(f"{where}: notifier.system: a name of 1 to 64 printable characters")
    if section.heartbeat_url:
        _check_url(section.heartbeat_url, f"{where}: notifier.heartbeat_url")
    if len(section.channels) > CHANNELS_MAX:
        raise ConfigError(f"{where}: notifier.channels: at most {CHANNELS_MAX}")
    seen: set[str] = set()
    for number, channel in enumerate(section.channels, 1):
        place = f"{where}: notifier.channels.{channel.name or number}"
        if not _NAME.fullmatch(channel.name) or channel.name in RESERVED:
            raise ConfigError(
                f"{place}: a name has 1 to 32 lower-case letters, digits or '_', begins with a "
                f"letter, and is not {' or '.join(sorted(RESERVED))}"
            )
        if channel.name in seen:
            raise ConfigError(f"{place}: two channels have this name; give each its own")
        seen.add(channel.name)
        if not channel.severities:
            raise ConfigError(f'{place}.severities is empty; name some, like ["critical"]')
        _check_kind(channel, place)


def _check_kind(channel: NotifyChannel, place: str) -> None:
    if channel.kind == "telegram" and not _CHAT.fullmatch(channel.chat):
        raise ConfigError(f'{place}.chat: the id of a chat, like "-1001234567890", or "@channel"')
    if channel.kind == "webhook" and not channel.url:
        raise ConfigError(f"{place}.url is missing; give where to post, like https://host/path")
    if channel.url:
        if channel.kind not in {"webhook", "telegram"}:
            raise ConfigError(
                f"{place}.url: of {channel.kind} it is secret; give it in "
                f"{secret_variable(channel.name)}"
            )
        _check_url(channel.url, f"{place}.url")
    if channel.kind != "email":
        return
    if not channel.host:
        raise ConfigError(f"{place}.host is missing; give the mail server's name")
    for name, address in (("sender", channel.sender), *(("to", each) for each in channel.to)):
        if not _ADDRESS.fullmatch(address):
            raise ConfigError(f"{place}.{name}: {address!r} is no address, like ops@example.org")
    if not channel.to:
        raise ConfigError(f"{place}.to is empty; give at least one address")
    if channel.user and channel.security == "none":
        raise ConfigError(f"{place}.security: a password is not sent in the clear; give starttls")


def _check_url(url: str, named: str) -> None:
    try:
        parts = urlsplit(url)
        right = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right or "@" in url or any(c.isspace() or not c.isprintable() for c in url):
        raise ConfigError(f"{named}: not an address without login, like https://host/path")
