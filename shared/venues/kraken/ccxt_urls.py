"""How a ccxt client is set up for Kraken, and pointed at another address. No IO."""

from __future__ import annotations

from typing import Any

OPTIONS: dict[str, Any] = {}


def point_at(exchange: Any, rest_url: str, ws_url: str = "") -> None:
    """Redirect a ccxt or ccxt.pro client; empty URLs leave the venue's own.

    ccxt appends ``/0/public/...`` itself, and tells the protocol version by ``v2`` in the URL.
    """
    api = exchange.urls["api"]
    if rest_url:
        api["public"] = api["private"] = rest_url.rstrip("/")
    if ws_url and "ws" in api:
        base = ws_url.rstrip("/")
        api["ws"].update(
            public=base + "/v1",
            private=base + "/auth",
            publicV2=base + "/v2",
            privateV2=base + "/auth/v2",
        )
