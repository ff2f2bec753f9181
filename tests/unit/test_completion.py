"""Completion scripts: every command and option, and what the shells make of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from services.cli.app import app
from services.cli.completion import SHELLS, places_of
from shared.errors import ConfigError

PLACES = list(places_of(typer.main.get_command(app)))
BASH = """
source "$1"
COMP_WORDS=({words}); COMP_CWORD=$(({count} - 1)); _arb; printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(tmp_path: Path, *words: str) -> list[str]:
    """What bash offers at the end of these words."""
    script = tmp_path / "arb.bash"
    script.write_text(SHELLS["bash"](PLACES))
    given = " ".join(f"'{word}'" for word in words)
    asked = BASH.format(words=given, count=len(words))
    done = subprocess.run(
        ["bash", "-c", asked, "bash", str(script)], capture_output=True, text=True, check=True
    )
    assert not done.stderr
    return done.stdout.split()


def test_bash_completes_commands_their_commands_and_options(tmp_path: Path) -> None:
    assert completed(tmp_path, "arb", "sta") == ["status"]
    assert completed(tmp_path, "arb", "config", "") == ["check", "show", "--help"]
    assert completed(tmp_path, "arb", "config", "sh") == ["show"]
    assert completed(tmp_path, "arb", "top", "--op") == ["--operator"]
    assert "--since" in completed(tmp_path, "arb", "orders", "--venue", "kraken", "--")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_has_every_command_and_its_shell_reads_it(shell: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["completion", shell])
    assert done.exit_code == 0
    for place in PLACES:
        assert all(word.text.removeprefix("--") in done.stdout for word in place.words)
    if (program := shutil.which(shell)) is None:
        return
    script = tmp_path / "script"
    script.write_text(done.stdout)
    read = subprocess.run([program, "-n", str(script)], capture_output=True, text=True, check=False)
    assert (read.returncode, read.stderr) == (0, "")


ASKED = {
    "zsh": "compdef() { :; }; _describe() { print -l $told; }; source $1; "
    'words=(arb config ""); CURRENT=3; _arb',
    "fish": "source $argv[1]; complete -C 'arb config '",
}


@pytest.mark.parametrize("shell", ASKED)
def test_zsh_and_fish_offer_the_same_as_bash(shell: str, tmp_path: Path) -> None:
    if (program := shutil.which(shell)) is None:
        pytest.skip(f"there is no {shell} here to ask")
    script = tmp_path / "script"
    script.write_text(SHELLS[shell](PLACES))
    first = ["zsh"] if shell == "zsh" else []
    asked = [program, "-c", ASKED[shell], *first, str(script)]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    offered = {line.replace("\t", ":").split(":")[0] for line in done.stdout.splitlines()}
    assert {"check", "show"} <= offered
    assert not {"status", "top"} & offered


def test_another_shell_is_refused_with_those_there_are() -> None:
    done = CliRunner().invoke(app, ["completion", "tcsh"])
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception) == "no completion for 'tcsh'; there is for: bash, zsh, fish"
