"""A plan that brings inventory back: steps, their cost, what becomes of each target. Pure."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Final, NamedTuple

from shared.domain.inventory import Band, Held, Target
from shared.domain.rebalance_steps import Step

_ZERO: Final = Decimal(0)


class RowState(StrEnum):
    """Whether a place is within its band once the steps are carried out."""

    IN_BAND = "in band"  # it is already, and stays so
    BROUGHT_BACK = "brought back"
    OUT_OF_BAND = "out of band"  # the steps do not bring it back
    UNKNOWN = "unknown"


class Row(NamedTuple):
    """A target and what becomes of it; ``None`` is unknown. ``reason`` says why it is not met."""

    target: Target
    held: Held | None
    band: Band | None
    after: Decimal | None
    state: RowState
    reason: str = ""


class Plan(NamedTuple):
    """What is proposed: the steps may be carried out at the same time and in any order."""

    steps: tuple[Step, ...]
    rows: tuple[Row, ...]

    @property
    def cost_known(self) -> Decimal:
        """What the steps of known cost cost together."""
        return sum((step.cost for step in self.steps if step.cost is not None), _ZERO)

    @property
    def costs_unknown(self) -> int:
        """How many steps are of unknown cost."""
        return sum(step.cost is None for step in self.steps)

    @property
    def cost(self) -> Decimal | None:
        """What all steps cost together; ``None`` if that of one is unknown."""
        return None if self.costs_unknown else self.cost_known

    @property
    def minutes(self) -> Decimal | None:
        """How long the longest step takes; ``None`` if that of one is unknown."""
        told = [step.minutes for step in self.steps]
        known = [each for each in told if each is not None]
        return max(known, default=_ZERO) if len(known) == len(told) else None

    @property
    def is_whole(self) -> bool:
        """Whether every place is within its band afterwards."""
        return all(row.state in {RowState.IN_BAND, RowState.BROUGHT_BACK} for row in self.rows)
