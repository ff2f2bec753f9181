"""Traffic between the venues and the ingestor, byte for byte, for a recorder."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from shared.messages.base import MarketMessage
from shared.messages.bounds import Id, Moment, Name, Number, Reason, Venue

ITEMS_MAX = 10_000
FRAME_BYTES_MAX = 3_000_000
"""What one frame may have to be handed over: an entry of a stream must hold it."""
Frame = Annotated[bytes, Meta(max_length=FRAME_BYTES_MAX)]


class RawKind(StrEnum):
    """What an item is."""

    OPENED = "opened"  # a connection, to the URL of its origin
    SENT = "sent"  # a frame of ours
    FRAME = "frame"  # a frame of the venue's
    REST = "rest"  # an answer to a GET of the URL of its origin


class RawOrigin(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where items come from; ``connection`` names it among those of one ``source``."""

    venue: Venue
    connection: Id
    url: Reason


class RawItem(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One frame; ``origin`` is the place of its origin in the message."""

    origin: Number
    kind: RawKind
    ts_recv_ns: Moment
    frame: Frame


class RawFrames(MarketMessage, frozen=True, kw_only=True, tag="raw_frames"):
    """Frames in the order in which they were taken in.

    ``seq`` is the number of the first of them; ``source`` numbers all its frames from 1 without a
    hole, also those that it could not hand over, so a reader sees what it misses.
    """

    source: Name
    seq: Number
    origins: Annotated[list[RawOrigin], Meta(max_length=ITEMS_MAX)]
    items: Annotated[list[RawItem], Meta(max_length=ITEMS_MAX)]
    ts_recv_ns: Moment
