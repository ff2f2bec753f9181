"""What tests of the command line share: a server of their module's own, emptied for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from shared.embedded import EmbeddedServer
from shared.watch.link import Link, open_link


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path_factory.mktemp("bus")) as running:
        yield running


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the test's own."""
    with EmbeddedServer(tmp_path / "valkey") as server:
        yield server.url


@pytest.fixture
async def link(server: EmbeddedServer) -> AsyncIterator[Link]:
    async with open_link(server.url) as opened:
        await opened._redis.flushall()
        yield opened
