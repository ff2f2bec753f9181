"""What the exporter asks of Redis and its host beside its inputs, and what comes of it. Pure.

Exactly one result comes back for every action.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.engine import Action, Result
from shared.messages.market import DepthView


class ReadStreams(Action, frozen=True):
    """Read how long and large every stream is, and how far its readers are."""


class StreamsRead(Result, frozen=True):
    """That. ``sizes``: entries and bytes by stream, over its shards; ``lags_ms``: by stream and
    service; ``dead``: entries ever put aside, by stream.
    """

    sizes: Mapping[str, tuple[int, int]]
    lags_ms: Mapping[tuple[str, str], int]
    dead: Mapping[str, int]


class ReadBooks(Action, frozen=True):
    """Read the newest view of every book."""


class BooksRead(Result, frozen=True):
    """That."""

    views: tuple[DepthView, ...]


class ReadHost(Action, frozen=True):
    """Read the machine."""


class HostRead(Result, frozen=True):
    """That. ``figures``: by name; ``by_label``: by name and label. What is not told is absent."""

    figures: Mapping[str, float]
    by_label: Mapping[str, Mapping[str, float]]


class ReadFailed(Result, frozen=True):
    """An action did not succeed: Redis, or the machine, is away or refuses."""

    action: Action
    reason: str
