"""How a venue answered orders lately: how many it failed, and how long it took. Pure.

What fails now and then, or answers late, is stopped by no count of refusals in a row. Its last
answers are judged together instead, as a circuit breaker does. They are forgotten when it stands
down for them and when it comes back, whatever it stood down for: it begins again.
"""

from __future__ import annotations

from typing import Final

import msgspec

from services.executor.down import COST_WINDOW_NS

ANSWERS_KEPT: Final = 20
"""Answers of each venue that are judged, the newest."""
ANSWERS_LEAST: Final = 10
"""With fewer, nothing is judged."""
MS: Final = 1_000_000


class Answer(msgspec.Struct, array_like=True):
    """How long it took from sending (0: not sent), and whether the venue failed the order."""

    took_ns: int
    is_failure: bool


class VenueAnswers(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Of one venue: its last answers, and how often it stood down for them, and when last."""

    answers: list[Answer] = []
    falls: int = 0
    ts_fall_ns: int = 0

    def add(self, took_ns: int, *, is_failure: bool) -> None:
        """Take an answer."""
        self.answers = [*self.answers, Answer(took_ns, is_failure)][-ANSWERS_KEPT:]

    def flaw(self, error_rate_max: float, latency_ms_max: int) -> str:
        """Return what is wrong with the last answers together; empty if nothing is.

        Args:
            error_rate_max: The share of answers that may be failures; 0: any.
            latency_ms_max: How long half of the answers may take; 0: any.
        """
        count = len(self.answers)
        if count < ANSWERS_LEAST:
            return ""
        failures = sum(each.is_failure for each in self.answers)
        if error_rate_max and failures > error_rate_max * count:
            return f"it failed {failures} of its last {count} orders"
        took = sorted(each.took_ns for each in self.answers if each.took_ns)
        if not latency_ms_max or len(took) < ANSWERS_LEAST:
            return ""
        median_ms = took[len(took) // 2] // MS
        if median_ms <= latency_ms_max:
            return ""
        return f"half of its last {len(took)} answers took {median_ms} ms or longer"

    def fall(self, now_ns: int) -> int:
        """Forget the answers; return how often it has stood down, each soon after the last."""
        self.falls = self.falls + 1 if now_ns - self.ts_fall_ns < COST_WINDOW_NS else 1
        self.answers, self.ts_fall_ns = [], now_ns
        return self.falls
