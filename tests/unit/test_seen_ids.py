"""Ids are told apart as long as they are remembered, in memory that does not grow."""

from __future__ import annotations

import random
import sys

import msgspec

from shared.metrics.counted import REMEMBERED_MAX, Counted
from shared.metrics.seen_ids import SeenIds
from tests.decision_builders import make_opportunity


def test_the_last_ids_are_known_and_older_ones_forgotten() -> None:
    seen = SeenIds(100)
    for number in range(1_000):
        assert seen.add(("fill", number))
        for before in range(max(0, number - 100), number + 1):
            assert not seen.add(("fill", before)), "seen lately"
    assert seen.add(("fill", 0)), "long ago"


def test_it_answers_as_a_set_would_while_nothing_is_forgotten() -> None:
    numbers = random.Random(7)
    seen, known = SeenIds(500), set[int]()
    while len(known) < 500:
        number = numbers.randrange(-2_000, 2_000)
        assert seen.add(number) == (number not in known)
        known.add(number)


def test_an_id_whose_hash_is_zero_is_an_id() -> None:
    seen = SeenIds(10)
    assert hash(0) == 0
    assert seen.add(0)
    assert not seen.add(0)


def test_counting_for_hours_takes_no_more_memory() -> None:
    counted = Counted()
    offer = make_opportunity()
    blocks = 0
    for number in range(2 * REMEMBERED_MAX):
        counted.on_message(msgspec.structs.replace(offer, opportunity_id=f"id-{number}"))
        if number == 100:
            blocks = sys.getallocatedblocks()
    assert sys.getallocatedblocks() < blocks + REMEMBERED_MAX / 10
