"""Strategies as configured: built-in or a file; every mistake is one line with place and remedy."""

from __future__ import annotations

import configparser
import sys
from pathlib import Path

import pytest

from services.cli.settings import check, to_toml
from shared.config import load_config, parse_config
from shared.config_sections import Config, ScannerConfig
from shared.errors import ConfigError
from shared.strategies import built_in
from shared.strategies.source import ALLOWED
from shared.strategy_files import built_ins, configured, load_strategies
from shared.strategy_inputs import check_strategies
from tests.strategy_files import HEAD, TRADES, write_config, write_strategy
from tests.support import ROOT

MINE = 'id = "mine"\nclass = "mine.py"\n'


def problem(path: str) -> str:
    """What is wrong with a configuration, as `arb config check` says it."""
    with pytest.raises(ConfigError) as error:
        check(path, {})
    text = str(error.value)
    assert "\n" not in text
    return text


def test_cross_venue_runs_where_nothing_is_configured() -> None:
    (instance,) = load_strategies(Config(scanner=ScannerConfig(edge_bps_min=7.0)))
    assert (instance.id, instance.detector, instance.problem) == ("cross_venue", "cross_venue", "")
    assert instance.strategy is not None
    assert instance.strategy.params.edge_bps_min == 7.0
    assert len(instance.strategy_hash) == 16


def test_what_is_not_given_is_as_in_the_scanners_section(tmp_path: Path) -> None:
    text = 'id = "two"\nclass = "cross_venue"\nparams = { cooldown_ms = 5 }'
    path = write_config(tmp_path, text, more="[scanner]\nnotional_max = 500.0")
    (instance,) = check_strategies(check(path, {}), path)
    assert instance.strategy is not None
    assert instance.strategy.params.cooldown_ms == 5
    assert instance.strategy.params.notional_quote_max == 500.0


def test_a_file_is_looked_for_beside_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_strategy(tmp_path)
    write_config(tmp_path, MINE)
    monkeypatch.chdir(tmp_path.parent)
    config = check(f"{tmp_path.name}/arb.toml", {})
    (instance,) = load_strategies(config)
    assert instance.detector == "mine.py:Mine"


def test_configuration_written_out_reads_back_the_same(tmp_path: Path) -> None:
    write_strategy(tmp_path)
    path = write_config(
        tmp_path, f"{MINE}params = {{ edge_bps_min = 3.5 }}", 'id = "b"\nclass = "cross_venue"'
    )
    config = check(path, {})
    assert parse_config(to_toml(config), "again") == config


def test_hash_is_of_file_and_parameters(tmp_path: Path) -> None:
    def digest(text: str = MINE) -> str:
        return load_strategies(load_config(write_config(tmp_path, text), {}))[0].strategy_hash

    write_strategy(tmp_path)
    first = digest()
    assert first == digest()
    assert first == digest(f"{MINE}params = {{ edge_bps_min = 2 }}")  # the default, said
    assert first != digest(f"{MINE}params = {{ edge_bps_min = 3 }}")
    write_strategy(tmp_path, f"{TRADES}# a comment\n")
    assert first != digest()


