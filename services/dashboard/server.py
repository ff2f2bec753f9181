"""The dashboard's HTTP side: pages, sessions, commands, and the checks before each. IO."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Final, cast

import msgspec
from aiohttp import web

from services.dashboard.access import SESSION_NS, Access, Refused, Role, Session, hosts_of
from services.dashboard.answers import ADDRESS, SESSION, error_of, read_body
from services.dashboard.api import Api
from services.dashboard.pages import Pages
from shared.config_dashboard import DashboardConfig
from shared.errors import ConfigError

log = logging.getLogger(__name__)

BODY_BYTES_MAX: Final = 1_024
RETRY_S: Final = 5.0
SHUTDOWN_S: Final = 1.0
CONNECTIONS_MAX: Final = 256
"""Twenty browsers with six each, and room for a proxy's; one more is told so and closed."""
FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Retry-After: 5\r\nContent-Security-Policy: default-src 'none'\r\n\r\n"
    b"too many connections to the dashboard; close other tabs\n"
)
COOKIE: Final = "arb_session_"
"""And the port: of one host a browser sends its cookies to every port, a demo's as well."""
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "arbstream",
}
"""On every answer."""
STATUS: Final = {
    Refused.HOST: (421, "this host name is not among those of the dashboard"),
    Refused.ORIGIN: (403, "the request comes from another site"),
    Refused.HEADER: (403, "X-Arb: 1 is missing"),
    Refused.TOKEN_IN_URL: (400, "a token in the URL is in somebody's log by now; make a new one"),
    Refused.SESSION: (401, "sign in"),
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class DashboardServer:
    """Listens and answers; a port that is taken is tried again.

    Args:
        config: Where it listens.
        api: What is behind the checks.
        access: Who may do what.
        pages: The files that it serves.
    """

    def __init__(self, config: DashboardConfig, api: Api, access: Access, pages: Pages) -> None:
        self._config, self._api, self._access, self._pages = config, api, access, pages
        self._tls = _tls_of(config)
        self._runner: web.AppRunner | None = None
        self._listening: asyncio.Server | None = None
        self.url, self.problem, self._cookie = "", "not listening yet", COOKIE

    async def serve(self) -> None:
        """Listen until canceled."""
        host = self._config.host
        while True:
            try:
                listening = _listen(host, self._config.port)
                break
            except OSError as error:
                self.problem = (
                    f"cannot listen on {host}:{self._config.port}: {error.strerror}; "
                    "set dashboard.port (ARB_DASHBOARD_PORT) to a free port, or 0"
                )
                log.warning("dashboard_not_served", extra={"reason": self.problem})
                await asyncio.sleep(RETRY_S)
        port = listening.getsockname()[1]
        self._cookie = f"{COOKIE}{port}"
        self._access.hosts = hosts_of(host, port, self._config.allowed_hosts)
        self._runner = web.AppRunner(
            self._app(),
            access_log=None,
            shutdown_timeout=SHUTDOWN_S,
            handle_signals=False,
            auto_decompress=False,  # no browser packs what it sends
        )
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._accept, sock=listening, ssl=self._tls)
        scheme = "http" if self._tls is None else "https"
        shown = f"[{host}]" if ":" in host else host
        self.url, self.problem = f"{scheme}://{shown}:{port}", ""
        log.info("dashboard_served", extra={"url": self.url})
        await self._api.live.tick()

    async def close(self) -> None:
        """Say so to every client, and stop listening."""
        if self._listening is not None:
            self._listening.close()
        await self._api.live.close()
        if self._runner is not None:
            await self._runner.cleanup()
        await self._api.close()
        self._api.trail.close()

    def _accept(self) -> asyncio.BaseProtocol:
        """Return who speaks with a connection; of too many, who says so and closes it."""
        assert self._runner is not None
        serving = self._runner.server
        assert serving is not None
        if len(serving.connections) < CONNECTIONS_MAX:
            return serving()
        self._access.refuse(Refused.TOO_MANY)
        return _Full()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[self._guard])
        api = self._api
        app.add_routes(
            [
                web.get("/", self._pages.index),
                web.get("/static/{path:.+}", self._pages.static),
                web.get("/healthz", _healthz),
                web.post("/api/v1/session", self._sign_in),
                web.delete("/api/v1/session", self._sign_out),
                web.get("/api/v1/me", api.me),
                web.get("/api/v1/snapshot", api.snapshot),
                web.get("/api/v1/series", api.series),
                web.get("/api/v1/chart", api.chart),
                web.post("/api/v1/command", api.command),
                web.get("/api/v1/command", api.given),
                web.get("/api/v1/live", api.live.serve),
            ]
        )
        app.on_response_prepare.append(_add_headers)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check a request before anything else sees it, and tell errors as JSON."""
        request[ADDRESS] = address = self._address_of(request)
        session = self._session_of(request)
        if (flaw := self._flaw_of(request, session)) is not None:
            who = session.name if session is not None else "-"
            if flaw is Refused.SESSION and self._cookie not in request.cookies:
                self._access.refuse(flaw)  # a page that is opened asks first whether it must
            else:
                action = f"{request.method} {request.path}"
                self._api.trail.refused(flaw, who, address, action)
            status, text = STATUS[flaw]
            if flaw is Refused.SESSION:
                text = self._access.why_not(request.cookies.get(self._cookie, ""))
            return error_of(status, text)
        if session is not None:
            request[SESSION] = session
        try:
            return await handler(request)
        except web.HTTPRequestEntityTooLarge:
            self._api.trail.refused(Refused.OVERSIZE, "-", address, request.path)
            return error_of(413, f"a body of more than {BODY_BYTES_MAX} bytes")
        except web.HTTPException as error:
            return error_of(error.status, error.reason)

    def _flaw_of(self, request: web.Request, session: Session | None) -> Refused | None:
        """Return why a request is refused, ``None`` where it is not."""
        headers, access = request.headers, self._access
        host, origin = headers.get("Host", ""), headers.get("Origin", "")
        if (flaw := access.flaw_of_host(host)) is not None:
            return flaw
        if any("token" in name.lower() for name in request.query):
            return Refused.TOKEN_IN_URL
        if request.method not in {"GET", "HEAD"}:
            fetch_site, mark = headers.get("Sec-Fetch-Site", ""), headers.get("X-Arb", "")
            flaw = access.flaw_of_post(host, origin, fetch_site, mark)
        elif request.path == "/api/v1/live":
            flaw = access.flaw_of_origin(host, origin)
        if flaw is not None:
            return flaw
        is_open = not request.path.startswith("/api/") or (
            request.path == "/api/v1/session" and request.method == "POST"
        )
        return None if is_open or session is not None else Refused.SESSION

    def _address_of(self, request: web.Request) -> str:
        """Return where a request comes from; a proxy says for whom it asks.

        What the proxy says is last, in a line of its own maybe; the rest is the browser's.
        """
        if self._config.behind_proxy:
            lines = request.headers.getall("X-Forwarded-For", [""])
            told = lines[-1].rpartition(",")[2].strip()
            with suppress(ValueError):
                return str(ip_address(told.partition("%")[0]))
        return request.remote or "-"

    def _session_of(self, request: web.Request) -> Session | None:
        cookie = request.cookies.get(self._cookie, "")
        return self._access.find(cookie, self._api.clock.monotonic_ns())

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        body = await read_body(request, SignIn)
        if isinstance(body, web.Response):
            return body
        role = self._api.try_token(body.token, request[ADDRESS], "login")
        if not isinstance(role, Role):
            return role
        now_ns = self._api.clock.monotonic_ns()
        if (known := self._session_of(request)) is not None:
            self._access.close(known.id)
        session_id = f"{self._access.era}.{secrets.token_urlsafe(32)}"
        session = self._access.open(role, session_id, now_ns)
        self._api.trail.did(session.name, request[ADDRESS], "login", "done")
        answer = web.Response(status=204)
        answer.set_cookie(
            self._cookie,
            session.id,
            max_age=SESSION_NS // 1_000_000_000,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=self._tls is not None or self._is_secure(request),
        )
        return answer

    async def _sign_out(self, request: web.Request) -> web.StreamResponse:
        session = request[SESSION]
        self._access.close(session.id)
        self._api.trail.did(session.name, request[ADDRESS], "logout", "done")
        answer = web.Response(status=204)
        answer.del_cookie(self._cookie, path="/")
        return answer

    def _is_secure(self, request: web.Request) -> bool:
        """Tell whether a proxy in front speaks TLS with the browser."""
        return self._config.behind_proxy and request.headers.get("X-Forwarded-Proto") == "https"


class _Full(asyncio.Protocol):
    """Tells a connection that there are too many, and closes it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        writing = cast("asyncio.WriteTransport", transport)  # uvloop's is no subclass
        writing.write(FULL)
        writing.close()


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a sign-in."""

    token: str


async def _healthz(request: web.Request) -> web.StreamResponse:
    del request
    return web.Response(text="ok")


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    del request
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens there.

    Raises:
        OSError: The address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=64)


def _tls_of(config: DashboardConfig) -> ssl.SSLContext | None:
    if not config.tls_cert_file:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.tls_cert_file, config.tls_key_file)
    except OSError as error:
        raise ConfigError(
            f"dashboard.tls_cert_file {config.tls_cert_file} with dashboard.tls_key_file "
            f"{config.tls_key_file}: {error}; give a certificate chain and its key as PEM"
        ) from error
    return context
