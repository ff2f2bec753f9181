"""The section ``[dashboard]``: where the web dashboard listens, and who may use it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shared.config_base import Section
from shared.errors import ConfigError

ENVIRONMENT = (
    "ARB_DASHBOARD_HOST",
    "ARB_DASHBOARD_PORT",
    "ARB_DASHBOARD_ALLOWED_HOSTS",
    "ARB_DASHBOARD_BEHIND_PROXY",
    "ARB_DASHBOARD_PUBLISHED_ON_LOOPBACK",
)
_HOST = re.compile(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")


class DashboardConfig(Section, frozen=True, kw_only=True):
    """Where the dashboard is served; port 0 picks a free one. ``enabled`` lets `arb up` do it.

    ``operator`` lets who has the operator's token halt, flatten and resume; without it nobody can.
    ``allowed_hosts`` are further names that browsers call it by, with their port where it is not
    that of the scheme. Anywhere but on loopback it needs ``tls_cert_file`` and ``tls_key_file``, or
    ``behind_proxy``: a proxy that speaks TLS, and says in X-Forwarded-For who asks; or, of a
    container, ``published_on_loopback``: its port is reached over this machine's loopback alone,
    and nobody is believed about who asks.
    """

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 9_470
    operator: bool = False
    allowed_hosts: tuple[str, ...] = ()
    behind_proxy: bool = False
    published_on_loopback: bool = False
    tls_cert_file: str = ""
    tls_key_file: str = ""


def check_dashboard(dashboard: DashboardConfig, where: str) -> None:
    """Refuse what would serve it unprotected.

    Raises:
        ConfigError: With the place and what would be right.
    """
    host = dashboard.host
    if not host.strip():
        raise ConfigError(f'{where}: dashboard.host is empty; give an address, like "127.0.0.1"')
    if bool(dashboard.tls_cert_file) != bool(dashboard.tls_key_file):
        raise ConfigError(
            f"{where}: dashboard.tls_cert_file and dashboard.tls_key_file go together; give both"
        )
    for name in dashboard.allowed_hosts:
        if not _HOST.fullmatch(name):
            raise ConfigError(
                f"{where}: dashboard.allowed_hosts: {name!r} is no host; give one like "
                "arb.example.com or arb.example.com:8443"
            )
    if dashboard.behind_proxy and not dashboard.allowed_hosts:
        raise ConfigError(
            f"{where}: dashboard.behind_proxy needs dashboard.allowed_hosts: the names that "
            "browsers call the proxy by"
        )
    if dashboard.behind_proxy and dashboard.published_on_loopback:
        raise ConfigError(
            f"{where}: dashboard.behind_proxy and dashboard.published_on_loopback exclude each "
            "other; a proxy in front is behind_proxy"
        )
    is_shielded = dashboard.behind_proxy or dashboard.published_on_loopback
    if not (is_loopback(host) or dashboard.tls_cert_file or is_shielded):
        raise ConfigError(
            f"{where}: dashboard.host = {host!r} is reached by others without TLS; give "
            "tls_cert_file and tls_key_file, or behind_proxy with allowed_hosts, or keep to "
            '"127.0.0.1" (in a container whose port is published there: published_on_loopback)'
        )
    if host in {"0.0.0.0", "::"} and not dashboard.allowed_hosts:
        raise ConfigError(
            f"{where}: dashboard.host = {host!r} has no name of its own; name in "
            "dashboard.allowed_hosts what browsers call it by"
        )


def is_loopback(host: str) -> bool:
    """Tell whether an address is of this machine alone; of a name nobody knows."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def with_environment(dashboard: DashboardConfig, environ: Mapping[str, str]) -> DashboardConfig:
    """Return the section with what the environment overrides.

    Raises:
        ConfigError: A variable has an impossible value, or what comes of it is unprotected.
    """
    changes: dict[str, Any] = {}
    if host := environ.get("ARB_DASHBOARD_HOST"):
        changes["host"] = host
    if port := environ.get("ARB_DASHBOARD_PORT"):
        if not (port.isascii() and port.isdigit() and int(port) <= 65535):
            raise ConfigError(f"ARB_DASHBOARD_PORT={port}: not a port number, 0 to 65535")
        changes["port"] = int(port)
    if hosts := environ.get("ARB_DASHBOARD_ALLOWED_HOSTS"):
        changes["allowed_hosts"] = (*dashboard.allowed_hosts, *hosts.replace(",", " ").split())
    for name in ("behind_proxy", "published_on_loopback"):
        variable = f"ARB_DASHBOARD_{name.upper()}"
        if wanted := environ.get(variable):
            if wanted not in {"yes", "no"}:
                raise ConfigError(f"{variable}={wanted}: yes or no")
            changes[name] = wanted == "yes"
    if not changes:
        return dashboard
    changed = msgspec.structs.replace(dashboard, **changes)
    check_dashboard(changed, "ARB_DASHBOARD_HOST and its like")
    return changed
