"""Kraken's way of writing times. Pure."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(now_ns: int) -> str:
    """Write UNIX ns as the venue does: microseconds and Z."""
    seconds, ns = divmod(now_ns, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{ns // 1_000:06d}Z"
