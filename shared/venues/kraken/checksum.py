"""Kraken's book checksum: CRC32 over the text of the top ten levels as the venue sent it. Pure.

From "Book checksum v2": asks lowest first, then bids highest first, ten each; every level is its
price and then its quantity, each without the decimal point and without leading zeros. Trailing
zeros count (``0.00100000`` gives ``100000``), so the text must be kept: a float has lost it.
"""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

CHECKED_LEVELS = 10


def digits(text: bytes) -> bytes:
    """Return a number's text as the checksum wants it."""
    return text.replace(b".", b"").lstrip(b"0")


def book_checksum(asks: Iterable[bytes], bids: Iterable[bytes]) -> int:
    """Return the CRC32 of the best levels' digits, each best first."""
    return crc32(b"".join((*asks, *bids)))
