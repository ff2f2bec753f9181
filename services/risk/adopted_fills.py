"""Fills of plans that the executor adopted without a record of them, until it is known whose. Pure.

After a loss of records the executor finds orders of ours at the venues and books them to a plan of
nobody. It may learn later which round the plan belongs to, when a late fill is found again that the
plan evened out: then all its fills are that round's, also those told before.
"""

from __future__ import annotations

from typing import Final

import msgspec

from shared.messages.execution import Fill

ADOPTED_FILLS_MAX: Final = 64
"""Fills of plans in flight that nobody knows the owner of, the newest."""


class AdoptedFills(msgspec.Struct):
    """Such fills, oldest first, by venue, instrument and trade id."""

    fills: dict[str, Fill] = {}

    def keep(self, fill: Fill) -> None:
        """Remember a fill; one told again with its fee takes the place of itself."""
        self.fills[f"{fill.venue}|{fill.instrument}|{fill.trade_id}"] = fill
        while len(self.fills) > ADOPTED_FILLS_MAX:
            del self.fills[next(iter(self.fills))]

    def take(self, plan_id: str) -> list[Fill]:
        """Return the fills of a plan, and forget them."""
        if not self.fills:
            return []
        taken = {key: fill for key, fill in self.fills.items() if fill.plan_id == plan_id}
        for key in taken:
            del self.fills[key]
        return list(taken.values())
