"""What a venue can do here, with its own gateway or with the generic one, and why not."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

import msgspec

from shared.accounts.ccxt_capabilities import (
    NOT_SENT,
    Capability,
    Finding,
    Findings,
    Probed,
    missing,
    probe,
)
from shared.accounts.ccxt_dry_run import SYMBOL
from shared.config_sections import VenueConfig
from shared.domain.instrument import is_spot
from shared.errors import ConfigError
from shared.messages.terms import TimeInForce
from shared.venues.ccxt_classes import check_exchange, load_exchange
from shared.venues.ccxt_source import PREFIX
from shared.venues.order_port import OrderQuirks
from shared.venues.registry import (
    EVERY,
    load_account_feed,
    load_ccxt_setup,
    load_feed,
    takes_orders,
)


class VenueAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a venue; with anything in ``missing`` it is refused for live arbitrage."""

    venue: str
    gateway: str
    ccxt_id: str
    findings: dict[Capability, Finding]
    missing: list[str]

    @property
    def can_trade(self) -> bool:
        """Return whether all that live arbitrage needs is there."""
        return not self.missing


def load_quirks(adapter: str) -> OrderQuirks:
    """Return the order-entry module of a venue folder; ``load_ccxt_setup`` has checked the name."""
    return cast("OrderQuirks", import_module(f"shared.venues.{adapter}.orders"))


def configured(name: str, venue: VenueConfig) -> VenueAnswer:
    """Return what a configured venue can do.

    Raises:
        ConfigError: Neither ccxt nor anything here knows it.
    """
    adapter = venue.adapter or name
    if venue.ccxt_id:
        answer = _answer(name, probed(name, venue))
        return msgspec.structs.replace(answer, missing=answer.missing + _derivatives(venue))
    if adapter in EVERY:
        return _native(name, adapter)
    if adapter.startswith(PREFIX):
        return _streamed(name, adapter)
    check_exchange(adapter, f"venues.{name}.adapter: ")
    how, options = _how(adapter)
    books = Finding(False, f"it needs {how}") if how else NO_BOOKS
    return _answer(name, probe(adapter, options, books))


def any_exchange(ccxt_id: str) -> VenueAnswer:
    """Return what an exchange of ccxt can do here, whether it is configured or not.

    Raises:
        ConfigError: Neither ccxt nor anything here knows it.
    """
    for adapter in EVERY:
        if ccxt_id in (adapter, load_feed(adapter).ccxt_id):
            return _native(ccxt_id, adapter)
    check_exchange(ccxt_id, "")
    how, options = _how(ccxt_id)
    return _answer(ccxt_id, probe(ccxt_id, options, Finding(True, how) if how else NO_BOOKS))


def _how(ccxt_id: str) -> tuple[str, dict[str, Any]]:
    """Return how an exchange whose books an adapter reads is configured, and its client's options.

    Empty where no adapter reads them.
    """
    for adapter in EVERY:
        if load_feed(adapter).ccxt_id == ccxt_id:
            return f'adapter = "{adapter}"', load_ccxt_setup(adapter).OPTIONS
    derived = (name for name in EVERY if _reads_spot(name) and _is_derived(ccxt_id, name))
    if not (adapter := next(derived, "")):
        return "", {}
    how = f'adapter = "{adapter}", ccxt_id = "{ccxt_id}", its own rest_url, ws_url, taker_fee_bps'
    return how, load_ccxt_setup(adapter).OPTIONS


def probed(name: str, venue: VenueConfig) -> Probed:
    """Return what the exchange of a venue's ``ccxt_id`` can do.

    Raises:
        ConfigError: There is none.
    """
    check_exchange(venue.ccxt_id, f"venues.{name}.ccxt_id: ")
    adapter = venue.adapter or name
    options = load_ccxt_setup(adapter).OPTIONS if adapter in EVERY else {}
    return probe(venue.ccxt_id, options, _books(venue, adapter))


def check_generic(name: str, venue: VenueConfig, found: Probed) -> None:
    """Refuse a venue of the generic gateway that lacks what live arbitrage needs.

    Raises:
        ConfigError: It does; the text names all that is missing.
    """
    if lacking := missing(found.findings) + _derivatives(venue):
        raise ConfigError(
            f"venues.{name}: no orders through ccxt's {venue.ccxt_id}, missing: "
            + "; ".join(lacking)
        )


