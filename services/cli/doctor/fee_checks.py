"""Whether what fills paid is what configuration and venue made us count with. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from services.cli.doctor.check import Check, Level
from shared.messages.base import Message
from shared.messages.execution import Fill
from shared.messages.market import InstrumentInfo

TOLERANCE = Decimal("1.02")
"""A fee is rounded up by some venues; more is another tier."""


class FeesPaid(NamedTuple):
    """The most that a fill of a venue paid of its value, and what was counted with, in bps."""

    paid_bps: Decimal
    counted_bps: Decimal
    instrument: str


def fees_paid(messages: Iterable[Message]) -> dict[str, FeesPaid]:
    """Return each venue's fill that was furthest from its fee, by what is on the bus.

    Fills whose fee or instrument is not known there are left out.
    """
    rules: dict[tuple[str, str], Decimal] = {}
    fills: list[Fill] = []
    for message in messages:
        if isinstance(message, InstrumentInfo):
            rule = message.rules
            rules[rule.venue, rule.instrument] = rule.taker_fee_bps
        elif isinstance(message, Fill):
            fills.append(message)
    worst: dict[str, FeesPaid] = {}
    for fill in fills:
        counted_bps = rules.get((fill.venue, fill.instrument))
        if counted_bps is None or fill.fee_quote is None or fill.reduced_by:
            continue
        paid_bps = fill.fee_quote / (fill.price * fill.qty) * 10_000
        known = worst.get(fill.venue)
        if known is None or paid_bps - counted_bps > known.paid_bps - known.counted_bps:
            worst[fill.venue] = FeesPaid(paid_bps, counted_bps, fill.instrument)
    return worst


def check_fees(paid: Mapping[str, FeesPaid], venues: Iterable[str], mode: str) -> Iterator[Check]:
    """Yield a check per venue that has fills, and one for all others that are traded.

    Args:
        paid: What its fills paid, by venue.
        venues: Those that are traded.
        mode: The executor's: live asks for more.
    """
    unknown: list[str] = []
    for venue in venues:
        name = f"fees of {venue}"
        if (fees := paid.get(venue)) is None:
            unknown.append(venue)
            continue
        text = (
            f"a fill of {fees.instrument} paid {fees.paid_bps:.2f} bps, {fees.counted_bps:.2f} are "
            "counted with"
        )
        if fees.paid_bps <= fees.counted_bps * TOLERANCE:
            yield Check(name, Level.OK, text)
            continue
        level = Level.FAILED if mode == "live" else Level.WARNING
        right = (
            f"the account's own tier: venues.{venue}.taker_fee_bps = {fees.paid_bps:.2f}; until "
            "then edges are counted too high"
        )
        yield Check(name, level, text, right)
    if unknown:
        text = f"the account's tier cannot be checked: no fill at {', '.join(unknown)} on the bus"
        yield Check("fees", Level.WARNING, text, "trade on paper or live, then again")
