"""Keeps the code path from crossed books to an offer warm: see ``shared/runtime/warming.py``."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shared import codec, streams
from shared.messages.arb import Opportunity
from shared.messages.bounds import AHEAD_NS_MAX
from shared.messages.quick_checks import first_flaw
from shared.strategies.built_in.cross_venue import CrossVenue
from shared.strategies.port import Instance


class OfferWarming:
    """Builds the last offer of each cross-venue strategy again, and drops it."""

    def __init__(self, instances: Sequence[Instance]) -> None:
        found = (each.strategy for each in instances)
        self._strategies = [each for each in found if isinstance(each, CrossVenue)]

    def __call__(self, now_ns: int) -> None:
        """Build it, check it as what is published, and write it."""
        for strategy in self._strategies:
            found = strategy.offer_of_last(now_ns)
            if isinstance(found, Opportunity):
                stamped = msgspec.structs.replace(found, ts_ns=now_ns)
                first_flaw([stamped], now_ns + AHEAD_NS_MAX)
                codec.encode(streams.ARB_OPPORTUNITY, [stamped])
