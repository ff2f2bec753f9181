"""What the Helm chart knows of each service: its table, and the part of its schema that follows.

``python -m deploy.services`` writes both; the templates loop over the table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from shared import two_feeds
from shared.config_sections import SECTIONS
from shared.services import ALL_SERVICES, Network, ServiceSpec
from shared.streams import keys_of

CHART = Path(__file__).parent / "helm" / "arbstream"
TABLE = CHART / "services.yaml"
SCHEMA = CHART / "values.schema.json"
MARGIN_S: Final = 20.0
"""What a pod is given to end beyond the drain of its service: closing connections, Python's end."""
REPLICAS_MAX: Final = 64
OPEN_DEPTH: Final = 3
ASKED_BY: Final = {"recorder": ("enabled", "ledger"), "notifier": ("channels",)}
"""Keys of a service's own section of ``arb.toml`` that make it run, where ``enabled`` is not the
one; as `arb up` does."""
VENUES_VARIABLE: Final = {"ingestor": "ARB_INGESTOR_VENUES"}
"""Services of which there is one for each venue, two where it has ``two_feeds``, and the variable
that names it."""


def row(spec: ServiceSpec) -> dict[str, Any]:
    """Return what the templates are told of a service."""
    section = SECTIONS[spec.name]() if spec.name in SECTIONS else None
    asked = ASKED_BY.get(spec.name, ("enabled",)) if spec.is_optional else ()
    return {
        "optional": spec.is_optional,
        "givesWay": spec.gives_way,
        "instances": spec.instances.value,
        "network": spec.network.value,
        "graceSeconds": round(spec.drain_timeout_s + MARGIN_S),
        "keys": list(keys_of(spec.name)),
        "venueKeys": spec.holds_secrets,
        "files": spec.keeps_files,
        "readsFilesOf": spec.reads_files_of,
        "asked": {key: bool(getattr(section, key, False)) for key in asked},
        "port": getattr(section, "port", 0) if spec.network is Network.SCRAPERS else 0,
        "venuesVariable": VENUES_VARIABLE.get(spec.name, ""),
        "feedVariable": two_feeds.VARIABLE if spec.name in VENUES_VARIABLE else "",
    }


def table() -> str:
    """Return the table of services, as YAML with values in JSON."""
    lines = ["# From shared/services.py by python -m deploy.services"]
    for spec in ALL_SERVICES:
        lines.append(f"{spec.name}:")
        lines += [f"  {key}: {json.dumps(value)}" for key, value in row(spec).items()]
    return "\n".join(lines) + "\n"


def values_of(spec: ServiceSpec) -> dict[str, Any]:
    """Return the schema of a service's own values."""
    processors = "^([1-9][0-9]*m|[1-9][0-9]*(\\.[0-9]+)?|0\\.[0-9]*[1-9])$"
    is_one = spec.is_optional or spec.name in VENUES_VARIABLE
    replicas_max = 1 if is_one else REPLICAS_MAX
    properties: dict[str, Any] = {
        "enabled": {"type": ["boolean", "null"]},
        "replicas": {"type": "integer", "minimum": 1, "maximum": replicas_max},
        "cpu": {"type": "string", "pattern": processors},
        "memory": {"type": "string", "pattern": "^[1-9][0-9]*(Mi|Gi)$"},
        "secret": {"$ref": "#/definitions/name"},
        "secretFiles": {"$ref": "#/definitions/secretFiles"},
        "extraEgress": {"type": "array", "items": {"type": "object"}},
    }
    if spec.name in VENUES_VARIABLE:
        texts = {"type": "array", "items": {"type": "string"}}
        properties["venues"] = {**texts, "minItems": 1, "uniqueItems": True}
    if spec.keeps_files:
        properties["storage"] = {"$ref": "#/definitions/storage"}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def schema(text: str) -> str:
    """Return the schema of the chart's values with the services of the table."""
    whole = json.loads(text)
    whole["properties"]["services"] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {spec.name: values_of(spec) for spec in ALL_SERVICES},
    }
    return written(whole) + "\n"


def written(value: Mapping[str, Any], depth: int = 0) -> str:
    """Return a schema as JSON with each property of the chart and of a service on a line."""
    inner, lines = "  " * (depth + 1), []
    for key, part in value.items():
        is_open = key in {"definitions", "properties", "services"} and depth < OPEN_DEPTH
        text = written(part, depth + 1) if is_open else json.dumps(part)
        lines.append(f"{inner}{json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n" + "  " * depth + "}"
