"""Runs one world per seed, checks its invariants and reports the violations."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from services.lab.checkers import Violation
from services.lab.ledger_checker import funding_is_booked
from services.lab.quiet import QuietChecks
from services.lab.tally import Tally, added_up
from services.lab.world import START_NS, World
from shared.messages.control import CommandKind

START_NS_MAX = 8_000_000_000
"""Trading has begun by then where nothing went wrong."""
TROUBLE_NS = 9_000_000_000
"""Virtual time in which things go wrong."""
CALM_NS = 1_500_000_000
QUIET_NS_MAX = 120_000_000_000
SETTLED_NS, FUNDING_NS_MAX = 3_000_000_000, 75_000_000_000
"""A world goes on for so long after its HALT at least, and until funding is booked at most.

The executor asks for payments again after ever longer pauses, 60 s at last.
"""
STEP_NS = 200_000_000
"""After so much virtual time it is seen whether trading has begun, and whether it is quiet."""
STORY_LINES = 30


@dataclass(slots=True)
class Outcome:
    """The result of one seed."""

    seed: int
    digest: str
    steps: int = 0
    crashes: int = 0
    faults: int = 0
    plans: int = 0
    fills: int = 0
    virtual_ns: int = 0
    violations: list[Violation] = field(default_factory=list)
    story: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)


def run_seed(seed: int, world: World | None = None) -> Outcome:
    """Run one world through faults and calm until it is quiet, and check it."""
    world = world or World(seed)
    kernel = world.kernel
    world.start()
    if not world.pace.starts_cold:
        while not world.can_trade() and kernel.now_ns() < START_NS + START_NS_MAX:
            kernel.run_until(kernel.now_ns() + STEP_NS)
    world.chaos.start()
    kernel.run_until(kernel.now_ns() + TROUBLE_NS)
    world.chaos.stop()
    kernel.run_until(kernel.now_ns() + CALM_NS)
    world.send_command(CommandKind.HALT)
    halted_ns = kernel.now_ns()
    while kernel.now_ns() - halted_ns < QUIET_NS_MAX:
        kernel.run_until(kernel.now_ns() + STEP_NS)
        if world.checkers.ledger.is_refused:
            break  # nobody works here any more
        waited_ns = kernel.now_ns() - halted_ns
        if world.is_quiet() and waited_ns > (
            SETTLED_NS if funding_is_booked(world) else FUNDING_NS_MAX
        ):
            break
    else:
        world.checkers.report("quiet", world.why_not_quiet())
    QuietChecks(world, world.checkers).check()
    return outcome_of(seed, world)


def broken_off(seed: int, world: World, error: Exception) -> Outcome:
    """Return the result of a seed whose world was ended by an error of the program."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}:{place.lineno}"
    world.checkers.report("no_error", f"{type(error).__name__} at {where}: {error}")
    return outcome_of(seed, world)


def outcome_of(seed: int, world: World) -> Outcome:
    """Return the result of a seed so far."""
    kernel = world.kernel
    return Outcome(
        seed,
        world.server.digest,
        kernel.steps,
        world.crashes,
        world.chaos.faults,
        world.checkers.plans_approved,
        sum(len(exchange.fills) for exchange in world.exchanges.values()),
        kernel.now_ns() - START_NS,
        world.checkers.violations,
        story_of(world) if world.checkers.violations else [],
        world.checkers.tally,
    )


def story_of(world: World) -> list[str]:
    """Return the last of what went wrong before the first violation, in order."""
    first_ns = min(violation.ts_ns for violation in world.checkers.violations)
    before = [(at_ns, text) for at_ns, text in world.story if at_ns <= first_ns]
    return [f"{(at_ns - START_NS) / 1e9:9.3f} s  {text}" for at_ns, text in before[-STORY_LINES:]]


def summary(outcomes: Iterable[Outcome], wall_s: float) -> dict[str, Any]:
    """Return the one JSON object of a run."""
    outcomes = list(outcomes)
    digest = sha256()
    for outcome in outcomes:
        digest.update(outcome.digest.encode())
    return {
        "seeds": len(outcomes),
        "steps": sum(o.steps for o in outcomes),
        "crashes": sum(o.crashes for o in outcomes),
        "faults": sum(o.faults for o in outcomes),
        "plans": sum(o.plans for o in outcomes),
        "fills": sum(o.fills for o in outcomes),
        "violations": [
            {
                "seed": o.seed,
                "step": violation.step,
                "checker": violation.checker,
                "story": [*o.story, violation.text],
            }
            for o in outcomes
            for violation in o.violations
        ],
        "hash": digest.hexdigest(),
        "virtual_s": round(sum(o.virtual_ns for o in outcomes) / 1e9, 1),
        "wall_s": round(wall_s, 1),
        **added_up(o.tally for o in outcomes),
    }
