"""Calls a strategy's code under a watch; any error it raises becomes one line. Pure."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from shared.strategies.failure import describe


class Watch(Protocol):
    """Called when a strategy begins and ends a call; changes no decision except by raising."""

    def begin(self, strategy_id: str) -> None:
        """A call begins."""

    def end(self) -> None:
        """It is over."""

    def report(self, strategy_id: str, reason: str) -> None:
        """A strategy must not be called again: hand that to the engine, as an input."""


class Failed(Exception):  # noqa: N818 - said of a strategy, not of this program
    """What a strategy raised, in one line; ``would_end`` if it was meant to end the process."""

    def __init__(self, reason: str, *, would_end: bool) -> None:
        super().__init__(reason)
        self.would_end = would_end


class asked:  # noqa: N801 - used as a statement, ``with asked(...):``
    """Let code of a strategy run, watched.

    Raises:
        Failed: It raised something, whatever that is.
    """

    __slots__ = ("_strategy_id", "_watch")

    def __init__(self, strategy_id: str, watch: Watch | None) -> None:
        self._strategy_id, self._watch = strategy_id, watch

    def __enter__(self) -> None:
        if self._watch is not None:
            self._watch.begin(self._strategy_id)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is not None and not isinstance(error, KeyboardInterrupt):
                would_end = not isinstance(error, Exception)
                raise Failed(describe(error), would_end=would_end) from error
        finally:
            if self._watch is not None:
                self._watch.end()
