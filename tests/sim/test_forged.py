"""Somebody forges plans and commands in the lab: nothing comes of it, and a reader that does not
verify is caught.
"""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.simulate import run_seed
from services.lab.world import World
from shared.bus import signing
from shared.streams import ALERT, CTL_COMMAND, EXEC_PLAN, StreamSpec

SEEDS_MAX = 40


@pytest.mark.parametrize("spec", [EXEC_PLAN, CTL_COMMAND], ids=lambda spec: spec.name)
def test_a_reader_that_does_not_verify_is_caught(
    spec: StreamSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = signing.SigningKeys.flaw

    def flaw(self: signing.SigningKeys, of: StreamSpec, *rest: Any) -> str:
        return "" if of is spec else original(self, of, *rest)

    monkeypatch.setattr(signing.SigningKeys, "flaw", flaw)
    for seed in range(1, SEEDS_MAX + 1):
        if any(violation.checker == "forged" for violation in run_seed(seed).violations):
            return
    pytest.fail(f"{SEEDS_MAX} seeds let it pass")


def test_nothing_comes_of_what_is_forged() -> None:
    """All that is ever said of it, but for the entries themselves, is an alert."""
    forged = 0
    own = {EXEC_PLAN.key(), CTL_COMMAND.key(), ALERT.key()}
    for seed in range(1, 13):
        world = World(seed)
        assert not run_seed(seed, world).violations
        forger = world.chaos.forger
        names = [f'"{name}"'.encode() for name in (*forger.plans, *forger.commands)]
        forged += len(names)
        for key in world.server.streams.keys() - own:
            for payload in world.server.stream(key).payloads:
                assert not any(name in payload for name in names)
    assert forged > 10
