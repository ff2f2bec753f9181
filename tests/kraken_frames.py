"""Kraken's WebSocket v2 book frames with right checksums, made from the venue's documentation."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

Rows = Sequence[tuple[str, str]]
"""Price and quantity as the venue writes them, best first."""


def checksum(bids: Rows, asks: Rows) -> int:
    """CRC32 over the ten best asks, then bids: digits without point and leading zeros."""
    rows = (*asks[:10], *bids[:10])
    text = "".join(number.replace(".", "").lstrip("0") for row in rows for number in row)
    return crc32(text.encode())


def book_frame(kind: str, symbol: str, changed: tuple[Rows, Rows], whole: tuple[Rows, Rows]) -> str:
    """Return a snapshot or update: changed bids and asks, the checksum of the whole book."""
    bids, asks = (
        ",".join(f'{{"price":{price},"qty":{qty}}}' for price, qty in side) for side in changed
    )
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":[{bids}],'
        f'"asks":[{asks}],"checksum":{checksum(*whole)},"timestamp":"2024-08-08T23:54:13.000000Z"}}]}}'
    )


def subscribed(symbol: str, depth: int) -> str:
    """Return the venue's answer to a subscription."""
    return (
        f'{{"method":"subscribe","req_id":1,"result":{{"channel":"book","depth":{depth},'
        f'"snapshot":true,"symbol":"{symbol}"}},"success":true,'
        '"time_in":"2024-08-08T23:54:13.000000Z","time_out":"2024-08-08T23:54:13.000100Z"}'
    )
