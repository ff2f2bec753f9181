"""The example configurations load, say the true defaults, and the documents point at real files."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from services.cli.settings import check
from shared.config import load_config
from shared.config_sections import Config
from shared.venues.registry import EVERY
from tests.support import ROOT

EXAMPLE, DEMO = ROOT / "arb.example.toml", ROOT / "deploy" / "demo.toml"
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")]


@pytest.mark.parametrize("path", [EXAMPLE, DEMO], ids=lambda p: p.name)
def test_example_is_accepted(path: Path) -> None:
    config = check(str(path), {})
    assert set(config.venues) <= set(EVERY)
    assert config.executor.mode != "live"


def test_example_shows_the_defaults() -> None:
    """What the example says of a key is what leaving it out means."""
    shown, default = load_config(str(EXAMPLE), {}), Config()
    for section in ("bus", "observe", "orderbook", "scanner", "risk", "executor"):
        assert getattr(shown, section) == getattr(default, section), section


def test_example_names_every_key() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    raw = tomllib.loads(text)
    for section in msgspec.structs.fields(Config):
        if section.name in {"venues", "strategies"}:
            continue
        for field in msgspec.structs.fields(section.type):
            assert field.name in raw[section.name], f"[{section.name}] {field.name}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_of_a_document_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), f"{path.name} links to {target}, which is not there"


def test_decisions_have_their_parts_and_fit_a_page() -> None:
    for path in (ROOT / "docs" / "adr").glob("*.md"):
        text = path.read_text(encoding="utf-8")
        for part in ("**Status:**", "## Context", "## Decision", "## Rejected", "## Consequences"):
            assert part in text, f"{path.name} has no {part}"
        assert text.count("\n") <= 60, f"{path.name} is longer than a page"
