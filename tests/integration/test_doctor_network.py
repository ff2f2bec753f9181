"""What `arb doctor` sees of names, certificates and fees, on real sockets."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from services.cli.doctor.check import Level
from services.cli.doctor.fee_checks import FeesPaid, check_fees, fees_paid
from services.cli.doctor.network_checks import Reached, check_network
from services.cli.doctor.network_reading import reached, read_network, wanted_of
from shared.bus.address import Endpoint
from shared.config_sections import BusConfig, Config, VenueConfig
from shared.messages.base import Side
from shared.messages.execution import Fill
from shared.messages.market import InstrumentInfo
from tests.decision_builders import make_fill, make_rules

DAY_S = 86_400.0
NOW_S = 1_795_000_000.0


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of its own authority, for a day."""
    make = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -keyout key.pem -out cert.pem "
        "-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
    )
    subprocess.run(make.split(), cwd=tmp_path, check=True, capture_output=True)
    return tmp_path / "cert.pem"


@contextmanager
def tls_server(certificate: Path) -> Iterator[int]:
    """A server that shows its certificate; yields its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    accepted, _ = listening.accept()
                except OSError:
                    return
                with accepted:
                    try:
                        context.wrap_socket(accepted, server_side=True).close()
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_certificate_is_told_with_its_end_and_why_it_is_not_trusted(certificate: Path) -> None:
    with tls_server(certificate) as port:
        trusting = ssl.create_default_context(cafile=str(certificate))
        (good,) = reached({"a": [("localhost", port, trusting)]})["a"]
        (other,) = reached({"a": [("localhost", port, ssl.create_default_context())]})["a"]
    assert good.expires_s is not None and not good.untrusted and not good.away
    assert "self-signed certificate" in other.untrusted
    (_, soon) = check_network({"redis": [good]}, "live", good.expires_s - DAY_S)
    assert (soon.name, soon.level) == ("TLS of redis", Level.WARNING)
    assert "deploy/README.md" in soon.right
    (_, well) = check_network({"redis": [good]}, "live", good.expires_s - 15 * DAY_S)
    assert well.level is Level.OK
    (_, bad) = check_network({"kraken": [other]}, "live", NOW_S)
    assert (bad.name, bad.level) == ("TLS of kraken", Level.FAILED)
    assert bad.right


def test_a_name_that_is_not_found_and_a_place_where_nobody_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    found = reached({"a": [("nobody.invalid", 443, None), ("127.0.0.1", port, None)]})["a"]
    assert found[0].unknown and not found[0].away
    assert "refused" in found[1].away.lower()
    name, way = check_network({"a": found}, "live", NOW_S)
    assert (name.name, name.level, way.name, way.level) == (
        "DNS of a",
        Level.FAILED,
        "way to a",
        Level.FAILED,
    )
    assert "nobody.invalid:443" in name.text and name.right and way.right
    assert {each.level for each in check_network({"a": found}, "paper", NOW_S)} == {Level.WARNING}


def test_what_does_not_answer_in_time_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as silent:
        port = silent.getsockname()[1]
        place = ("127.0.0.1", port, ssl.create_default_context())
        (found,) = reached({"a": [place]}, answer_s=5, all_s=0)["a"]
    assert found == Reached(f"127.0.0.1:{port}", unknown="no answer within 0 s", has_tls=True)


def test_addresses_are_those_that_are_used_and_none_of_this_machine() -> None:
    section = VenueConfig(instruments=["BTC/USDT"])
    config = Config(
        venues={
            "kraken": section,
            "binance": VenueConfig(
                instruments=["BTC/USDT"], rest_url="http://127.0.0.1:9", ws_url="ws://localhost:9"
            ),
        }
    )
    wanted = wanted_of(config, Endpoint(BusConfig(url="redis://127.0.0.1:6379/0")))
    assert wanted.keys() == {"kraken"}
    assert {host for host, _, _ in wanted["kraken"]} == {"api.kraken.com", "ws.kraken.com"}
    assert all(context is not None for _, _, context in wanted["kraken"])
    secure = Endpoint(BusConfig(url="rediss://redis.internal:6380/0"))
    assert [place[:2] for place in wanted_of(Config(), secure)["redis"]] == [
        ("redis.internal", 6380)
    ]


def fill(fee: str, **more: object) -> Fill:
    return make_fill("p1", "kraken", Side.BUY, fee_quote=Decimal(fee), **more)


def rules(bps: str) -> InstrumentInfo:
    return InstrumentInfo(ts_ns=1, rules=make_rules("kraken", taker_fee_bps=Decimal(bps)))


@pytest.mark.parametrize(
    ("fee", "level"),
    [("1.00", Level.OK), ("0.40", Level.OK), ("1.01", Level.OK), ("2.60", Level.FAILED)],
)
def test_a_tier_that_is_dearer_than_what_is_counted_with_fails(fee: str, level: Level) -> None:
    paid = fees_paid([rules("10"), fill(fee)])  # 0.1 at 10,000: a dollar is 10 bps
    (found,) = check_fees(paid, ["kraken"], "live")
    assert (found.name, found.level) == ("fees of kraken", level)
    if level is not Level.OK:
        assert "taker_fee_bps = 26.00" in found.right
        (on_paper,) = check_fees(paid, ["kraken"], "paper")
        assert on_paper.level is Level.WARNING


def test_fees_that_are_not_known_are_no_ok() -> None:
    unknown = [
        fees_paid([rules("10"), fill("1", reduced_by="LIQUIDATION")]),
        fees_paid([fill("1")]),
        fees_paid([rules("10")]),
    ]
    assert unknown == [{}, {}, {}]
    (found,) = check_fees({}, ["kraken", "binance"], "live")
    assert (found.name, found.level) == ("fees", Level.WARNING)
    one = {"kraken": FeesPaid(Decimal(1), Decimal(1), "BTC/USDT")}
    assert [each.level for each in check_fees(one, ["kraken", "binance"], "live")] == [
        Level.OK,
        Level.WARNING,
    ]


def test_behind_a_proxy_it_says_that_only_market_data_uses_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    section = VenueConfig(
        instruments=["BTC/USDT"], rest_url="https://venue.invalid", ws_url="wss://venue.invalid"
    )
    config = Config(venues={"kraken": section})
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)

    def told() -> str:
        (dns,) = check_network(read_network(config, None), "paper", NOW_S)
        assert dns.level is Level.WARNING
        return dns.text

    assert "proxy" not in told()
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:3128")
    assert told().endswith("the environment's proxy: market data uses it, orders do not")
    monkeypatch.setenv("no_proxy", "venue.invalid")
    assert "proxy" not in told()
