"""What the dashboard asks of Redis beside its inputs, and what comes of it. Pure.

Exactly one result comes back for every action.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.engine import Action, Result
from shared.messages.base import Message


class ReadDecisions(Action, frozen=True):
    """Read the plans and commands since the last time; at first also what lies back."""


class DecisionsRead(Result, frozen=True):
    """That, in the order of each stream."""

    messages: tuple[Message, ...]


class ReadStreams(Action, frozen=True):
    """Read how long and large every stream is, and how far its readers are."""


class StreamsRead(Result, frozen=True):
    """That. ``sizes``: entries and bytes by stream, over its shards; ``lags_ms``: by stream and
    service; ``dead``: entries ever put aside, by stream.
    """

    sizes: Mapping[str, tuple[int, int]]
    lags_ms: Mapping[tuple[str, str], int]
    dead: Mapping[str, int]


class ReadFailed(Result, frozen=True):
    """An action did not succeed: Redis is away or refuses."""

    action: Action
    reason: str
