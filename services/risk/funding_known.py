"""Up to when funding payments are known: per venue, and for the positions of a round. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from shared.domain.accounting import Books
from shared.domain.instrument import is_spot
from shared.messages.base import Certainty


class KnownFunding(msgspec.Struct, frozen=True):
    """Payments of a venue are known up to ``ts_known_ns``; ``reason``: why later ones are not."""

    ts_known_ns: int
    reason: str = ""


FundingKnownOf = Mapping[str, KnownFunding]
"""By venue; of a venue that is missing nothing was ever told."""
NOTHING_KNOWN: Final[FundingKnownOf] = MappingProxyType({})


def funding_certainty(books: Books, ts_traded_ns: int, known: FundingKnownOf) -> Certainty:
    """Tell how certain it is that all funding payments of a round are known.

    ``ts_traded_ns`` is the time of its newest fill: where it holds nothing any more, what settles
    later is not its own.
    """
    for market, qty in books.quantities.items():
        venue, _, instrument = market.partition("|")
        if is_spot(instrument):
            continue
        told = known.get(venue)
        is_over = told is not None and not qty and told.ts_known_ns >= ts_traded_ns
        if told is None or (told.reason and not is_over):
            return Certainty.UNKNOWN
    return Certainty.KNOWN
