"""What a server says of itself by INFO. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def version_of(info: Mapping[str, Any]) -> str:
    """Return a server's name and version, from INFO's section ``server``."""
    name = str(info.get("server_name", "redis"))
    return f"{name} {info.get(f'{name}_version', info.get('redis_version', '?'))}"
