"""A system that trades tells a phone that its executor was killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from shared.config_notifier import NotifierConfig, NotifyChannel
from tests.e2e.up import arb, prepared, trading
from tests.fake_channels import TOKEN, providers_in_thread
from tests.support import eventually_sync

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_killed_executor_is_told_to_the_phone(tmp_path: Path) -> None:
    with providers_in_thread() as there:
        phone = NotifyChannel(name="phone", kind="telegram", chat="7", url=there.url)
        section = NotifierConfig(system="desk", channels=[phone])
        with (
            prepared(tmp_path, notifier=section) as folder,
            trading(folder, ARB_NOTIFY_PHONE_SECRET=TOKEN),
        ):
            eventually_sync(lambda: there.posts, timeout_s=30, what="the test message")
            services = {each["service"]: each for each in arb(folder, "status")[1]["services"]}
            assert services["notifier"]["ready"]
            # The supervisor starts it again at once: it is told all the same.
            os.kill(services["executor"]["pid"], signal.SIGKILL)

            def texts() -> list[str]:
                return [post.fields["text"] for post in there.of(f"/bot{TOKEN}/sendMessage")]

            told = eventually_sync(
                lambda: [text for text in texts() if "executor" in text and "Arb" in text],
                timeout_s=15,
                what="the message about the executor",
            )
            assert told[0].startswith("[desk] WARNING ArbRestarted executor") or told[0].startswith(
                "[desk] CRITICAL ArbDown executor"
            )
            assert not [text for text in texts() if TOKEN in text]
