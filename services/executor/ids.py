"""Client order ids: a function of plan, leg and attempt, and back again. Pure."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

from shared.messages.bounds import LEGS_MAX

PREFIX = "ab"
"""Tells our orders from anything else in the account."""

PLAN_ID_LENGTH_MAX = 12
_LEGS = LEGS_MAX + 1
"""Legs of a plan, and one more number for the orders that even it out."""
_ROUNDS = 36 // _LEGS
"""How often the two digits of the attempt may wrap around: the digit of the leg counts that too."""
ATTEMPT_MAX = _ROUNDS * 36 * 36 - 1
ATTEMPTS_TOLD = 36 * 36
"""On the bus an attempt is told modulo this: readers from before there were more refuse others."""
ID_LENGTH_MAX = 18
"""The shortest limit of a venue; with letters and digits only, legal on every one we know."""

RESTART_SLOT_NS = 250_000_000
"""No two starts of the executor fall into one slot (``TAKEOVER_PAUSE_S`` of its lease)."""
_SLOT_ATTEMPTS = 8
_SLOTS = 640

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@lru_cache(maxsize=1_024)  # asked for at every order, and again when its plan ends
def plan_key(plan_id: str) -> str:
    """Return ``plan_id`` itself where it fits an order id, else 12 characters made from it."""
    if plan_id.isascii() and plan_id.isalnum() and len(plan_id) <= PLAN_ID_LENGTH_MAX:
        return plan_id
    return blake2b(plan_id.encode(), digest_size=6).hexdigest()


@lru_cache(maxsize=1_024)
def _slot(leg_index: int, attempt: int) -> str:
    assert 0 <= leg_index < _LEGS
    assert 0 <= attempt <= ATTEMPT_MAX
    high, low = divmod(attempt, 36)
    rounds, high = divmod(high, 36)
    return f"{_DIGITS[leg_index + rounds * _LEGS]}{_DIGITS[high]}{_DIGITS[low]}"


def client_order_id(plan_id: str, leg_index: int, attempt: int) -> str:
    """Return the id of one order: at most 18 characters, letters and digits.

    The same plan, leg and attempt always give the same id, so a second submit is recognisable.
    """
    made = f"{PREFIX}{plan_key(plan_id)}{_slot(leg_index, attempt)}"
    assert len(made) <= ID_LENGTH_MAX
    return made


def attempt_after_loss(now_ns: int) -> int:
    """Return the first attempt number to use where orders may be missing from the record.

    A function of time, because counting on from a record that was lost twice would give the same
    number twice. Eight attempts of every start have numbers of their own for 160 seconds; an
    order that is missing from the record is found at the venue long before that.
    """
    slot = now_ns // RESTART_SLOT_NS % _SLOTS
    return 1 + _SLOT_ATTEMPTS + slot * _SLOT_ATTEMPTS


def parse_client_order_id(text: str) -> tuple[str, int, int] | None:
    """Return (plan key, leg index, attempt) of one of our ids, ``None`` for any other id."""
    body = text[len(PREFIX) : -3]
    if not text.startswith(PREFIX) or not body or len(text) > ID_LENGTH_MAX or not text.isalnum():
        return None
    leg, high, low = (_DIGITS.find(digit) for digit in text[-3:])
    if min(leg, high, low) < 0:
        return None
    rounds, leg = divmod(leg, _LEGS)
    return body, leg, (rounds * 36 + high) * 36 + low
