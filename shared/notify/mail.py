"""Email over smtplib, in a thread of its own for each channel. IO."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import smtplib
import ssl
import threading
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Final

from shared.config_notifier import NotifyChannel
from shared.notify.requests import Send, Sent

log = logging.getLogger(__name__)

TOTAL_S: Final = 30.0
"""For all answers of the mail server together."""


class MailChannel:
    """Sends one message at a time; a server that hangs keeps its thread and nothing else.

    Args:
        channel: Where to.
        password: Of its user.
        answer_s: For each answer of the mail server.
    """

    def __init__(self, channel: NotifyChannel, password: str, answer_s: float) -> None:
        self._channel, self._password, self._answer_s = channel, password, answer_s
        self._is_busy = False

    async def send(self, send: Send) -> Sent:
        """Send a message, and return what became of it."""
        if self._is_busy:
            return Sent(send.channel, send.note_id, "the mail server still does not answer")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Sent] = loop.create_future()

        def give(result: Sent) -> None:
            if not done.done():
                done.set_result(result)

        def work() -> None:
            try:
                result = self._try(send)
            finally:
                self._is_busy = False
            with contextlib.suppress(RuntimeError):  # the process has ended meanwhile
                loop.call_soon_threadsafe(give, result)

        # A daemon: no mail server keeps the process from ending.
        self._is_busy = True
        threading.Thread(target=work, name=f"mail-{send.channel}", daemon=True).start()
        try:
            async with asyncio.timeout(TOTAL_S):
                return await done
        except TimeoutError:
            return Sent(send.channel, send.note_id, f"no answer within {TOTAL_S:g} s")

    def _try(self, send: Send) -> Sent:
        try:
            self._deliver(message_of(self._channel, send))
        except smtplib.SMTPResponseException as error:
            text = _words(error.smtp_error)
            is_refused = 500 <= error.smtp_code < 600
            problem = f"the mail server says {error.smtp_code}: {text}"
            return Sent(send.channel, send.note_id, problem, is_refused=is_refused)
        except smtplib.SMTPRecipientsRefused as error:
            code, why = next(iter(error.recipients.values()))
            problem = f"the mail server refuses the addresses: {code} {_words(why)}"
            return Sent(send.channel, send.note_id, problem, is_refused=500 <= code < 600)
        except UnicodeError:  # not its text, which holds what could not be encoded
            problem = "the mail server's name, its user or an address is not plain ASCII"
            return Sent(send.channel, send.note_id, problem)
        except (OSError, ValueError, smtplib.SMTPException) as error:
            return Sent(send.channel, send.note_id, f"{type(error).__name__}: {str(error)[:200]}")
        return Sent(send.channel, send.note_id)

    def _deliver(self, message: EmailMessage) -> None:
        """Give the mail server a message; taken for one address is taken.

        As a failure it would come again and again to those who have it, and nothing else would.
        """
        channel = self._channel
        server = self._open()
        try:
            if channel.security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if channel.user:
                server.login(channel.user, self._password)
            if refused := server.send_message(message):
                log.warning(
                    "addresses_refused",
                    extra={"channel": channel.name, "addresses": ", ".join(refused)},
                )
            with contextlib.suppress(OSError, smtplib.SMTPException):
                server.quit()  # it has the message, whatever it says to that
        finally:
            server.close()

    def _open(self) -> smtplib.SMTP:
        host, port = self._channel.host, self._channel.port
        if self._channel.security == "tls":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(host, port, timeout=self._answer_s, context=context)
        return smtplib.SMTP(host, port, timeout=self._answer_s)


def message_of(channel: NotifyChannel, send: Send) -> EmailMessage:
    """Return a message as an email."""
    message = EmailMessage()
    message["From"], message["To"] = channel.sender, ", ".join(channel.to)
    message["Subject"] = " ".join(send.subject.split())[:200]
    message["Date"] = format_datetime(datetime.fromtimestamp(send.ts_ns // 1_000_000_000, UTC))
    message["Message-ID"] = make_msgid(domain=channel.sender.rpartition("@")[2])
    if send.severity == "critical":
        message["Importance"] = "high"
    message.set_content(send.text)
    return message


def _words(text: bytes | str) -> str:
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return " ".join(plain.split())[:200]
