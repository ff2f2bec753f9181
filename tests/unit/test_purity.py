"""What must be pure is: a fresh interpreter that imports it loads nothing that does IO.

Import contracts read the sources; this sees what really gets loaded, through a package's
``__init__`` or a library as well.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shared.services import SERVICE_NAMES
from shared.venues.registry import EVERY
from tests.support import ROOT

FORBIDDEN = (
    "asyncio",
    "redis",
    "hiredis",
    "ssl",
    "socket",
    "selectors",
    "ccxt",
    "logging",
    "uvloop",
    "aiohttp",
    "websockets",
    "http",
    "requests",
    "subprocess",
    "threading",
    "concurrent",
    "multiprocessing",
    "prometheus_client",
    "psutil",
    "random",
    "shared.clock",
    "shared.config",
    "shared.logs",
    "shared.runner",
    "shared.runtime.shell",
)
"""Every interpreter has loaded ``os`` and ``time`` at its start, and msgspec loads ``uuid`` and
``datetime`` for their types: those may be loaded, but none of our modules may hold them."""
HELD = ("os", "time", "uuid", "datetime", "random", "platform")
SEEDED = ("shared/exchange", "shared/simulated", "simulated")
"""The simulated exchange, and the venues in front of it, draw from a ``Random`` of a given seed."""

SCRIPT = """
import importlib, os, sys, time
read = []
def spy(owner, name):
    true = getattr(owner, name)
    def spied(*args, **kwargs):
        read.append(f"{name} read by {sys._getframe(1).f_globals.get('__name__')}")
        return true(*args, **kwargs)
    setattr(owner, name, spied)
spy(type(os.environ), "__getitem__")
spy(type(os.environ), "__contains__")
for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"):
    spy(time, name)
forbidden, held, modules = eval(sys.argv[1])
for name in modules:
    importlib.import_module(name)
print(*(f"{name} is loaded" for name in forbidden if name in sys.modules), sep="\\n")
for name, module in list(sys.modules.items()):
    if name.partition(".")[0] in {"shared", "services"}:
        for value in vars(module).values():
            if isinstance(value, type(sys)) and value.__name__ in held:
                print(f"{value.__name__} is held by {name}")
print(*read, sep="\\n")
"""


def modules_of(path: Path) -> list[str]:
    """Return the names of a module, or of a package's modules, as they are imported."""
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    if path == VENUES:  # their other sides are looked at one by one
        files = [file for file in files if "simulated" not in file.parts]
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    return [name.removesuffix(".__init__") for name in names]


VENUES = ROOT / "shared" / "venues"
PURE = sorted(
    (
        VENUES,
        *VENUES.glob("*/simulated"),
        *(ROOT / "services").glob("*/engine.py"),
        *(path for path in (ROOT / "services").glob("*/engine") if path.is_dir()),
        *(
            ROOT / "shared" / name
            for name in ("domain", "messages", "exchange", "simulated", "strategies")
        ),
        *(
            ROOT / "shared" / f"{name}.py"
            for name in (
                "codec",
                "config_sections",
                "delays",
                "engine",
                "errors",
                "ledger",
                "ledger_engine",
                "streams",
            )
        ),
    )
)


def found_in(modules: list[str], allowed: frozenset[str] | set[str] = frozenset()) -> list[str]:
    """Import the modules in a fresh interpreter and return what it did that is not pure."""
    forbidden = [name for name in FORBIDDEN if name not in allowed]
    held = [name for name in HELD if name not in allowed]
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, repr((forbidden, held, modules))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in ran.stdout.splitlines() if line]


@pytest.mark.parametrize("path", PURE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_importing_it_does_no_io(path: Path) -> None:
    modules = modules_of(path)
    allowed = {"random"} if path.as_posix().endswith(SEEDED) else set()
    assert modules
    assert found_in(modules, allowed) == []


def test_what_is_not_pure_is_found() -> None:
    found = found_in(["shared.config", "shared.logs"])
    assert "shared.config is loaded" in found
    assert "logging is loaded" in found
    assert "os is held by shared.config" in found


def test_the_other_side_of_every_venue_is_looked_at() -> None:
    assert {path.parent.name for path in PURE if path.name == "simulated"} >= set(EVERY)


def test_every_engine_is_looked_at() -> None:
    services = {path.relative_to(ROOT).parts[1] for path in PURE if "services" in path.parts}
    assert services >= set(SERVICE_NAMES)
