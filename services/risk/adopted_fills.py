"""Fills of plans that the executor adopted without a record, until their round is known. Pure.

After a loss of records the executor finds orders of ours at the venues and books them to a plan
without a strategy. It may learn later which round the plan belongs to, when a late fill is found
that the plan evened out: then all fills of the plan belong to that round, earlier ones included.
"""

from __future__ import annotations

from typing import Final

import msgspec

from shared.messages.execution import Fill
from shared.messages.fill_key import fill_key

ADOPTED_FILLS_MAX: Final = 64
"""Fills of plans in flight that nobody knows the owner of, the newest."""


class AdoptedFills(msgspec.Struct):
    """Such fills, oldest first, by their natural keys, whatever names they were saved under."""

    fills: dict[str, Fill] = {}

    def __post_init__(self) -> None:
        self.fills = {fill_key(fill).text: fill for fill in self.fills.values()}

    def keep(self, fill: Fill) -> None:
        """Remember a fill; one repeated with its fee replaces the earlier report."""
        self.fills[fill_key(fill).text] = fill
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
