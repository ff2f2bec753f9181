"""What the executor remembers of a venue's funding payments. Pure data."""

from __future__ import annotations

import msgspec


class FundingRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is known of a venue's funding payments.

    All that settled up to ``known_ns`` is booked. ``seen`` are the newest payments booked, with
    their times; of those up to ``forgotten_ns`` it is not known any more which were.
    """

    known_ns: int = 0
    seen: dict[str, int] = {}
    forgotten_ns: int = 0
