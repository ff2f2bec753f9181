"""The executor's state as saved: open work and finished plans apart. Pure.

The write-ahead of a step saves the open part, which is small. Finished plans are many and cannot
change in a step that only starts a plan. Whenever a plan moves from one part to the other, both are
saved in one transaction, so together they are always a state that existed.

What is learned of funding from the market (when it settles, what is awaited) may be saved a beat
later, with the finished plans: a start works it out again. Payments booked are saved at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from services.executor.funding_record import FundingRecord
from services.executor.order_record import OrderRecord
from services.executor.state import CHECKPOINT_VERSION, ExecutorState, PlanRecord
from shared.errors import CodecError

OPEN = "executor"
FINISHED = "executor-finished"
NAMES = (OPEN, FINISHED)
ORDERS_WITH_TERMS: Final = 2
_TERMS_OF_VERSION_1: Final = ("venue", "instrument", "side", "price_limit")


class FinishedPlans(msgspec.Struct):
    """Finished plans that are still kept whole, with their orders; and what is known of funding."""

    version: int = CHECKPOINT_VERSION
    plans: dict[str, PlanRecord] = {}
    orders: dict[str, OrderRecord] = {}
    funding: dict[str, FundingRecord] = {}


class _Form(msgspec.Struct):
    """Enough of any version to tell which it is, and whose."""

    version: int = 1
    ledger_id: str = ""


class _BeforeBooks(msgspec.Struct):
    """What a version without accounts kept in their place."""

    exposure: dict[str, Decimal] = {}


_FORM = msgspec.json.Decoder(_Form)
_BEFORE_BOOKS = msgspec.json.Decoder(_BeforeBooks)
_ENCODER = msgspec.json.Encoder(decimal_format="string")
_OPEN = msgspec.json.Decoder(ExecutorState)
_FINISHED = msgspec.json.Decoder(FinishedPlans)


def encode_open(state: ExecutorState) -> bytes:
    """Return everything but the finished plans."""
    plans = {plan.plan_id: plan for plan in state.open_plans()}
    orders = {order_id: state.orders[order_id] for p in plans.values() for order_id in p.orders}
    kept = msgspec.structs.replace(state, plans=plans, orders=orders, funding={})
    return _ENCODER.encode(kept)


def encode_finished(state: ExecutorState) -> bytes:
    """Return the finished plans."""
    plans = {plan_id: plan for plan_id, plan in state.plans.items() if not plan.is_open}
    orders = {order_id: state.orders[order_id] for p in plans.values() for order_id in p.orders}
    return _ENCODER.encode(FinishedPlans(plans=plans, orders=orders, funding=state.funding))


class CheckpointWriter:
    """Knows which part of a state must be saved next; ``touched``: finished plans may differ.

    They are by far the larger part, and most answers of a venue are about open plans: it is saved
    only where it is not what was saved last.
    """

    def __init__(self) -> None:
        self.touched = True
        self._finished = b""

    def save_all(self) -> None:
        """Save everything with the next step, whatever was saved before."""
        self.touched, self._finished = True, b""

    def take(self, state: ExecutorState) -> dict[str, bytes]:
        """Return what must be saved now, by name: open work always, the rest if touched."""
        saved = {OPEN: encode_open(state)}
        if self.touched:
            finished = encode_finished(state)
            if finished != self._finished:
                saved[FINISHED] = self._finished = finished
            self.touched = False
        return saved


def ledger_id_of(saved: Mapping[str, bytes]) -> str | None:
    """Return the ledger of a checkpoint: ``None`` without a checkpoint, empty if it names none.

    Raises:
        CodecError: It is not a checkpoint.
    """
    if OPEN not in saved:
        return "" if saved else None
    try:
        return _FORM.decode(saved[OPEN]).ledger_id
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CodecError(f"the checkpoint of executor does not decode: {error}") from error


def missing_part(saved: Mapping[str, bytes]) -> str:
    """Return what a checkpoint lacks; empty if it is whole or there is none."""
    missing = [name for name in NAMES if name not in saved] if saved else []
    return f"the checkpoint of executor has lost its part {missing[0]}" if missing else ""


def decode(saved: Mapping[str, bytes]) -> ExecutorState:
    """Join both parts; what was never saved is empty.

    Raises:
        CodecError: One of them is not a checkpoint, or is of a newer program, or of one that kept
            no accounts and holds exposure: its cost is unknown.
    """
    try:
        state = _OPEN.decode(_of_today(saved[OPEN])) if OPEN in saved else ExecutorState()
        if OPEN in saved and not state.books.quantities:
            left = _BEFORE_BOOKS.decode(saved[OPEN]).exposure
            if any(left.values()):
                raise CodecError(
                    f"the checkpoint of executor was saved by a version that kept no cost of what "
                    f"it held, and it holds {left}: flatten with that version first"
                )
        if FINISHED in saved:
            finished = _FINISHED.decode(_of_today(saved[FINISHED]))
            state.plans = finished.plans | state.plans
            state.orders = finished.orders | state.orders
            state.funding = finished.funding
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CodecError(f"the checkpoint of executor does not decode: {error}") from error
    return state


def _of_today(saved: bytes) -> bytes:
    """Return a part as this program would have saved it."""
    version = _FORM.decode(saved).version
    if version == CHECKPOINT_VERSION:
        return saved
    if not 1 <= version < CHECKPOINT_VERSION:
        raise CodecError(
            f"the checkpoint of executor has version {version}, {CHECKPOINT_VERSION} is known"
        )
    part: dict[str, Any] = msgspec.json.decode(saved)
    for order in part.get("orders", {}).values() if version < ORDERS_WITH_TERMS else ():
        if not isinstance(order, dict) or not isinstance(order.get("life"), dict):
            raise msgspec.ValidationError("one of its orders is malformed")
        order["terms"] = {name: order.get(name) for name in _TERMS_OF_VERSION_1}
        order["terms"]["qty"] = order["life"].get("qty")
    return msgspec.json.encode({**part, "version": CHECKPOINT_VERSION})