FILES = {
    "syntax": (HEAD + "    def broken(:\n", "mine.py:16: not valid Python"),
    "forbidden": ("import time\n" + HEAD + TRADES, "mine.py:1: import of time is forbidden"),
    "forbidden inside": (
        HEAD + "    def on_depth(self, view, now_ns):\n        from random import random\n",
        "mine.py:17: import of random is forbidden",
    ),
    "bus": (
        "from shared.bus.port import Bus\n" + HEAD + TRADES,
        "import of shared.bus.port is forbidden",
    ),
    "numpy": ("import numpy as np\n" + HEAD + TRADES, "import of numpy is forbidden"),
    "beside it": ("from . import other\n" + HEAD + TRADES, "mine.py:1: a strategy is one file"),
    "open": (HEAD + "    secret = open('/etc/passwd').read()\n", "mine.py:16: open() has no place"),
    "where things lie in memory": (
        HEAD + "    def on_depth(self, view, now_ns):\n        return [id(view)]\n",
        "mine.py:17: id() differs from process to process",
    ),
    "nothing": ("x = 1\n", "no strategy in it"),
    "two": (HEAD + TRADES + "class More(Strategy): ...\n", "several strategies, Mine, More"),
    "raises": (HEAD + TRADES + "1 / 0\n", ": ZeroDivisionError: division by zero"),
    "ends": (HEAD + TRADES + "raise SystemExit(0)\n", ": SystemExit: 0"),
    "does not return": (
        HEAD + TRADES + "while True: pass\n",
        "DoesNotReturn: does not return: more than 1 s of the processor (mine.py:28)",
    ),
    "does not return when made": (
        HEAD + TRADES + "\n    def set_up(self):\n        while True: pass\n",
        "Mine cannot be made: DoesNotReturn: does not return: more than 1 s",
    ),
    "catches that it does not return": (
        HEAD
        + "    def set_up(self):\n        while True:\n            try:\n"
        + "                while True: pass\n            except BaseException: pass\n",
        "Mine cannot be made: DoesNotReturn",
    ),
    "has an __init__": (
        HEAD + "    def __init__(self, strategy_id, params): pass\n",
        "Mine cannot be made: it has no id; write set_up(self) instead of __init__",
    ),
    "gates that are none": (
        HEAD + TRADES + "    gates = {'OWN': 3}\n",
        "gates['OWN'] = 3; give the names of its values, a tuple",
    ),
    "stops the operator": (
        HEAD + "    def set_up(self):\n        raise KeyboardInterrupt\n",
        "mine.py:17: KeyboardInterrupt is the operator's",
    ),
    "parameters that are none": (
        HEAD.replace("MineParams(Params)", "MineParams") + TRADES,
        "MineParams of Mine are no parameters; write class MineParams(Params, frozen=True)",
    ),
    "a number in a list": (
        HEAD.replace("Annotated[float, Meta(ge=0, le=1_000)] = 2.0", "list[float]") + TRADES,
        "parameter edge_bps_min has no lower bound",
    ),
    "a number or nothing": (
        HEAD.replace("Annotated[float, Meta(ge=0, le=1_000)]", "float | None") + TRADES,
        "parameter edge_bps_min has no lower bound",
    ),
    "a Decimal": (
        HEAD.replace("Annotated[float, Meta(ge=0, le=1_000)]", "Decimal").replace(
            "from msgspec", "from decimal import Decimal\nfrom msgspec"
        )
        + TRADES,
        "parameter edge_bps_min is a Decimal, which can have no bounds; take float",
    ),
    "warm-up that is none": (
        HEAD + TRADES + "\n    def warmup(self):\n        return 3\n",
        "strategies.mine: warmup() is 3; return Warmup(span_ms=...)",
    ),
    "counts nothing": (
        HEAD + TRADES + "\n    def counters(self):\n        return 3\n",
        "strategies.mine: counters() is no dict",
    ),
    "wants no time": (
        HEAD + TRADES + "\n    def next_deadline_ns(self):\n        return 'soon'\n",
        "strategies.mine: next_deadline_ns() is 'soon'; return UNIX ns or None",
    ),
    "does not say what it wants": (
        HEAD + TRADES + "\n    def inputs(self):\n        while True: pass\n",
        "strategies.mine: inputs(): DoesNotReturn",
    ),
    "wants without end": (
        HEAD + TRADES + "\n    def inputs(self):\n        while True: yield Depth()\n",
        "strategies.mine: inputs(): TypeError: returned a generator; return a list of inputs",
    ),
    "wants a number": (
        HEAD + TRADES + "\n    def inputs(self):\n        return [3]\n",
        "strategies.mine: inputs(): TypeError: 3 is no input; return Depth(venue, instrument)",
    ),
    "ends when made": (
        HEAD + TRADES + "\n    def set_up(self):\n        raise SystemExit(0)\n",
        "Mine cannot be made: SystemExit: 0",
    ),
    "type that is none": (
        HEAD.replace("Annotated[float, Meta(ge=0, le=1_000)]", "'Missing'") + TRADES,
        "mine.py: types of MineParams: NameError: name 'Missing' is not defined",
    ),
    "default out of bounds": (
        HEAD.replace("le=1_000)] = 2.0", "le=1_000)] = -5.0") + TRADES,
        "parameter edge_bps_min = -5.0: Expected `float` >= 0.0",
    ),
    "no unit": (
        HEAD.replace("edge_bps_min", "edge") + TRADES,
        "parameter edge does not say its unit",
    ),
    "no bound": (
        HEAD.replace("Meta(ge=0, le=1_000)", "Meta(ge=0)") + TRADES,
        "parameter edge_bps_min has no upper bound",
    ),
    "no bounds": (
        HEAD.replace("Annotated[float, Meta(ge=0, le=1_000)]", "int") + TRADES,
        "parameter edge_bps_min has no lower bound",
    ),
    "cannot be made": (
        HEAD + "    def set_up(self):\n        self.missing.value\n",
        "Mine cannot be made: AttributeError",
    ),
    "wants what nobody has": (
        HEAD + TRADES + "\n    def inputs(self):\n        return [Depth('kraken', 'XRP/USDT')]\n",
        "strategies.mine: wants XRP/USDT; add it to venues.kraken.instruments",
    ),
    "wants a venue that is not there": (
        HEAD + TRADES + "\n    def inputs(self):\n        return [Depth('okx')]\n",
        "strategies.mine: wants okx, which is not configured; there are: binance, kraken",
    ),
    "wants no instrument": (
        HEAD + TRADES + "\n    def inputs(self):\n        return [Depth('kraken', 'BTCUSDT')]\n",
        "strategies.mine: inputs(): ValueError: instrument 'BTCUSDT' is not BASE/QUOTE",
    ),
    "ends when asked": (
        HEAD + TRADES + "\n    def inputs(self):\n        raise SystemExit(0)\n",
        "inputs(): SystemExit: 0",
    ),
    "wants nothing": (
        HEAD + TRADES + "\n    def inputs(self):\n        return []\n",
        "inputs() is empty",
    ),
}


