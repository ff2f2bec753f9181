"""Constants of the server of simulated venues. No behaviour."""

from __future__ import annotations

WARM_UP_TICKS = 40  # played before anybody may connect
TICKS_BEHIND_MAX = 20  # a clock further behind than this is set again instead of catching up
REQUEST_BYTES_MAX = 1_000_000
