"""Service processes that a test starts, signals and reads the logs of."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT


class ServiceProcess:
    """``python -m services.<name>`` with its configuration and log in ``directory``."""

    def __init__(self, name: str, directory: Path, config: str, *, instance: str = "") -> None:
        self._name = name
        instance = instance or f"{name}-1"
        path = directory / f"{instance}.toml"
        path.write_text(config)
        self.env = {**os.environ, "ARB_CONFIG": str(path), "ARB_INSTANCE": instance}
        self.log = directory / f"{instance}.log"
        self.process: subprocess.Popen | None = None

    def start(self) -> ServiceProcess:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"services.{self._name}"],
                cwd=ROOT,
                env=self.env,
                stderr=log,
            )
        return self

    def end(self, number: int) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(10)

    def events(self) -> list[dict]:
        """What it has logged so far."""
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    def __enter__(self) -> ServiceProcess:
        return self.start()

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(10)
