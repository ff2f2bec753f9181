"""The life of one process of the lab: start, wait for a lease, pause, crash."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from services.lab.keys import keys_for
from services.lab.lease import RENEW_NS, STANDBY_NS, TAKEOVER_PAUSE_NS, LabLease, Pause
from services.lab.marks import MarkPort
from services.lab.process import Crashed, Lab, Process
from shared.bus.memory import MemoryBus
from shared.engine import Action, Engine, Result
from shared.errors import BusUnavailable, ConfigError
from shared.ledger import MarkAction
from shared.services import Instances


class Life:
    """Whether a process runs; its host does the work."""

    def __init__(self, process: Process, lab: Lab) -> None:
        self.process, self._lab = process, lab
        self.service, self.name = process.service, process.name
        self.engine: Engine | None = None
        self.starts = 0
        self.went_on_ns = 0
        """When it went on that had stood still."""
        self.refusal = ""
        """Why the process ended for good: it would not work with what it found."""
        self._bus: MemoryBus | None = None
        self._lease: LabLease | None = None
        self._pause = Pause()
        self._marks = MarkPort(lab.kernel, lab.server, lab.hop_ns)

    # Life and death

    @property
    def owner(self) -> str:
        """The name of this very process."""
        return f"{self.name}#{self.starts}"

    @property
    def lives(self) -> bool:
        """Whether there is a process, at work or standing by."""
        return self._bus is not None

    @property
    def is_paused(self) -> bool:
        """Whether it is stopped for a while."""
        return self._pause.is_on

    @property
    def is_active(self) -> bool:
        """Whether it does its service's work now."""
        holds = self._lease is None or self._lease.is_valid
        return self.engine is not None and holds and not self._pause.is_on

    def start(self) -> None:
        """Begin a process; one of a service that is leased waits for its lease."""
        if self.lives or self.refusal:
            return
        self.starts += 1
        bus = self._bus = MemoryBus(
            self._lab.server,
            service=self.service,
            shards=self.process.shards,
            keys=keys_for(self.service),
        )
        if self.process.row.instances is Instances.LEASED:
            self._lease = LabLease(self._lab, bus, self.service, self.owner)
            self._stand_by(self._lease)
        else:
            self._guard(self._begin)

    def crash(self) -> None:
        """End the process where it stands; what it had not committed is gone."""
        self.engine = self._bus = self._lease = None
        self._pause.end()
        self._lab.on_crash(self)

    def pause(self, for_ns: int) -> None:
        """Stop the process, as SIGSTOP does, for so long."""
        start = self.starts
        self._pause.begin()

        def go_on() -> None:
            if start == self.starts and self.lives:
                self.went_on_ns = self._lab.kernel.now_ns()
                for event in self._pause.end():
                    event()

        self._lab.kernel.after(for_ns, go_on)

    def _stand_by(self, lease: LabLease) -> None:
        if not lease.hold():
            self._later(STANDBY_NS, lambda: self._stand_by(lease))
            return
        self._later(RENEW_NS, lambda: self._renew(lease))
        self._later(TAKEOVER_PAUSE_NS, lambda: self._guard(self._begin))

    def _renew(self, lease: LabLease) -> None:
        if lease.is_valid and lease.hold():
            self._later(RENEW_NS, lambda: self._renew(lease))
        else:
            self.crash()

    def _begin(self) -> None:
        """Do what a process does first, once it may work."""
        raise NotImplementedError

    def deliver(self, start: int, result: Result) -> None:
        """Hand over what came of an action, unless the process that asked is gone."""
        raise NotImplementedError

    def _check_lease(self) -> None:
        """End if another process may do this work by now."""
        if self._lease is not None and not self._lease.is_valid:
            raise Crashed

    def _later(self, delay_ns: int, event: Callable[[], None]) -> None:
        """Do something later, unless this process has ended by then."""
        self._lab.kernel.after(delay_ns, partial(self._due, self.starts, event))

    def _due(self, start: int, event: Callable[[], None]) -> None:
        if start != self.starts or self._bus is None:
            return
        if self._pause.is_on:
            self._pause.wait(partial(self._due, start, event))
        else:
            event()

    def _guard(self, work: Callable[[], None]) -> None:
        """Work, and die of what a process dies of."""
        if self._bus is None:
            return
        try:
            work()
        except (Crashed, BusUnavailable):
            self.crash()
        except ConfigError as error:
            self.refusal = str(error)
            self.crash()

    def _carry_out(self, action: Action, *, is_at_once: bool) -> None:
        start = self.starts
        self._check_lease()
        self._lab.on_effect(self)
        self._lab.on_action(action, is_at_once=is_at_once)
        if isinstance(action, MarkAction):
            self._marks.carry_out(action, lambda result: self.deliver(start, result))
            return
        assert self.process.transport is not None, f"{self.service} has nobody to act for it"
        self.process.transport.carry_out(action, lambda result: self.deliver(start, result))
