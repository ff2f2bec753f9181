"""Carries messages to providers: HTTP through aiohttp, email in threads. IO.

Whatever happens, an answer comes within a bounded time, and nothing is repeated here. No address is
logged or reported: some are secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import msgspec

from shared.clock import Clock
from shared.config import Secret, read_secret
from shared.config_notifier import (
    HEARTBEAT_VARIABLE,
    NotifierConfig,
    NotifyChannel,
    secret_variable,
)
from shared.errors import ConfigError
from shared.notify.mail import MailChannel
from shared.notify.payloads import request_of, result_of
from shared.notify.requests import Send, Sent

ANSWER_S: Final = 10.0
ANSWER_BYTES_MAX: Final = 4_096


class Secrets:
    """The channels' secrets, from the environment or the files that it names.

    Raises:
        ConfigError: One is missing, or is no address where it must be one.
    """

    def __init__(self, config: NotifierConfig, environ: Mapping[str, str]) -> None:
        self._of: dict[str, Secret] = {}
        for channel in config.channels:
            secret = read_secret(variable := secret_variable(channel.name), environ)
            _check(channel, secret.reveal(), variable)
            self._of[channel.name] = secret
        self.heartbeat = read_secret(HEARTBEAT_VARIABLE, environ)

    def of(self, channel: str) -> str:
        """Return a channel's secret, to be sent and nothing else."""
        return self._of[channel].reveal()

    def hide(self, text: str) -> str:
        """Return a text without any of them, should one stand in it."""
        for secret in (*self._of.values(), self.heartbeat):
            if len(secret.reveal()) >= 6:
                text = text.replace(secret.reveal(), "***")
        return text


def _check(channel: NotifyChannel, secret: str, variable: str) -> None:
    place = f"notifier.channels.{channel.name}: {variable}"
    if not secret and (channel.kind != "email" or channel.user):
        raise ConfigError(f"{place} (or {variable}_FILE) is not set")
    if channel.kind == "email" and not f"{channel.user}{secret}".isascii():
        raise ConfigError(f"{place}: user and password must be plain ASCII to be sent")
    try:
        secret.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{place} is not UTF-8") from None  # its text would show a part
    if channel.kind in {"slack", "discord"}:
        try:
            parts = urlsplit(secret)
            right = parts.scheme in {"http", "https"} and bool(parts.hostname)
        except ValueError:
            right = False
        if not right:
            raise ConfigError(
                f"{place} is not the address of a webhook, which begins with https://"
            )
    if channel.kind == "telegram" and (
        any(c in secret for c in "/?#") or any(c.isspace() for c in secret)
    ):
        raise ConfigError(f"{place} is not the token of a bot")


class Courier:
    """Sends over channels, all beside each other.

    Args:
        config: The section.
        secrets: Of its channels.
        clock: Tells the time that a webhook is signed with.
        answer_s: How long a provider may take.
    """

    def __init__(
        self,
        config: NotifierConfig,
        secrets: Secrets,
        clock: Clock,
        *,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._secrets, self._clock, self._answer_s = secrets, clock, answer_s
        self._channels = {each.name: each for each in config.channels}
        self._mail = {
            each.name: MailChannel(each, secrets.of(each.name), answer_s)
            for each in config.channels
            if each.kind == "email"
        }
        self._session: aiohttp.ClientSession | None = None

    async def send(self, send: Send) -> Sent:
        """Send a message, and return what became of it."""
        hide = self._secrets.hide
        send = msgspec.structs.replace(send, subject=hide(send.subject), text=hide(send.text))
        mail = self._mail.get(send.channel)
        sent = await (mail.send(send) if mail is not None else self._post(send))
        return msgspec.structs.replace(sent, problem=hide(sent.problem))

    async def ping(self, url: str) -> str:
        """Tell a dead man's switch that all is well; return why it did not take it."""
        token = self._secrets.heartbeat.reveal()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            async with self._open().get(url, headers=headers, allow_redirects=False) as answer:
                return "" if 200 <= answer.status < 300 else f"HTTP {answer.status}"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return self._reason(error)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _post(self, send: Send) -> Sent:
        channel = self._channels[send.channel]
        now_s = self._clock.now_ns() // 1_000_000_000
        request = request_of(channel, self._secrets.of(channel.name), send, now_s)
        try:
            async with self._open().post(
                request.url, data=request.body, headers=request.headers, allow_redirects=False
            ) as answer:
                body = await answer.content.read(ANSWER_BYTES_MAX)
                return result_of(send, answer.status, answer.headers, body)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Sent(send.channel, send.note_id, self._reason(error))

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._answer_s)
            self._session = aiohttp.ClientSession(timeout=timeout)
        return self._session

    def _reason(self, error: Exception) -> str:
        """Return why nobody answered, in words without the address."""
        if isinstance(error, TimeoutError):
            return f"no answer within {self._answer_s:g} s"
        if isinstance(error, aiohttp.ClientConnectorError):
            return f"cannot connect: {error.strerror or type(error.os_error).__name__}"
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        return type(error).__name__
