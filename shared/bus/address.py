"""Where Redis is: every part of its address checked, passwords hidden, TLS set up.

Services and the command line use the same endpoint, so where one connects the other does too.
"""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, unquote_plus, urlsplit

from shared.bus.primary import (
    PORT,
    FollowingConnection,
    FollowingSSLConnection,
    Sentinels,
    service_name,
)
from shared.bus.redis_parts import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from shared.config import read_secret
from shared.config_sections import BusConfig
from shared.errors import ConfigError

EXAMPLES = "redis://host:6379/0, rediss://host:6380/0 or unix:///path/to/socket?db=0"
SENTINEL_EXAMPLE = "redis+sentinel://host:26379,host2:26379,host3:26379/service-name/0"
SOCKET_PATH_BYTES_MAX = 107
"""What the kernel takes for the path of a unix socket."""
_CLASSES: dict[str, type[AbstractConnection]] = {
    "redis": Connection,
    "rediss": SSLConnection,
    "unix": UnixDomainSocketConnection,
    "redis+sentinel": FollowingConnection,
    "rediss+sentinel": FollowingSSLConnection,
}
SENTINELS_MAX = 9
CA_SETTING = "bus.tls_ca_file (or ARB_REDIS_TLS_CA_FILE)"
_OF_SENTINEL = ("redis+sentinel", "rediss+sentinel")
_LOGIN_OPTIONS = frozenset({"db", "username", "password"})
_SENTINEL_OPTIONS = frozenset({"sentinel_username", "sentinel_password"})
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS_OPTIONS = frozenset({*_TLS_FILES, "ssl_cert_reqs", "ssl_check_hostname"})
_SHOWN_OPTIONS = (_LOGIN_OPTIONS | _TLS_OPTIONS | {"sentinel_username"}) - {"password"}
_YES_OR_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Endpoint:
    """Where Redis is and who we are there; nothing is connected to.

    Raises:
        ConfigError: A part of the URL is wrong, or a file that it or ``tls_ca_file`` names;
            ``setting`` says in errors where the URL was given.

    ``login`` stands in the names of variables that are read before ``ARB_REDIS_USERNAME`` and
    ``ARB_REDIS_PASSWORD``: ``DASHBOARD_`` in ``ARB_DASHBOARD_REDIS_USERNAME``. Where it is None no
    variable is read: they are of another Redis than a run's own.
    """

    def __init__(
        self,
        config: BusConfig,
        setting: str = "bus.url (or ARB_REDIS_URL)",
        *,
        login: str | None = "",
    ) -> None:
        self.where = mask(config.url)
        named = f"{setting} {self.where}"
        parts = _split(config.url, named)
        self.connection_class = _CLASSES[parts.scheme]
        self.arguments: dict[str, Any] = _arguments(parts, named)
        for part in ("USERNAME", "PASSWORD") if login is not None else ():
            if given := read_secret(f"ARB_{login}REDIS_{part}") or read_secret(f"ARB_REDIS_{part}"):
                self.arguments[part.lower()] = given.reveal()
        if issubclass(self.connection_class, SSLConnection):
            if config.tls_ca_file:
                check_ca_file(config.tls_ca_file, CA_SETTING)
                self.arguments["ssl_ca_certs"] = config.tls_ca_file
            _check_client_certificate(self.arguments, named)
        self.sentinels: Sentinels | None = None
        """Who is asked where the primary is; ``None`` where the address is Redis' own."""
        if is_of_sentinel(config.url):
            self.sentinels = _sentinels(parts, self.arguments, named)
            self.arguments["sentinels"] = self.sentinels

    def connection(self, timeout_s: float) -> AbstractConnection:
        """Return a new connection, not yet connected; with Sentinel it asks for the address."""
        return self.connection_class(
            **self.arguments,
            protocol=2,
            driver_info=None,
            socket_timeout=timeout_s,  # of the login; a server may stand still
            socket_connect_timeout=timeout_s,
        )


def check_server_kind(hello: Any, where: str) -> None:
    """Refuse a server that cannot hold the streams, by its answer to HELLO.

    Raises:
        ConfigError: It is a node of a Redis Cluster, or a Sentinel.
    """
    flat = [part for pair in hello.items() for part in pair] if isinstance(hello, dict) else hello
    fields = [field.decode() if isinstance(field, bytes) else str(field) for field in flat or ()]
    mode = dict(zip(fields[::2], fields[1::2], strict=False)).get("mode")
    if mode == "cluster":
        raise ConfigError(f"{where} is a node of a Redis Cluster; {NO_CLUSTER}")
    if mode == "sentinel":
        raise ConfigError(f"{where} is a Redis Sentinel; give {SENTINEL_EXAMPLE}")


