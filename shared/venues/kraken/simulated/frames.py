"""Kraken WebSocket v2 frames; numbers are bare JSON with the venue's decimals. Pure."""

from __future__ import annotations

from typing import Any

from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing
from shared.exchange.orders import Print
from shared.venues.kraken.simulated.listing import LOT_DECIMALS
from shared.venues.kraken.simulated.timestamps import rfc3339


def ticker(exchange: Exchange, listing: Listing, kind: str, now_text: str) -> bytes:
    """Return a ticker frame."""
    book, prints = (
        exchange.books[listing.instrument],
        exchange.prints[listing.instrument],
    )
    bid, ask = book.bids.depth(1), book.asks.depth(1)
    bid_ticks, bid_lots = bid[0] if bid else (0, 0)
    ask_ticks, ask_lots = ask[0] if ask else (0, 0)
    ticks = [p.ticks for p in prints] or [bid_ticks]
    price, qty = listing.price_text, listing.qty_text
    return (
        f'{{"channel":"ticker","type":"{kind}","data":[{{"symbol":"{listing.wire_symbol}",'
        f'"bid":{price(bid_ticks)},"bid_qty":{qty(bid_lots)},"ask":{price(ask_ticks)},'
        f'"ask_qty":{qty(ask_lots)},"last":{price(ticks[-1])},'
        f'"volume":{qty(sum(p.lots for p in prints))},"vwap":{price(ticks[-1])},'
        f'"low":{price(min(ticks))},"high":{price(max(ticks))},'
        f'"change":{price(ticks[-1] - ticks[0]) if ticks[-1] >= ticks[0] else 0},'
        f'"change_pct":0.00,"timestamp":"{now_text}"}}]}}'
    ).encode()


def trades(prints: list[Print], kind: str) -> bytes:
    """Return a trade frame."""
    rows = ",".join(
        f'{{"symbol":"{p.listing.wire_symbol}","side":"{p.side.value}",'
        f'"price":{p.listing.price_text(p.ticks)},"qty":{p.listing.qty_text(p.lots)},'
        f'"ord_type":"market","trade_id":{p.trade_id},'
        f'"timestamp":"{rfc3339(p.ts_ms * 1_000_000)}"}}'
        for p in prints
    )
    return f'{{"channel":"trade","type":"{kind}","data":[{rows}]}}'.encode()


def instruments(exchange: Exchange) -> dict[str, Any]:
    """Return the snapshot of the instrument channel."""
    listings = exchange.by_instrument.values()
    assets = dict.fromkeys(a for listing in listings for a in (listing.base, listing.quote))
    return {
        "channel": "instrument",
        "type": "snapshot",
        "data": {
            "assets": [
                {
                    "id": a,
                    "status": "enabled",
                    "precision": 10,
                    "precision_display": 5,
                    "borrowable": False,
                    "collateral_value": 1.0,
                    "margin_rate": 0.0,
                }
                for a in assets
            ],
            "pairs": [
                {
                    "symbol": x.wire_symbol,
                    "base": x.base,
                    "quote": x.quote,
                    "status": "online",
                    "qty_precision": LOT_DECIMALS,
                    "qty_increment": float(x.lot),
                    "price_precision": x.price_scale,
                    "price_increment": float(x.tick),
                    "tick_size": float(x.tick),
                    "cost_precision": 5,
                    "marginable": False,
                    "has_index": False,
                    "cost_min": float(x.notional_min),
                    "qty_min": float(x.qty_min),
                }
                for x in listings
            ],
        },
    }
