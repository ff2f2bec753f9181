"""Delays grow from the first to the cap, however often it fails."""

from __future__ import annotations

from shared.delays import GrowingDelay, doubled


def test_doubling_ends_at_the_cap() -> None:
    assert [doubled(500, 3_000, attempt) for attempt in range(5)] == [
        500,
        1_000,
        2_000,
        3_000,
        3_000,
    ]
    assert doubled(1, 2**70, 10**9) == 2**16  # no number of a million digits on the way


def test_a_growing_delay_doubles_to_its_cap_and_starts_over() -> None:
    delay = GrowingDelay(0.5, 3.0, lambda low, high: high)
    assert [delay.next_s() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    delay.reset()
    assert delay.next_s() == 0.5