NO_CLUSTER = "Redis Cluster is not supported: give the address of one Redis with cluster-enabled no"


def is_of_sentinel(url: str) -> bool:
    """Tell whether a URL, or its scheme, is of Sentinels, which say where Redis is."""
    return url.partition(":")[0] in _OF_SENTINEL


def mask(url: str) -> str:
    """Return a URL without any password, whichever way it is written there."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "***" if set("@?&=") & set(url) else url
    if any(mark in rest.rpartition("@")[0] for mark in "/?#"):
        return (
            f"{scheme}://***"  # an unescaped password, or an @ in an option: it could be any part
        )
    rest, hash_mark, _ = rest.partition("#")
    address, question_mark, query = rest.partition("?")
    login, at, host = address.rpartition("@")
    if at:
        user, colon, _ = login.partition(":")
        address = f"{user}:***@{host}" if colon else f"***@{host}"
    shown = "&".join(_mask_option(option) for option in query.split("&"))
    return f"{scheme}://{address}{question_mark}{shown}{hash_mark}{'***' if hash_mark else ''}"


def _mask_option(option: str) -> str:
    name, equals, _ = option.partition("=")
    if not option or (unquote_plus(name) in _SHOWN_OPTIONS and ";" not in option):
        return option
    return f"{name}=***" if equals else "***"


def check_ca_file(path: str, what: str) -> None:
    """Refuse a file that holds no certificates.

    Raises:
        ConfigError: Names the setting and the file.
    """
    _check_file(path, what)
    try:
        ssl.create_default_context(cafile=path)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(
            f"{what} {path}: holds no certificate; give the authority's certificate as PEM"
        ) from error


def _check_file(path: str, what: str) -> None:
    try:
        with Path(path).open("rb"):
            return
    except OSError as error:
        raise ConfigError(
            f"{what} {path}: {error.strerror}; give a file that can be read"
        ) from error
    except ValueError as error:  # a NUL in the name
        raise ConfigError(
            f"{what} {path!r}: not a file name; give a file that can be read"
        ) from error


def _check_client_certificate(arguments: dict[str, Any], where: str) -> None:
    for name in _TLS_FILES:
        if name == "ssl_ca_certs" and name in arguments:
            check_ca_file(arguments[name], f"{where}: {name}")
        elif name in arguments:
            _check_file(arguments[name], f"{where}: {name}")
    if ("ssl_certfile" in arguments) != ("ssl_keyfile" in arguments):
        raise ConfigError(f"{where}: ssl_certfile and ssl_keyfile go together; give both")


def _wrong(where: str, why: str, like: str = EXAMPLES) -> ConfigError:
    return ConfigError(f"{where}: {why}; like {like}")


def _split(url: str, where: str) -> SplitResult:
    """Return the parts of a URL of a kind that we can use."""
    if any(character.isspace() or not character.isprintable() for character in url):
        raise _wrong(where, "a space or control character in it")
    scheme = url.partition(":")[0]
    if "sentinel" in scheme.lower() and scheme not in _CLASSES:
        raise _wrong(where, "not a URL of Redis Sentinel", SENTINEL_EXAMPLE)
    if "cluster" in scheme.lower():
        raise ConfigError(f"{where}: {NO_CLUSTER}")
    if scheme not in _CLASSES or not url.startswith(f"{scheme}://"):
        raise _wrong(where, "not a Redis URL: it must begin with redis://, rediss:// or unix://")
    hosts, rest = "", url
    if is_of_sentinel(url):  # urlsplit takes one host
        after = url.removeprefix(f"{scheme}://")
        hosts = re.split(r"[/?#]", after, maxsplit=1)[0]
        rest = f"{scheme}:{after.removeprefix(hosts)}"
    try:
        parts = urlsplit(rest)
    except ValueError as error:
        raise _wrong(where, "not a URL") from error
    parts = parts._replace(netloc=hosts or parts.netloc)
    if parts.fragment or url.endswith("#"):
        raise _wrong(where, "a # in it; write it as %23 in a password")
    return parts


def _arguments(parts: SplitResult, where: str) -> dict[str, Any]:
    """Return what redis-py's connection takes."""
    found = _options(parts, where)
    if parts.username:
        found["username"] = unquote(parts.username)
    if parts.password:
        found["password"] = unquote(parts.password)
    if parts.scheme == "unix":
        found["path"] = _socket_path(parts, where)
        return found
    path = parts.path.removeprefix("/")
    if is_of_sentinel(parts.scheme):
        path = path.partition("/")[2]
    else:
        found["host"], found["port"] = _host_and_port(parts, where)
    if path:
        in_path = _database(unquote(path), where)
        if found.setdefault("db", in_path) != in_path:
            raise _wrong(where, "two database numbers")
    return found


