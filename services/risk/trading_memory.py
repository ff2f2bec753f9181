"""What of the trading state survives a restart of risk. Pure."""

from __future__ import annotations

import msgspec

from shared.messages.base import TradingState
from shared.messages.control import COMMAND_IDS_MAX


class TradingMemory(msgspec.Struct, kw_only=True):
    """What of the trading state survives a restart.

    ``trips`` maps a ``HaltCause`` to its text, so it cannot grow beyond the causes there are.
    ``published`` is the state last published, ``ts_since_ns`` since when it holds (0: never).
    ``ledger_id`` names the ledger on the bus, ``command_ns`` is the time of the last command.
    ``command_ids`` are the newest commands, each of which counts once. ``lost_ns`` is when a loss
    of data was noticed last. ``limits`` are the limits that were
    changed while the system ran, by name, ``limits_ns`` when the last was; ``limits_command`` is
    the change asked for last, ``limits_refused`` why it was not made.
    """

    level: TradingState = TradingState.ACTIVE
    level_reason: str = ""
    trips: dict[str, str] = {}
    refused: str = ""
    published: TradingState = msgspec.field(default=TradingState.HALTED, name="said")
    published_reason: str = msgspec.field(default="", name="said_reason")
    ts_since_ns: int = 0
    ledger_id: str = ""
    command_ns: int = 0
    command_ids: list[str] = []
    lost_ns: int = 0
    limits: dict[str, str] = {}
    limits_ns: int = 0
    limits_command: str = ""
    limits_refused: str = ""

    def takes(self, command_id: str, ts_ns: int) -> bool:
        """Note a command, and tell whether it counts: each id does once."""
        if command_id in self.command_ids:
            return False
        self.command_ids.append(command_id)
        del self.command_ids[:-COMMAND_IDS_MAX]
        self.command_ns = max(self.command_ns + 1, ts_ns)
        return True
