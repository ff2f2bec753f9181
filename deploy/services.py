"""What compose, systemd, Helm, the image and Redis know of each service and venue, from the tables.

``python -m deploy.services`` rewrites the parts between ``# generated`` and ``# end`` of the files
here, and Redis' users; a test says when they are not current.
"""

from __future__ import annotations

from pathlib import Path

from deploy import acl, chart
from shared.bus.keys import variable_of
from shared.config_dashboard import DashboardConfig
from shared.config_sections import ExporterConfig
from shared.services import ALL_SERVICES, USUAL_SERVICES, Network, ServiceSpec
from shared.streams import keys_of
from shared.venues.registry import ADAPTERS, TRADED, load_simulated

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "docker-compose.yml"
FAILOVER = ROOT / "deploy" / "failover.yml"
DEMO = ROOT / "deploy" / "demo.toml"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
SYSTEMD = ROOT / "deploy" / "systemd"
TARGET = SYSTEMD / "arbstream.target"
SIMULATION = "venuesim:8090"
NETWORKS = {
    Network.NONE: "network_mode: none",
    Network.VENUES: "networks: [outside]",
    Network.CHANNELS: "networks: [outside]",
    Network.SCRAPERS: "networks: [scrapers]",
}
PORTS = {
    "exporter": ("ARB_METRICS_PORT", ExporterConfig().port),
    "dashboard": ("ARB_DASHBOARD_PORT", DashboardConfig().port),
}
"""Where who is reached listens: the variable that sets the host's port, and the port."""
LISTENS = {
    # The container's own loopback cannot be published.
    "exporter": ['ARB_EXPORTER_HOST: "0.0.0.0"'],
    "dashboard": [
        'ARB_DASHBOARD_HOST: "0.0.0.0"',
        'ARB_DASHBOARD_PUBLISHED_ON_LOOPBACK: "yes"',
        'ARB_DASHBOARD_ALLOWED_HOSTS: "127.0.0.1:{port} localhost:{port}"',
    ],
}
COMMAND = "python -m deploy.services"
FILES = "/var/lib/arbstream"
"""Where a container finds the files that its service keeps."""
PROFILES = {"recorder": "record", "notifier": "notify"}
"""The profile of compose that brings along a service which runs on request."""

WATCHING_SHARES = 256
"""Of the processor, where others have 1,024: counts only while there is not enough for all."""


def directory_variable(service: str) -> str:
    """Return the variable that says where the files of a service are."""
    return f"ARB_{service.upper()}_DIR"


def compose_service(spec: ServiceSpec) -> list[str]:
    """Return a service's section of the compose file."""
    needs = [f"      {name}: {{condition: service_started}}" for name in spec.needs]
    is_scraped = spec.network is Network.SCRAPERS
    environment = "credentials" if spec.holds_secrets else "environment"
    mounts = "config:/run/arb/config:ro, redis-socket:/run/redis:ro"
    keys = [f"{variable_of(name)}_FILE: /run/arb/secret/{name}_key" for name in keys_of(spec.name)]
    keys += _listens(spec.name) if is_scraped else []
    own = ", ".join([f"ARB_REDIS_USERNAME: {spec.name}", *keys])
    if spec.keeps_files:
        mounts = f"{mounts}, files-{spec.name}:{FILES}"
        own = f"{own}, {directory_variable(spec.name)}: {FILES}"
    if spec.reads_files_of:
        mounts = f"{mounts}, files-{spec.reads_files_of}:{FILES}:ro"
        own = f"{own}, {directory_variable(spec.reads_files_of)}: {FILES}"
    return [
        f"  {spec.name}:",
        "    <<: *service",
        *([f"    profiles: [{PROFILES[spec.name]}]"] if spec.on_request else []),
        f"    command: [services.{spec.name}]",
        *(["    depends_on:", "      <<: *needs", *needs] if needs else []),
        f"    {NETWORKS[spec.network]}",
        *([f"    cpu_shares: {WATCHING_SHARES}"] if spec.gives_way else []),
        *([_published(spec.name)] if is_scraped else []),
        f"    environment: {{<<: *{environment}, {own}}}",
        f"    volumes: [{mounts}, secret-{spec.name}:/run/arb/secret:ro]",
        "",
    ]


def _published(service: str) -> str:
    """Return the line that publishes a service's port on this machine's loopback."""
    variable, port = PORTS[service]
    return f'    ports: ["127.0.0.1:${{{variable}:-{port}}}:{port}"]'


