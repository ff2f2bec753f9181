"""What was read, narrowed to two markets: what was compared and what came of it. Pure.

States (services, trading, balances) stay whole: what stops everything stops this pair too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from shared.domain.instrument import split_instrument
from shared.errors import ConfigError
from shared.messages.arb import NearMiss, Opportunity, Signal
from shared.messages.base import Message
from shared.messages.execution import ApprovedPlan, Denied, Fill, OrderEvent, PlanDone
from shared.watch.why.facts import Facts, Market

NAMED_MAX = 20


class Place(NamedTuple):
    """A venue, or one of its markets where an instrument is given."""

    venue: str
    instrument: str = ""

    def holds(self, market: Market) -> bool:
        """Tell whether a market is meant."""
        return market[0] == self.venue and self.instrument in {"", market[1]}

    def __str__(self) -> str:
        return f"{self.venue}:{self.instrument}" if self.instrument else self.venue


class Pair(NamedTuple):
    """Two places; a comparison counts in either direction."""

    first: Place
    second: Place

    def is_of(self, markets: Iterable[Market]) -> bool:
        """Tell whether one of the markets is in one place and another one in the other."""
        found = list(markets)
        return any(
            self.first.holds(one) and self.second.holds(other)
            for at, one in enumerate(found)
            for place, other in enumerate(found)
            if at != place
        )

    def touches(self, market: Market) -> bool:
        """Tell whether a market is in either place."""
        return self.first.holds(market) or self.second.holds(market)


def parse_pair(first: str, second: str) -> Pair:
    """Return the pair that two texts name, each like ``VENUE`` or ``VENUE:BTC/USDT``.

    Raises:
        ConfigError: One names nothing, or both are the same.
    """
    pair = Pair(_parse_place(first), _parse_place(second))
    if pair.first == pair.second and pair.first.instrument:
        raise ConfigError(f"--pair {first} {second}: that is one market; name two")
    return pair


def _parse_place(text: str) -> Place:
    venue, colon, instrument = text.partition(":")
    if not venue or (colon and not instrument):
        raise ConfigError(f"--pair {text!r}: give a venue or a market, like VENUE:BTC/USDT")
    if instrument:
        try:
            split_instrument(instrument)
        except ValueError as error:
            raise ConfigError(f"--pair {text!r}: {error}") from error
    return Place(venue, instrument)


def check_pair(facts: Facts, pair: Pair) -> None:
    """Check that the running system knows both places; it knows nothing while nothing runs.

    Raises:
        ConfigError: It knows others, and one of these not.
    """
    known = {*facts.statuses, *facts.rules, *((v.venue, v.instrument) for v in facts.views)}
    for miss in facts.of(NearMiss):
        known |= set(_markets_of(miss))
    known = {market for market in known if market[1]}
    for place in pair:
        if known and not any(place.holds(market) for market in known):
            here = sorted(f"{v}:{i}" for v, i in known if v == place.venue)
            there = here or sorted({v for v, _ in known})
            more = f" and {len(there) - NAMED_MAX} more" if len(there) > NAMED_MAX else ""
            named = ", ".join(there[:NAMED_MAX])
            raise ConfigError(f"--pair: nothing is known of {place}; there are {named}{more}")


def narrow(facts: Facts, pair: Pair) -> Facts:
    """Return the facts of a pair. A denial counts where its opportunity is in the window."""
    offers = {
        each.opportunity_id
        for each in facts.window
        if isinstance(each, Opportunity) and pair.is_of(_markets_of(each))
    }
    plans = {
        each.plan_id
        for each in facts.window
        if isinstance(each, ApprovedPlan) and pair.is_of(_markets_of(each))
    }

    def is_of_it(message: Message) -> bool:
        match message:
            case NearMiss() | Opportunity() | ApprovedPlan():
                return pair.is_of(_markets_of(message))
            case Signal():
                return False
            case Denied():
                return message.opportunity_id in offers
            case PlanDone() | OrderEvent() | Fill():
                return message.plan_id in plans
        return True

    return replace(
        facts,
        window=[each for each in facts.window if is_of_it(each)],
        views=[view for view in facts.views if pair.touches((view.venue, view.instrument))],
        statuses={
            market: status
            for market, status in facts.statuses.items()
            if pair.touches(market) or not market[1]
        },
        rules={market: rules for market, rules in facts.rules.items() if pair.touches(market)},
    )


def _markets_of(message: NearMiss | Opportunity | ApprovedPlan) -> list[Market]:
    if isinstance(message, NearMiss):
        return [
            (message.buy_venue, message.buy_instrument),
            (message.sell_venue, message.sell_instrument),
        ]
    return [(leg.venue, leg.instrument) for leg in message.legs]
