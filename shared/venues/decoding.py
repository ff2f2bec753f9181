"""A venue's payload by its decoder, or ``ParseError`` and nothing else. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from shared.errors import ParseError

if TYPE_CHECKING:
    import msgspec

T = TypeVar("T")


def decoded(decoder: msgspec.json.Decoder[T], raw: bytes, what: str) -> T:
    """Return what a payload holds.

    Raises:
        ParseError: It is not what the venue documents; ``what`` names it.
    """
    try:
        return decoder.decode(raw)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise ParseError(f"{what}: {error}") from error
