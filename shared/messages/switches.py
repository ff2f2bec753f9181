"""Dead-man's switches: venues cancel our open orders if our requests stop."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from shared.messages.bounds import Deadline


class SwitchState(StrEnum):
    """How a venue's dead-man's switch is."""

    ARMED = "ARMED"  # until ``ts_until_ns``: open orders are canceled then, unless told again
    OFF = "OFF"  # by configuration, or turned off at a clean stop
    NONE = "NONE"  # the venue has none that can be used here
    FAILED = "FAILED"  # it could not be told; ``ts_until_ns`` is when it was to fire, 0: never set


class DeadManSwitch(msgspec.Struct, frozen=True, kw_only=True):
    """A venue's dead-man's switch. It cancels orders; it closes no position."""

    state: SwitchState
    ts_until_ns: Deadline = 0
    reason: str = ""
