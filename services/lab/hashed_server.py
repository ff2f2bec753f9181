"""The bus's server of a simulated world: all that is written to it is hashed. Pure."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from services.lab.kernel import Kernel
from shared.bus.memory_store import ZERO, Id, MemoryServer
from shared.streams import MD_BOOK, StreamSpec

HASHED_BYTES = 65_536
"""So much is written before it is hashed, at once."""
DECODED_MAX = 10_000
"""Entries that are kept decoded; a world has some thousands."""


class HashedServer(MemoryServer):
    """The bus's server; everything that is written to it goes into one hash."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self._digest = sha256()
        self._written = bytearray()
        """What is not in the hash yet: many entries are hashed at once."""
        self.shares_messages = True
        """Whether an entry is decoded once for all its readers."""
        self._decoded: dict[tuple[str, bytes], list[Any]] = {}
        self.loses_next_book = False
        """Whether the next entry of books is lost: it is never seen by anybody."""

    @property
    def digest(self) -> str:
        """The hash of all that was written, in hexadecimal digits."""
        self._digest.update(self._written)
        self._written.clear()
        return self._digest.hexdigest()

    def decode(self, spec: StreamSpec, payload: bytes, now_ns: int) -> list[Any]:
        """Return the messages of an entry: the same ones to every reader, as none changes them.

        What was right once stays so: the only bound that moves is the present time.
        """
        if not self.shares_messages:
            return super().decode(spec, payload, now_ns)
        known = self._decoded.get((spec.name, payload))
        if known is None:
            if len(self._decoded) >= DECODED_MAX:
                self._decoded.clear()
            known = self._decoded[spec.name, payload] = super().decode(spec, payload, now_ns)
        return known

    def snapshot(self) -> tuple[Any, ...]:
        """Return a copy of all data."""
        streams = {key: stream.copy() for key, stream in self.streams.items()}
        return streams, dict(self.values), dict(self.marks)

    def restore(self, saved: tuple[Any, ...]) -> None:
        """Go back to data of before, as a replica does that lacks the last moment."""
        self.streams, self.values, self.marks = saved
        self.losses += 1

    def append(self, key: str, payload: bytes, signature: bytes = b"") -> Id:
        """Append an entry."""
        if self.loses_next_book and key.endswith(MD_BOOK.name):
            self.loses_next_book = False
            return ZERO
        written = self._written
        written += key.encode()
        written += payload
        if len(written) > HASHED_BYTES:
            self._digest.update(written)
            written.clear()
        now_ms = self.clock.now_ns() // 1_000_000
        return self.stream(key).append(payload, now_ms, signature)
