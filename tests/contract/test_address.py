"""Addresses of Redis: every part is checked, and no spelling shows a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.bus.address import Endpoint, check_server_kind, mask
from shared.config_sections import BusConfig
from shared.errors import ConfigError

WRONG = [
    ("http://x", "must begin with redis://, rediss:// or unix://"),
    ("", "must begin with"),
    ("localhost:6379", "must begin with"),
    ("REDIS://x", "must begin with"),
    ("redis:/x/0", "must begin with"),
    ("redis://", "no host"),
    ("redis://:6379/0", "no host"),
    ("redis://x/abc", "database is a number"),
    ("redis://x/-1", "database is a number"),
    ("redis://x/0/1", "database is a number"),
    ("redis://x/1.5", "database is a number"),
    ("redis://x/²", "database is a number"),
    ("redis://x/99999999999999999999", "database is a number"),
    ("redis://x/0?db=nine", "database is a number"),
    ("redis://x/0?db=", "database is a number"),
    ("redis://x/0?db=1", "two database numbers"),
    ("redis://x?db=1&db=2", "db twice"),
    ("redis://x:port/0", "port is a number"),
    ("redis://x:0/0", "port is a number"),
    ("redis://x:-1/0", "port is a number"),
    ("redis://x:70000/0", "port is a number"),
    ("redis://[::1/0", "not a URL"),
    ("redis://x/0#part", "%23"),
    ("redis://a b/0", "space"),
    ("redis://x/0\n", "space or control"),
    ("redis://x/0?socket_timeout=1", "unknown option socket_timeout=***"),
    ("redis://x/0?ssl_ca_certs=/ca.pem", "unknown option ssl_ca_certs"),
    ("rediss://x/0?ssl_cert_reqs=maybe", "required, optional or none"),
    ("rediss://x/0?ssl_check_hostname=perhaps", "true or false"),
    ("rediss://x/0?ssl_certfile=/etc/hostname", "go together"),
    ("rediss://x/0?ssl_ca_certs=/no/such/ca.pem", "/no/such/ca.pem"),
    ("rediss://x/0?ssl_keyfile=/no/such/key.pem", "/no/such/key.pem"),
    ("unix://", "no path"),
    ("unix:///", "no path"),
    ("unix://run/redis.sock", "absolute"),
    ("unix:///" + "x" * 120, "longer than"),
    ("sentinel://x", "redis+sentinel://host:26379"),
    ("redis-sentinel://x/arb", "redis+sentinel://host:26379"),
    ("redis+sentinel://x", "no name of a service"),
    ("redis+sentinel://x:1,y:2/", "no name of a service"),
    ("redis+sentinel://x//0", "no name of a service"),
    ("redis+sentinel://x/a b", "space"),
    ("redis+sentinel://x/a%20b", "letters, digits"),
    ("redis+sentinel:///arb", "each Sentinel is a host"),
    ("redis+sentinel://x,/arb", "each Sentinel is a host"),
    ("redis+sentinel://x:0/arb", "port of 1 to 65535"),
    ("redis+sentinel://x:70000/arb", "port of 1 to 65535"),
    ("redis+sentinel://x:y/arb", "port of 1 to 65535"),
    ("redis+sentinel://[::1/arb", "each Sentinel is a host"),
    ("redis+sentinel://" + ",".join("abcdefghij") + "/arb", "more than 9"),
    ("redis+sentinel://x/arb/one", "database is a number"),
    ("redis+sentinel://x/arb/1?db=2", "two database numbers"),
    ("redis+sentinel://x/arb?ssl_cert_reqs=none", "unknown option ssl_cert_reqs"),
    ("redis://x/0?sentinel_password=sesame", "unknown option sentinel_password=***"),
    ("rediss+sentinel://x/arb?ssl_keyfile=/no/such/key.pem", "/no/such/key.pem"),
    ("redis+cluster://x", "Cluster is not supported"),
    ("redis://a:6379,b:6379/0", "several hosts"),
]


@pytest.mark.parametrize(("url", "complaint"), WRONG)
def test_a_wrong_part_is_named_with_what_would_be_right(url: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=r"^bus\.url") as caught:
        Endpoint(BusConfig(url=url))
    assert complaint in str(caught.value)


RIGHT = [
    ("redis://x", {"host": "x", "port": 6379}),
    ("redis://x:1/2", {"host": "x", "port": 1, "db": 2}),
    ("redis://x/?db=3", {"host": "x", "port": 6379, "db": 3}),
    ("redis://[::1]:7/0", {"host": "::1", "port": 7, "db": 0}),
    ("redis://u:p%40w@x/0", {"host": "x", "username": "u", "password": "p@w"}),
    ("redis://x/0?username=u&password=p%23w", {"username": "u", "password": "p#w"}),
    ("unix:///run/r.sock?db=1", {"path": "/run/r.sock", "db": 1}),
    ("unix://u:p@/run/r.sock", {"path": "/run/r.sock", "username": "u", "password": "p"}),
    ("rediss://x/0?ssl_check_hostname=no", {"ssl_check_hostname": False}),
]


@pytest.mark.parametrize(("url", "arguments"), RIGHT)
def test_a_right_address_is_taken_as_written(url: str, arguments: dict[str, object]) -> None:
    assert arguments.items() <= Endpoint(BusConfig(url=url)).arguments.items()


SENTINELS = [
    ("redis+sentinel://x/arb", [("x", 26379)], {}),
    ("redis+sentinel://x:1,y:2,z/arb.1-b_c/3", [("x", 1), ("y", 2), ("z", 26379)], {"db": 3}),
    ("redis+sentinel://[::1]:7,[fe80::2]/arb", [("::1", 7), ("fe80::2", 26379)], {}),
    (
        "redis+sentinel://u:p%40w@x/arb?db=4&sentinel_username=s",
        [("x", 26379)],
        {"username": "u", "password": "p@w", "db": 4},
    ),
]


@pytest.mark.parametrize(("url", "addresses", "arguments"), SENTINELS)
def test_sentinels_are_taken_as_written(
    url: str, addresses: list[tuple[str, int]], arguments: dict[str, object]
) -> None:
    endpoint = Endpoint(BusConfig(url=url))
    assert endpoint.sentinels is not None
    assert list(endpoint.sentinels.addresses) == addresses
    assert endpoint.sentinels.service in {"arb", "arb.1-b_c"}
    assert {k: v for k, v in endpoint.arguments.items() if k != "sentinels"} == arguments
    assert endpoint.sentinels.tls is None


def test_the_login_at_the_sentinels_is_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "redis+sentinel://u:p@x/arb?sentinel_username=s&sentinel_password=q"
    sentinels = Endpoint(BusConfig(url=url)).sentinels
    assert sentinels is not None and sentinels.login == {"username": "s", "password": "q"}
    monkeypatch.setenv("ARB_REDIS_SENTINEL_PASSWORD", "of the environment")
    monkeypatch.setenv("ARB_REDIS_PASSWORD", "of Redis")
    endpoint = Endpoint(BusConfig(url=url))
    assert endpoint.sentinels is not None
    assert endpoint.sentinels.login == {"username": "s", "password": "of the environment"}
    assert endpoint.arguments["password"] == "of Redis"
    bare = Endpoint(BusConfig(url="redis+sentinel://u:p@x/arb"))
    assert bare.sentinels is not None
    assert bare.sentinels.login == {"password": "of the environment"}, "never Redis' own"


def test_tls_holds_for_the_sentinels_too() -> None:
    url = "rediss+sentinel://x/arb?ssl_check_hostname=no&ssl_cert_reqs=none"
    endpoint = Endpoint(BusConfig(url=url))
    assert endpoint.sentinels is not None
    given = {"ssl_check_hostname": False, "ssl_cert_reqs": "none"}
    assert endpoint.sentinels.tls == given
    assert given.items() <= endpoint.arguments.items()


SPELLINGS = [
    "redis://:sesame@x/0",
    "redis://me:sesame@x:1/0",
    "redis://sesame@x/0",
    "redis://x/0?password=sesame",
    "redis://x/0?db=1&password=sesame&username=me",
    "redis://x/0?pass%77ord=sesame",
    "redis://x/0?PASSWORD=sesame",
    "redis://x/0?auth=sesame",
    "redis://x/0?db=1;password=sesame",
    "redis://x/0?password=open@sesame",
    "redis://x/0?sesame",
    "redis://x/0#sesame",
    "redis://:ses/sesame@x/0",
    "redis://:ses?sesame@x/0",
    "redis://:ses#sesame@x/0",
    "redis://:sesame@sesame@x/0",
    "unix://:sesame@/run/r.sock",
    "unix:///run/r.sock?password=sesame",
    "redis://me:sesame@x:port/0",
    "redis://:sesame@[::1/0",
    "me:sesame@x:6379",
    "x?password=sesame",
    "redis:/:sesame@x",
    "redis+sentinel://:sesame@x:26379/mymaster",
    "redis+sentinel://:sesame@x,y/arb/0",
    "redis+sentinel://x,y/arb?sentinel_username=me&sentinel_password=sesame",
    "redis+sentinel://:sesame@x/arb/0/1",
    "http://:sesame@x",
]


@pytest.mark.parametrize("url", SPELLINGS)
def test_no_spelling_shows_a_password(url: str) -> None:
    assert "sesame" not in mask(url)
    try:
        assert "sesame" not in Endpoint(BusConfig(url=url)).where
    except ConfigError as error:
        assert "sesame" not in str(error)


def test_an_address_without_a_password_is_shown_whole() -> None:
    for url in ("redis://x:1/0", "unix:///run/r.sock?db=0", "rediss://x/0?ssl_cert_reqs=none", ""):
        assert mask(url) == url
    assert mask("redis://me:sesame@host:1/0") == "redis://me:***@host:1/0"
    assert mask("redis://x/0?password=sesame&db=1") == "redis://x/0?password=***&db=1"
    url = "redis+sentinel://me:{0}@a:1,b/arb/0?sentinel_username=s&sentinel_password={0}"
    assert mask(url.format("sesame")) == url.format("***")


def test_the_authority_must_be_there_and_hold_a_certificate(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    for path, complaint in ((str(empty), "No such file"), (str(tmp_path), "directory")):
        with pytest.raises(ConfigError, match=complaint) as caught:
            Endpoint(BusConfig(url="rediss://x/0", tls_ca_file=path))
        assert f"bus.tls_ca_file (or ARB_REDIS_TLS_CA_FILE) {path}" in str(caught.value)
    empty.write_text("no certificate")
    with pytest.raises(ConfigError, match=r"bus\.tls_ca_file .*ca\.pem: holds no certificate"):
        Endpoint(BusConfig(url="rediss://x/0", tls_ca_file=str(empty)))


@pytest.mark.parametrize(
    ("mode", "complaint"), [("cluster", "not supported"), ("sentinel", r"redis\+sentinel://host")]
)
def test_what_cannot_hold_the_streams_is_refused(mode: str, complaint: str) -> None:
    for hello in ([b"server", b"redis", b"mode", mode.encode()], {"mode": mode}):
        with pytest.raises(ConfigError, match=complaint):
            check_server_kind(hello, "Redis at x")
    check_server_kind([b"mode", b"standalone"], "Redis at x")
    check_server_kind(None, "Redis at x")
