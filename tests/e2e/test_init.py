"""From nothing to trading on paper: `arb init`, `arb up --embedded`, on simulated venues."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.test_gateway import venues
from tests.e2e.up import CLEAN, arb, is_trading
from tests.support import eventually_sync

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]
UP = [sys.executable, "-m", "services.cli.main", "up", "--embedded"]


def test_two_commands_trade_on_paper_with_the_bundled_server(tmp_path: Path) -> None:
    with venues() as simulated:
        lines = ['venues = ["binance", "kraken", "gateio"]']
        for name in ("binance", "kraken", "gateio"):
            lines += [
                f"[addresses.{name}]",
                f'rest_url = "{simulated["http"]}/{name}"',
                f'ws_url = "{simulated["ws"]}/{name}"',
            ]
        (tmp_path / "answers.toml").write_text("\n".join(lines))
        assert arb(tmp_path, "init", "--answers", "answers.toml")[0] == 0
        up = subprocess.Popen(UP, cwd=tmp_path, env=CLEAN, stderr=subprocess.DEVNULL)
        try:
            eventually_sync(lambda: is_trading(tmp_path), timeout_s=90, every_s=1, what="trading")
            second = subprocess.run(UP, cwd=tmp_path, env=CLEAN, capture_output=True, text=True)
            assert second.returncode == 2
            assert "a server has unix://" in second.stderr
            eventually_sync(
                lambda: arb(tmp_path, "fills")[1]["fills"], timeout_s=120, every_s=1, what="fills"
            )
            up.send_signal(signal.SIGTERM)
            assert up.wait(60) == 0
        finally:
            if up.poll() is None:
                up.kill()
                up.wait()
    assert (tmp_path / ".arb" / "bus" / "appendonlydir").is_dir(), "what was traded is kept"
