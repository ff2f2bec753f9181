"""Reads a recorded frame once for all the questions about it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

M = TypeVar("M")


class ReadOnce(Generic[M]):
    """Calls ``read`` and keeps the answer for as long as the same frame is asked about."""

    def __init__(self, read: Callable[[bytes], M]) -> None:
        self._read = read
        self._known: tuple[bytes, M] | None = None

    def __call__(self, raw: bytes) -> M:
        """Return what ``read`` makes of a frame."""
        if self._known is None or self._known[0] is not raw:
            self._known = raw, self._read(raw)
        return self._known[1]
