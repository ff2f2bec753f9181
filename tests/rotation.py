"""A deployment's folder as ``deploy.prepare`` makes it, with a server that reads its ACL file."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import redis

from deploy.acl import HEALTH, USERS
from shared.embedded import EmbeddedServer
from tests.support import ROOT, eventually_sync

CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("ARB_")}


class AclServer(EmbeddedServer):
    """An embedded server with an ACL file of somebody else's."""

    probe = f"AUTH {HEALTH} any\r\nPING\r\n".encode()

    def __init__(self, directory: Path, acl: Path) -> None:
        super().__init__(directory)
        self.acl = acl

    def command(self) -> list[str]:
        return [*super().command(), "--aclfile", str(self.acl)]


class Deployment:
    """Passwords, keys and users in ``run``, and Redis with them."""

    def __init__(self, directory: Path) -> None:
        self.run = directory / "run"
        self.run.mkdir()
        self.prepare()
        self.server = AclServer(directory / "bus", self.run / "acl" / "users.acl")

    def python(self, module: str, *arguments: str, **environ: str) -> tuple[int, str]:
        """Run a module of ``deploy`` in this folder; return its exit code and what it said."""
        given = {"ARB_RUN_DIR": str(self.run), **environ}
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={**CLEAN, **given},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, (done.stdout + done.stderr).strip()

    def prepare(self) -> None:
        code, said = self.python("deploy.prepare")
        assert code == 0, said

    def rotate(self, *arguments: str, **environ: str) -> tuple[int, str]:
        return self.python(
            "deploy.rotate", *arguments, **{"ARB_REDIS_SERVERS": self.server.url, **environ}
        )

    def secret(self, user: str, name: str) -> Path:
        return self.run / "secrets" / user / name

    def passwords(self) -> dict[str, str]:
        return {user: self.secret(user, "redis_password").read_text().strip() for user in USERS}

    def client(self, user: str, password: str) -> redis.Redis:
        path = self.server.url.removeprefix("unix://")
        return redis.Redis(
            unix_socket_path=path, username=user, password=password, protocol=2, retry=None
        )

    def accepts(self, user: str, password: str) -> bool:
        """Tell whether one may log in with this password."""
        with self.client(user, password) as client:
            try:
                return bool(client.ping())
            except redis.exceptions.AuthenticationError:
                return False

    def age_connections(self, seconds: int = 3) -> None:
        """Wait until every connection of now is that old."""
        began = time.monotonic()
        eventually_sync(lambda: time.monotonic() - began > seconds, timeout_s=10, every_s=0.1)

    def __enter__(self) -> Deployment:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()
