"""Ctrl-C while a program is still importing ends it quietly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

PRESS_CTRL_C = (
    "import os, signal\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it\n"
    "os.kill(os.getpid(), signal.SIGINT)\n"
)


@pytest.mark.parametrize(
    ("program", "imported"),
    [
        ("services.cli.main", "typer"),
        ("services.research", "numpy"),
        ("services.lab", "msgspec"),
    ],
)
def test_ctrl_c_while_importing_prints_no_traceback(
    tmp_path: Path, program: str, imported: str
) -> None:
    (tmp_path / f"{imported}.py").write_text(PRESS_CTRL_C)
    ended = subprocess.run(
        [sys.executable, "-m", program, "--help"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
