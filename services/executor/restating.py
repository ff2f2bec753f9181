"""Restates fills that were published before their plan was known. Pure.

A plan that is found at the venues without a record of it shows only order by order what it trades.
Its first fills look like trades against their own quote asset; later ones may show that the plan
trades a path of several assets. Then those first fills are published and booked again.
"""

from __future__ import annotations

from typing import Final

import msgspec

from services.executor.state import ExecutorState, PlanKind, PlanRecord
from shared.domain.instrument import is_spot
from shared.domain.restating import restating_of
from shared.engine import Step
from shared.messages.execution import Fill
from shared.messages.restated import FillRestated

TOLD_MAX: Final = 256
"""Fills kept of a plan that was found without a record, the newest."""


def remember_told(plan: PlanRecord, told: Fill) -> None:
    """Keep a fill for as long as it may have to be restated."""
    if plan.kind is PlanKind.ADOPTED and plan.is_open and is_spot(told.instrument):
        plan.told.append(told)
        del plan.told[:-TOLD_MAX]


def restate_told(state: ExecutorState, plan: PlanRecord, now_ns: int, out: Step) -> None:
    """Restate the fills that were told in another asset than the plan's."""
    for number, told in enumerate(plan.told):
        asset, price = plan.reports(told.instrument)
        if asset == told.report_asset:
            continue
        restated = FillRestated(ts_ns=now_ns, fill=told, report_asset=asset, report_price=price)
        for done in restating_of(restated):
            state.books.trade(done)
        out.messages.append(restated)
        plan.told[number] = msgspec.structs.replace(told, report_asset=asset, report_price=price)
