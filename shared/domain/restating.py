"""Rebooks an execution whose result turns out to be in another asset. Pure, Decimal."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import msgspec

from shared.domain.executions import Execution, execution_of
from shared.domain.instrument import split_instrument
from shared.messages.restated import FillRestated

ZERO = Decimal(0)


class Restating(NamedTuple):
    """What takes an execution back, and the execution as it is stated now: booked in this order.

    A fee in a third asset, or one that is not known yet, stays where it was booked.
    """

    back: Execution
    anew: Execution


def restating_of(told: FillRestated) -> Restating:
    """Return what has to be booked."""
    done = execution_of(told.fill)
    base, quote, _ = split_instrument(done.instrument)
    if done.fee is None or done.fee_asset not in {"", base, quote}:
        done = msgspec.structs.replace(done, fee=ZERO, fee_quote=None)
    assert done.fee is not None
    back = msgspec.structs.replace(
        done,
        side=done.side.opposite,
        fee=-done.fee,
        fee_quote=None if done.fee_quote is None else -done.fee_quote,
    )
    return Restating(
        back,
        msgspec.structs.replace(
            done, report_asset=told.report_asset, report_price=told.report_price
        ),
    )
