"""Losses in a row of each strategy, and the pause after several. Pure.

A plan for instant profit counts when it ends, a round when it is closed. An unknown result counts
as a loss if what is known of it is one, and never as a gain: it ends no streak.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from shared.messages.base import Certainty

STRATEGIES_MAX: Final = 64
"""Strategies whose losses are counted; the one that lost longest ago is forgotten first."""
MINUTE_NS: Final = 60_000_000_000


class Streak(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``losses`` in a row; ``losses_before`` were those that led to the pause, if there is one."""

    losses: int = 0
    losses_before: int = 0
    ts_paused_until_ns: int = 0


class Streaks(msgspec.Struct):
    """By strategy; those that lost nothing since their last gain are not in it."""

    streaks: dict[str, Streak] = {}

    def count(self, strategy: str, result: Decimal, certainty: Certainty) -> Streak | None:
        """Count a result; return the strategy's losses in a row where it was one more."""
        if result < 0:
            streak = self.streaks.pop(strategy, Streak())
            streak.losses += 1
            self.streaks[strategy] = streak
            while len(self.streaks) > STRATEGIES_MAX:
                del self.streaks[next(iter(self.streaks))]
            return streak
        if result > 0 and certainty is not Certainty.UNKNOWN:
            streak = self.streaks.get(strategy, Streak())
            streak.losses = 0
            if not streak.ts_paused_until_ns:
                self.streaks.pop(strategy, None)
        return None

    def pause(self, streak: Streak, minutes: int, now_ns: int) -> None:
        """Let a strategy open nothing for some minutes; it begins at none after that."""
        streak.losses_before, streak.losses = streak.losses, 0
        streak.ts_paused_until_ns = now_ns + minutes * MINUTE_NS

    def paused(self, now_ns: int) -> dict[str, int]:
        """Return until when strategies open nothing (UNIX ns)."""
        until = {name: each.ts_paused_until_ns for name, each in self.streaks.items()}
        return {name: until_ns for name, until_ns in until.items() if until_ns > now_ns}

    def resume(self) -> None:
        """An operator lets all go on."""
        self.streaks.clear()
