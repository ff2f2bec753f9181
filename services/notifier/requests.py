"""What the notifier asks of the outside, and what comes of it. Pure."""

from __future__ import annotations

from shared.engine import Action, Result


class Ping(Action, frozen=True):
    """Tell the dead man's switch that all is well; one ``Pinged`` comes back."""


class Pinged(Result, frozen=True):
    """What became of it: empty ``problem`` for taken."""

    problem: str = ""


class Save(Action, frozen=True):
    """Keep the state for the next start; nothing comes back."""

    state: bytes
