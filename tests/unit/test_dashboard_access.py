"""Who may look and act, the audit trail, and the section of the configuration."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from services.dashboard.access import (
    FRESH_NS,
    LOGINS_MAX,
    LOGINS_WITHIN_NS,
    SESSION_NS,
    SESSIONS_MAX,
    Access,
    Refused,
    Role,
    hosts_of,
)
from services.dashboard.api import Api
from services.dashboard.engine import DashboardEngine
from services.dashboard.files import AuditFile, read_tokens
from services.dashboard.settings import setting_rows
from services.dashboard.trail import Trail
from shared.audit import verify
from shared.clock import ManualClock
from shared.config import apply_environment, parse_config
from shared.config_sections import Config
from shared.errors import ConfigError

HOST = "127.0.0.1:9470"
TOKENS = {Role.VIEWER: "v" * 43, Role.OPERATOR: "o" * 43}


@pytest.fixture
def access() -> Access:
    return Access(TOKENS, hosts_of("127.0.0.1", 9470, ["arb.example.com"]))


def test_tokens_give_roles(access: Access) -> None:
    assert [access.role_of(token) for token in TOKENS.values()] == list(TOKENS)
    assert access.role_of("") is access.role_of("o" * 42) is access.role_of("ö" * 43) is None


def test_sessions_end_and_are_bounded(access: Access) -> None:
    session = access.open(Role.VIEWER, "one", 1)
    assert access.find("one", 2) is session
    assert access.find("other", 2) is None
    assert access.find("one", 1 + SESSION_NS) is None
    access.close("one")
    assert access.find("one", 2) is None
    for number in range(SESSIONS_MAX + 1):
        access.open(Role.VIEWER, str(number), 1)
    assert access.find("0", 2) is None
    assert access.find("1", 2) is not None


def test_why_a_session_is_over_is_told() -> None:
    access = Access(TOKENS, frozenset(), era="now")
    assert access.why_not("") == "sign in"
    assert "started again" in access.why_not("before.id")
    assert "older than 12 hours" in access.why_not("now.id")


def test_viewers_end_no_session_of_an_operator(access: Access) -> None:
    operator = access.open(Role.OPERATOR, "operator", 1)
    for number in range(SESSIONS_MAX + 1):
        access.open(Role.VIEWER, str(number), 2)
    assert access.find("operator", 3) is operator
    assert access.find("0", 3) is None


def test_a_token_is_fresh_for_five_minutes(access: Access) -> None:
    session = access.open(Role.OPERATOR, "one", 0)
    assert session.is_fresh(FRESH_NS - 1)
    assert not session.is_fresh(FRESH_NS)


def test_five_tries_a_minute(access: Access) -> None:
    assert all(access.may_try("here", n) for n in range(LOGINS_MAX))
    assert not access.may_try("here", LOGINS_WITHIN_NS - 1)
    assert access.may_try("elsewhere", 5)
    assert access.may_try("here", LOGINS_WITHIN_NS)


class StartedClock(ManualClock):
    """A clock of a machine that has just started, and whose time may be set."""

    set_ns = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.set_ns

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() - 1_700_000_000_000_000_000


def test_wrong_tokens_keep_no_right_one_out_and_a_clock_set_back_nobody(
    access: Access, tmp_path: Path
) -> None:
    clock, engine = StartedClock(), DashboardEngine(Config())
    trail = Trail(AuditFile(tmp_path, 1), engine.audit, access, clock, [].append)
    api = Api(engine, access, trail, clock, target=None, version="1")

    def tried(token: str) -> Any:
        found = api.try_token(token, "10.0.0.1", "login")
        return found.status if isinstance(found, web.Response) else found

    assert [tried("x" * 43) for _ in range(LOGINS_MAX + 1)] == [401] * LOGINS_MAX + [429]
    assert [tried("o" * 43) for _ in range(9)] == [Role.OPERATOR] * 9
    assert tried("x" * 43) == 429
    clock.advance(LOGINS_WITHIN_NS)
    clock.set_ns = -3_600_000_000_000
    assert tried("x" * 43) == 401
    trail.close()


def test_what_is_in_no_file_is_shown_entry_by_entry(
    access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = DashboardEngine(Config())
    trail = Trail(AuditFile(tmp_path, 1), engine.audit, access, StartedClock(), [].append)

    def is_full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("services.dashboard.files.os.write", is_full)
    for outcome in ("asked for", "confirmed"):
        trail.did("operator-1", "::1", "halt", outcome)
    assert trail.problem
    assert len(engine.audit) == 2
    trail.close()


@pytest.mark.parametrize(
    ("host", "flaw"),
    [
        (HOST, None),
        ("LOCALHOST:9470", None),
        ("arb.example.com", None),
        ("127.0.0.1", Refused.HOST),
        ("evil.example.com:9470", Refused.HOST),
        ("", Refused.HOST),
    ],
)
def test_hosts(access: Access, host: str, flaw: Refused | None) -> None:
    assert access.flaw_of_host(host) == flaw


@pytest.mark.parametrize(
    ("host", "port", "called"),
    [
        ("192.0.2.7", 443, "192.0.2.7"),
        ("arb.example.com", 443, "arb.example.com"),
        ("127.0.0.1", 80, "localhost"),
        ("FD00:0::7", 9470, "[fd00::7]:9470"),
    ],
)
def test_it_knows_itself_as_a_browser_writes_it(host: str, port: int, called: str) -> None:
    assert called in hosts_of(host, port, [])


@pytest.mark.parametrize(
    ("origin", "site", "mark", "flaw"),
    [
        (f"http://{HOST}", "same-origin", "1", None),
        (f"https://{HOST}", "", "1", None),
        ("", "", "1", Refused.ORIGIN),
        ("null", "", "1", Refused.ORIGIN),
        ("http://127.0.0.1:9999", "", "1", Refused.ORIGIN),
        ("http://[", "", "1", Refused.ORIGIN),
        (f"http://{HOST}", "cross-site", "1", Refused.ORIGIN),
        (f"http://{HOST}", "same-origin", "", Refused.HEADER),
    ],
)
def test_posts(access: Access, origin: str, site: str, mark: str, flaw: Refused | None) -> None:
    assert access.flaw_of_post(HOST, origin, site, mark) == flaw


def test_tokens_are_made_once_for_this_user_alone(tmp_path: Path) -> None:
    made = read_tokens(tmp_path / "new")
    assert read_tokens(tmp_path / "new") == made
    assert len({*made.values()}) == len(Role)
    for role in Role:
        path = tmp_path / "new" / f"{role}.token"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert len(made[role]) == 43, "32 bytes"
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_tokens(tmp_path / "new")


def trail(folder: Path) -> AuditFile:
    audit = AuditFile(folder, 7)
    audit.close()
    return audit


def test_the_audit_trail_goes_on_and_shows_every_change(tmp_path: Path) -> None:
    first = trail(tmp_path)
    first.add(1, "viewer-1", "::1", "login", "done")
    first.add(2, "viewer-1", "::1", "halt", "refused: role", arguments={"a": "b"})
    trail(tmp_path).add(3, "operator-1", "::1", "halt", "confirmed", command_id="halt-3")
    lines = first.path.read_bytes().splitlines(keepends=True)
    entries, flaw = verify(lines)
    assert (len(entries), flaw) == (3, "")
    assert entries[-1].command_id == "halt-3"
    changed = lines[1].replace(b"refused", b"granted")
    for wrong, told in (
        ([lines[0], changed, lines[2]], "line 2 was changed"),
        ([lines[0], lines[2]], "line 2 does not follow"),
        ([lines[0], lines[0], *lines[1:]], "line 2 does not follow"),
        ([*lines[:2], lines[2][:-9]], "line 3 is not complete"),
        ([b"[]\n"], "line 1 is no entry"),
        ([b"[" * 100_000 + b"\n"], "line 1 is no entry"),
        ([b'{"who":"\xff"}\n'], "line 1 is no entry"),
        ([lines[0].replace(b'"who":', b'"who":"nobody","who":')], "line 1 was changed"),
        ([lines[0].replace(b'"who":', b'"note":"false","who":')], "line 1 was changed"),
        ([lines[0].replace(b":", b": ", 1)], "line 1 was changed"),
    ):
        assert verify(wrong)[1].startswith(told)


def test_what_is_no_utf8_is_written_all_the_same(tmp_path: Path) -> None:
    audit = trail(tmp_path)
    audit.add(1, "-", "\udcff", "GET /\udcfe" + "x" * 900, "refused: host")
    (entry,), flaw = verify(audit.path.read_bytes().splitlines(keepends=True))
    assert (entry.address, len(entry.action), flaw) == ("\\udcff", 300, "")


def test_files_that_cannot_be_read_are_said_and_no_traceback(tmp_path: Path) -> None:
    read_tokens(tmp_path)
    (tmp_path / "viewer.token").write_bytes(b"\xff" * 43)
    with pytest.raises(ConfigError, match="is no text"):
        read_tokens(tmp_path)
    (tmp_path / "audit.jsonl").mkdir()
    audit = trail(tmp_path)
    assert "cannot be read" in audit.problem
    (tmp_path / "audit.jsonl").rmdir()
    audit.add(1, "a", "", "halt", "asked for")
    assert "cannot be read" in audit.problem, "then FLATTEN and RESUME are refused, no HALT"
    assert not audit.path.exists()


def test_a_broken_trail_is_put_aside_and_said(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"{}\n")
    trail(tmp_path)
    assert (tmp_path / "broken-7.jsonl").read_bytes() == b"{}\n"
    (entry,), flaw = verify(path.read_bytes().splitlines(keepends=True))
    assert not flaw
    assert "broken" in entry.outcome


def test_two_dashboards_have_two_trails(tmp_path: Path) -> None:
    one, other = AuditFile(tmp_path, 1), AuditFile(tmp_path, 1)
    assert one.path != other.path
    one.close()
    other.close()


def test_an_entry_that_cannot_be_written_leaves_the_chain_whole(tmp_path: Path) -> None:
    audit = trail(tmp_path)
    audit.add(1, "a", "", "login", "done")
    audit.path.rename(tmp_path / "away")
    audit.path.mkdir()
    audit.add(2, "a", "", "login", "done")
    assert "cannot be written" in audit.problem
    audit.path.rmdir()
    (tmp_path / "away").rename(audit.path)
    audit.add(3, "a", "", "login", "done")
    assert not audit.problem
    entries, flaw = verify(audit.path.read_bytes().splitlines(keepends=True))
    assert ([entry.ts_ns for entry in entries], flaw) == ([1, 3], "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('host = "0.0.0.0"', "without TLS"),
        ('host = "192.168.1.5"', "without TLS"),
        ('host = "127.evil.example.com"', "without TLS"),
        ('host = ""', "dashboard.host is empty"),
        ("behind_proxy = true", "needs dashboard.allowed_hosts"),
        ('host = "0.0.0.0"\ntls_cert_file = "c"\ntls_key_file = "k"', "has no name of its own"),
        ('tls_key_file = "k"', "go together"),
        ('allowed_hosts = ["https://a"]', "is no host"),
        ('host = "0.0.0.0"\npublished_on_loopback = true', "has no name of its own"),
        (
            'behind_proxy = true\npublished_on_loopback = true\nallowed_hosts = ["a"]',
            "exclude each other",
        ),
    ],
)
def test_what_would_be_unprotected_is_refused(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_config(f"[dashboard]\n{text}\n", "arb.toml")


def test_a_proxy_or_tls_may_be_reached_by_others() -> None:
    for text in (
        'host = "0.0.0.0"\nbehind_proxy = true\nallowed_hosts = ["arb.example.com"]',
        'host = "192.168.1.5"\ntls_cert_file = "c"\ntls_key_file = "k"',
    ):
        parse_config(f"[dashboard]\n{text}\n", "arb.toml")


def test_the_environment_is_checked_as_well() -> None:
    with pytest.raises(ConfigError, match="without TLS"):
        apply_environment(Config(), {"ARB_DASHBOARD_HOST": "0.0.0.0"})
    told = {
        "ARB_DASHBOARD_HOST": "0.0.0.0",
        "ARB_DASHBOARD_PUBLISHED_ON_LOOPBACK": "yes",
        "ARB_DASHBOARD_ALLOWED_HOSTS": "127.0.0.1:9470 localhost:9470",
    }
    found = apply_environment(Config(), told).dashboard
    assert not found.behind_proxy, "nobody is believed about who asks"
    assert (found.host, found.allowed_hosts) == ("0.0.0.0", ("127.0.0.1:9470", "localhost:9470"))


def test_settings_show_no_secret() -> None:
    config = parse_config(
        '[bus]\nurl = "redis://me:pass-word@host:6379/0"\n[risk]\nloss_cap_bps = 80\n'
        '[venues.kraken]\ninstruments = ["BTC/USDT"]\n'
        '[[strategies]]\nid = "mine"\nclass = "cross_venue"\nparams = {api_key = "s3cret"}\n'
        '[notifier]\nheartbeat_url = "https://ping.example.com/s3cret"\n'
        '[[notifier.channels]]\nname = "hook"\nkind = "webhook"\n'
        'url = "https://hooks.example.com/s3cret?key=s3cret"\n',
        "arb.toml",
    )
    rows = setting_rows(config)
    assert rows["bus.url"]["value"] == "redis://me:***@host:6379/0"
    assert rows["strategies.mine.params.api_key"]["value"] == "***"
    assert rows["risk.loss_cap_bps"] == {
        "section": "risk",
        "key": "loss_cap_bps",
        "value": "80",
        "is_default": False,
    }
    assert rows["scanner.edge_bps_min"]["is_default"]
    assert rows["strategies.mine.legs"]["is_default"]
    assert rows["venues.kraken.taker_fee_bps"] == {
        "section": "venues",
        "key": "kraken.taker_fee_bps",
        "value": "",
        "is_default": True,
    }
    assert rows["venues.kraken.feeds"]["value"] == "depth"
    assert not rows["venues.kraken.instruments"]["is_default"]
    assert rows["notifier.channels.hook.url"]["value"] == "https://hooks.example.com/***"
    assert rows["notifier.heartbeat_url"]["value"] == "https://ping.example.com/***"
    assert "s3cret" not in json.dumps(rows)
    assert "pass-word" not in json.dumps(rows)
