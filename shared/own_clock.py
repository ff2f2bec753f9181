"""What this process says of a machine's clock that was set back. IO (the clock)."""

from __future__ import annotations

from shared.clock import SLOWER_BY, SteadyTime
from shared.measure_names import CLOCK_AHEAD


def clock_gauges(time: SteadyTime) -> dict[str, float]:
    """Return how far time is ahead of the machine's clock, in seconds."""
    return {CLOCK_AHEAD: time.ahead_ns() / 1e9}


def clock_notes(time: SteadyTime) -> dict[str, str]:
    """Return what an operator should know while it is; else nothing."""
    ahead_s = time.ahead_ns() / 1e9
    if not ahead_s:
        return {}
    text = (
        f"the machine's was set back by {time.set_back_ns / 1e9:.1f} s; time goes on, "
        f"{ahead_s:.1f} s ahead of it, and is the same in {ahead_s * SLOWER_BY:.0f} s"
    )
    return {"clock": text}
