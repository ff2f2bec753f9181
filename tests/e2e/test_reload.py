"""`arb reload` of an edited file while the whole system trades."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.up import arb, prepared, trading

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with prepared(tmp_path):
        yield tmp_path


def edit(folder: Path, name: str, value: str) -> None:
    """Give a setting, which the file has once, another value."""
    path = folder / "arb.toml"
    text, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", path.read_text(), count=1)
    assert count == 1, name
    path.write_text(text)


def limits_in_force(folder: Path) -> tuple[str, str]:
    """What the doctor says of them, whatever else it finds."""
    checks = arb(folder, "doctor")[1]["checks"]
    (found,) = [each for each in checks if each["name"] == "limits in force"]
    return found["level"], found["text"]


def test_limits_follow_the_file(folder: Path) -> None:
    with trading(folder) as up:
        code, found = arb(folder, "reload")
        assert (code, found["outcome"], found["restart"]) == (0, "same", {})
        first = found["limits_hash"]

        edit(folder, "venue_notional_max", '"150000"')
        edit(folder, "order_notional_max", '"9000"')
        level, text = limits_in_force(folder)
        assert (level, "risk.venue_notional_max" in text) == ("warning", True), text
        code, found = arb(folder, "reload", "--dry-run")
        assert (code, found["outcome"], found["limits_hash"]) == (0, "dry-run", first)
        assert {each["name"]: each["how"] for each in found["limits"]} == {
            "risk.venue_notional_max": "live",
            "risk.order_notional_max": "live",
        }
        code, found = arb(folder, "reload", "--reason", "tighter")
        assert (code, found["outcome"], found["audit_problem"]) == (0, "applied", "")
        tighter = found["limits_hash"]
        assert tighter != first
        assert arb(folder, "reload")[1]["outcome"] == "same"
        assert limits_in_force(folder) == ("ok", f"risk runs by the file ({tighter})")

        edit(folder, "venue_notional_max", '"160000"')
        code, found = arb(folder, "reload")
        assert (code, found["outcome"], found["limits_hash"]) == (1, "refused", tighter)
        assert "only HALTED allows looser limits" in found["refused"]
        assert arb(folder, "halt")[0] == 0
        code, found = arb(folder, "reload")
        assert (code, found["outcome"], found["limits_hash"] != tighter) == (0, "applied", True)

        edit(folder, "edge_bps_max", "-1")
        with pytest.raises(AssertionError, match=r"risk\.edge_bps_max"):
            arb(folder, "reload")
        edit(folder, "edge_bps_max", "500.0")
        edit(folder, "shards", "3")
        code, found = arb(folder, "reload")
        assert (code, found["outcome"]) == (1, "restart")
        assert found["restart"] == {"bus": "all services"}
        up.terminate()
        up.communicate(timeout=60)
        assert up.returncode == 0
