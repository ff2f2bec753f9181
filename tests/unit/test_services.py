"""The table of services is whole, and what runs follows it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from deploy.services import (
    COMMAND,
    COMPOSE,
    FILES,
    SYSTEMD,
    compose_service,
    directory_variable,
    generated,
)
from services.cli.stack import service_program
from shared.bus.inputs import followed_by, inputs_of
from shared.config import load_config
from shared.services import ALL_SERVICES, SERVICE_NAMES, Instances, Network, ServiceSpec
from shared.streams import BY_NAME, MD_BOOK, MD_DEPTH, Delivery
from tests.support import ROOT

BESIDE = {"cli", "lab", "research", "venuesim"}
"""Folders of what is no service of the running system."""


def wired(service: str) -> set[str]:
    """Return the names that a service's wiring uses."""
    files = [ROOT / "services" / service / name for name in ("__main__.py", "app.py")]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files if file.exists()]
    return {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)}


def test_every_folder_has_a_row_and_every_row_a_folder() -> None:
    folders = {path.parent.name for path in (ROOT / "services").glob("*/__main__.py")}
    assert folders - BESIDE == set(SERVICE_NAMES) - BESIDE == set(SERVICE_NAMES)
    assert len(set(SERVICE_NAMES)) == len(SERVICE_NAMES)


@pytest.mark.parametrize("spec", ALL_SERVICES, ids=lambda spec: spec.name)
def test_a_row_makes_sense(spec: ServiceSpec) -> None:
    assert spec.reads
    assert len({read.stream for read in spec.reads}) == len(spec.reads)
    for read in spec.reads:
        if read.interval_ms or read.from_first:
            assert BY_NAME[read.stream].delivery is Delivery.LATEST
        assert spec.name in BY_NAME[read.stream].consumers
    assert set(spec.needs) <= set(SERVICE_NAMES) - {spec.name}


@pytest.mark.parametrize("spec", ALL_SERVICES, ids=lambda spec: spec.name)
def test_a_service_is_wired_as_its_row_says(spec: ServiceSpec) -> None:
    names = wired(spec.name)
    assert ("Lease" in names) == (spec.instances is Instances.LEASED)
    assert ("ShardOwner" in names) == (spec.instances is Instances.SHARDED)
    assert "inputs_of" in names, "its inputs are the table's"
    assert "Input" not in names


def test_inputs_follow_the_row() -> None:
    read = {(i.spec.name, i.shards, i.interval_ms, i.start) for i in inputs_of("risk", range(2))}
    assert ("md.depth", (0, 1), 50, "new") in read
    assert ("exec.event", (0,), 0, "new") in read
    assert len(read) == 6


def test_a_saved_position_is_read_on_from() -> None:
    books = inputs_of("orderbook", (0, 2), {MD_BOOK.name: {0: "7-0"}})
    assert [(i.shards, i.start) for i in books if i.spec is MD_BOOK] == [
        ((0,), "7-0"),
        ((2,), "first"),
    ]
    assert [i.shards for i in inputs_of("scanner", ()) if i.spec is MD_DEPTH] == [()]


@pytest.mark.parametrize("spec", ALL_SERVICES, ids=lambda spec: spec.name)
def test_the_supervisor_follows_the_row(spec: ServiceSpec) -> None:
    program = service_program(
        spec.name, {"ARB_KRAKEN_API_KEY": "k"}, log=None, secrets={"ARB_X_API_SECRET": "s"}
    )
    assert program.stop_rank == spec.stop_rank
    assert program.grace_s > spec.drain_timeout_s
    held = {name for name in program.env if "API" in name}
    assert held == ({"ARB_KRAKEN_API_KEY", "ARB_X_API_SECRET"} if spec.holds_secrets else set())


def test_keys_named_for_one_service_are_given_to_no_other() -> None:
    given = {"ARB_SENTINEL_KRAKEN_API_KEY": "its", "ARB_KRAKEN_API_KEY": "anybody's"}
    held = {name: service_program(name, given, log=None).env for name in ("executor", "sentinel")}
    assert {k for k in held["executor"] if "API" in k} == {"ARB_KRAKEN_API_KEY"}
    assert {k for k in held["sentinel"] if "API" in k} == set(given)


