"""Which strategies this scanner runs, and their states on the bus: restored, saved, given up.

A strategy that looks across base assets is run by one scanner at a time, which holds its lease and
reads every shard. One that goes by base asset is run by every scanner, for the shards it owns.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from services.scanner.engine import StrategyHost
from services.scanner.units import Units
from shared.bus.port import Bus
from shared.clock import Clock
from shared.errors import BusUnavailable
from shared.observe import Observer
from shared.runtime.saved_shards import SAVED_BYTES_PER_S_MAX
from shared.strategies.saved_state import StateError
from shared.streams import MD_TRADE

log = logging.getLogger(__name__)

INTERVAL_S = 5.0
"""Every strategy is saved this often, where that takes little."""
PAUSE_SHARE = 0.001
"""Of the time, for taking states: meanwhile nothing is decided."""
RETRY_S = 30.0
"""After a state that cannot be saved."""


class SavedStrategies:
    """Gives the engine of one scanner its strategies, with their states, and saves them.

    Args:
        engine: Runs them.
        units: What scanners share.
        bus: Where states are kept.
        clock: Time for the engine.
        observer: Counts what could not be saved.
        holds: Tells whether a unit is still ours for certain: the state of one that another scanner
            may have gone on with must not be written over.
    """

    def __init__(  # noqa: PLR0917 - it stands between engine, bus and lease
        self,
        engine: StrategyHost,
        units: Units,
        bus: Bus,
        clock: Clock,
        observer: Observer,
        holds: Callable[[int], bool] = lambda number: True,
    ) -> None:
        self._holds = holds
        self._engine, self._units, self._bus = engine, units, bus
        self._clock, self._observer = clock, observer
        self._mine: list[str] = []
        self._due_s = 0.0
        self._turn = 0
        self._retry_s: dict[str, float] = {}
        self.notes: dict[str, str] = {}
        """What an operator should know, by what it is about."""

    async def own(self, owned: Sequence[int]) -> None:
        """Save the strategies given up, and restore the states of the new ones.

        Raises:
            BusUnavailable: Redis was lost meanwhile; may be tried again.
        """
        share = self._units.share_of(owned)
        for strategy_id in self._mine:
            if strategy_id not in share.strategies:
                await self._save(strategy_id, is_last=True)
        kept = [
            each
            for each in share.strategies
            if each not in self._mine and self._units.is_saved(each)
        ]
        states = {each: await self._bus.load_checkpoint(_name(each)) for each in kept}
        now_ns = self._clock.now_ns()
        begun = self._engine.take_share(share, now_ns)
        for strategy_id in begun:
            state = states.get(strategy_id)
            if state is not None:
                self._restore(strategy_id, state, now_ns)
        self._mine = sorted(each for each in share.strategies if self._units.is_saved(each))
        log.info("strategies_owned", extra={"owned": sorted(share.strategies)})

    def shards_of(self, owned: Sequence[int]) -> Sequence[int]:
        """Return the shards to read: all if a strategy here looks across base assets."""
        shards = range(self._units.shards)
        if self._engine.reads_all_shards():
            return shards
        return [shard for shard in shards if shard in owned]

    def starts_of(self, owned: Sequence[int]) -> Mapping[str, Mapping[int, str]]:
        """Return where reading begins: kept trades warm up the strategies that ask for them.

        It also closes the hole between a saved state and now.
        """
        return {MD_TRADE.name: dict.fromkeys(self.shards_of(owned), "first")}

    def note_read(self, last_ids: Mapping[str, str]) -> None:
        """Do nothing: a state knows by time what it has seen, and needs no position."""

    async def advance(self) -> None:
        """Save the next strategy if it is time."""
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        if now_s < self._due_s or not self._mine:
            return
        self._turn = (self._turn + 1) % len(self._mine)
        strategy_id = self._mine[self._turn]
        if now_s < self._retry_s.get(strategy_id, 0.0):
            self._due_s = now_s + INTERVAL_S / len(self._mine)
            return
        saved_bytes = await self._save(strategy_id)
        took_s = loop.time() - now_s
        self._due_s = now_s + max(
            INTERVAL_S / len(self._mine),
            took_s / PAUSE_SHARE,
            saved_bytes / SAVED_BYTES_PER_S_MAX,
        )

    async def save_all(self) -> None:
        """Save every strategy now."""
        for strategy_id in self._mine:
            await self._save(strategy_id)

    def _restore(self, strategy_id: str, state: bytes, now_ns: int) -> None:
        about = f"strategy {strategy_id}"
        try:
            self._engine.restore(strategy_id, state, now_ns)
        except StateError as error:
            log.warning("state_not_taken", extra={"strategy": strategy_id, "reason": str(error)})
            self.notes[about] = f"began anew, its saved state was not taken: {error}"
            self._observer.count("states_not_taken")
        else:
            self.notes.pop(about, None)

    async def _save(self, strategy_id: str, *, is_last: bool = False) -> int:
        """Save a state; return its bytes.

        Raises:
            BusUnavailable: It was the last one to save, and the lease may still be held.
        """
        about = f"strategy {strategy_id}: state"
        number = self._units.number_of(strategy_id)
        if not self._engine.runs(strategy_id) or not self._holds(number):
            return 0
        try:
            state = self._engine.save(strategy_id, self._clock.now_ns())
        except StateError as error:
            self._retry_s[strategy_id] = asyncio.get_running_loop().time() + RETRY_S
            if self.notes.get(about) != str(error):
                log.warning(
                    "state_not_saved", extra={"strategy": strategy_id, "reason": str(error)}
                )
            self.notes[about] = str(error)
            self._observer.count("states_not_saved")
            return 0
        self.notes.pop(about, None)
        try:
            await self._bus.save_checkpoint(_name(strategy_id), state)
        except BusUnavailable:
            self._observer.count("checkpoints_failed")
            if is_last and self._holds(number):
                raise
            # Otherwise the next one is newer.
        return len(state)


def _name(strategy_id: str) -> str:
    return f"scanner-{strategy_id}"
