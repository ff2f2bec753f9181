"""Kraken's book checksum: CRC32 over the text of the top ten levels as the venue sent it. Pure.

From "Book checksum v2": asks lowest first, then bids highest first, ten each; every level is its
price and then its quantity, each without the decimal point and without leading zeros. Trailing
zeros count (``0.00100000`` gives ``100000``), so the text must be kept: a float has lost it.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from zlib import crc32

CHECKED_LEVELS = 10
EXPONENT_MAX = 30
"""No price or quantity is written with more decimals, or zeros before the point."""


def digits(text: bytes) -> bytes:
    """Return a number's text as the checksum wants it."""
    return text.replace(b".", b"").lstrip(b"0")


def padded(text: bytes, decimals: int | None) -> bytes:
    """Write a number's text again: without an exponent, with as many decimals as the venue sends.

    ``decimals`` is ``None`` where that is not known: those there are stay. More than the venue's
    stay too, no venue's number has them.

    Raises:
        ValueError: An exponent that no price has.
    """
    value = Decimal(text.decode())
    if value and abs(value.adjusted()) > EXPONENT_MAX:
        raise ValueError(f"the number {text[:40]!r}")
    whole, _, fraction = format(value if value else Decimal(0), "f").partition(".")
    if decimals is not None:
        fraction = fraction.rstrip("0").ljust(decimals, "0")
    return f"{whole}.{fraction}".encode()


def book_checksum(asks: Iterable[bytes], bids: Iterable[bytes]) -> int:
    """Return the CRC32 of the best levels' digits, each best first."""
    return crc32(b"".join((*asks, *bids)))
