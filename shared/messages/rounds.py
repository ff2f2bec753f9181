"""Rounds: what a strategy opens and closes again, and the truth about it, written by risk."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from shared.messages.base import Certainty, DecisionMessage
from shared.messages.bounds import (
    Amount,
    AmountOrZero,
    Asset,
    Count,
    Id,
    Instrument,
    Key,
    Moment,
    Strategy,
    Venue,
)

ROUNDS_MAX = 256
"""Rounds named in one message."""
MARKETS_OF_ROUND_MAX = 64
"""Markets that one round may have traded on."""


class Intent(StrEnum):
    """What a plan is for."""

    INSTANT = "INSTANT"  # its profit is there once it is filled; it opens no position
    OPEN = "OPEN"  # it opens or extends a round
    CLOSE = "CLOSE"  # it reduces what a round holds, and nothing else


class RoundState(StrEnum):
    """How far a round has come."""

    OPENING = "OPENING"  # a plan that opens it is in flight
    OPEN = "OPEN"
    CLOSING = "CLOSING"  # a plan that closes it is in flight
    CLOSED = "CLOSED"  # it holds nothing, or rests too small to trade
    HALTED = "HALTED"  # a plan of it failed; it may be closed, not extended


class RoundLeg(msgspec.Struct, frozen=True, kw_only=True):
    """What a round holds on one market.

    ``qty`` is signed base units, after fees charged in the base asset. ``entry`` is the average
    price paid, of spot over all venues together; ``None`` where nothing is held. ``fees`` are what
    was charged there, by asset; those that a venue has not reported yet are not in it.
    """

    venue: Venue
    instrument: Instrument
    qty: Amount
    entry: AmountOrZero | None = None
    fees: dict[Asset, Amount] = {}


class StrategyPosition(DecisionMessage, frozen=True, kw_only=True, tag="strategy_position"):
    """One round of a strategy, as its fills say; on change and every second until it is closed.

    A closed one is repeated for three seconds, then in turn with other closed ones, one a second.
    ``unhedged`` is the net base units of all legs. ``realized`` is what was closed, after fees and
    with funding, per quote asset; ``certainty`` says how well it is known. ``funding`` is what was
    received (negative: paid), per asset: ``funding_certainty`` is UNKNOWN where a derivative was
    held and nobody has reported its funding. ``reason`` says why a round is HALTED. ``horizon_ns``
    is how long the strategy meant to hold it (0: not stated). ``stop`` is the price at which risk
    closes what a signal opened (``None``: it has no stop), ``ending`` why risk is closing it: STOP
    or TIME.
    """

    strategy_id: Strategy
    round_id: Id
    state: RoundState
    base: Asset
    quote: Asset
    legs: Annotated[list[RoundLeg], Meta(max_length=MARKETS_OF_ROUND_MAX)]
    unhedged: Amount
    realized: dict[Asset, Amount]
    certainty: Certainty
    funding: dict[Asset, Amount] = {}
    funding_certainty: Certainty = Certainty.UNKNOWN
    is_directional: bool = False
    ts_opened_ns: Moment = 0
    horizon_ns: Count = 0
    reason: str = ""
    stop: AmountOrZero | None = None
    ending: str = ""

    @property
    def key(self) -> str:
        """Strategy and round in one."""
        return round_key(self.strategy_id, self.round_id)

    def held(self, venue: str, instrument: str) -> Decimal:
        """Return the signed base units held on a market."""
        place = venue, instrument
        found = (leg.qty for leg in self.legs if (leg.venue, leg.instrument) == place)
        return next(found, Decimal(0))


class RoundsTold(DecisionMessage, frozen=True, kw_only=True, tag="rounds_told"):
    """All rounds that are not closed, as ``strategy|round``; every second, after their positions.

    Who has seen one knows every open round: before, nothing new may be opened.
    """

    rounds: Annotated[list[Key], Meta(max_length=ROUNDS_MAX)]


def round_key(strategy_id: str, round_id: str) -> str:
    """Return the name of a round among those of all strategies."""
    return f"{strategy_id}|{round_id}"
