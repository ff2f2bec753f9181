"""The error tree. Normal outcomes are return values or messages; these are not.

ArbError
├── ConfigError          the user's input is wrong: what, where, what would be right
│   └── NotServed        a source of prices does not have what is asked for, and says so
├── BusUnavailable       Redis cannot be reached, or was lost while a DURABLE promise was open
├── CodecError           bytes on a stream are not a message of that stream
├── ParseError           a venue frame is not what the venue documents
└── VenueError           a request to a venue did not succeed
    ├── Rejected         definite no: the venue refused it, nothing was done
    ├── Unavailable      surely not sent: may be tried again after a backoff
    └── OutcomeUnknown   may have been done: the only exit is a query by client_order_id
"""

from __future__ import annotations

from enum import StrEnum


class ArbError(Exception):
    """Base of every error this project raises on purpose."""


class ConfigError(ArbError):
    """The user's input is wrong; the text says what, where, and what would be right."""


class NotServed(ConfigError):
    """A source says for certain that it does not have what is asked for."""


class BusUnavailable(ArbError):
    """The bus cannot be reached, or was lost with durable work in flight."""


class CodecError(ArbError):
    """Bytes on a stream do not decode as a message of that stream."""


class ParseError(ArbError):
    """A venue frame does not have the documented shape."""


class Scope(StrEnum):
    """What a refusal applies to: which other orders would be refused as well."""

    ORDER = "order"  # this one order
    INSTRUMENT = "instrument"  # every order in this instrument
    VENUE = "venue"  # every order of this account


class Cause(StrEnum):
    """Why a venue refused a request, or could not be asked; ``scope`` tells what else it hits."""

    ORDER = "order"  # its price, size or notional; also whatever a venue does not tell apart
    FUNDS = "funds"  # balance or margin
    NOTHING_TO_REDUCE = "nothing to reduce"  # the position that the order may only reduce is gone
    WOULD_TAKE = "would take"  # post-only, and it would have traded at once
    INSTRUMENT = "instrument"  # not trading, unknown, or restricted for this account
    KEY = "key"  # unknown, revoked or expired; its permissions, its address, its signature
    ACCOUNT = "account"  # position mode, trading disabled or restricted, locked
    CLOCK = "clock"  # our time is not the venue's
    RATE = "rate"  # too many requests or orders
    SERVICE = "service"  # overload, maintenance, no connection

    @property
    def scope(self) -> Scope:
        """Return what else the same answer would be given to."""
        if self in {Cause.ORDER, Cause.FUNDS, Cause.NOTHING_TO_REDUCE, Cause.WOULD_TAKE}:
            return Scope.ORDER
        return Scope.INSTRUMENT if self is Cause.INSTRUMENT else Scope.VENUE


class VenueError(ArbError):
    """A request to a venue did not succeed.

    Args:
        message: For people.
        code: The venue's own code where it has one.
        cause: Why, as far as the venue says.
    """

    def __init__(self, message: str, code: str = "", cause: Cause = Cause.ORDER) -> None:
        super().__init__(message)
        self.code = code
        self.cause = cause

    @property
    def scope(self) -> Scope:
        """Return whether the account as a whole is meant, an instrument, or this one order."""
        return self.cause.scope


class Rejected(VenueError):
    """The venue said no: definite, nothing was done."""


class Unavailable(VenueError):
    """The request was surely not acted on (never sent, or refused before any processing)."""


class OutcomeUnknown(VenueError):
    """The venue may or may not have acted; only a query by client_order_id may settle it."""
