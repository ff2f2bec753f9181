"""The embedded server: data survive, long paths work, nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared import embedded
from shared.bus.opening import open_bus
from shared.config_sections import BusConfig
from shared.embedded import EmbeddedServer
from shared.errors import ConfigError
from tests.support import eventually


async def test_data_survive_a_kill(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server:
        bus = await open_bus(BusConfig(url=server.url), service="risk", instance="r1")
        await bus.commit(None, [], checkpoints={"risk": b"state"})
        aof = tmp_path / "appendonlydir"
        await eventually(lambda: any(b"state" in f.read_bytes() for f in aof.glob("*.incr.aof")))
        first = server.pid
        server.kill()
        assert server.pid is None
        await bus.close()
        server.start()
        assert server.pid != first
        bus = await open_bus(BusConfig(url=server.url), service="risk", instance="r1")
        assert await bus.load_checkpoint("risk") == b"state"
        await bus.close()
    assert server.pid is None
    assert not Path(server.url.removeprefix("unix://")).exists()


async def test_a_directory_too_deep_for_a_socket(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / ("deep" * 30)) as server:
        assert len(server.url) < 100
        bus = await open_bus(BusConfig(url=server.url), service="risk", instance="r1")
        await bus.close()
    assert not Path(server.url.removeprefix("unix://")).parent.exists()


def test_no_server_at_all_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="neither valkey-server nor redis-server"):
        embedded.find_server()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("in the way")
    with pytest.raises(ConfigError, match="did not start"):
        EmbeddedServer(tmp_path).start()
