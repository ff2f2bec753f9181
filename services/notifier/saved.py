"""What outlives a restart: what was told already, and what still waits to be sent. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec

from services.notifier.outbox import SavedChannel
from services.notifier.troubles import Trouble
from shared.errors import CodecError
from shared.messages.control import Alert

SEEN_MAX: Final = 4_096
"""Alerts remembered, twice as many as the stream keeps."""
PRINT_BYTES: Final = 8


class Saved(msgspec.Struct, kw_only=True):
    """The state; ``seen`` are the fingerprints of alerts, the oldest first."""

    seen: str = ""
    troubles: dict[str, Trouble] = {}
    channels: dict[str, SavedChannel] = {}
    tested_ns: int = 0
    ts_ns: int = 0


class Seen:
    """Alerts that were taken in, by their fingerprints: the stream is read again at each start."""

    def __init__(self, packed: str = "") -> None:
        raw = base64.b64decode(packed)
        prints = (raw[at : at + PRINT_BYTES] for at in range(0, len(raw), PRINT_BYTES))
        self._prints: dict[bytes, None] = dict.fromkeys(prints)

    def is_new(self, alert: Alert) -> bool:
        """Tell whether an alert is seen for the first time, and remember it."""
        told = "\0".join(
            (
                *(alert.service, alert.severity, alert.code, alert.subject, alert.text),
                *(str(alert.ts_ns), str(alert.count)),
            )
        )
        mark = hashlib.blake2b(told.encode(), digest_size=PRINT_BYTES).digest()
        if mark in self._prints:
            return False
        self._prints[mark] = None
        while len(self._prints) > SEEN_MAX:
            del self._prints[next(iter(self._prints))]
        return True

    def packed(self) -> str:
        """Return all of them as text."""
        return base64.b64encode(b"".join(self._prints)).decode()


def load(state: Mapping[str, bytes], name: str) -> Saved | None:
    """Return what was saved; ``None`` if nothing was.

    Raises:
        CodecError: It is no state of a notifier.
    """
    if name not in state:
        return None
    try:
        saved = msgspec.json.decode(state[name], type=Saved)
        base64.b64decode(saved.seen, validate=True)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise CodecError(f"the saved state of the notifier: {error}") from error
    return saved


def dump(saved: Saved) -> bytes:
    """Return the state as bytes."""
    return msgspec.json.encode(saved)
