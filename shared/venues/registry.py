"""Adapter name -> what its folder offers. Folders are imported only when they are named."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, cast

from shared.errors import ConfigError
from shared.venues.account_port import AccountFeed
from shared.venues.audit_port import BookAuditPort
from shared.venues.ccxt_classes import exchange_ids, load_streaming, streaming_ids
from shared.venues.ccxt_redirect import CcxtRedirect
from shared.venues.ccxt_source import PREFIX, CcxtFeed
from shared.venues.port import Recordings
from shared.venues.proof import ProvedFeed

if TYPE_CHECKING:  # who trades loads no simulated venue
    from shared.simulated.port import Simulated

ADAPTERS = ("binance", "binanceusdm", "kraken", "gateio")
MORE = ("bybit", "kucoin", "okx", "bitstamp", "krakenfutures", "coinbaseexchange")
"""Simulated only where more venues are asked for: without them the market stays as it was."""
EVERY = (*ADAPTERS, *MORE)


def takes_orders(adapter: str) -> bool:
    """Tell whether orders can be sent there; a folder without ``orders`` has market data only."""
    if adapter.startswith(PREFIX):
        return False
    return find_spec(f"shared.venues.{adapter}.orders") is not None


TRADED = tuple(adapter for adapter in EVERY if takes_orders(adapter))
"""Those at which orders can be sent; the others are read, and traded on paper."""


class CcxtSetup(Protocol):
    """What ``ccxt_urls`` of a venue folder offers."""

    OPTIONS: dict[str, Any]

    def leave_out_unreadable(self, exchange: Any) -> None:
        """Let an async client leave out a market it cannot read, instead of all of them."""

    def set_urls(self, exchange: Any, rest_url: str, ws_url: str = "") -> None:
        """Redirect a client; empty URLs leave the venue's own."""


def load_feed(adapter: str) -> ProvedFeed:
    """Return the feed of an adapter.

    Raises:
        ConfigError: No such adapter.
    """
    _check(adapter)
    if adapter.startswith(PREFIX):
        return CcxtFeed(adapter.removeprefix(PREFIX))
    return cast("ProvedFeed", import_module(f"shared.venues.{adapter}.feed").FEED)


def load_ccxt_setup(adapter: str) -> CcxtSetup:
    """Return how a ccxt client of this adapter is set up: constructor options and redirect.

    Raises:
        ConfigError: No such adapter.
    """
    _check(adapter)
    if adapter.startswith(PREFIX):
        return CcxtRedirect()
    return cast("CcxtSetup", import_module(f"shared.venues.{adapter}.ccxt_urls"))


def check_takes_orders(name: str, adapter: str) -> None:
    """Refuse a venue's section that would send orders where only market data is known.

    Raises:
        ConfigError: It would, or there is no such adapter.
    """
    _check(adapter)
    if not takes_orders(adapter):
        raise ConfigError(
            f"venues.{name}: {adapter} is known here for its market data only, no order can be "
            f'sent to it; give trade = false, or executor.mode = "paper"'
        )


def load_account_feed(adapter: str) -> AccountFeed | None:
    """Return how an account is followed on a socket; ``None`` where that is not known here.

    Raises:
        ConfigError: No such adapter.
    """
    _check(adapter)
    name = f"shared.venues.{adapter}.account_stream"
    if adapter.startswith(PREFIX):
        return None
    return cast("AccountFeed", import_module(name).ACCOUNT) if find_spec(name) else None


def load_book_audit(adapter: str) -> BookAuditPort | None:
    """Return how books are compared with the venue's REST book; ``None`` where that is not known.

    Raises:
        ConfigError: No such adapter.
    """
    _check(adapter)
    name = f"shared.venues.{adapter}.book_audit"
    if adapter.startswith(PREFIX):
        return None
    return cast("BookAuditPort", import_module(name).AUDIT) if find_spec(name) else None


def load_recordings(adapter: str) -> Recordings:
    """Return a fresh reader of an adapter's recordings.

    Raises:
        ConfigError: No such adapter.
    """
    _check_folder(adapter)
    return cast("Recordings", import_module(f"shared.venues.{adapter}.recordings").RECORDINGS())


def load_simulated(adapter: str) -> Simulated:
    """Return the other side of an adapter's venue.

    Raises:
        ConfigError: No such adapter.
    """
    _check_folder(adapter)
    return cast("Simulated", import_module(f"shared.venues.{adapter}.simulated.venue"))


def check_streaming(adapter: str) -> None:
    """Refuse an exchange of ccxt that has no books to stream; other adapters pass.

    It loads ccxt's client, which only a check of the configuration can afford.

    Raises:
        ConfigError: It has none, or there is no such adapter.
    """
    _check(adapter)
    if not adapter.startswith(PREFIX):
        return
    ccxt_id = adapter.removeprefix(PREFIX)
    if not load_streaming(ccxt_id)().has.get("watchOrderBook"):
        raise ConfigError(
            f"adapter {adapter!r}: ccxt's client of {ccxt_id} cannot stream order books "
            "(watchOrderBook); choose another exchange"
        )


def _check_folder(adapter: str) -> None:
    _check(adapter)
    if adapter not in EVERY:
        raise ConfigError(f"{adapter}: only a venue with a folder has this: {', '.join(EVERY)}")


def _check(adapter: str) -> None:
    if adapter in EVERY:
        return
    if adapter.startswith(PREFIX):
        ids = streaming_ids()
        if adapter.removeprefix(PREFIX) not in ids:
            raise ConfigError(
                f"no venue adapter {adapter!r}: ccxt streams no exchange of this name; there are: "
                f"{', '.join(ids)}"
            )
        return
    there_are = f"there are: {', '.join(EVERY)}"
    if adapter in exchange_ids():
        raise ConfigError(
            f"no market data for {adapter!r}: ccxt has it, but no adapter of this name reads its "
            f"books; {there_are} (arb venues {adapter} says what it lacks, or how to configure it; "
            f'adapter = "{PREFIX}{adapter}" reads books that nothing proves)'
        )
    raise ConfigError(f"no venue adapter {adapter!r}; {there_are}")
