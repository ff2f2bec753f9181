"""Risk's state as saved: what a decision changes, and the ledger behind it, apart. Pure.

An approval changes the plans in flight, which are few; positions, balances and the memory of fills
are many bytes, and change only when the executor or an operator was heard. Both parts are saved in
one transaction whenever the ledger has changed, so joined they are always one state that really
was: the number of the ledger that the small part builds on says so again when they are read.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from services.risk.exposure import Ledger, Reservation, remember_plan
from services.risk.trading import TradingMemory
from shared.errors import CodecError

DECIDED = "risk"
LEDGER = "risk-ledger"
NAMES = (DECIDED, LEDGER)
VERSION = 2


class PartMissing(CodecError):  # noqa: N818 - named for what is wrong
    """One of the two parts is not there: it was deleted, or never arrived at this copy."""


class RiskState(msgspec.Struct, kw_only=True):
    """What survives a restart. Version 1 of the checkpoint was this as a whole."""

    version: int = 1
    ledger: Ledger = msgspec.field(default_factory=Ledger)
    trading: TradingMemory = msgspec.field(default_factory=TradingMemory)


class Decided(msgspec.Struct, kw_only=True):
    """What a decision changes.

    ``ledger`` is the number of the ledger that this builds on; version 1 had the ledger itself
    there, so a program of that time refuses this rather than start with an empty one. ``approved``
    are the opportunities approved since that ledger was saved, oldest first.
    """

    version: int = VERSION
    ledger: int
    reservations: dict[str, Reservation]
    approved: list[str]
    trading: TradingMemory


class Numbered(msgspec.Struct, kw_only=True):
    """The ledger without its reservations; ``number`` rises by one with every save."""

    number: int
    ledger: Ledger


class _Form(msgspec.Struct):
    """Enough of any version to tell which it is."""

    version: int = 1
    trading: TradingMemory = msgspec.field(default_factory=TradingMemory)


_ENCODER = msgspec.json.Encoder(decimal_format="string")
_FORM = msgspec.json.Decoder(_Form)
_WHOLE = msgspec.json.Decoder(RiskState)
_DECIDED = msgspec.json.Decoder(Decided)
_NUMBERED = msgspec.json.Decoder(Numbered)


class Keeper:
    """Knows which part of the state must be saved next; at first, all of it."""

    def __init__(self) -> None:
        self._decided_touched = self._ledger_touched = True
        self._number = 0
        self._approved: dict[str, bool] = {}

    def touch_decided(self) -> None:
        """Say that reservations or the trading memory may differ from what was saved."""
        self._decided_touched = True

    def touch_ledger(self) -> None:
        """Say that anything may differ from what was saved."""
        self._decided_touched = self._ledger_touched = True

    def approve(self, opportunity_id: str) -> None:
        """Say that this opportunity was approved, which is all that the ledger does not know."""
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
        )
        saved[DECIDED] = _ENCODER.encode(decided)
        self._decided_touched = self._ledger_touched = False
        return saved

    def join(self, saved: Mapping[str, bytes]) -> RiskState:
        """Return the state that was saved and number on from it; all of it is to be saved anew.

        Raises:
            PartMissing: One part of it is gone.
            CodecError: It is not a checkpoint of this service, or its parts are of different
                states.
        """
        try:
            state, self._number = _join(saved)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CodecError(f"the checkpoint of risk does not decode: {error}") from error
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
        return _WHOLE.decode(decided_bytes), 0
    if version != VERSION:
        raise CodecError(f"the checkpoint of risk has version {version}, {VERSION} is known")
    if LEDGER not in saved:
        raise PartMissing(f"the checkpoint of risk has lost its part {LEDGER}")
    decided, settled = _DECIDED.decode(decided_bytes), _NUMBERED.decode(saved[LEDGER])
    if settled.number != decided.ledger:
        raise CodecError(
            f"the checkpoint of risk builds on ledger {decided.ledger}, found {settled.number}"
        )
    ledger = settled.ledger
    ledger.reservations = decided.reservations
    for opportunity_id in decided.approved:
        remember_plan(ledger.approved, opportunity_id)
    return RiskState(ledger=ledger, trading=decided.trading), settled.number
