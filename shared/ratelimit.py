"""A token bucket with a reserve for what must not wait. The arithmetic is pure; time is given."""

from __future__ import annotations


class TokenBucket:
    """Request weight that refills steadily; the last part of it is kept for urgent requests.

    Args:
        per_s: Weight that comes back per second.
        burst: Weight at most at hand.
        reserve: Part of ``burst`` that only urgent requests may use.
        now_ns: Present time, any monotonic clock.
    """

    def __init__(self, per_s: float, burst: float, reserve: float, now_ns: int) -> None:
        assert per_s > 0
        assert 0 <= reserve < burst
        self._per_s, self._burst, self._reserve = per_s, burst, reserve
        self._at_hand, self._now_ns = burst, now_ns

    def wait_s(self, weight: float, now_ns: int, *, urgent: bool = False) -> float:
        """Take ``weight`` and return 0, or take nothing and return how long to wait (seconds).

        A weight beyond the whole bucket passes once the bucket is full, and leaves it in debt.
        """
        self._refill(now_ns)
        floor = 0.0 if urgent else self._reserve
        needed = min(weight, self._burst - floor)
        missing = needed + floor - self._at_hand
        if missing > 0:
            return missing / self._per_s
        self._at_hand -= weight
        return 0.0

    def used_ratio(self, now_ns: int) -> float:
        """Return which part of the burst is used up, from 0 to 1."""
        self._refill(now_ns)
        return min(1.0, 1.0 - self._at_hand / self._burst)

    def drain(self, now_ns: int) -> None:
        """Empty the bucket: the venue reports that more was used up than counted here."""
        self._refill(now_ns)
        self._at_hand = min(0.0, self._at_hand)

    def _refill(self, now_ns: int) -> None:
        gained = max(0, now_ns - self._now_ns) / 1e9 * self._per_s
        self._at_hand = min(self._burst, self._at_hand + gained)
        self._now_ns = max(self._now_ns, now_ns)
