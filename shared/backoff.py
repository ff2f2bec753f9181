"""Backoff of shells, jittered by the machine's random source."""

from __future__ import annotations

import random

from shared.delays import GrowingDelay, Uniform


class Backoff(GrowingDelay):
    """Growing delays between attempts."""

    def __init__(self, initial_s: float, cap_s: float, uniform: Uniform = random.uniform) -> None:
        super().__init__(initial_s, cap_s, uniform)
