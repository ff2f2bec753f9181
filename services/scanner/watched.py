"""Calls a strategy's code under a watch; any error it raises becomes one line. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def asked(strategy_id: str, watch: Watch | None) -> Iterator[None]:
    """Let code of a strategy run, watched.

    Raises:
        Failed: It raised something, whatever that is.
    """
    if watch is not None:
        watch.begin(strategy_id)
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # tidy-ok: another's code, told in an alert
        raise Failed(describe(error), would_end=not isinstance(error, Exception)) from error
    finally:
        if watch is not None:
            watch.end()
