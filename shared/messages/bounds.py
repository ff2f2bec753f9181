"""What a field of a message may hold: bounds and syntax, written beside its type. Pure.

They are part of a field's annotation: ``qty: Qty``, ``venue: Venue``. Market data's floats and the
lengths of lists are checked by msgspec while it decodes; everything else by ``checks.py``
afterwards, from the same annotations. A field with a plain type has that type's own bounds, so none
is unbounded.

The bounds are far from anything a venue sends. They keep out what no arithmetic survives: what is
not finite, a price of zero, a quantity that has no place in Decimal's 28 digits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from msgspec import Meta

INT_MAX = 2**63 - 1
TEXT_LENGTH_MAX = 16_384
ITEMS_MAX = 50_000
"""Levels of one side, entries of one map."""
LEGS_MAX = 8

AHEAD_NS_MAX = 5_000_000_000
"""How far a fact of LATEST delivery may lie in our future: that much clocks of machines may differ.
It is repeated, so a refused one is no loss."""
AHEAD_NS_MAX_DURABLE = 60_000_000_000
"""And one of DURABLE delivery, which comes once: no clock that was set back a little may lose it.
Code that orders by such a time takes it for now."""
DEADLINE_NS_MAX = 3_600_000_000_000
"""How far in the future anything may expire."""
PAUSE_NS_MAX = 366 * 86_400_000_000_000
"""How long a strategy may be paused."""
FUNDING_NS_MAX = 60 * 86_400_000_000_000
"""How far in the future a funding may settle."""
INTERVAL_NS_MAX = 366 * 86_400_000_000_000
"""Longest time between two fundings; a history may have holes."""

PRICE_MIN, PRICE_MAX = Decimal("1e-15"), Decimal("1e12")
QTY_MIN, QTY_MAX = Decimal("1e-15"), Decimal("1e15")
AMOUNT_MAX = Decimal("1e24")
BPS_MAX = Decimal("1e12")
EXPONENT_MIN = -60
"""Least power of ten of a Decimal, so that writing one out stays short."""

_PART = r"[^\s/:|\x00-\x1f\x7f]{1,32}"


@dataclass(frozen=True, slots=True)
class Syntax:
    """A text's form; ``what`` and ``like`` describe it in errors.

    ``word`` is given for ids, of which hardly one comes twice: a text of that many characters, from
    and to, is right if all of them are visible ASCII. It may be right without.
    """

    what: str
    pattern: re.Pattern[str]
    like: str
    word: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class NumberRange:
    """A Decimal's or whole number's bounds, both included."""

    low: Decimal | int
    high: Decimal | int


@dataclass(frozen=True, slots=True)
class TimeLimit:
    """A time (UNIX ns): at most ``ahead_ns`` beyond what clocks may differ by."""

    ahead_ns: int = 0


def _syntax(what: str, pattern: str, like: str) -> Syntax:
    return Syntax(what, re.compile(pattern), like)


def _word(what: str, least: int, most: int, like: str) -> Syntax:
    pattern = rf"[^\s\x00-\x1f\x7f]{{{least},{most}}}"
    return Syntax(what, re.compile(pattern), like, (least, most))


VENUE = _syntax("a venue", r"[A-Za-z0-9_.-]{1,64}", "venue-1")
MAYBE_VENUE = _syntax("a venue or empty", r"[A-Za-z0-9_.-]{0,64}", "venue-1")
INSTRUMENT = _syntax("an instrument", f"{_PART}/{_PART}(:{_PART})?", "BTC/USDT")
MAYBE_INSTRUMENT = _syntax("an instrument or empty", f"({INSTRUMENT.pattern.pattern})?", "BTC/USDT")
ASSET = _syntax("an asset", _PART, "BTC")
MAYBE_ASSET = _syntax("an asset or empty", f"({_PART})?", "BTC")
ID = _word("an id", 1, 128, "5f1d7a84db00")
MAYBE_ID = _word("an id or empty", 0, 128, "5f1d7a84db00")
PLAN_ID = Syntax("a plan's id", re.compile(r"[!-~]{1,64}"), "5f1d7a84db00", (1, 64))
ORDER_ID = _syntax("a client order id", r"[A-Za-z0-9_-]{1,36}", "ab5f1d7a84db00000")
BOOK_ID = _word("a book's id", 1, 256, "venue-1|BTC/USDT|1|2")
NAME = _syntax("a name", r"[^\x00-\x1f\x7f]{0,200}", "risk")
STRATEGY = _syntax("a strategy's id or empty", r"[A-Za-z0-9_.-]{0,64}", "cross_venue")
KEY = _syntax("a key", r"[^\x00-\x1f\x7f]{1,200}", "tick_to_depth")
TEXT = _syntax("a text", rf"[\s\S]{{0,{TEXT_LENGTH_MAX}}}", "a reason")

# Texts
Venue = Annotated[str, VENUE]
MaybeVenue = Annotated[str, MAYBE_VENUE]
Instrument = Annotated[str, INSTRUMENT]
MaybeInstrument = Annotated[str, MAYBE_INSTRUMENT]
Asset = Annotated[str, ASSET]
MaybeAsset = Annotated[str, MAYBE_ASSET]
Id = Annotated[str, ID]
MaybeId = Annotated[str, MAYBE_ID]
BookId = Annotated[str, BOOK_ID]
PlanId = Annotated[str, PLAN_ID]
OrderId = Annotated[str, ORDER_ID]
Name = Annotated[str, NAME]
Strategy = Annotated[str, STRATEGY]
"""Empty: not given."""
Key = Annotated[str, KEY]

# Money
Price = Annotated[Decimal, NumberRange(PRICE_MIN, PRICE_MAX)]
PriceOrZero = Annotated[Decimal, NumberRange(Decimal(0), PRICE_MAX)]
Qty = Annotated[Decimal, NumberRange(QTY_MIN, QTY_MAX)]
QtyOrZero = Annotated[Decimal, NumberRange(Decimal(0), QTY_MAX)]
Amount = Annotated[Decimal, NumberRange(-AMOUNT_MAX, AMOUNT_MAX)]
AmountOrZero = Annotated[Decimal, NumberRange(Decimal(0), AMOUNT_MAX)]
Bps = Annotated[Decimal, NumberRange(-BPS_MAX, BPS_MAX)]

# Market data: checked while decoding. NaN is neither above nor below anything, so it fails too.
FloatPrice = Annotated[float, Meta(ge=1e-15, le=1e12)]
FloatQty = Annotated[float, Meta(gt=0.0, le=1e18)]
FloatQtyOrZero = Annotated[float, Meta(ge=0.0, le=1e18)]
FloatRate = Annotated[float, Meta(ge=-1e6, le=1e6)]
AnyFloat = Annotated[float, Meta(ge=-1e60, le=1e60)]
Number = Annotated[int, Meta(ge=0, le=INT_MAX)]
Trades = Annotated[int, Meta(ge=1, le=INT_MAX)]
Interval = Annotated[int, NumberRange(1, INTERVAL_NS_MAX)]
Reason = Annotated[str, Meta(max_length=TEXT_LENGTH_MAX)]

# Whole numbers and times
Count = Annotated[int, NumberRange(0, INT_MAX)]
Depth = Annotated[int, Meta(ge=1, le=INT_MAX)]
LegIndex = Annotated[int, NumberRange(0, 35)]
Attempt = Annotated[int, NumberRange(0, 36 * 36 - 1)]
Moment = Annotated[int, Meta(ge=0, le=INT_MAX), TimeLimit()]
Deadline = Annotated[int, Meta(ge=0, le=INT_MAX), TimeLimit(DEADLINE_NS_MAX)]
PauseEnd = Annotated[int, Meta(ge=0, le=INT_MAX), TimeLimit(PAUSE_NS_MAX)]
FundingTime = Annotated[int, Meta(ge=0, le=INT_MAX), TimeLimit(FUNDING_NS_MAX)]
VenueTime = Annotated[int, Meta(ge=0, le=INT_MAX)]
"""A venue's own clock: offset from ours by an unknown amount, so bounded by nothing of ours."""
