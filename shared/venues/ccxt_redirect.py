"""How a client of any exchange of ccxt is set up here, and pointed at another address. No IO."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit


class CcxtRedirect:
    """``CcxtSetup`` of exchanges that no folder knows: little is known, so little is done."""

    def __init__(self) -> None:
        self.OPTIONS: dict[str, Any] = {}

    @staticmethod
    def leave_out_unreadable(exchange: Any) -> None:
        """Nothing: where a market cannot be read is not known."""

    @staticmethod
    def set_urls(exchange: Any, rest_url: str, ws_url: str = "") -> None:
        """Put every address of the client on another host, with its path below the one given.

        Empty URLs leave the venue's own.
        """
        exchange.urls["api"] = _moved(exchange.urls["api"], rest_url, ws_url)


def _moved(urls: Any, rest_url: str, ws_url: str) -> Any:
    if isinstance(urls, dict):
        return {name: _moved(url, rest_url, ws_url) for name, url in urls.items()}
    if not isinstance(urls, str):
        return urls
    parts = urlsplit(urls)
    is_socket = parts.scheme in {"ws", "wss"}
    base = ws_url if is_socket else rest_url
    if not base:
        return urls
    # Clients append to an address of REST; one of a socket is used as it is.
    return base.rstrip("/") + (parts.path or ("/" if is_socket else ""))
