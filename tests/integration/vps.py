"""A bare Debian under systemd in a container, and the steps that deploy/README.md has for it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support import ROOT, eventually_sync

RECIPE = ROOT / "deploy" / "README.md"
RELEASES = {"12": "bookworm", "13": "trixie"}
IMAGE = "arbstream-test-debian"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
BASE_S, STEP_S = 900, 900
# What a rented machine comes with, and that its owner says yes to apt.
BARE = "systemd,systemd-sysv,dbus,sudo,ca-certificates,openssl"
BOOTSTRAP = f"""
set -e
apt-get -qq update && apt-get install -y -qq --no-install-recommends debootstrap >&2
mkdir /bare
archive=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
    awk '/^URIs:/ || $1 == "deb" {{print $2; exit}}')
debootstrap --variant=minbase --include={BARE} $1 /bare "$archive" \
    /usr/share/debootstrap/scripts/sid >&2
echo 'APT::Get::Assume-Yes "true";' >/bare/etc/apt/apt.conf.d/90yes
tar -C /bare --exclude=./proc/* --exclude=./sys/* --exclude=./dev/* -c .
"""
SYSTEMD = [
    "--cap-add",
    "SYS_ADMIN",
    "--security-opt",
    "seccomp=unconfined",
    "--security-opt",
    "apparmor=unconfined",
    "--cgroupns",
    "host",
    "--volume",
    "/sys/fs/cgroup:/sys/fs/cgroup",
    "--tmpfs",
    "/run",
    "--tmpfs",
    "/tmp:exec",
    "--env",
    "container=docker",
    "--env",
    "DEBIAN_FRONTEND=noninteractive",
    "--env",
    "COLUMNS=160",
    "--add-host",
    "redis.internal:127.0.0.1",
]
# systemd hands out credentials by mounts that others must see: an engine keeps those to itself, and
# systemd of Debian 13 wants to be told that an old kind of cgroups is meant.
INIT = [
    "sh",
    "-c",
    "mount --make-rshared / && exec /sbin/init systemd.unified_cgroup_hierarchy=0 "
    "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",
]


def docker(*arguments: str, within_s: float = STEP_S, **options: object) -> str:
    """Run the engine's command line and return what it printed."""
    done = subprocess.run(
        ["docker", *arguments],
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
        **options,
    )
    assert done.returncode == 0, f"{arguments[:2]}: {done.stderr[-1500:]}{done.stdout[-1500:]}"
    return str(done.stdout)


def has_image(name: str) -> bool:
    """Tell whether the engine has an image."""
    done = subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False)
    return done.returncode == 0


def base_image(release: str) -> str:
    """Return a bare image of a Debian release, made from Debian's archive where there is none."""
    name = f"{IMAGE}:{release}"
    if not has_image(name):
        how = [
            "docker",
            "run",
            "--rm",
            "--interactive",
            "--cap-add",
            "SYS_ADMIN",
            "--security-opt",
            "apparmor=unconfined",
            "--security-opt",
            "seccomp=unconfined",
            "python:3.13-slim",
            "sh",
            "-c",
            BOOTSTRAP,
            "sh",
            RELEASES[release],
        ]
        with subprocess.Popen(how, stdout=subprocess.PIPE) as making:
            docker("import", "-", name, within_s=BASE_S, stdin=making.stdout)
        assert making.returncode == 0, f"no bare Debian {release} could be made"
    return name


def steps(heading: str) -> list[str]:
    """Return the shell blocks of the recipe's section, as its reader would copy them."""
    text = RECIPE.read_text(encoding="utf-8")
    section = re.split(r"^#+ ", text.split(f" {heading}\n", 1)[1], maxsplit=1, flags=re.M)[0]
    found = re.findall(r"^```sh\n(.*?)^```$", section, flags=re.M | re.S)
    assert found, f"no steps under {heading!r}"
    return found


class Machine:
    """One bare Debian; its system runs, and nothing of ours is on it yet."""

    def __init__(self, release: str, sources: Path) -> None:
        self.release = release
        self.id = docker(
            "run",
            "--detach",
            *SYSTEMD,
            "--volume",
            f"{sources}:/sources:ro",
            base_image(release),
            *INIT,
        ).strip()
        eventually_sync(self.is_up, timeout_s=60, every_s=0.5, what="systemd")
        if AUTHORITIES.exists():  # this machine's, should a proxy of its own stand between
            docker("cp", "--follow-link", str(AUTHORITIES), f"{self.id}:{AUTHORITIES}")
            self.run(f"printf '[global]\\ncert = {AUTHORITIES}\\n' >/etc/pip.conf")
        self.run("apt-get -qq update")

    def is_up(self) -> bool:
        """Tell whether systemd has started everything it will start."""
        done = subprocess.run(
            ["docker", "exec", self.id, "systemctl", "is-system-running"],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip() in {"running", "degraded"}

    def run(self, script: str) -> str:
        """Run a script as root; the first step that fails ends it."""
        return docker("exec", self.id, "bash", "-e", "-o", "pipefail", "-c", script)

    def says(self, script: str) -> tuple[int, str]:
        """Run a script that may fail; return its exit code and what it printed."""
        done = subprocess.run(
            ["docker", "exec", self.id, "bash", "-c", script],
            capture_output=True,
            text=True,
            timeout=STEP_S,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def remove(self) -> None:
        """Stop it and forget it."""
        docker("rm", "--force", "--volumes", self.id)
