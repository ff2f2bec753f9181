"""``deploy.rotate keys``: both keys are accepted, then the new one signs, then it is alone."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.acl import USERS
from shared import codec
from shared.clock import SystemClock
from shared.streams import SYS_HEALTH, keys_of
from tests.decision_builders import make_beat
from tests.rotation import Deployment

RESTART = "restart risk, executor, sentinel, dashboard"


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with Deployment(tmp_path) as running:
        yield running


def keys(deployment: Deployment) -> dict[str, list[str]]:
    """Return the lines of each key's files, which are the same for every holder."""
    found: dict[str, list[str]] = {}
    for user in USERS:
        for name in keys_of(user):
            path = deployment.secret(user, f"{name}_key")
            assert stat.S_IMODE(path.stat().st_mode) == 0o400
            lines = path.read_text().split()
            assert found.setdefault(name, lines) == lines, path
    return found


def test_three_steps_lead_from_the_old_keys_to_the_new_ones(deployment: Deployment) -> None:
    before = keys(deployment)
    code, said = deployment.rotate("keys", "begin")
    assert (code, said.partition(";")[2]) == (0, f" {RESTART}, then deploy.rotate keys switch")
    both = keys(deployment)
    assert both.keys() == {"plan", "command"}
    assert {name: lines[0] for name, lines in both.items()} == {n: k[0] for n, k in before.items()}
    assert len({line for lines in both.values() for line in lines}) == 4
    assert deployment.rotate("keys", "switch")[0] == 0
    assert keys(deployment) == {name: lines[::-1] for name, lines in both.items()}
    assert deployment.rotate("keys", "finish")[0] == 0
    assert keys(deployment) == {name: lines[1:] for name, lines in both.items()}


def test_each_step_is_done_once_and_in_order(deployment: Deployment) -> None:
    for command in ("switch", "finish"):
        code, said = deployment.rotate("keys", command)
        assert (code, said[:45]) == (2, "rotate: no change of the signing keys is unde")
    deployment.rotate("keys", "begin")
    both = keys(deployment)
    for command in ("begin", "finish"):
        code, said = deployment.rotate("keys", command)
        assert code == 2
        assert said.endswith(f"{RESTART}, then keys switch"), said
    deployment.prepare()
    assert keys(deployment) == both


@pytest.mark.parametrize("holder", ["executor", "dashboard"])
def test_a_holder_that_was_not_restarted_is_waited_for(deployment: Deployment, holder: str) -> None:
    """A dashboard that commands with a key of before would press HALT, and risk would refuse it."""

    def say(service: str, ts_started_ns: int) -> None:
        beat = make_beat(service, SystemClock.now_ns(), ts_started_ns)
        with deployment.client(service, deployment.passwords()[service]) as client:
            client.xadd(SYS_HEALTH.key(), {codec.FIELD: codec.encode(SYS_HEALTH, [beat])})

    began_ns = SystemClock.now_ns()
    deployment.rotate("keys", "begin")
    say("scanner", began_ns)  # has no key
    say(holder, began_ns)
    code, said = deployment.rotate("keys", "switch")
    assert code == 2
    assert said.endswith(f"since the step before: {holder}; restart these")
    say(holder, SystemClock.now_ns())
    assert deployment.rotate("keys", "switch")[0] == 0


@pytest.mark.parametrize("step", ["begin", "switch"])
def test_a_step_that_was_broken_off_is_repeated(deployment: Deployment, step: str) -> None:
    deployment.rotate("keys", "begin")
    before = keys(deployment)
    if step == "switch":
        deployment.rotate("keys", "switch")
    wanted = keys(deployment)
    undone = deployment.secret("risk", "plan_key")
    undone.unlink()
    undone.write_text("\n".join(before["plan"] if step == "switch" else before["plan"][:1]))
    record = deployment.run / "acl" / "signing.json"
    told = json.loads(record.read_text())
    record.unlink()
    record.write_text(json.dumps({**told, "written_s": 0}))
    later = "finish" if step == "switch" else "switch"
    assert deployment.rotate("keys", later)[1].endswith(f"keys {step} was broken off; repeat it")
    assert deployment.rotate("keys", step)[0] == 0
    assert keys(deployment) == wanted


def test_files_that_differ_are_left_alone(deployment: Deployment) -> None:
    path = deployment.secret("sentinel", "command_key")
    path.chmod(0o600)
    path.write_text("x" * 40)
    code, said = deployment.rotate("keys", "begin")
    assert code == 2
    assert "command_key of" in said
    assert "are to have the same one key" in said
