"""What configured strategies want to see: checked by `arb`, subscribed by the ingestor.

Both ask ``shared/feeds.py``, where it is decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from shared.config_sections import Config, VenueConfig
from shared.domain.instrument import split_instrument
from shared.errors import ConfigError
from shared.feeds import WantedFeed, extras_of, feeds_wanted, obstacle_of
from shared.strategies.failure import describe
from shared.strategies.params import flaw_of_answers
from shared.strategies.port import Input, Instance, Strategy, as_input
from shared.strategy_files import LOAD_CPU_S, configured, load, load_strategies
from shared.strategy_guard import returns_within
from shared.venues.port import FeedKind
from shared.venues.registry import load_feed

INPUTS_MAX = 1_024
"""Of one strategy."""


def check_strategies(config: Config, where: str) -> list[Instance]:
    """Load every configured strategy, and see that what it wants to see is configured.

    Raises:
        ConfigError: The first that is wrong.
    """
    found = [load(each, config.scanner, where) for each in configured(config)]
    for instance in found:
        assert instance.strategy is not None
        place = f"{where}: strategies.{instance.id}"
        check_answers(instance.strategy, place)
        wanted = inputs_of(instance.strategy, place)
        check_inputs(wanted, config.venues, place)
    return found


def check_answers(strategy: Strategy[Any], where: str) -> None:
    """Refuse a strategy that cannot say what its host will ask it.

    Raises:
        ConfigError: With the question and what would be right.
    """
    try:
        with returns_within(LOAD_CPU_S):
            flaw = flaw_of_answers(strategy)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # tidy-ok: another's code, told in one line
        raise ConfigError(f"{where}: {describe(error)}") from error
    if flaw:
        raise ConfigError(f"{where}: {flaw}")


def inputs_of(strategy: Strategy[Any], where: str) -> list[Input]:
    """Return what a strategy wants to see.

    Raises:
        ConfigError: It does not say so.
    """
    try:
        with returns_within(LOAD_CPU_S):
            declared = strategy.inputs()
            if type(declared) not in {list, tuple}:
                raise TypeError(f"returned a {type(declared).__name__}; return a list of inputs")
            if len(declared) > INPUTS_MAX:
                raise ValueError(f"{len(declared)} inputs; at most {INPUTS_MAX} are allowed")
            wanted = [as_input(each) for each in declared]
        for each in wanted:
            if each.instrument:
                split_instrument(each.instrument)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # tidy-ok: another's code, told in one line
        raise ConfigError(f"{where}: inputs(): {describe(error)}") from error
    if not wanted:
        raise ConfigError(f"{where}: inputs() is empty; return at least one Depth(...)")
    return wanted


def check_inputs(wanted: Sequence[Input], venues: Mapping[str, VenueConfig], where: str) -> None:
    """Refuse an input for which nothing would come.

    Raises:
        ConfigError: With the input, and what to add or to change.
    """
    offered = offered_by(venues)
    for each in wanted:
        if obstacle := obstacle_of(each, venues, offered):
            raise ConfigError(f"{where}: {obstacle}")


def offered_by(venues: Mapping[str, VenueConfig]) -> dict[str, Sequence[FeedKind]]:
    """Return what each venue has beside books.

    Raises:
        ConfigError: A venue without an adapter.
    """
    return {name: load_feed(venue.adapter or name).extras for name, venue in venues.items()}


class Wanted(NamedTuple):
    """What strategies want beside books, and which of them could not be asked and why."""

    feeds: list[WantedFeed]
    unasked: dict[str, str]


def feeds_of_strategies(config: Config) -> Wanted:
    """Ask every configured strategy; one that cannot be asked keeps no other from its feeds."""
    inputs: list[Input] = []
    unasked: dict[str, str] = {}
    for instance in load_strategies(config):
        if instance.strategy is None:
            unasked[instance.id] = instance.problem
            continue
        try:
            inputs += inputs_of(instance.strategy, f"strategies.{instance.id}")
        except ConfigError as error:
            unasked[instance.id] = str(error)
    return Wanted(feeds_wanted(inputs), unasked)


def feeds_beside_books(config: Config) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return what is subscribed beside books: venue -> feed -> instruments.

    Raises:
        ConfigError: ``venues.*.feeds`` names what a venue has not.
    """
    wanted, offered = feeds_of_strategies(config).feeds, offered_by(config.venues)
    found = {
        name: extras_of(name, venue, offered[name], wanted) for name, venue in config.venues.items()
    }
    return {
        name: {kind.value: instruments for kind, instruments in extras.items()}
        for name, extras in found.items()
        if extras
    }
