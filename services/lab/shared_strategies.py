"""Which strategies a scanner of the lab runs, and what is kept of them: as ``SavedStrategies``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from services.lab.lease import LabShards
from services.lab.saved_shards import SavedShards
from services.scanner.engine import StrategyHost
from services.scanner.units import Units
from shared.bus.memory import MemoryBus
from shared.engine import Engine
from shared.errors import BusUnavailable
from shared.services import Instances
from shared.strategies.saved_state import StateError
from shared.streams import MD_TRADE

if TYPE_CHECKING:
    from services.lab.process import Lab, Process

SAVE_NS = 2_500_000_000
"""The states of all strategies are saved once in this time: seldom, so what is restored is old."""


class SharedStrategies:
    """Shards and strategies of one scanner; implements what ``SavedShards`` does for books.

    Args:
        lab: Time, and which processes are gone.
        engine: Runs the strategies.
        units: What scanners share.
        bus: Where states are kept.
        owner: The name of this process.
    """

    def __init__(
        self, lab: Lab, engine: StrategyHost, units: Units, bus: MemoryBus, owner: str
    ) -> None:
        self._engine, self._units, self._bus = engine, units, bus
        count = units.shards + len(units.leases)
        self._leases = LabShards(lab, bus, "scanner", owner, count)
        self._is_first = True
        self._units_owned: tuple[int, ...] = ()
        self.owned: tuple[int, ...] = ()
        """Shards that are read: all of them where a strategy runs here that looks across assets."""
        self._mine: list[str] = []
        self._save_ns = 0

    @property
    def positions(self) -> Mapping[str, Mapping[int, str]]:
        """Where reading begins: kept trades warm up the strategies that ask for them."""
        return {MD_TRADE.name: dict.fromkeys(self.owned, "first")}

    def refresh(self, now_ns: int) -> bool:
        """Save what is due, and tell whether what is owned has changed."""
        if now_ns >= self._save_ns:
            self._save_ns = now_ns + SAVE_NS
            for strategy_id in self._mine:
                self._save(strategy_id, now_ns)
        owned = self._leases.refresh()
        if owned == self._units_owned and not self._is_first:
            return False
        self._units_owned, self._is_first = owned, False
        self._take(now_ns)
        return True

    def note_read(self, last_ids: Mapping[str, str]) -> None:
        """Do nothing: a state knows by time what it has seen, and needs no position."""

    def _take(self, now_ns: int) -> None:
        """Give up what others run by now, and begin what is new with what was saved of it."""
        share = self._units.share_of(self._units_owned)
        for strategy_id in self._mine:
            if strategy_id not in share.strategies:
                self._save(strategy_id, now_ns)
        for strategy_id in self._engine.take_share(share, now_ns):
            self._restore(strategy_id, now_ns)
        saved = (each for each in share.strategies if self._units.is_saved(each))
        self._mine = sorted(saved)
        shards = range(self._units.shards)
        reads_all = self._engine.reads_all_shards()
        self.owned = tuple(each for each in shards if reads_all or each in self._units_owned)

    def _save(self, strategy_id: str, now_ns: int) -> None:
        if not self._engine.runs(strategy_id):
            return
        try:
            state = self._engine.save(strategy_id, now_ns)
            self._bus.reach().values[_name(strategy_id)] = state
        except (StateError, BusUnavailable):
            return  # the one before stays

    def _restore(self, strategy_id: str, now_ns: int) -> None:
        try:
            state = self._bus.reach().values.get(_name(strategy_id))
            if state is not None and self._units.is_saved(strategy_id):
                self._engine.restore(strategy_id, state, now_ns)
        except (StateError, BusUnavailable):
            return  # it begins again


def _name(strategy_id: str) -> str:
    return f"scanner-{strategy_id}"


Shards = SavedShards | SharedStrategies
"""What one process of several owns of the work of its service."""


def shards_of(
    process: Process, engine: Engine, lab: Lab, bus: MemoryBus, owner: str
) -> Shards | None:
    """Return what divides the work among the processes of a service; ``None``: one does it all."""
    if process.units is not None and isinstance(engine, StrategyHost):
        return SharedStrategies(lab, engine, process.units, bus, owner)
    if process.row.instances is Instances.SHARDED:
        shards = LabShards(lab, bus, process.service, owner, process.shards)
        return SavedShards(process.row, engine, bus, shards)
    return None
