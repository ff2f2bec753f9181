"""deploy/README.md's recipe for a VPS, followed word for word on a bare Debian 12 and 13.

The steps are read from the README itself. The machine has no venue to reach, so simulated ones run
on it and the configuration is edited to use them; everything else is as written.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.services import ALL_SERVICES
from shared.services import USUAL_SERVICES as SERVICES
from tests.integration.vps import Machine, steps
from tests.support import ROOT, eventually_sync

READY_S = 120
OF_THE_MACHINE = ("arb_host_load ", "arb_host_memory_bytes ", "arb_host_clock_synchronized ")
EDIT = (
    r"sed -i -E '/^\[venues\./a rest_url = \"http://127.0.0.1:8090\"\nws_url = "
    r"\"ws://127.0.0.1:8090\"' /etc/arbstream/arb.toml"
).replace(r"\"", '"')
VENUES = (
    "systemd-run --quiet --unit venuesim -p WorkingDirectory=/opt/arbstream -p Restart=always "
    "/opt/arbstream/.venv/bin/python -m services.venuesim --port 8090 --seed 7 --more-venues"
)
OPERATOR = """
export ARB_REDIS_URL=unix:///run/arbstream/redis.sock ARB_REDIS_USERNAME=operator
export ARB_REDIS_PASSWORD_FILE=/etc/arbstream/secrets/operator/redis_password
export ARB_COMMAND_KEY_FILE=/etc/arbstream/secrets/operator/command_key
"""
FULL = """
cd /run/systemd/system && mkdir -p arbstream-redis.service.d
sed -n 's/^ExecStart=/[Service]\\nExecStart=\\n&/; s/ --port 0$/ --port 0 --maxmemory 1mb/p' \
    /etc/systemd/system/arbstream-redis.service >arbstream-redis.service.d/full.conf
grep -q maxmemory arbstream-redis.service.d/full.conf
systemctl daemon-reload && systemctl restart arbstream-redis
"""
ROOM = """
rm -r /run/systemd/system/arbstream-redis.service.d
systemctl daemon-reload && systemctl restart arbstream-redis
"""
FULL_FOR_S = 20
"""Longer than systemd's own patience, which is five starts within ten seconds."""
AS_RISK = """
pid=$(systemctl show -p MainPID --value arbstream@risk)
user=$(awk '/^Uid/{print $2}' /proc/$pid/status)
group=$(getent group arbstream | cut -d: -f3)
cd / && exec setpriv --reuid $user --regid $user --groups $group"""

