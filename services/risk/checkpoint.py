"""Risk's state as saved: what a decision changes, and the ledger behind it, apart. Pure.

An approval changes the plans in flight, which are few; positions, balances and the memory of fills
are many bytes, and change only with a message of the executor or an operator. Both parts are saved
in one transaction whenever the ledger has changed, so together they are always a state that
existed; the small part names the number of the ledger it builds on, which is checked on reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from services.risk.equity import Worth, last_worked_out
from services.risk.exposure import Ledger, remember_plan
from services.risk.reservations import Reservation
from services.risk.trading_memory import TradingMemory
from shared.domain.accounting import TradingResult
from shared.domain.executions import Execution
from shared.domain.instrument import split_instrument
from shared.domain.ownership import PLANS_ENDED_MAX
from shared.errors import CodecError
from shared.messages.base import Side

DECIDED = "risk"
LEDGER = "risk-ledger"
NAMES = (DECIDED, LEDGER)
VERSION = 7
"""7: rounds keep the stop of their signal; 6: the ledger has rounds; 5: a reserved leg holds its
terms as one value; 4: the ledger has orders; 3: it has accounts; 2: it is saved apart; 1: the state
is one whole."""
LEDGER_WITH_ORDERS, LEGS_WITH_TERMS = 4, 5


class PartMissing(CodecError):  # noqa: N818 - named for what is wrong
    """One of the two parts is missing: deleted, or never replicated to this copy."""


class RiskState(msgspec.Struct, kw_only=True):
    """What survives a restart. Version 1 of the checkpoint was this as a whole."""

    version: int = 1
    ledger: Ledger = msgspec.field(default_factory=Ledger)
    trading: TradingMemory = msgspec.field(default_factory=TradingMemory)


class Decided(msgspec.Struct, kw_only=True):
    """What a decision changes.

    ``ledger`` is the number of the ledger that this builds on; version 1 had the ledger itself
    there, so a program of that time refuses this rather than start with an empty one. ``approved``
    are the opportunities approved since that ledger was saved, oldest first. ``equity`` is by quote
    asset what it was when last worked out: prices move it too often to save the ledger each time.
    ``above_soft`` is what is above its soft limit and not worked off yet.
    """

    version: int = VERSION
    ledger: int
    reservations: dict[str, Reservation]
    approved: list[str]
    trading: TradingMemory
    equity: dict[str, Worth] = {}
    above_soft: dict[str, str] = {}


class Numbered(msgspec.Struct, kw_only=True):
    """The ledger without its reservations; ``number`` rises by one with every save."""

    number: int
    ledger: Ledger


class LedgerBefore(msgspec.Struct):
    """What versions 1 and 2 kept in place of accounts, keys as in ``Books``, and 1 to 3 of orders.

    ``plans_seen`` are plans of the executor's own making, known by their orders.
    """

    positions: dict[str, Decimal] = {}
    prices: dict[str, Decimal] = {}
    exposure: dict[str, Decimal] = {}
    realized: dict[str, Decimal] = {}
    fees: dict[str, Decimal] = {}
    realized_today: dict[str, Decimal] = {}
    plans_seen: dict[str, bool] = {}


class Before(msgspec.Struct):
    """Enough of a state of version 1, or of a ledger of version 2 or 3, to take it over."""

    ledger: LedgerBefore


class _Form(msgspec.Struct):
    """Enough of any version to tell which it is."""

    version: int = 1
    trading: TradingMemory = msgspec.field(default_factory=TradingMemory)


_ENCODER = msgspec.json.Encoder(decimal_format="string")
_FORM = msgspec.json.Decoder(_Form)
_WHOLE = msgspec.json.Decoder(RiskState)
_DECIDED = msgspec.json.Decoder(Decided)
_NUMBERED = msgspec.json.Decoder(Numbered)
_BEFORE = msgspec.json.Decoder(Before)


class CheckpointWriter:
    """Knows which part of the state must be saved next; at first, all of it."""

    def __init__(self) -> None:
        self._decided_touched = self._ledger_touched = True
        self._number = 0
        self._approved: dict[str, bool] = {}

    def touch_decided(self) -> None:
        """Mark reservations, the trading memory and equity as changed since they were saved."""
        self._decided_touched = True

    def touch_ledger(self) -> None:
        """Mark everything as changed since it was saved."""
        self._decided_touched = self._ledger_touched = True

    def approve(self, opportunity_id: str) -> None:
        """Note that this opportunity was approved: the saved ledger lacks nothing else."""
        self._decided_touched = True
        remember_plan(self._approved, opportunity_id)

    @property
    def is_saved(self) -> bool:
        """Whether all that was touched has been taken to be saved."""
        return not self._decided_touched

    def take(self, state: RiskState) -> dict[str, bytes]:
        """Return what must be saved now, by name; nothing if nothing was touched."""
        if not self._decided_touched:
            return {}
        saved = {}
        ledger = state.ledger
        if self._ledger_touched:
            self._number += 1
            self._approved = {}
            settled = msgspec.structs.replace(ledger, reservations={})
            saved[LEDGER] = _ENCODER.encode(Numbered(number=self._number, ledger=settled))
        decided = Decided(
            ledger=self._number,
            reservations=ledger.reservations,
            approved=list(self._approved),
            trading=state.trading,
            equity=last_worked_out(ledger.equity),
            above_soft=ledger.above_soft,
        )
        saved[DECIDED] = _ENCODER.encode(decided)
        self._decided_touched = self._ledger_touched = False
        return saved

    def join(self, saved: Mapping[str, bytes]) -> RiskState:
        """Return the state that was saved and number on from it; all of it is to be saved again.

        Raises:
            PartMissing: One part of it is gone.
            CodecError: It is not a checkpoint of this service, or its parts are of different
                states.
        """
        try:
            state, self._number = _join(saved)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CodecError(f"the checkpoint of risk does not decode: {error}") from error
        ledger = state.ledger
        if ledger.books.results and not ledger.strategies.accounts:  # saved by an older version
            ledger.strategies.open_with(ledger.books)
        self._approved = {}
        self.touch_ledger()
        return state


def ledger_id_of(saved: Mapping[str, bytes]) -> str | None:
    """Return the ledger a checkpoint belongs to: ``None`` without one, empty where it says none.

    Raises:
        CodecError: It is not a checkpoint of this service.
    """
    if DECIDED not in saved:
        return "" if saved else None
    try:
        return _FORM.decode(saved[DECIDED]).trading.ledger_id
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CodecError(f"the checkpoint of risk does not decode: {error}") from error


def _join(saved: Mapping[str, bytes]) -> tuple[RiskState, int]:
    if DECIDED not in saved:
        raise PartMissing(f"the checkpoint of risk has lost its part {DECIDED}")
    decided_bytes = saved[DECIDED]
    version = _FORM.decode(decided_bytes).version
    if version == 1:  # whole; a ledger beside it is what an older, newer program left
        state = _WHOLE.decode(_with_terms(decided_bytes))
        before = _BEFORE.decode(decided_bytes).ledger
        _take_over(before, state.ledger)
        _expect_orders(before, state.ledger)
        return state, 0
    if not 2 <= version <= VERSION:
        raise CodecError(f"the checkpoint of risk has version {version}, {VERSION} is known")
    if LEDGER not in saved:
        raise PartMissing(f"the checkpoint of risk has lost its part {LEDGER}")
    if version < LEGS_WITH_TERMS:
        decided_bytes = _with_terms(decided_bytes)
    decided, settled = _DECIDED.decode(decided_bytes), _NUMBERED.decode(saved[LEDGER])
    if settled.number != decided.ledger:
        raise CodecError(
            f"the checkpoint of risk builds on ledger {decided.ledger}, found {settled.number}"
        )
    ledger = settled.ledger
    ledger.reservations = decided.reservations
    if version < LEDGER_WITH_ORDERS:
        before = _BEFORE.decode(saved[LEDGER]).ledger
        if version == 2:
            _take_over(before, ledger)
        _expect_orders(before, ledger)
    for opportunity_id in decided.approved:
        remember_plan(ledger.approved, opportunity_id)
    for quote in decided.equity.keys() & ledger.equity.keys():
        ledger.equity[quote].now, ledger.equity[quote].realized = decided.equity[quote]
    ledger.above_soft.update(decided.above_soft)
    return RiskState(ledger=ledger, trading=decided.trading), settled.number


def _with_terms(saved: bytes) -> bytes:
    """Return a part of before version 5 with the terms of its reserved legs as one value.

    Their limit was not kept; what a leg was worth at most bounds it.
    """
    part: dict[str, Any] = msgspec.json.decode(saved)
    try:
        holder = part["ledger"] if "reservations" not in part else part
        for held in holder["reservations"].values():
            for leg in held["legs"]:
                terms = {name: leg.pop(name) for name in ("venue", "instrument", "side", "qty")}
                limit = Decimal(leg["notional"]) / Decimal(terms["qty"])
                leg["terms"] = {**terms, "price_limit": str(limit)}
    except (LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise msgspec.ValidationError("its reservations are malformed") from error
    return msgspec.json.encode(part)


def _expect_orders(before: LedgerBefore, ledger: Ledger) -> None:
    """Expect orders of the plans whose orders an older version did not remember."""
    for plan_id in (*before.plans_seen, *ledger.reservations):
        if plan_id not in ledger.plans_ended:
            ledger.orders.expect_earlier(plan_id, is_ended=False)
    for plan_id in list(ledger.plans_ended)[-PLANS_ENDED_MAX:]:
        ledger.orders.expect_earlier(plan_id, is_ended=True)


def _take_over(before: LedgerBefore, ledger: Ledger) -> None:
    """Open accounts with what an older version knew: quantities, and results by cash alone.

    It kept no cost. What it held counts as bought at the price of its last fill, so results that
    follow from it are estimated.
    """
    books = ledger.books
    for key, qty in before.positions.items():
        venue, _, instrument = key.partition("|")
        price = before.prices.get(key, Decimal(0))
        if not qty:
            continue
        books.trade(
            Execution(
                venue=venue,
                instrument=instrument,
                side=Side.BUY if qty > 0 else Side.SELL,
                qty=abs(qty),
                cost=abs(qty) * price,
                fee=Decimal(0),
            )
        )
        books.result(split_instrument(instrument).quote).is_estimated = True
    books.inventory.clear()  # what it moved between venues was not kept
    books.exposure = before.exposure
    for quote, realized in before.realized.items():
        is_estimated = books.result(quote).is_estimated
        books.results[quote] = TradingResult(
            realized=realized, fees=before.fees.get(quote, Decimal(0)), is_estimated=is_estimated
        )
        ledger.realized_at_midnight[quote] = realized - before.realized_today.get(quote, Decimal(0))
