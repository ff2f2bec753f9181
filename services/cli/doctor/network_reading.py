"""Looks names up, and connects to see certificates; sends nothing else. IO."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from services.cli.doctor.network_checks import Reached
from shared.bus.address import Endpoint
from shared.bus.primary import PORT
from shared.bus.redis_parts import SSLConnection
from shared.clock import SystemClock
from shared.config_sections import Config
from shared.venues.registry import load_feed

ANSWER_S = 5.0
ALL_S = 10.0
"""A name service that does not answer is waited for longer than that by the system."""
_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}
_WITH_TLS = ("https", "wss")
_REDIS = "redis"
Wanted = tuple[str, int, ssl.SSLContext | None]
"""Host, port, and how its certificate is judged."""


def read_network(config: Config, endpoint: Endpoint | None) -> dict[str, list[Reached]]:
    """Return how every address of the venues, and of Redis with TLS, is reached."""
    found = reached(wanted_of(config, endpoint))
    return {
        whose: [replace(each, has_proxy=whose != _REDIS and _has_proxy(each)) for each in places]
        for whose, places in found.items()
    }


def _has_proxy(place: Reached) -> bool:
    """Tell whether market data comes from there through a proxy of the environment."""
    named = getproxies().keys() & {*_WITH_TLS, "socks"}
    return bool(place.has_tls and named) and not proxy_bypass(place.place.rpartition(":")[0])


def wanted_of(config: Config, endpoint: Endpoint | None) -> dict[str, list[Wanted]]:
    """Return the addresses by whose they are, but for those of this machine, and those with
    neither a name nor TLS.
    """
    wanted = {name: _of_venue(config, name) for name in config.venues}
    if endpoint is not None and issubclass(endpoint.connection_class, SSLConnection):
        wanted[_REDIS] = _of_redis(endpoint.arguments)
    return {name: places for name, places in wanted.items() if places}


def _of_venue(config: Config, name: str) -> list[Wanted]:
    venue = config.venues[name]
    feed = load_feed(venue.adapter or name)
    wanted: dict[tuple[str, int], Wanted] = {}
    for url in (venue.rest_url or feed.rest_url, venue.ws_url or feed.ws_url):
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or _PORTS.get(parts.scheme, 0)
        has_tls = parts.scheme in _WITH_TLS
        if port and host != "localhost" and (has_tls or not _is_address(host)):
            context = ssl.create_default_context() if has_tls else None
            wanted[host, port] = host, port, context
    return list(wanted.values())


def _of_redis(arguments: Mapping[str, Any]) -> list[Wanted]:
    host = str(arguments.get("host", ""))
    if not host or "sentinels" in arguments:
        return []
    context = ssl.create_default_context(cafile=arguments.get("ssl_ca_certs"))
    if certificate := arguments.get("ssl_certfile"):
        context.load_cert_chain(certificate, arguments.get("ssl_keyfile"))
    if arguments.get("ssl_check_hostname") is False:
        context.check_hostname = False
    if arguments.get("ssl_cert_reqs") == "none":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return [(host, int(arguments.get("port", PORT)), context)]


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def reached(
    wanted: Mapping[str, list[Wanted]], *, answer_s: float = ANSWER_S, all_s: float = ALL_S
) -> dict[str, list[Reached]]:
    """Reach every address, all beside each other; one that takes too long is not waited for."""
    found: dict[tuple[str, int], Reached] = {}

    def start(place: Wanted) -> threading.Thread:
        # Nobody can end a look-up that hangs: its thread ends with the process.
        thread = threading.Thread(target=_into(found, place, answer_s), daemon=True)
        thread.start()
        return thread

    places = {place[:2]: place for each in wanted.values() for place in each}
    threads = [start(place) for place in places.values()]
    ends_ns = SystemClock.monotonic_ns() + int(all_s * 1e9)
    for thread in threads:
        thread.join(max((ends_ns - SystemClock.monotonic_ns()) / 1e9, 0))
    late = f"no answer within {all_s:g} s"
    return {
        whose: [
            found.get(
                (host, port), Reached(f"{host}:{port}", unknown=late, has_tls=context is not None)
            )
            for host, port, context in places
        ]
        for whose, places in wanted.items()
    }


def _into(
    found: dict[tuple[str, int], Reached], place: Wanted, answer_s: float
) -> Callable[[], None]:
    def reach() -> None:
        found[place[:2]] = _reach(*place, answer_s)

    return reach


def _reach(host: str, port: int, context: ssl.SSLContext | None, answer_s: float) -> Reached:
    place, has_tls = f"{host}:{port}", context is not None
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return Reached(place, unknown=_reason(error), has_tls=has_tls)
    try:
        with socket.create_connection((host, port), timeout=answer_s) as plain:
            if context is None:
                return Reached(place)
            with context.wrap_socket(plain, server_hostname=host) as secure:
                certificate = secure.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        return Reached(place, has_tls=True, untrusted=error.verify_message or _reason(error))
    except ssl.SSLError as error:
        return Reached(place, has_tls=True, untrusted=_reason(error))
    except OSError as error:
        return Reached(place, away=_reason(error), has_tls=has_tls)
    ends = certificate.get("notAfter")
    return Reached(
        place,
        has_tls=True,
        expires_s=ssl.cert_time_to_seconds(ends) if isinstance(ends, str) else None,
    )


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())
