"""The bus's implementations as one fixture: each test of the contract runs on all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.contract.bus_harness import (
    Harness,
    MemoryHarness,
    RedisHarness,
    embedded_harness,
    embedded_server,
    group_harness,
)
from tests.ports import free_ports
from tests.redis_group import RedisGroup


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    server = embedded_server(tmp_path_factory.mktemp("bus"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def redis8() -> Iterator[Any]:
    from testcontainers.core.container import DockerContainer

    (port,) = free_ports(1)  # fixed, so that it is the same after a restart
    redis = DockerContainer("redis:8").with_bind_ports(6379, port)
    redis = redis.with_command("redis-server --appendonly yes --requirepass sesame")
    with redis as container:
        yield container


@contextmanager
def started(directory: Path, image: str = "") -> Iterator[RedisGroup]:
    group = RedisGroup(directory, image)
    try:
        group.start()
        yield group
    finally:
        group.close()


@pytest.fixture(scope="module")
def sentinel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisGroup]:
    with started(tmp_path_factory.mktemp("group") / "of") as group:
        yield group


@pytest.fixture(scope="module")
def sentinel8(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisGroup]:
    with started(tmp_path_factory.mktemp("group8") / "of", "redis:8") as group:
        yield group


@pytest.fixture(
    params=[
        "memory",
        "valkey",
        pytest.param("sentinel", marks=pytest.mark.slow),
        pytest.param("redis8", marks=pytest.mark.containers),
        pytest.param("sentinel8", marks=pytest.mark.containers),
    ]
)
async def bus_harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    if request.param == "memory":
        yield MemoryHarness()
    elif request.param == "valkey":
        async with embedded_harness(request.getfixturevalue("valkey")) as harness:
            yield harness
    elif request.param.startswith("sentinel"):
        async with group_harness(request.getfixturevalue(request.param)) as harness:
            yield harness
    else:
        container = request.getfixturevalue("redis8")
        docker = container.get_wrapped_container()
        url = f"redis://:sesame@{container.get_container_host_ip()}:{container.get_exposed_port(6379)}/0"
        remote = RedisHarness(
            url,
            lambda: asyncio.to_thread(docker.kill),
            lambda: asyncio.to_thread(docker.start),
        )
        await remote.wait_until_up()
        await remote.call("FLUSHALL")
        yield remote
        await remote.close()