@pytest.mark.parametrize(("source", "expected"), FILES.values(), ids=FILES)
def test_a_file_that_is_wrong(tmp_path: Path, source: str, expected: str) -> None:
    write_strategy(tmp_path, source, head="")
    path = write_config(tmp_path, MINE)
    assert expected in problem(path)
    if (
        not expected.startswith("strategies.") and "inputs()" not in expected
    ):  # the service goes on with the others
        (instance,) = load_strategies(load_config(path, {}))
        assert expected in instance.problem
        assert instance.strategy is None


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    path = write_config(tmp_path, MINE)
    assert f"cannot read {tmp_path}/mine.py: No such file or directory" in problem(path)
    (tmp_path / "mine.py").write_bytes(b"x = '\xff'\n")
    assert "byte 5 is not UTF-8" in problem(path)
    (tmp_path / "mine.py").write_bytes(b"x\x00")
    assert "mine.py:1: not valid Python" in problem(path)
    odd = write_config(tmp_path, 'id = "odd"\nclass = "a\\u0000b.py"')
    assert "is no path of a file" in problem(odd)


TABLES = {
    "unknown parameter": (f"{MINE}params = {{ edge_bps = 3 }}", "do you mean edge_bps_min?"),
    "out of range": (
        f"{MINE}params = {{ edge_bps_min = 1001 }}",
        "strategies.mine.params.edge_bps_min: Expected `float` <= 1000.0",
    ),
    "not a number": (f"{MINE}params = {{ edge_bps_min = nan }}", "strategies.mine.params"),
    "a number in quotation marks": (
        f'{MINE}params = {{ edge_bps_min = "3" }}',
        "strategies.mine.params.edge_bps_min: Expected `float`, got `str`",
    ),
    "negative": (f"{MINE}params = {{ edge_bps_min = -1 }}", "Expected `float` >= 0.0"),
    "infinite": (f"{MINE}params = {{ edge_bps_min = inf }}", "Expected `float` <= 1000.0"),
    "yes or no": (f"{MINE}params = {{ edge_bps_min = true }}", "Expected `float`, got `bool`"),
    "wrong type": (f"{MINE}params = {{ edge_bps_min = [1] }}", "Expected `float`, got `array`"),
    "params no table": (f"{MINE}params = 3", "strategies.mine.params: Expected `object`"),
    "unknown key": (
        f"{MINE}parms = {{}}",
        "unknown key strategies.mine.parms; do you mean params?",
    ),
    "no class": ('id = "mine"', "missing required field `class`"),
    "no id": ('class = "mine.py"', "strategies.1: Object missing required field `id`"),
    "odd id": ('id = "a b"\nclass = "mine.py"', "id 'a b': 1 to 64 letters"),
    "the operator's id": ('id = "operator"\nclass = "mine.py"', "a row of the profit by strategy"),
    "a report's word": ('id = "unknown"\nclass = "mine.py"', "netted, operator, other, unknown"),
    "no built-in": ('id = "x"\nclass = "cross_venues"', "do you mean cross_venue?"),
    "no such class": (
        'id = "x"\nclass = "mine.py:Other"',
        "no strategy 'Other' in it; there are: Mine",
    ),
}


