"""Opens WebSocket connections to venues, with one set of limits. IO."""

from __future__ import annotations

from typing import Final

from websockets.asyncio.client import connect

FRAMES_QUEUED_MAX: Final = 1_024
"""Frames read but not yet handed over; beyond it the socket is left unread (back-pressure)."""
OPEN_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 2.0
PING_S: Final = 20.0


def open_websocket(url: str, frame_bytes_max: int) -> connect:
    """Return a connection to be entered with ``async with``.

    A proxy of the environment is used for ``wss:`` only. A connection that answers no ping within
    ``PING_S`` is closed.
    """
    return connect(
        url,
        compression=None,
        max_size=frame_bytes_max,
        max_queue=FRAMES_QUEUED_MAX,
        open_timeout=OPEN_TIMEOUT_S,
        close_timeout=CLOSE_TIMEOUT_S,
        ping_interval=PING_S,
        ping_timeout=PING_S,
        proxy=True if url.startswith("wss:") else None,
    )
