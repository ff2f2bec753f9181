"""A message on its way over a channel, and what became of it. Pure."""

from __future__ import annotations

from shared.engine import Action, Result


class Send(Action, frozen=True):
    """Send a text over a channel; one ``Sent`` comes back, within a bounded time."""

    channel: str
    note_id: int
    subject: str
    text: str
    severity: str
    ts_ns: int


class Sent(Result, frozen=True):
    """What became of it: empty ``problem`` for delivered.

    ``retry_after_s``: the provider asks to wait so long, and took nothing. ``is_refused``: it will
    not take this text whenever it is sent.
    """

    channel: str
    note_id: int
    problem: str = ""
    retry_after_s: float | None = None
    is_refused: bool = False