def _listens(service: str) -> list[str]:
    """Return what makes a service listen where its port is published."""
    variable, port = PORTS[service]
    return [line.replace("{port}", f"${{{variable}:-{port}}}") for line in LISTENS[service]]


def failover_service(spec: ServiceSpec) -> str:
    """Return what a service's section has besides where it follows the primary of a group."""
    reaches = "network_mode: !reset null, " if spec.network is Network.NONE else ""
    reaches += "networks: [redis]"
    return f"  {spec.name}: {{environment: *environment, {reaches}, depends_on: *needs}}"


def failover(text: str) -> str:
    """Return the file of compose with a group of Redis with the services of the table."""
    return with_region(text, "services", [failover_service(spec) for spec in ALL_SERVICES])


def venue_keys(adapter: str) -> list[str]:
    """Return where a venue's keys lie in the container of who trades there."""
    return [
        f"  ARB_{adapter.upper()}_API_{part.upper()}_FILE: /run/arb/secret/{adapter}_api_{part}"
        for part in ("key", "secret")
    ]


def demo_venue(adapter: str) -> list[str]:
    """Return a simulated venue's section in the configuration of the demo: all that it lists."""
    names = ", ".join(f'"{listing.instrument}"' for listing in load_simulated(adapter).LISTINGS)
    return [
        f"[venues.{adapter}]",
        f"instruments = [{names}]",
        f'rest_url = "http://{SIMULATION}/{adapter}"',
        f'ws_url = "ws://{SIMULATION}/{adapter}"',
        "",
    ]


def demo(text: str) -> str:
    """Return the configuration of the demo with every usual venue."""
    lines = [line for adapter in ADAPTERS for line in demo_venue(adapter)]
    return with_region(text, "venues", lines[:-1])


def with_region(text: str, region: str, lines: list[str]) -> str:
    """Return a text with the lines of one generated part replaced.

    Raises:
        ValueError: The text has no such part.
    """
    old = text.splitlines()
    names = [line.strip() for line in old]
    first = names.index(f"# generated: {region} ({COMMAND})")
    last = names.index(f"# end: {region}", first)
    return "\n".join([*old[: first + 1], *lines, *old[last:]]) + "\n"


def compose(text: str) -> str:
    """Return the compose file with the services of the table."""
    mounts = [f"      - secret-{user}:/run/arb/secrets/{user}" for user in acl.USERS]
    services = [line for spec in ALL_SERVICES for line in compose_service(spec)]
    keys = [line for adapter in TRADED for line in venue_keys(adapter)]
    text = with_region(text, "keys of each venue", keys)
    text = with_region(text, "venues", [f"      ARB_VENUES: {' '.join(ADAPTERS)}"])
    text = with_region(text, "secrets of each", mounts)
    text = with_region(text, "services", services[:-1])
    volumes = [f"  secret-{user}: {{}}" for user in acl.USERS]
    volumes += [f"  files-{spec.name}: {{}}" for spec in ALL_SERVICES if spec.keeps_files]
    return with_region(text, "volumes of secrets", volumes)


def dockerfile(text: str) -> str:
    """Return the image's recipe with the folders of the services' secrets."""
    users = " ".join(acl.USERS)
    return with_region(text, "users", [f'ARG USERS="{users}"'])


def target(text: str) -> str:
    """Return systemd's target with the units of the table."""
    wanted = " ".join(f"arbstream@{name}.service" for name in USUAL_SERVICES)
    return with_region(text, "services", [f"Wants={wanted}"])


def drop_in(spec: ServiceSpec) -> str:
    """Return what systemd adds to the unit of a service that needs others."""
    after = " ".join(f"arbstream@{name}.service" for name in spec.needs)
    return (
        f"# From shared/services.py by {COMMAND}\n"
        "# Stopped before the others: what it does last needs them.\n"
        f"[Unit]\nAfter={after}\n"
    )


def files_drop_in(spec: ServiceSpec) -> str:
    """Return what systemd adds to the unit of a service that keeps files."""
    is_read = any(other.reads_files_of == spec.name for other in ALL_SERVICES)
    return (
        f"# From shared/services.py by {COMMAND}\n"
        "# A place of its own that it may write to: /var/lib/arbstream-NAME.\n"
        f"[Service]\nStateDirectory=arbstream-{spec.name}\n"
        f"Environment={directory_variable(spec.name)}=/var/lib/arbstream-{spec.name}\n"
        + ("# Another service reads them.\nUMask=0022\n" if is_read else "")
    )