pytestmark = [pytest.mark.containers, pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository as one to be cloned, with what is not committed yet."""
    folder = tmp_path_factory.mktemp("sources")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(
        ["tar", "--null", "-T", "-", "-cf", folder / "all.tar"],
        cwd=ROOT,
        check=True,
        input=listed.stdout,
    )
    subprocess.run(["tar", "-xf", "all.tar"], cwd=folder, check=True)
    (folder / "all.tar").unlink()
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "as it is"]):
        subprocess.run([*git, *arguments], cwd=folder, check=True)
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)
    return folder


@pytest.fixture(scope="module", params=["12", "13"])
def machine(request: pytest.FixtureRequest, sources: Path) -> Iterator[Machine]:
    found = Machine(request.param, sources)
    try:
        yield found
    finally:
        print(found.says("journalctl --no-pager -o cat -n 60 -u 'arbstream*'")[1][-10_000:])
        found.remove()


def status(machine: Machine, how: str = OPERATOR) -> dict[str, Any]:
    _, output = machine.says(f"{how} /opt/arbstream/.venv/bin/arb status --json 2>&1")
    return json.loads(output) if output.startswith("{") else {"well": False, "output": output}


def wait_until_well(machine: Machine, how: str = OPERATOR) -> None:
    def is_well() -> bool:
        found = status(machine, how)
        assert found["well"], found.get("missing") or found
        return True

    eventually_sync(is_well, timeout_s=READY_S, every_s=1)


def followed(machine: Machine, block: str, holds: str) -> None:
    """Run a block of the recipe until all of it succeeds: a busy machine is well a moment later."""

    def succeeds() -> bool:
        code, output = machine.says(f"set -e\n{block}")
        assert code == 0 and output.startswith("well") and holds in output, output[-1500:]
        return True

    eventually_sync(succeeds, timeout_s=READY_S, every_s=2)


def test_followed_word_for_word_it_starts(machine: Machine) -> None:
    install, look, *_ = steps("A VPS with systemd")
    lines = install.replace("<this repository>", "/sources").splitlines()
    at = next(n for n, line in enumerate(lines) if "arb.example.toml" in line)
    clone = next(n for n, line in enumerate(lines) if "git clone" in line)
    lines.insert(at + 1, f"{EDIT}\n{VENUES}")
    lines.insert(clone, "git config --system safe.directory '*'")
    machine.run("\n".join(lines))
    wait_until_well(machine)
    followed(machine, look, "HALT: done, trading is HALTED")
    machine.run(f"{OPERATOR} /opt/arbstream/.venv/bin/arb resume")
    version = status(machine)["redis"]["server"]
    assert version.startswith({"12": "redis 7.0.", "13": "redis 8.0."}[machine.release])
    assert not machine.run("systemctl list-units --failed --plain --no-legend 'arbstream*'")
    units = (
        "arbstream-redis.service arbstream.target arbstream@risk.service arbstream@executor.service"
    )
    output = machine.run(f"cd /etc/systemd/system && systemd-analyze verify {units} 2>&1 || true")
    assert "arbstream" not in output, output


def test_systemd_calls_every_unit_well_confined(machine: Machine) -> None:
    for unit in ("arbstream-redis", *(f"arbstream@{spec.name}" for spec in ALL_SERVICES)):
        asked = f"systemd-analyze --no-pager security --threshold=15 {unit}.service"
        code, output = machine.says(asked)
        assert code == 0, output[-6000:]


def test_confined_units_still_see_the_machine_and_keep_processors(machine: Machine) -> None:
    machine.run(
        "sed -i 's/^processors = {}/processors = { scanner = [0] }/' /etc/arbstream/arb.toml"
    )
    machine.run("systemctl restart arbstream@scanner arbstream@exporter")
    wait_until_well(machine)
    pid = machine.run("systemctl show -p MainPID --value arbstream@scanner").strip()
    assert "Cpus_allowed_list:\t0\n" in machine.run(f"cat /proc/{pid}/status")
    ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9465/metrics').read().decode())"

    def tells_of_the_machine() -> bool:
        told = machine.run(f'python3 -c "{ask}"')
        assert all(f"\n{name}" in told for name in OF_THE_MACHINE), told[:3000]
        return True

    eventually_sync(tells_of_the_machine, timeout_s=60, every_s=1)


def test_the_recorder_writes_what_the_scanner_may_read(machine: Machine) -> None:
    machine.run("cd /opt/arbstream && .venv/bin/pip install -q -c constraints.txt pyarrow")
    for service in ("ingestor", "recorder"):
        machine.run(f"printf 'ARB_RECORD=yes\\nARB_LEDGER=yes\\n' >/etc/arbstream/{service}.env")
    machine.run("systemctl restart arbstream@ingestor && systemctl start arbstream@recorder")
    ledger = "/var/lib/private/arbstream-recorder/ledger.sqlite"

    def has_files() -> bool:
        found = machine.run("find /var/lib/private/arbstream-recorder -type f -size +0").split()
        assert ledger in found and any("raw" in path for path in found), found
        return True

    eventually_sync(has_files, timeout_s=60, every_s=1)
    unreadable = "find /var/lib/private/arbstream-recorder ! -perm -o=r -o -type d ! -perm -o=rx"
    assert all(path.startswith(ledger) for path in machine.run(unreadable).split())
    # It may have more segments to finish than a stop waits for: they stay for the next start.
    machine.run("systemctl stop arbstream@recorder && rm /etc/arbstream/*.env")
    machine.says("systemctl reset-failed arbstream@recorder")
    machine.run("systemctl restart arbstream@ingestor")
    wait_until_well(machine)


def test_each_service_has_a_user_and_secrets_of_its_own(machine: Machine) -> None:
    users = {
        machine.run(
            f"awk '/^Uid/{{print $2}}' "
            f"/proc/$(systemctl show -p MainPID --value arbstream@{service})/status"
        )
        for service in SERVICES
    }
    assert len(users) == len(SERVICES) and "0\n" not in users
    for path in (
        "/etc/arbstream/secrets/executor/redis_password",
        "/run/credentials/arbstream@executor.service/redis_password",
    ):
        assert machine.says(f"test -e {path}")[0] == 0, path
        assert "Permission denied" in machine.says(f"{AS_RISK} cat {path}")[1]


def test_only_redis_can_write_where_its_socket_is(machine: Machine) -> None:
    script = "import socket; socket.socket(socket.AF_UNIX).{}('/run/arbstream/{}.sock')"
    bind, connect = script.format("bind", "x"), script.format("connect", "redis")
    assert "Permission denied" in machine.says(f'{AS_RISK} python3 -c "{bind}"')[1]
    assert machine.says(f'{AS_RISK} python3 -c "{connect}"') == (0, "")
    stranger = "cd / && setpriv --reuid 65534 --regid 65534 --clear-groups"
    assert "Permission denied" in machine.says(f'{stranger} python3 -c "{connect}"')[1]


def test_systemd_does_not_give_up_while_redis_is_full(machine: Machine) -> None:
    machine.run(FULL)

    def is_full() -> bool:
        return "out of memory" in status(machine).get("redis", {}).get("problem", "")

    eventually_sync(is_full, timeout_s=60, every_s=1, what="a full Redis")
    machine.run(f"sleep {FULL_FOR_S}")
    assert "failed" not in machine.says("systemctl is-active 'arbstream*'")[1].split()
    machine.run(ROOM)
    wait_until_well(machine)


def test_what_was_saved_is_put_back(machine: Machine) -> None:
    save, put_back = steps("Backup and restore")
    there = f"{OPERATOR}\nexport ARB_CONFIG=/etc/arbstream/arb.toml"
    assert "it can be restored" in machine.run(f"{there}\n{save}")
    machine.run(f"{there}\n{put_back}")

    def is_halted_for_it() -> bool:
        reason = status(machine)["trading"]["reason"]
        assert "DATA_LOST: Redis was restored from the backup of" in reason, reason
        return True

    eventually_sync(is_halted_for_it, timeout_s=READY_S, every_s=1)
    machine.run(f"{OPERATOR} /opt/arbstream/.venv/bin/arb resume")
    wait_until_well(machine)


def test_with_tls_services_and_command_line_work(machine: Machine) -> None:
    make, use, reach = steps("With TLS, for other machines")
    machine.run(make)
    machine.run(reach)
    wait_until_well(machine, use.rpartition("/opt/")[0])
    followed(machine, use, "well")
    code, output = machine.says(f"{use.replace('export ARB_REDIS_TLS_CA_FILE', 'export X')}")
    assert code == 1 and "certificate" in output.lower()
    env = "ARB_REDIS_URL=rediss://redis.internal:6380/0\nARB_REDIS_TLS_CA_FILE=/etc/arbstream/tls/ca.crt\n"
    for service in SERVICES:
        machine.run(f"printf '{env}' >/etc/arbstream/{service}.env")
    machine.run("systemctl restart 'arbstream@*'")
    wait_until_well(machine, use.rpartition("/opt/")[0])
    followed(machine, f"{use}\n/opt/arbstream/.venv/bin/arb halt", "HALT: done, trading is HALTED")
