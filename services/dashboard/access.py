"""Who may look and who may act: tokens, sessions, and which requests are refused. Pure."""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from shared.config_dashboard import is_loopback

HOUR_NS: Final = 3_600_000_000_000
SESSION_NS: Final = 12 * HOUR_NS
FRESH_NS: Final = 300_000_000_000
"""For so long after a token was given it need not be given again."""
LOGINS_MAX: Final = 5
LOGINS_WITHIN_NS: Final = 60_000_000_000
SESSIONS_MAX: Final = 100
"""Of each role: however often viewers sign in, no operator's session ends of it."""
ADDRESSES_MAX: Final = 1_000
TOKEN_CHARS_MAX: Final = 200
DEFAULT_PORTS: Final = (80, 443)


class Role(StrEnum):
    """What a session may do."""

    VIEWER = "viewer"
    OPERATOR = "operator"


class Refused(StrEnum):
    """Why a request was refused; counted by these names."""

    HOST = "host"
    ORIGIN = "origin"
    HEADER = "header"
    TOKEN_IN_URL = "token_in_url"
    TOKEN = "token"
    TOO_OFTEN = "too_often"
    SESSION = "session"
    ROLE = "role"
    TYPED = "typed"
    TOO_MANY = "too_many"
    OVERSIZE = "oversize"
    MALFORMED = "malformed"
    DEAF = "deaf"


@dataclass(slots=True)
class Session:
    """Who has given a token: ``id`` is secret, ``name`` is not."""

    id: str
    name: str
    role: Role
    ts_ns: int
    fresh_ns: int

    def is_fresh(self, now_ns: int) -> bool:
        """Tell whether its token was given lately."""
        return 0 <= now_ns - self.fresh_ns < FRESH_NS


@dataclass(slots=True)
class Access:
    """The sessions and what is known of who tries. Times are of a clock that nobody sets back.

    Args:
        tokens: By role; a role that there is none of cannot be had.
        hosts: What a browser may call this server; names and addresses, with their ports.
    """

    tokens: Mapping[Role, str]
    hosts: frozenset[str]
    refused: dict[Refused, int] = field(default_factory=dict)
    era: str = ""
    """What the ids of this process' sessions begin with."""
    _sessions: dict[str, Session] = field(default_factory=dict)
    _tries: dict[str, deque[int]] = field(default_factory=dict)
    _count: int = 0

    def refuse(self, why: Refused) -> None:
        """Count a refusal."""
        self.refused[why] = self.refused.get(why, 0) + 1

    def flaw_of_host(self, host: str) -> Refused | None:
        """Return what is wrong with a request's Host: names of others may lead here."""
        return None if host.lower() in self.hosts else Refused.HOST

    def flaw_of_post(self, host: str, origin: str, fetch_site: str, mark: str) -> Refused | None:
        """Return what is wrong with a request that changes something.

        Args:
            host: Its Host.
            origin: Its Origin, empty where it has none.
            fetch_site: Its Sec-Fetch-Site, empty where it has none.
            mark: Its X-Arb, which no page of another site can send.
        """
        if (flaw := self.flaw_of_origin(host, origin)) is not None:
            return flaw
        if fetch_site not in {"", "same-origin"}:
            return Refused.ORIGIN
        return None if mark == "1" else Refused.HEADER

    @staticmethod
    def flaw_of_origin(host: str, origin: str) -> Refused | None:
        """Return what is wrong with where a request came from."""
        try:
            parts = urlsplit(origin)
        except ValueError:
            return Refused.ORIGIN
        same = parts.scheme in {"http", "https"} and parts.netloc.lower() == host.lower()
        return None if host and same else Refused.ORIGIN

    def may_try(self, address: str, now_ns: int) -> bool:
        """Tell whether a wrong token is told to be wrong, and count it: not too often."""
        tries = self._tries.pop(address, None) or deque(maxlen=LOGINS_MAX)
        self._tries[address] = tries
        if len(self._tries) > ADDRESSES_MAX:
            del self._tries[next(iter(self._tries))]
        if len(tries) == LOGINS_MAX and now_ns - tries[0] < LOGINS_WITHIN_NS:
            return False
        tries.append(now_ns)
        return True

    def role_of(self, token: str) -> Role | None:
        """Return the role that a token gives, ``None`` for a wrong one."""
        given = token[:TOKEN_CHARS_MAX].encode()
        found = None
        for role, known in self.tokens.items():
            if hmac.compare_digest(known.encode(), given):
                found = role
        return found

    def open(self, role: Role, session_id: str, now_ns: int) -> Session:
        """Begin a session under a secret id; of too many of a role the oldest ends."""
        self._forget(now_ns)
        known = [key for key, session in self._sessions.items() if session.role is role]
        if len(known) >= SESSIONS_MAX:
            del self._sessions[known[0]]
        self._count += 1
        session = Session(session_id, f"{role}-{self._count}", role, now_ns, now_ns)
        self._sessions[session_id] = session
        return session

    def find(self, session_id: str, now_ns: int) -> Session | None:
        """Return a session that has not ended."""
        session = self._sessions.get(session_id)
        if session is None or not 0 <= now_ns - session.ts_ns < SESSION_NS:
            return None
        return session

    def why_not(self, session_id: str) -> str:
        """Return why an id is of no session, for who shows it."""
        if not session_id:
            return "sign in"
        if not session_id.startswith(f"{self.era}."):
            return "the dashboard was started again, which ends all sessions; sign in again"
        return (
            f"the session is over: it was ended, is older than {SESSION_NS // HOUR_NS} hours, "
            f"or was the oldest of {SESSIONS_MAX}; sign in again"
        )

    def close(self, session_id: str) -> None:
        """End a session."""
        self._sessions.pop(session_id, None)

    def _forget(self, now_ns: int) -> None:
        ended = [k for k, s in self._sessions.items() if now_ns - s.ts_ns >= SESSION_NS]
        for key in ended:
            del self._sessions[key]


def hosts_of(host: str, port: int, allowed: Iterable[str]) -> frozenset[str]:
    """Return what a browser may call a server that listens there.

    Args:
        host: Where it listens; loopback has more than one name.
        port: Where it listens.
        allowed: Further names, with a port or without one (that of the scheme).
    """
    names = {each.lower() for each in allowed}
    own = {"127.0.0.1", "localhost", "[::1]"} if is_loopback(host) else set()
    if host not in {"0.0.0.0", "::"}:
        own.add(f"[{ip_address(host)}]" if ":" in host else host.lower())
    if port in DEFAULT_PORTS:
        names |= own  # no browser writes them
    return frozenset(names | {f"{name}:{port}" for name in own})