def _options(parts: SplitResult, where: str) -> dict[str, Any]:
    known = _LOGIN_OPTIONS | (_TLS_OPTIONS if parts.scheme.startswith("rediss") else frozenset())
    known |= _SENTINEL_OPTIONS if is_of_sentinel(parts.scheme) else frozenset()
    found: dict[str, Any] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in known:
            shown = _mask_option(f"{name}={value}" if value else name)
            raise _wrong(where, f"unknown option {shown}; there are: {', '.join(sorted(known))}")
        if name in found:
            raise _wrong(where, f"option {name} twice")
        found[name] = value
    if "db" in found:
        found["db"] = _database(found["db"], where)
    if "ssl_check_hostname" in found:
        answer = _YES_OR_NO.get(found["ssl_check_hostname"].lower())
        if answer is None:
            raise _wrong(where, "ssl_check_hostname is true or false")
        found["ssl_check_hostname"] = answer
    if found.get("ssl_cert_reqs", "required") not in {"required", "optional", "none"}:
        raise _wrong(where, "ssl_cert_reqs is required, optional or none")
    return found


def _database(text: str, where: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise _wrong(where, "the database is a number, 0 or more")
    return int(text)


def _host_and_port(parts: SplitResult, where: str) -> tuple[str, int]:
    if "," in parts.netloc.rpartition("@")[2]:
        raise ConfigError(f"{where}: several hosts; {NO_CLUSTER}")
    try:
        port = parts.port
    except ValueError as error:
        raise _wrong(where, "the port is a number, 1 to 65535") from error
    if port == 0:
        raise _wrong(where, "the port is a number, 1 to 65535")
    if not parts.hostname:
        raise _wrong(where, "no host")
    return unquote(parts.hostname), port or 6379


def _sentinels(parts: SplitResult, arguments: dict[str, Any], where: str) -> Sentinels:
    """Return whom to ask; takes what is meant for them out of Redis' own arguments."""

    def wrong(why: str) -> ConfigError:
        return _wrong(where, why, SENTINEL_EXAMPLE)

    name = unquote(parts.path.removeprefix("/").partition("/")[0])
    if not name:
        raise wrong("no name of a service after the Sentinels' addresses")
    if not (service := service_name(name)):
        raise wrong("the service's name is of letters, digits, dots, dashes and underscores")
    hosts = parts.netloc.rpartition("@")[2].split(",")
    if len(hosts) > SENTINELS_MAX:
        raise wrong(f"more than {SENTINELS_MAX} Sentinels")
    addresses = []
    for each in hosts:
        found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::(\d{1,5}))?", each)
        if found is None or not 1 <= int(found[2] or PORT) <= 65535:
            raise wrong("each Sentinel is a host, or host:port with a port of 1 to 65535")
        addresses.append((unquote(found[1].strip("[]")), int(found[2] or PORT)))
    login = {}
    for part in ("username", "password"):
        given = arguments.pop(f"sentinel_{part}", "")
        given = read_secret(f"ARB_REDIS_SENTINEL_{part.upper()}").reveal() or given
        if given:
            login[part] = given
    is_encrypted = parts.scheme.startswith("rediss")
    tls = {name: value for name, value in arguments.items() if name in _TLS_OPTIONS}
    return Sentinels(tuple(addresses), service, login, tls if is_encrypted else None)


def _socket_path(parts: SplitResult, where: str) -> str:
    path = unquote(parts.path)
    if parts.netloc.rpartition("@")[2]:
        raise _wrong(where, "the socket's path must be absolute, with three slashes")
    if path in {"", "/"}:
        raise _wrong(where, "no path")
    if len(path.encode()) > SOCKET_PATH_BYTES_MAX:
        raise _wrong(where, f"the socket's path is longer than {SOCKET_PATH_BYTES_MAX} bytes")
    return path
