"""`arb up --embedded` leaves a server alone that has its socket already, whatever it says."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.cli import up
from services.cli.up import _bundled
from shared.config_sections import BusConfig
from shared.errors import BusUnavailable, ConfigError
from shared.watch.link import Target


def target(folder: Path) -> Target:
    return Target(BusConfig(url=f"unix://{folder / 'valkey.sock'}"), "bus.url")


def test_a_server_that_says_nothing_yet_is_no_stale_socket(tmp_path: Path) -> None:
    """It may load its data, or refuse our credentials."""
    with socket.socket(socket.AF_UNIX) as there, ExitStack() as held:
        there.bind(str(tmp_path / "valkey.sock"))
        there.listen()
        with pytest.raises(ConfigError, match="a server has unix://"):
            _bundled(target(tmp_path), held)


def test_a_socket_that_nobody_has_is_taken(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(tmp_path / "valkey.sock"))
    with ExitStack() as held:
        assert _bundled(target(tmp_path), held).name == "valkey"


def test_of_two_that_start_together_one_runs(tmp_path: Path) -> None:
    with ExitStack() as held:
        _bundled(target(tmp_path / "bus"), held)
        with ExitStack() as other, pytest.raises(ConfigError, match="another arb up --embedded"):
            _bundled(target(tmp_path / "bus"), other)
    with ExitStack() as held:
        _bundled(target(tmp_path / "bus"), held)


async def test_a_server_that_does_not_start_has_its_log_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up, "BUS_READY_WITHIN_S", 1.0)
    folder = tmp_path / "bus"
    folder.mkdir()
    (folder / "appendonlydir").write_text("no folder")
    text = (
        f"[bus]\nurl = 'unix://{folder}/valkey.sock'\n[venues.kraken]\ninstruments = ['BTC/USDT']\n"
    )
    (tmp_path / "arb.toml").write_text(text)
    with pytest.raises(BusUnavailable, match=r"valkey\.log says why"):
        await up.run_up(str(tmp_path / "arb.toml"), False, is_embedded=True)
