"""The error tree. Normal outcomes are return values or messages; these are not.

ArbError
├── ConfigError          the user's input is wrong: what, where, what would be right
├── BusUnavailable       Redis cannot be reached, or was lost while a DURABLE promise was open
├── CodecError           bytes on a stream are not a message of that stream
├── ParseError           a venue frame is not what the venue documents
├── SequenceGap          a book missed a change and must be synchronised again
└── VenueError           a request to a venue did not succeed
    ├── Rejected         definite no: the venue refused it, nothing was done
    ├── Unavailable      surely not sent: may be tried again after a backoff
    └── OutcomeUnknown   may have been done: the only exit is a query by client_order_id
"""

from __future__ import annotations


class ArbError(Exception):
    """Base of every error this project raises on purpose."""


class ConfigError(ArbError):
    """The user's input is wrong; the text says what, where, and what would be right."""


class BusUnavailable(ArbError):
    """The bus cannot be reached, or was lost with durable work in flight."""


class CodecError(ArbError):
    """Bytes on a stream do not decode as a message of that stream."""


class ParseError(ArbError):
    """A venue frame does not have the documented shape."""


class SequenceGap(ArbError):
    """A book missed a change.

    Args:
        expected: The sequence number that would have continued the book.
        got: The number that arrived.
    """

    def __init__(self, expected: int, got: int) -> None:
        super().__init__(f"sequence gap: expected {expected}, got {got}")
        self.expected = expected
        self.got = got


class VenueError(ArbError):
    """A request to a venue did not succeed; ``code`` is the venue's own code where it has one."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Rejected(VenueError):
    """The venue said no: definite, nothing was done."""


class Unavailable(VenueError):
    """The request was surely not acted on (never sent, or refused before any processing)."""


class OutcomeUnknown(VenueError):
    """The venue may or may not have acted; only a query by client_order_id may settle it."""