def test_a_service_that_follows_streams_reads_them_without_a_group() -> None:
    inputs = followed_by("sentinel", ("exec.event", "ctl.command"))
    assert [(i.spec.name, i.spec.delivery, i.start) for i in inputs] == [
        ("exec.event", Delivery.LATEST, "first"),
        ("ctl.command", Delivery.LATEST, "first"),
    ]
    assert BY_NAME["exec.event"].delivery is Delivery.DURABLE


def test_only_who_reaches_the_venues_holds_their_secrets() -> None:
    assert all(spec.network == "venues" for spec in ALL_SERVICES if spec.holds_secrets)


def test_the_document_shows_the_table() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for spec in ALL_SERVICES:
        reads = ", ".join(read.stream for read in spec.reads)
        reaches = "-" if spec.network is Network.NONE else spec.network
        secrets = "yes" if spec.holds_secrets else "no"
        cells = (spec.name, reads, spec.instances, spec.stop_rank, reaches, secrets)
        assert f"| {' | '.join(map(str, cells))} |\n" in text


@pytest.mark.parametrize("path", generated(), ids=lambda path: path.name)
def test_what_is_deployed_follows_the_table(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generated()[path], f"run: {COMMAND}"


def test_no_drop_in_is_left_of_a_service_that_needs_nothing() -> None:
    assert set(SYSTEMD.glob("arbstream@*.service.d/order.conf")) <= set(generated())


READERS = [spec for spec in ALL_SERVICES if spec.reads_files_of]


def test_the_scanner_reads_what_the_recorder_keeps() -> None:
    keeping = {spec.name for spec in ALL_SERVICES if spec.keeps_files}
    assert {spec.name: spec.reads_files_of for spec in READERS} == {"scanner": "recorder"}
    assert {spec.reads_files_of for spec in READERS} <= keeping
    example = str(ROOT / "arb.example.toml")
    config = load_config(example, {directory_variable("recorder"): "/kept"})
    assert config.recorder.dir == "/kept"


@pytest.mark.parametrize("spec", READERS, ids=lambda spec: spec.name)
def test_who_reads_files_of_another_can_only_read_them(spec: ServiceSpec) -> None:
    owner, variable = spec.reads_files_of, directory_variable(spec.reads_files_of)
    section = "\n".join(compose_service(spec))
    assert f", files-{owner}:{FILES}:ro," in section
    assert f", {variable}: {FILES}" in section
    unit = (SYSTEMD / f"arbstream@{spec.name}.service.d" / "reads.conf").read_text()
    mount = re.search(r"^BindReadOnlyPaths=-(\S+):(\S+)$", unit, re.MULTILINE)
    kept = (SYSTEMD / f"arbstream@{owner}.service.d" / "files.conf").read_text()
    directory = re.search(r"^StateDirectory=(\S+)$", kept, re.MULTILINE)
    assert mount and directory
    assert mount[1] == f"/var/lib/private/{directory[1]}", "where a DynamicUser has it"
    assert f"\nEnvironment={variable}={mount[2]}\n" in unit
    assert "StateDirectory" not in unit


def test_containers_and_systemd_wait_longer_than_any_drain() -> None:
    drain_s = max(spec.drain_timeout_s for spec in ALL_SERVICES)
    compose = re.search(r"<<: \*confined\n.*\n  stop_grace_period: (\d+)s", COMPOSE.read_text())
    unit = re.search(r"TimeoutStopSec=(\d+)", (SYSTEMD / "arbstream@.service").read_text())
    assert compose and unit
    assert min(int(compose[1]), int(unit[1])) > drain_s


def test_who_only_watches_gives_way_to_those_that_trade() -> None:
    watching = {spec.name for spec in ALL_SERVICES if spec.gives_way}
    assert watching == {"recorder", "exporter", "notifier", "dashboard"}
    for spec in ALL_SERVICES:
        path = SYSTEMD / f"arbstream@{spec.name}.service.d" / "priority.conf"
        assert path.exists() == spec.gives_way
        if spec.gives_way:
            assert "\nCPUWeight=25\nIOWeight=25\n" in path.read_text()
        assert ("    cpu_shares: 256" in compose_service(spec)) == spec.gives_way