def priority_drop_in(spec: ServiceSpec) -> str:
    """Return what systemd adds to the unit of a service that only watches."""
    weight = WATCHING_SHARES * 100 // 1024
    return (
        f"# From shared/services.py by {COMMAND}\n"
        f"# The {spec.name} only watches: where there is not enough for all, those that trade\n"
        "# have the processor and the disk first.\n"
        f"[Service]\nCPUWeight={weight}\nIOWeight={weight}\n"
    )


def network_drop_in(spec: ServiceSpec) -> str:
    """Return what systemd adds to the unit of a service that reaches nothing beside Redis."""
    return (
        f"# From shared/services.py by {COMMAND}\n"
        "# Redis' socket is all that it reaches; see deploy/README.md where that is not so.\n"
        "[Service]\nPrivateNetwork=yes\n"
    )


def machine_drop_in(spec: ServiceSpec) -> str:
    """Return what systemd adds to the unit of a service that tells of the whole machine."""
    return (
        f"# From shared/services.py by {COMMAND}\n"
        f"# The {spec.name} tells of the machine: its processors, memory, disks, and its clock's\n"
        "# offset, which it may read and not set. So it talks to nobody but this machine, and\n"
        "# needs no processor of its own.\n"
        "[Service]\nProcSubset=all\nProtectClock=no\nSystemCallFilter=adjtimex clock_adjtime\n"
        "SystemCallFilter=~sched_setaffinity\nIPAddressDeny=any\nIPAddressAllow=localhost\n"
    )


def reading_drop_in(spec: ServiceSpec) -> str:
    """Return what systemd adds to the unit of a service that reads another's files."""
    owner = spec.reads_files_of
    place = f"/run/arbstream-{owner}"
    return (
        f"# From shared/services.py by {COMMAND}\n"
        f"# The {owner}'s files, which it may read, if there are any when it starts.\n"
        "[Service]\n"
        f"BindReadOnlyPaths=-/var/lib/private/arbstream-{owner}:{place}\n"
        f"Environment={directory_variable(owner)}={place}\n"
    )


def signing_drop_in(spec: ServiceSpec) -> str:
    """Return what systemd adds to the unit of a service that signs or verifies."""
    lines = [f"# From shared/streams.py by {COMMAND}"]
    lines += ["# Keys that plans and commands are signed with, by deploy.prepare.", "[Service]"]
    for name in keys_of(spec.name):
        file = f"{name}_key"
        lines.append(f"LoadCredential={file}:/etc/arbstream/secrets/{spec.name}/{file}")
        lines.append(f"Environment={variable_of(name)}_FILE=%d/{file}")
    return "\n".join(lines) + "\n"


def generated() -> dict[Path, str]:
    """Return every file that follows the table, as it is to be."""
    edits = {COMPOSE: compose, DOCKERFILE: dockerfile, TARGET: target, DEMO: demo}
    edits[FAILOVER] = failover
    edits[chart.SCHEMA] = chart.schema
    files = {path: edit(path.read_text(encoding="utf-8")) for path, edit in edits.items()}
    for spec in ALL_SERVICES:
        if spec.needs:
            files[SYSTEMD / f"arbstream@{spec.name}.service.d" / "order.conf"] = drop_in(spec)
        if keys_of(spec.name):
            folder = SYSTEMD / f"arbstream@{spec.name}.service.d"
            files[folder / "signing.conf"] = signing_drop_in(spec)
        if spec.network is Network.NONE:
            folder = SYSTEMD / f"arbstream@{spec.name}.service.d"
            files[folder / "network.conf"] = network_drop_in(spec)
        if spec.gives_way:
            folder = SYSTEMD / f"arbstream@{spec.name}.service.d"
            files[folder / "priority.conf"] = priority_drop_in(spec)
        if spec.reads_machine:
            folder = SYSTEMD / f"arbstream@{spec.name}.service.d"
            files[folder / "machine.conf"] = machine_drop_in(spec)
        if spec.keeps_files:
            folder = SYSTEMD / f"arbstream@{spec.name}.service.d"
            files[folder / "files.conf"] = files_drop_in(spec)
        if spec.reads_files_of:
            folder = SYSTEMD / f"arbstream@{spec.name}.service.d"
            files[folder / "reads.conf"] = reading_drop_in(spec)
    files[acl.FILE] = acl.render()
    files[chart.TABLE] = chart.table()
    return files


if __name__ == "__main__":
    for path, text in generated().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
