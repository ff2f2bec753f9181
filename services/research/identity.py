"""The id of a run: what went in. Two runs of one id write the same bytes."""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import llvmlite
import msgspec
import numba
import numpy as np
import pyarrow as arrow

DIGITS = 10


@cache
def code_hash() -> str:
    """Return a hash of the sources of research: what a commit says where there is a repository."""
    digest = blake2b(digest_size=16)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of what computes."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "pyarrow": arrow.__version__,
    }


def versions_of(names: Collection[str]) -> dict[str, str]:
    """Return the versions of some of them."""
    return {name: version for name, version in versions().items() if name in names}


def identify(parts: Mapping[str, Any]) -> str:
    """Return 32 hex digits of what is given, whatever the order of its keys."""
    return blake2b(
        msgspec.json.encode(parts, order="sorted"), digest_size=16, usedforsecurity=False
    ).hexdigest()


def rounded(value: Any) -> Any:
    """Return the same with floats of ten digits: what a report says does not hang on the eleventh.

    Sums in another order (more cores, another machine) differ in the last bits.
    """
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(each) for each in value]
    return value