@pytest.mark.parametrize(("table", "expected"), TABLES.values(), ids=TABLES)
def test_a_table_that_is_wrong(tmp_path: Path, table: str, expected: str) -> None:
    write_strategy(tmp_path)
    assert expected in problem(write_config(tmp_path, table))


def test_ids_are_given_once(tmp_path: Path) -> None:
    write_strategy(tmp_path)
    assert "two strategies have the id mine" in problem(write_config(tmp_path, MINE, MINE))


def test_strategies_are_tables(tmp_path: Path) -> None:
    path = write_config(tmp_path, more='strategies = "cross_venue"')
    assert "[[strategies]]" in problem(path)


def test_inputs_of_one_strategy_may_be_of_several_shards(tmp_path: Path) -> None:
    inputs = "[Depth('kraken', 'BTC/USDT'), Depth('kraken', 'ETH/USDT')]"
    write_strategy(tmp_path, f"{TRADES}\n    def inputs(self):\n        return {inputs}\n")
    assert check(write_config(tmp_path, MINE, more="[bus]\nshards = 2"), {})


def test_one_that_is_wrong_does_not_stop_the_others(tmp_path: Path) -> None:
    write_strategy(tmp_path)
    path = write_config(tmp_path, 'id = "bad"\nclass = "none.py"', MINE)
    bad, good = load_strategies(load_config(path, {}))
    assert (bool(bad.problem), bool(good.problem)) == (True, False)


def test_modules_that_fail_are_not_kept(tmp_path: Path) -> None:
    before = set(sys.modules)
    write_strategy(tmp_path, f"{TRADES}1 / 0\n")
    problem(write_config(tmp_path, MINE))
    assert not [name for name in set(sys.modules) - before if name.startswith("arb_strategy")]


def test_every_built_in_can_run_as_it_is() -> None:
    for name in built_ins():
        text = f'[[strategies]]\nid = "{name}"\nclass = "{name}"\n'
        (instance,) = load_strategies(parse_config(text, "here"))
        assert not instance.problem
        assert instance.strategy is not None
        assert configured(parse_config(text, "here"))[0].id == name


def test_a_built_in_that_cannot_be_loaded_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd_one.py").write_text("x = missing\n", encoding="utf-8")
    monkeypatch.setattr(built_in, "__path__", [*built_in.__path__, str(tmp_path)])
    text = '[[strategies]]\nid = "{0}"\nclass = "{0}"\n'
    config = parse_config(text.format("odd_one") + text.format("cross_venue"), "here")
    odd, good = load_strategies(config)
    assert "odd_one: NameError: name 'missing' is not defined (odd_one.py:1)" in odd.problem
    assert not good.problem


def test_nothing_is_allowed_that_engines_may_not_import() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    forbidden = contracts["importlinter:contract:pure"]["forbidden_modules"].split()
    assert forbidden
    assert not set(forbidden) & set(ALLOWED)


def test_a_built_in_strategy_is_read_once_and_made_anew() -> None:
    """Every start of a process of `arb sim` asks for it."""
    first, again = (load_strategies(Config())[0] for _ in range(2))
    assert first.strategy is not again.strategy
    assert first._replace(strategy=None) == again._replace(strategy=None)
    assert first.strategy_hash and type(first.strategy) is type(again.strategy)