def _derivatives(venue: VenueConfig) -> list[str]:
    derivatives = [i for i in venue.instruments if not is_spot(i)]
    names = ", ".join(derivatives)
    return [f"orders in {names} (the generic gateway trades spot only)"] if derivatives else []


NO_BOOKS = Finding(False, "no adapter here reads its books")


def _books(venue: VenueConfig, adapter: str) -> Finding:
    """Judge whether books that an adapter reads are those of the exchange that takes the orders."""
    if adapter not in EVERY:
        return NO_BOOKS
    own = load_feed(adapter).ccxt_id
    if not _is_derived(venue.ccxt_id, adapter):
        return Finding(False, f"adapter {adapter} reads books of {own}, which is another venue")
    if venue.ccxt_id != own and not (venue.rest_url and venue.ws_url):
        why = f"without its rest_url and ws_url, books would be those of {own}"
        return Finding(False, why)
    if venue.ccxt_id != own and venue.taker_fee_bps is None:
        return Finding(False, f"without its taker_fee_bps, fees would be those of {own}")
    return Finding(True, f"native, by adapter {adapter}")


def _reads_spot(adapter: str) -> bool:
    try:
        load_feed(adapter).to_symbol(SYMBOL)
    except ValueError:
        return False
    return True


def _is_derived(ccxt_id: str, adapter: str) -> bool:
    """Tell whether ccxt's client is that of an adapter's venue, or derived from it."""
    return issubclass(load_exchange(ccxt_id), load_exchange(load_feed(adapter).ccxt_id))


def _answer(name: str, found: Probed) -> VenueAnswer:
    return VenueAnswer(
        venue=name,
        gateway="generic",
        ccxt_id=found.ccxt_id,
        findings=found.findings,
        missing=missing(found.findings),
    )


def _native(name: str, adapter: str) -> VenueAnswer:
    findings, lacking = _native_findings(adapter), [] if takes_orders(adapter) else [BOOKS_ONLY.why]
    return VenueAnswer(
        venue=name,
        gateway="native",
        ccxt_id=load_feed(adapter).ccxt_id,
        findings=dict(findings),
        missing=lacking,
    )


def _streamed(name: str, adapter: str) -> VenueAnswer:
    ccxt_id = load_feed(adapter).ccxt_id
    books = Finding(True, f"unproved, by ccxt's streaming client of {ccxt_id}")
    return VenueAnswer(
        venue=name,
        gateway="generic",
        ccxt_id=ccxt_id,
        findings={**dict.fromkeys(Capability, BOOKS_ONLY), Capability.BOOKS: books},
        missing=[BOOKS_ONLY.why],
    )


BOOKS_ONLY = Finding(False, "market data only here: no order can be sent")


def _native_findings(adapter: str) -> Findings:
    books = {Capability.BOOKS: Finding(True, f"native, by adapter {adapter}")}
    if not takes_orders(adapter):
        return {**dict.fromkeys(Capability, BOOKS_ONLY), **books}
    quirks, times = load_quirks(adapter), load_quirks(adapter).TIMES_IN_FORCE

    def in_force(time: TimeInForce) -> Finding:
        return Finding(time in times, "native" if time in times else "not taken there")

    spot = _reads_spot(adapter)
    reduces, follows = bool(quirks.REDUCE_ONLY), load_account_feed(adapter) is not None
    return {
        **{what: Finding(True, "native") for what in Capability},
        **books,
        Capability.SPOT: Finding(spot, "native" if spot else "derivatives only"),
        Capability.IOC: in_force(TimeInForce.IOC),
        Capability.POST_ONLY: in_force(TimeInForce.PO),
        Capability.FOK: in_force(TimeInForce.FOK),
        Capability.REDUCE_ONLY: Finding(reduces, "native" if reduces else "no positions there"),
        Capability.CANCEL_ALL: Finding(not quirks.NO_CANCEL_ALL, quirks.NO_CANCEL_ALL or "native"),
        Capability.DEAD_MAN: Finding(not quirks.NO_DEAD_MAN, quirks.NO_DEAD_MAN or "native"),
        Capability.ACCOUNT_STREAM: Finding(follows, "native" if follows else "REST only here"),
        **NOT_SENT,
    }
