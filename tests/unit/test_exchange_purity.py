"""Importing the simulated exchange loads nothing that does IO, waits, logs or reads a clock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import shared.exchange

MODULES = sorted(path.stem for path in Path(shared.exchange.__path__[0]).glob("*.py"))
FORBIDDEN = (
    "asyncio", "redis", "ssl", "socket", "selectors", "ccxt", "logging", "aiohttp", "websockets",
    "subprocess", "uvloop", "shared.bus", "shared.config", "shared.clock", "shared.logs",
)  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_it_loads_nothing_that_does_io(name: str) -> None:
    module = "shared.exchange" if name == "__init__" else f"shared.exchange.{name}"
    script = f"import sys, {module}; print(*(m for m in {FORBIDDEN!r} if m in sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []
