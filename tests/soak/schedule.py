"""When what is done to the system: drawn from a seed, each kind before any comes again. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.services import SERVICES, USUAL_SERVICES
from tests.chaos.faults import OF_VENUES

BUS, VENUES = "valkey", "venuesim"
FEEDS = (VENUES, "ingestor", "orderbook")
"""What books come from: where it stands still, they are not LIVE."""
EVERY_S_MIN, EVERY_S_MAX, FAULTS_WANTED = 60.0, 3_600.0, 20
AWAY_S = 15.0
"""How long a service is kept from running; the bus for less."""
BUS_AWAY_S, BUS_FROZEN_S = 8.0, 4.0
REFUSES_S = 20.0
FREEZE_S = (2.0, 12.0)


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault to come: ``kind`` is done to ``target`` for ``seconds``, ``at_s`` after the start.

    ``told`` is what the simulated venues are told, where it is theirs.
    """

    at_s: float
    kind: str
    target: str
    seconds: float = 0.0
    told: Mapping[str, Any] = field(default_factory=dict)


def interval_s(duration_s: float) -> float:
    """Return the time between faults: an hour in a long run, so that a short one has several."""
    return min(EVERY_S_MAX, max(EVERY_S_MIN, duration_s / FAULTS_WANTED))


def schedule(
    duration_s: float, every_s: float, seed: int, venues: Sequence[str], more: Sequence[str] = ()
) -> list[Planned]:
    """Return the faults of a run; the first and the last interval are quiet.

    Args:
        duration_s: Of trading.
        every_s: Between two.
        seed: Of their order and targets.
        venues: That may misbehave.
        more: Services that run beside the usual ones.
    """
    chance = random.Random(seed)
    decks = _decks(chance, venues, (*USUAL_SERVICES, *more))
    planned, at_s = [], every_s
    while at_s <= duration_s - every_s:
        kind, target, seconds, told = next(decks)
        planned.append(Planned(round(at_s, 1), kind, target, round(seconds, 1), told))
        at_s += every_s
    return planned


_Drawn = tuple[str, str, float, Mapping[str, Any]]


def _decks(
    chance: random.Random, venues: Sequence[str], services: Sequence[str]
) -> Iterator[_Drawn]:
    """Yield faults for ever, of each group in turn."""
    bus: list[_Drawn] = [
        ("kill -9", BUS, 0.0, {}),
        ("away", BUS, BUS_AWAY_S, {}),
        ("freeze", BUS, BUS_FROZEN_S, {}),
        ("restart", BUS, 0.0, {}),
    ]
    rare: list[_Drawn] = [
        *(("away", name, AWAY_S, {}) for name in SERVICES),
        ("kill -9", VENUES, 0.0, {}),
    ]
    groups = (
        [("kill -9", name, 0.0, {}) for name in services],
        list(_of_venues(chance, venues)),
        [("freeze", name, chance.uniform(*FREEZE_S), {}) for name in services],
        bus,
        rare,
    )
    decks: list[list[_Drawn]] = [[] for _ in groups]
    while True:
        for deck, group in zip(decks, groups, strict=True):
            if not deck:
                deck.extend(group)
                chance.shuffle(deck)
            yield deck.pop()


def _of_venues(chance: random.Random, venues: Sequence[str]) -> Iterator[_Drawn]:
    for told in OF_VENUES:
        venue = chance.choice(venues)
        yield str(told["kind"]), venue, 0.0, {"venue": venue, **told}
    venue = chance.choice(venues)
    yield "refuses", venue, REFUSES_S, {"venue": venue, "kind": "account", "state": "read_only"}
