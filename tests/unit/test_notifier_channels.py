"""What each provider is sent, over sockets, and what its answers mean."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest
from aiohttp import web

from services.notifier.requests import Ping, Pinged, Save
from services.notifier.transport import ChannelTransport
from shared.bus.memory import MemoryBus
from shared.bus.memory_store import MemoryServer
from shared.clock import SystemClock
from shared.config_notifier import NotifierConfig, NotifyChannel
from shared.config_sections import Config
from shared.engine import Action, Result
from shared.errors import ConfigError
from shared.metrics.reader import Reader
from shared.notify.courier import Courier, Secrets
from shared.notify.requests import Send, Sent
from tests.fake_channels import (
    DISCORD_PATH,
    SLACK_PATH,
    TOKEN,
    MailServer,
    Providers,
    mail_server,
    providers,
)


def send(
    channel: str, text: str = "[arbstream] CRITICAL X & <b>", severity: str = "critical"
) -> Send:
    return Send(
        channel=channel,
        note_id=7,
        subject="X",
        text=text,
        severity=severity,
        ts_ns=1_700_000_000 * 10**9,
    )


class Sending:
    """A transport of some channels, and what came back."""

    def __init__(self, config: NotifierConfig, environ: Mapping[str, str], answer_s: float) -> None:
        self.results: asyncio.Queue[Result] = asyncio.Queue()
        self.bus = MemoryBus(MemoryServer(SystemClock()), service="notifier")
        self.tasks: set[asyncio.Task[None]] = set()
        courier = Courier(config, Secrets(config, environ), SystemClock(), answer_s=answer_s)
        reader = Reader.of(Config(), self.spawn)
        self.transport = ChannelTransport(
            courier, config.heartbeat_url, self.bus, self.spawn, reader
        )

    def spawn(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        return task

    async def do(self, action: Action) -> Any:
        self.transport.carry_out(action, self.results.put_nowait)
        return await self.results.get()


@asynccontextmanager
async def sending(
    *channels: NotifyChannel,
    environ: Mapping[str, str] | None = None,
    answer_s: float = 30,
    **more: Any,
) -> AsyncIterator[Sending]:
    made = Sending(NotifierConfig(channels=list(channels), **more), environ or {}, answer_s)
    try:
        yield made
    finally:
        await made.transport.close()
        for task in made.tasks:
            task.cancel()
        await asyncio.gather(*made.tasks, return_exceptions=True)


def telegram(there: Providers) -> NotifyChannel:
    return NotifyChannel(name="phone", kind="telegram", chat="-42", url=there.url)


def mail(there: MailServer, *to: str) -> NotifyChannel:
    return NotifyChannel(
        name="mail",
        kind="email",
        host="127.0.0.1",
        port=there.port,
        security="none",
        sender="arb@example.org",
        to=to,
    )


PHONE = {"ARB_NOTIFY_PHONE_SECRET": TOKEN}


async def test_telegram_is_sent_plain_text() -> None:
    async with providers() as there, sending(telegram(there), environ=PHONE) as made:
        assert await made.do(send("phone")) == Sent("phone", 7)
        (post,) = there.of(f"/bot{TOKEN}/sendMessage")
        assert post.fields["chat_id"] == "-42"
        assert post.fields["text"] == "[arbstream] CRITICAL X & <b>"
        assert "parse_mode" not in post.fields


async def test_slack_is_sent_escaped_text() -> None:
    slack = NotifyChannel(name="chat", kind="slack")
    async with providers() as there:
        secret = {"ARB_NOTIFY_CHAT_SECRET": there.url + SLACK_PATH}
        async with sending(slack, environ=secret) as made:
            assert await made.do(send("chat", "<!channel> & more")) == Sent("chat", 7)
        (post,) = there.of(SLACK_PATH)
        assert post.fields == {"text": "&lt;!channel&gt; &amp; more", "mrkdwn": False}


async def test_discord_may_mention_nobody() -> None:
    discord = NotifyChannel(name="chat", kind="discord")
    async with providers() as there:
        secret = {"ARB_NOTIFY_CHAT_SECRET": there.url + DISCORD_PATH}
        async with sending(discord, environ=secret) as made:
            assert await made.do(send("chat", "@everyone")) == Sent("chat", 7)
        (post,) = there.of(DISCORD_PATH)
        assert post.fields == {"content": "@everyone", "allowed_mentions": {"parse": []}}


async def test_a_webhook_is_signed_over_its_time_and_body() -> None:
    secret = {"ARB_NOTIFY_OPS_SECRET": "shared key"}
    async with providers() as there:
        hook = NotifyChannel(name="ops", kind="webhook", url=f"{there.url}/hook")
        async with sending(hook, environ=secret) as made:
            assert await made.do(send("ops")) == Sent("ops", 7)
        (post,) = there.of("/hook")
    told_s = post.headers["X-Arb-Timestamp"]
    assert abs(int(told_s) - SystemClock.now_ns() // 10**9) < 3_600
    expected = hmac.new(b"shared key", f"{told_s}.{post.body}".encode(), hashlib.sha256)
    assert post.headers["X-Arb-Signature"] == f"sha256={expected.hexdigest()}"
    assert post.fields["severity"] == "critical" and post.fields["subject"] == "X"


async def test_email_says_it_in_the_subject_and_the_text() -> None:
    to = "ops@example.org", "desk@example.org"
    async with mail_server() as there, sending(mail(there, *to)) as made:
        assert await made.do(send("mail", "unhedged: 0,5 BTC — überfällig")) == Sent("mail", 7)
        read = message_from_bytes(there.mails[0], policy=default)
        assert (read["From"], read["To"]) == ("arb@example.org", ", ".join(to))
        assert read["Subject"] == "X" and "überfällig" in read.get_content()
        there.refuses = "550 no such user"
        refused = await made.do(send("mail"))
        assert refused.is_refused and "550" in refused.problem


async def test_a_mail_that_one_of_its_addresses_has_is_sent() -> None:
    async with mail_server() as there:
        there.refuses, there.refused, there.bye = "550 no such user", "gone@", "421 too busy"
        async with sending(mail(there, "gone@example.org", "ops@example.org")) as made:
            assert await made.do(send("mail")) == Sent("mail", 7)
        assert len(there.mails) == 1


async def test_a_mail_server_that_hangs_is_given_up() -> None:
    async with mail_server() as there:
        there.hangs = True
        async with sending(mail(there, "b@example.org"), answer_s=0.2) as made:
            assert "timed out" in (await made.do(send("mail"))).problem


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 64}.example.org"])
async def test_a_mail_server_of_an_impossible_name_is_a_failure_each_time(host: str) -> None:
    channel = NotifyChannel(
        name="mail", kind="email", host=host, sender="a@example.org", to=("b@example.org",)
    )
    async with sending(channel) as made:
        for _ in range(2):  # its thread has ended, and the next one begins
            sent = await asyncio.wait_for(made.do(send("mail")), 5)
            assert "mail server's name" in sent.problem


@pytest.mark.parametrize("body", [b"[" * 4_096, b'{"a":' * 800, b"\xff", b'{"message": "\xff"}'])
@pytest.mark.parametrize("status", [429, 500])
async def test_no_answer_of_a_provider_ends_the_notifier(body: bytes, status: int) -> None:
    async with providers() as there, sending(telegram(there), environ=PHONE) as made:
        there.answers.append(web.Response(status=status, body=body))
        assert (await asyncio.wait_for(made.do(send("phone")), 5)).problem == f"HTTP {status}"


@pytest.mark.parametrize(
    ("answer", "pause_s"),
    [
        (
            lambda: web.json_response(
                {"ok": False, "description": "Too Many", "parameters": {"retry_after": 9}},
                status=429,
            ),
            9.0,
        ),
        (lambda: web.json_response({"message": "slow down", "retry_after": 1.5}, status=429), 1.5),
        (lambda: web.Response(status=429, headers={"Retry-After": "30"}), 30.0),
        (lambda: web.Response(status=429, text="[]"), 5.0),
    ],
    ids=["telegram", "discord", "slack", "nothing said"],
)
async def test_too_many_says_how_long_to_wait(answer: Any, pause_s: float) -> None:
    async with providers() as there, sending(telegram(there), environ=PHONE) as made:
        there.answers.append(answer())
        sent = await made.do(send("phone"))
        assert sent.problem.startswith("HTTP 429")
        assert (sent.retry_after_s, sent.is_refused) == (pause_s, False)


@pytest.mark.parametrize(("status", "is_refused"), [(500, False), (401, True), (400, True)])
async def test_a_failure_says_why_and_never_where(status: int, is_refused: bool) -> None:
    async with providers() as there, sending(telegram(there), environ=PHONE) as made:
        said = {"ok": False, "description": f"bad bot{TOKEN}"}
        there.answers.append(web.json_response(said, status=status))
        sent = await made.do(send("phone"))
        assert sent.problem == f"HTTP {status}: bad bot***"
        assert (sent.retry_after_s, sent.is_refused) == (None, is_refused)


async def test_nobody_there_and_somebody_who_hangs_are_failures() -> None:
    async with (
        providers() as there,
        sending(telegram(there), environ=PHONE, answer_s=0.2) as made,
    ):
        there.hangs = True
        assert (await made.do(send("phone"))).problem == "no answer within 0.2 s"
    async with sending(telegram(there), environ=PHONE) as made:
        sent = await made.do(send("phone"))
        assert sent.problem.startswith("cannot connect") and TOKEN not in sent.problem


async def test_a_secret_in_a_text_is_not_sent() -> None:
    async with providers() as there, sending(telegram(there), environ=PHONE) as made:
        await made.do(send("phone", f"see https://api/bot{TOKEN}/x"))
        assert there.posts[0].fields["text"] == "see https://api/bot***/x"


async def test_the_dead_mans_switch_is_pinged_with_its_token() -> None:
    async with providers() as there:
        environ = {"ARB_NOTIFY_HEARTBEAT_SECRET": "let me in"}
        async with sending(environ=environ, heartbeat_url=f"{there.url}/ping") as made:
            assert await made.do(Ping()) == Pinged()
            assert there.posts[0].headers["Authorization"] == "Bearer let me in"
            there.answers.append(web.Response(status=403))
            assert await made.do(Ping()) == Pinged("HTTP 403")


async def test_the_state_is_kept_under_the_services_name() -> None:
    async with sending() as made:
        made.transport.carry_out(Save(b"state"), made.results.put_nowait)
        await asyncio.gather(*made.tasks)
        assert await made.bus.load_checkpoint("notifier") == b"state"


@pytest.mark.parametrize(
    ("channel", "environ", "problem"),
    [
        ({"kind": "telegram", "chat": "1"}, {}, "ARB_NOTIFY_X_SECRET (or"),
        ({"kind": "slack"}, {"ARB_NOTIFY_X_SECRET": "xoxb-1"}, "address of a webhook"),
        ({"kind": "telegram"}, {"ARB_NOTIFY_X_SECRET": "a/b"}, "token of a bot"),
        ({"kind": "webhook"}, {}, "is not set"),
        ({"kind": "email", "user": "me"}, {}, "is not set"),
        ({"kind": "email", "user": "me"}, {"ARB_NOTIFY_X_SECRET": "geh\u00e4m"}, "plain ASCII"),
        ({"kind": "webhook"}, {"ARB_NOTIFY_X_SECRET": "key\udcff"}, "is not UTF-8"),
    ],
)
def test_a_secret_that_is_missing_or_wrong_is_said_at_the_start(
    channel: dict[str, Any], environ: dict[str, str], problem: str
) -> None:
    section = NotifierConfig(channels=[NotifyChannel(name="x", **channel)])
    with pytest.raises(ConfigError, match=problem.replace("(", r"\(")) as caught:
        Secrets(section, environ)
    assert all(value not in str(caught.value) for value in environ.values())
