"""What a supervised program used of the machine. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Usage:
    """What one program has been over all its incarnations."""

    pid: int = 0
    restarts: int = 0
    rss_mb: float = 0.0
    rss_mb_max: float = 0.0
    rss_mb_per_h: float | None = None  # of the present incarnation, after its warm-up
    cpu_s: float = 0.0
    up: bool = False
    exit_code: int | None = None
    killed: bool = False  # did not stop within its grace
    stopping: bool = False  # asked to stop, or not started again: where it is down it stays down
