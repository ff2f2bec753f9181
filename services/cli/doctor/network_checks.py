"""Whether names are found, and certificates right, of the venues and of Redis. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from services.cli.doctor.check import Check, Level

EXPIRES_SOON_S = 14 * 86_400


@dataclass(frozen=True, slots=True)
class Reached:
    """One address, as it was reached now.

    Attributes:
        place: Host and port.
        unknown: Why its name was not found; empty: it was.
        away: Why nobody answered there; empty: somebody did.
        has_tls: It is to answer with TLS.
        untrusted: Why its certificate is not trusted; empty: it is.
        expires_s: When that ends, UNIX seconds; ``None``: not told.
        has_proxy: Market data of it comes through a proxy of the environment; orders do not.
    """

    place: str
    unknown: str = ""
    away: str = ""
    has_tls: bool = False
    untrusted: str = ""
    expires_s: float | None = None
    has_proxy: bool = False


def check_network(found: Mapping[str, list[Reached]], mode: str, now_s: float) -> Iterator[Check]:
    """Yield the checks of each venue, and of Redis where it is reached over TLS.

    Args:
        found: Whose addresses (a venue, or ``redis``) -> each of them.
        mode: The executor's: live asks for more.
        now_s: The time, UNIX seconds.
    """
    severe = Level.FAILED if mode == "live" else Level.WARNING
    for whose, places in found.items():
        unknown = [f"{each.place}: {each.unknown}" for each in places if each.unknown]
        if unknown:
            right = "a name service that answers (/etc/resolv.conf), and an address that exists"
            yield Check(f"DNS of {whose}", severe, "; ".join(unknown) + _around(places), right)
        else:
            names = ", ".join(each.place for each in places)
            yield Check(f"DNS of {whose}", Level.OK, f"{names} found")
        if away := [f"{e.place}: {e.away}" for e in places if e.away and not e.unknown]:
            right = "the network of this machine, and its firewall; the venue's status page"
            yield Check(f"way to {whose}", severe, "; ".join(away) + _around(places), right)
        for each in places:
            if each.has_tls and not each.away and not each.unknown:
                yield _certificate(whose, each, severe, now_s)


def _around(places: list[Reached]) -> str:
    """Return what still works where a proxy is used."""
    if any(each.has_proxy for each in places):
        return "; asked without the environment's proxy: market data uses it, orders do not"
    return ""


def _certificate(whose: str, each: Reached, severe: Level, now_s: float) -> Check:
    name = f"TLS of {whose}"
    renew = (
        "a new certificate: deploy/README.md, with TLS"
        if whose == "redis"
        else "wait for the venue's new one, and look again before this one ends"
    )
    if each.untrusted:
        mine = "the clock and the authorities of this machine; nobody between it and the venue"
        right = renew if whose == "redis" else mine
        return Check(name, severe, f"{each.place}: {each.untrusted}", right)
    if each.expires_s is None:
        text = f"{each.place} is not asked for a certificate that can be checked"
        return Check(name, Level.WARNING, text, "ssl_cert_reqs=required in its address")
    day = datetime.fromtimestamp(each.expires_s, UTC).date()
    text = f"the certificate of {each.place} is valid until {day}"
    if each.expires_s < now_s + EXPIRES_SOON_S:
        return Check(name, Level.WARNING, text, renew)
    return Check(name, Level.OK, text)
