"""What is wrong with a recorded line, where it must be whole to be played. Pure."""

from __future__ import annotations

import msgspec

from shared.capture.items import CaptureItem, Kind
from shared.errors import ConfigError


def damage_of(item: CaptureItem) -> str:
    """Return what is wrong with a line, empty for nothing; our venues' frames are all JSON."""
    if item.kind is Kind.FRAME and (item.venue is not None or not item.url):
        try:
            msgspec.json.decode(item.payload, type=msgspec.Raw)
        except msgspec.DecodeError as error:
            return f"the frame is truncated or damaged: {error}"
    return item.reason


def refuse_damage(item: CaptureItem) -> None:
    """Refuse a line that cannot be played.

    Raises:
        ConfigError: It is damaged; the text has file, line and reason.
    """
    if reason := damage_of(item):
        raise ConfigError(
            f"{item.path}:{item.line}: {reason}; repair the recording, "
            "arb verify shows what is wrong with it"
        )


def no_book_text(paths: list[str], known: list[str]) -> str:
    """Return the error text for recordings that hold no book of a known venue."""
    return f"{', '.join(paths)}: no book of a venue we know; there are: {', '.join(known)}"
