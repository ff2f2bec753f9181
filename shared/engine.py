"""What a service's decisions look like: a synchronous, deterministic engine. Protocols; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from shared.messages.base import Message


class Engine(Protocol):
    """All decisions of one service.

    Does no IO, reads no clock, logs nothing and returns everything, so the same inputs give the
    same outputs in production, in simulation and in a replay. ``now_ns`` is UNIX ns.
    """

    def on_message(self, message: Message, now_ns: int) -> Sequence[Message]:
        """Take one input in and return the outputs it causes, in order."""

    def on_timer(self, now_ns: int) -> Sequence[Message]:
        """Do what is due; called once ``now_ns`` has reached ``next_deadline_ns()``."""

    def next_deadline_ns(self) -> int | None:
        """Return when ``on_timer`` must be called next (UNIX ns), ``None`` for not at all.

        After ``on_timer(now_ns)`` the answer must lie after ``now_ns``.
        """

    def counters(self) -> Mapping[str, int]:
        """Return what was counted since the start; values only rise."""

    def gauges(self) -> Mapping[str, float]:
        """Return present values."""


class RecoverableEngine(Engine, Protocol):
    """An engine whose state survives the process, saved under one or several names."""

    def checkpoints(self) -> dict[str, bytes]:
        """Return what must be saved with what was said since the last call: name -> state.

        A name that is left out stays as it was saved last. The caller saves all of it in one
        transaction or ends, so what was returned is taken to be saved.
        """

    def restore(self, saved: Mapping[str, bytes], now_ns: int) -> Sequence[Message]:
        """Continue from what was saved last under each name; return what it makes true.

        It continues exactly there, and takes what an older version saved too.
        """
