"""`arb init`: what it asks, writes and refuses; keys are asked for at simulated venues."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.cli import commands_init
from shared.config import load_config
from shared.venues.registry import EVERY
from tests.contract.test_gateway import fetch, venues
from tests.integration.test_cli import arb, environment


@pytest.fixture(scope="module")
def simulated() -> Iterator[Any]:
    with venues() as described:
        yield described


def answers(folder: Path, simulated: Any, *names: str, **changes: str) -> Path:
    """Answers with the keys of these simulated venues."""
    lines = [f"venues = {json.dumps(names)}", *(f"{k} = {v}" for k, v in changes.items())]
    for name in names:
        for part in ("apiKey", "secret"):
            (folder / f"{name}.{part}").write_text(simulated["credentials"][name][part] + "\n")
        lines += [
            f"[keys.{name}]",
            f'key_file = "{name}.apiKey"',
            f'secret_file = "{name}.secret"',
            f"[addresses.{name}]",
            f'rest_url = "{simulated["http"]}/{name}"',
            f'ws_url = "{simulated["ws"]}/{name}"',
        ]
    path = folder / "answers.toml"
    path.write_text("\n".join(lines))
    return path


def fault(simulated: Any, state: str) -> None:
    body = {"kind": "account", "venue": "kraken", "count": 1, "state": state}
    fetch(f"{simulated['control']}/fault", json.dumps(body).encode())


def test_defaults_are_a_configuration_on_paper_that_is_right(tmp_path: Path) -> None:
    done = arb("init", "--yes", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["config"] == "arb.toml"
    assert told["venues"]["binanceusdm"] == ["BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT"]
    assert arb("config", "check", cwd=tmp_path).returncode == 0
    text = (tmp_path / "arb.toml").read_text()
    config = load_config(str(tmp_path / "arb.toml"), {})
    assert config.executor.mode == "paper"
    assert {name: v.instruments for name, v in config.venues.items()} == told["venues"]
    again = arb("init", "--yes", cwd=tmp_path)
    assert again.returncode == 2
    assert again.stderr == (
        "arb: arb.toml is there already; move it away, or name another --config\n"
    )
    assert (tmp_path / "arb.toml").read_text() == text


def test_answers_are_what_is_configured(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        'venues = ["kraken", "bybit"]\nassets = ["ETH"]\nquote = "USDC"\n'
        "order_size = 250.5\ncapital = 3000\nledger = false\n"
    )
    done = arb("init", "--answers", "a.toml", "--redis", "redis://r:1/2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = load_config(str(tmp_path / "arb.toml"), {})
    assert config.bus.url == "redis://r:1/2"
    assert config.venues["kraken"].instruments == ["ETH/USDC"]
    assert config.venues["bybit"].instruments == ["ETH/USDC:USDC"]
    risk = config.risk
    assert [str(x) for x in (risk.order_notional_max, risk.venue_notional_max)] == ["250.5", "3000"]
    assert str(risk.daily_loss_max) == "120"
    assert risk.quote_assets == ("USDC",)
    assert not config.recorder.ledger


def test_an_answer_that_is_none_is_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('venues = ["mtgox"]')
    done = arb("init", "--answers", "a.toml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"arb: a.toml: no venue 'mtgox'; there are: {', '.join(EVERY)}\n"
    assert [each.name for each in tmp_path.iterdir()] == ["a.toml"]


def test_nobody_to_ask_is_said(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli.main", "init"],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr == "arb: no terminal to ask on; give --yes, or --answers FILE\n"


def test_it_asks_on_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    asking = subprocess.Popen(
        [sys.executable, "-m", "services.cli.main", "init"],
        cwd=tmp_path,
        env=environment(),
        stdin=theirs,
        stdout=subprocess.PIPE,
        text=True,
    )
    os.write(ours, b"kraken gateio\nETH, SOL\n\n200\n\n\n\n")
    out, _ = asking.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert asking.returncode == 0, out
    config = load_config(str(tmp_path / "arb.toml"), {})
    assert {n: v.instruments for n, v in config.venues.items()} == {
        "kraken": ["ETH/USDT", "SOL/USDT"],
        "gateio": ["ETH/USDT", "SOL/USDT"],
    }
    assert str(config.risk.order_notional_max) == "200"
    assert "next: arb up --embedded" in out


def test_keys_are_asked_for_and_kept_apart(tmp_path: Path, simulated: Any) -> None:
    path = answers(tmp_path, simulated, "binance", "kraken", "gateio")
    done = arb("init", "--answers", str(path), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rights = json.loads(done.stdout)["keys"]
    assert rights["kraken"] == {"may_withdraw": False, "is_bound": False, "expires_ms": 0}
    assert rights["gateio"]["may_withdraw"] is None
    told = simulated["credentials"].values()
    held = [each[part] for each in told for part in ("secret", "apiKey") if part in each]
    assert held
    for written in (tmp_path / "arb.toml", tmp_path / "arb.env"):
        assert not [secret for secret in held if secret in written.read_text()]
    files = sorted((tmp_path / "keys").iterdir())
    assert [file.name for file in files][:2] == ["ARB_BINANCE_API_KEY", "ARB_BINANCE_API_SECRET"]
    assert len(files) == 6
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    named = dict(line.split("=", 1) for line in (tmp_path / "arb.env").read_text().splitlines())
    assert (
        Path(named["ARB_KRAKEN_API_SECRET_FILE"]).read_text().strip()
        == (simulated["credentials"]["kraken"]["secret"])
    )


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        ("may_withdraw", 2, "the key of kraken may withdraw; make one that may read and trade"),
        ("revoked", 2, "kraken refuses the key"),
    ],
)
def test_a_key_that_is_no_good_is_refused_and_nothing_is_written(
    tmp_path: Path, simulated: Any, state: str, code: int, expected: str
) -> None:
    path = answers(tmp_path, simulated, "kraken", "binance")
    fault(simulated, state)
    try:
        done = arb("init", "--answers", str(path), cwd=tmp_path)
    finally:
        fault(simulated, "ok")
    assert done.returncode == code
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "arb.toml").exists()
    assert not (tmp_path / "keys").exists()


def test_a_venue_that_cannot_be_asked_leaves_nothing(tmp_path: Path, simulated: Any) -> None:
    away = {**simulated, "http": "http://127.0.0.1:1"}
    done = arb("init", "--answers", str(answers(tmp_path, away, "kraken")), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("arb: kraken")
    assert not (tmp_path / "arb.toml").exists()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("gateio", "0123456789abcdef"), ("kraken", "no base64"), ("binance", "schlüssel")],
)
def test_a_secret_that_was_typed_wrongly_is_no_key_that_works(
    tmp_path: Path, simulated: Any, name: str, wrong: str
) -> None:
    path = answers(tmp_path, simulated, name)
    (tmp_path / f"{name}.secret").write_text(wrong)
    done = arb("init", "--answers", str(path), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{name} refuses the key" in done.stderr
    assert done.stderr.count("\n") == 1 and wrong not in done.stderr
    assert not (tmp_path / "keys").exists()


def test_a_shell_takes_the_environment_of_any_folder(tmp_path: Path, simulated: Any) -> None:
    folder = tmp_path / "my $folder"
    folder.mkdir()
    path = answers(folder, simulated, "kraken")
    done = arb("init", "--answers", str(path), "--redis", "redis://r:1", cwd=folder)
    assert done.returncode == 0, done.stderr
    (line,) = [each for each in done.stdout.splitlines() if each.startswith("next: set -a")]
    shown = f'{line.removeprefix("next: ")}; cat "$ARB_KRAKEN_API_SECRET_FILE"'
    told = subprocess.run(["sh", "-c", shown], cwd=folder, capture_output=True, text=True)
    assert told.stdout.strip() == simulated["credentials"]["kraken"]["secret"], told.stderr


def test_an_address_that_cannot_be_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    spaced, deep = tmp_path / "a b", tmp_path / ("d" * 100)
    for folder in (spaced, deep):
        folder.mkdir()
        done = arb("init", "--yes", cwd=folder)
        assert done.returncode == 2
        assert "the bundled Redis cannot have its socket there" in done.stderr
    done = arb("init", "--yes", "--redis", "nonsense", cwd=tmp_path)
    assert done.stderr.startswith("arb: --redis nonsense: not a Redis URL")
    for url in ("redis://me:geheim@r:1", "redis://r:1?password=geheim"):
        done = arb("init", "--yes", "--redis", url, cwd=tmp_path)
        assert done.returncode == 2
        assert "ARB_REDIS_PASSWORD" in done.stderr and "geheim" not in done.stderr
    assert not [each for each in tmp_path.rglob("*") if each.is_file()]


def test_what_is_interrupted_while_keys_are_kept_leaves_nothing(tmp_path: Path) -> None:
    text = "[venues.kraken]\ninstruments = ['BTC/USDT']\n"
    with pytest.raises(FileNotFoundError):
        commands_init._write(tmp_path / "arb.toml", text, {"ARB_A": "s", "no/file": "s"})
    assert not list(tmp_path.iterdir())
