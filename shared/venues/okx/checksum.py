"""OKX's book checksum: CRC32 over the text of the best 25 levels, as a signed integer. Pure.

From "WebSocket order book channel", checksum: ``bid:size:ask:size`` from the best level on, bids
and asks in turn; where one side has fewer levels, the rest of the other follows alone. The text is
the venue's own, trailing zeros included. Since 2026 the venue sends 0, which proves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from zlib import crc32

CHECKED_LEVELS = 25
NOT_SENT = 0


def book_checksum(bids: Sequence[str], asks: Sequence[str]) -> int:
    """Return the checksum of the best levels, each ``price:size``, best first."""
    pairs = zip_longest(bids[:CHECKED_LEVELS], asks[:CHECKED_LEVELS])
    text = ":".join(level for pair in pairs for level in pair if level is not None)
    value = crc32(text.encode())
    return value - 2**32 if value >= 2**31 else value
