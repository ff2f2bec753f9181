"""Manual pages: every command and option, and nothing that man complains of."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import typer
from typer.testing import CliRunner

from services.cli.app import app
from services.cli.completion import places_of
from services.cli.man_pages import pages_of
from shared.errors import ConfigError

COMMAND = typer.main.get_command(app)
PAGES = {page.name: page for page in pages_of(COMMAND, "1.2.3")}


def plain(text: str) -> str:
    return text.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "").replace("\\fI", "")


def test_every_command_has_a_page_with_its_options() -> None:
    for place in places_of(COMMAND):
        text = plain(PAGES[place.path.replace(" ", "-")].text)
        for word in place.words:
            assert f"\n{word.text}" in text, (place.path, word)


def test_a_page_says_what_is_typed() -> None:
    text = plain(PAGES["arb-config-check"].text)
    assert text.startswith('.TH "ARB-CONFIG-CHECK" "1" "" "arbstream 1.2.3" "arbstream manual"\n')
    assert "\narb-config-check - Read the configuration and say whether it is right" in text
    assert "\narb config check [OPTION]...\n" in text
    assert "\n--config FILE\n" in text
    assert "\n.BR arb-config (1)\n" in text
    assert "\n.BR arb-config-check (1) ,\n" in plain(PAGES["arb-config"].text)


def test_the_command_prints_one_or_writes_all(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["man", "audit", "verify"])
    assert (done.exit_code, done.stdout.split("\n")[1]) == (0, ".SH NAME")
    done = CliRunner().invoke(app, ["man", "--dir", str(tmp_path / "man1")])
    assert done.exit_code == 0
    assert {each.name for each in (tmp_path / "man1").iterdir()} == {
        page.file for page in PAGES.values()
    }
    done = CliRunner().invoke(app, ["man", "nothing"])
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception) == "there is no command 'nothing'; arb --help lists them"


def test_man_warns_of_nothing(tmp_path: Path) -> None:
    """Asked as `man --warnings` does, where there is a groff."""
    requests = {
        line.split()[0]
        for page in PAGES.values()
        for line in page.text.split("\n")
        if line[:1] == "."
    }
    assert requests == {".TH", ".SH", ".PP", ".TP", ".BR"}
    if shutil.which("groff") is None:
        return
    files = []
    for page in PAGES.values():
        files.append(tmp_path / page.file)
        files[-1].write_text(page.text)
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert (done.returncode, done.stderr) == (0, "")
