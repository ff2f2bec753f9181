"""What people are told: once, then counted, over which channel, and when it is over."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from services.notifier.engine import TEST_EVERY_NS, NotifierEngine
from services.notifier.outbox import QUEUE_MAX
from services.notifier.requests import Ping, Pinged, Save
from services.notifier.texts import TEXT_LENGTH_MAX
from services.notifier.troubles import TROUBLES_MAX
from shared.config_limits import RiskConfig
from shared.config_notifier import NotifierConfig, NotifyChannel
from shared.config_sections import Config, VenueConfig
from shared.engine import Action, Stopping
from shared.messages.base import BookState, Certainty, TradingState
from shared.messages.control import Alert, Severity
from shared.messages.execution import ExecutorReady, RiskReport, TradingStateChanged
from shared.messages.market import VenueStatus
from shared.messages.position_reports import PositionReport
from shared.metrics.requests import ReadBooks, ReadHost, ReadStreams
from shared.notify.requests import Send, Sent
from tests.decision_builders import make_beat

NOW = 1_700_000_000_000_000_000
S = 1_000_000_000
MINUTE, HOUR = 60 * S, 3_600 * S
CORE = ("ingestor", "orderbook", "scanner", "risk", "executor")
Answer = Callable[[Send], Sent]


def phone(name: str = "phone", kind: str = "webhook", **more: Any) -> NotifyChannel:
    return NotifyChannel(name=name, kind=kind, url="http://h/x", chat="1", **more)


def taken(send: Send) -> Sent:
    return Sent(send.channel, send.note_id)


class Host:
    """The engine on virtual time, with services that beat and providers that answer at once."""

    def __init__(self, *channels: NotifyChannel, now_ns: int = NOW, **more: Any) -> None:
        section = NotifierConfig(channels=list(channels or (phone(),)), **more)
        risk = RiskConfig(drawdown_max=Decimal(1_000))
        venues = dict.fromkeys(("kraken", "bybit"), VenueConfig(instruments=["BTC/USDT"]))
        self.config = Config(notifier=section, risk=risk, venues=venues)
        self.now_ns, self.beating = now_ns, list(CORE)
        self.answers: dict[str, Answer] = {}
        self.sent: list[tuple[int, Send]] = []
        self.pings, self.ping_problem, self.state = [], "", b""
        self.since_ns: dict[str, int] = {}
        self.asked: list[Action] = []
        """What is to be read, not answered yet."""
        self.engine = NotifierEngine(self.config)
        self.done(self.engine.start({}, self.now_ns))

    def restart(self, pause_ns: int = 0) -> None:
        """Another process with what was saved last."""
        self.now_ns += pause_ns
        self.engine = NotifierEngine(self.config, self.state or None)
        self.done(self.engine.start({}, self.now_ns))

    def done(self, step: Any) -> None:
        assert not step.messages and not step.actions, "it publishes nothing"
        results: list[Any] = []
        for action in step.at_once:
            if isinstance(action, Send):
                self.sent.append((self.now_ns, action))
                results.append(self.answers.get(action.channel, taken)(action))
            elif isinstance(action, Ping):
                self.pings.append(self.now_ns)
                results.append(Pinged(self.ping_problem))
            elif isinstance(action, ReadStreams | ReadBooks | ReadHost):
                self.asked.append(action)
            else:
                assert isinstance(action, Save)
                self.state = action.state
        for result in results:  # they come once the step is over
            if result is not None:
                self.done(self.engine.on_message(result, self.now_ns))

    def hear(self, message: Any) -> None:
        self.done(self.engine.on_message(message, self.now_ns))

    def beat(self) -> None:
        for service in self.beating:
            since_ns = self.since_ns.get(service, 1)
            self.hear(make_beat(service, self.now_ns, since_ns, process=f"{since_ns}"))

    def run(self, for_ns: int, each: Callable[[], None] | None = None) -> None:
        """Let time pass, a second at a time."""
        end_ns = self.now_ns + for_ns
        while self.now_ns < end_ns:
            self.now_ns += S
            self.beat()
            if each is not None:
                each()
            due_ns = self.engine.next_deadline_ns()
            if due_ns is not None and due_ns <= self.now_ns:
                self.done(self.engine.on_timer(self.now_ns))

    def alert(self, code: str = "PLAN_FAILED", **more: Any) -> None:
        given = {"severity": Severity.CRITICAL, "service": "risk", "text": "0.5 BTC left", **more}
        self.hear(Alert(ts_ns=given.pop("ts_ns", self.now_ns), code=code, **given))

    def texts(self, channel: str = "phone") -> list[str]:
        return [s.text for _, s in self.sent if s.channel == channel and " test:" not in s.text]


@pytest.fixture
def host() -> Host:
    return Host()


def test_the_first_is_told_at_once_with_what_where_since_and_what_to_do(host: Host) -> None:
    host.alert(subject="plan-7")
    (text,) = host.texts()
    head, *lines = text.splitlines()
    assert head == "[arbstream] CRITICAL PLAN_FAILED plan-7"
    assert lines[:3] == ["Where: risk", "Since: 2023-11-14 22:13:20 UTC", "0.5 BTC left"]
    assert lines[3].startswith("Do: ")


def test_a_thousand_equal_alerts_in_an_hour_are_at_most_six_messages(host: Host) -> None:
    for _ in range(1_000):
        host.alert(text=f"at {host.now_ns}")
        host.run(3 * S)
    host.run(2 * HOUR)
    begun = host.sent[0][0]
    within = [text for at, text in host.sent if at - begun <= HOUR and " test:" not in text.text]
    assert len(within) <= 6
    told = [(at - begun) // MINUTE for at, text in host.sent if " test:" not in text.text]
    assert told[:5] == [0, 1, 5, 15, 60] and len(told) == 6
    assert "over: " in host.texts()[-1]


@pytest.mark.parametrize("pause_s", [1, 7, 61, 400, 901, 1_900])
def test_no_rhythm_of_equal_alerts_gets_more_than_six_messages_an_hour(pause_s: int) -> None:
    host = Host()
    times = []

    def come() -> None:
        if (host.now_ns - NOW) // S % pause_s < 2:
            host.alert(text=str(host.now_ns))

    host.run(3 * HOUR, come)
    times = [at for at, send in host.sent if " test:" not in send.text]
    assert times
    for at in times:
        assert sum(at <= other < at + HOUR for other in times) <= 6


def test_alerts_that_came_twice_are_over_after_a_quarter_of_an_hour(host: Host) -> None:
    host.alert()
    host.run(30 * S)
    host.alert(text="again")
    host.run(20 * MINUTE)
    _, counted, over = host.texts()
    assert "Times: 2" in counted and counted.startswith("[arbstream] again: CRITICAL")
    assert over.startswith("[arbstream] over: CRITICAL PLAN_FAILED")
    assert "again" in over and "(30 s)" in over


def test_what_differs_in_code_service_or_subject_is_told_apart(host: Host) -> None:
    host.alert(subject="kraken")
    host.alert(subject="bybit")
    host.alert("FILL_UNOWNED")
    host.alert(service="executor", subject="kraken")
    assert len(host.texts()) == 4


def test_a_storm_of_different_alerts_is_bounded_and_says_so() -> None:
    host = Host(phone(kind="discord"))
    host.answers["phone"] = lambda send: None  # it hangs
    for number in range(2_000):
        host.alert("STORM", subject=f"s{number}", severity=Severity.WARNING)
    channel = host.engine._outbox.channels["phone"]
    assert len(channel.queue) == QUEUE_MAX
    assert host.engine.counters()["messages_dropped"] > 100
    assert len(host.engine._troubles.known) <= 513


def test_what_is_critical_overtakes_a_flood_and_is_told_apart_in_it() -> None:
    host = Host(phone(kind="telegram"))
    host.run(3 * S)
    for number in range(600):
        host.alert("STORM", subject=f"s{number}", severity=Severity.WARNING)
    begun_ns = host.now_ns
    host.alert("FIRST")
    host.alert("SECOND")
    host.run(2 * MINUTE)
    for code in ("FIRST", "SECOND"):
        told_ns = next(at for at, send in host.sent if f"CRITICAL {code}" in send.text)
        assert told_ns - begun_ns <= MINUTE + 5 * S, "the flood would have taken ten minutes"


def test_a_condition_that_begins_in_a_flood_ends_as_well() -> None:
    host = Host()
    host.run(3 * S)
    for number in range(600):
        host.alert("STORM", subject=f"s{number}", severity=Severity.WARNING)
    host.beating.remove("executor")
    host.run(30 * S)
    host.beating.append("executor")
    host.run(MINUTE)
    heads = [text.splitlines()[0] for text in host.texts() if "ArbDown" in text]
    assert heads[0] == "[arbstream] CRITICAL ArbDown executor"
    assert heads[-1] == "[arbstream] over: CRITICAL ArbDown executor"


def test_a_flood_of_critical_ones_is_bounded_too_and_over_once_it_is_quiet() -> None:
    host = Host()
    for number in range(1_300):
        host.alert("STORM", subject=f"s{number}")
    assert len(host.engine._troubles.known) <= 2 * TROUBLES_MAX + 1
    host.beating.remove("executor")
    host.run(30 * S)
    host.beating.append("executor")
    for _ in range(9):
        host.now_ns += 10 * MINUTE
        host.run(20 * S)
    assert not host.engine._troubles.known


def test_info_is_dropped_before_anything_else() -> None:
    host = Host(phone(severities=("critical", "warning", "info")))
    host.answers["phone"] = lambda send: None
    for number in range(QUEUE_MAX):
        severity = Severity.INFO if number % 2 else Severity.CRITICAL
        host.alert(subject=f"s{number}", severity=severity)
    for number in range(90):
        host.alert("MORE", subject=f"s{number}")
    queue = host.engine._outbox.channels["phone"].queue
    assert sum(note.severity is Severity.CRITICAL for note in queue) >= QUEUE_MAX - 15


def test_severities_go_where_they_are_set_to() -> None:
    host = Host(phone(severities=("critical",)), phone("chat", severities=("warning", "info")))
    host.alert("A")
    host.alert("B", severity=Severity.WARNING)
    host.alert("C", severity=Severity.INFO)
    assert [text.split()[2] for text in host.texts()] == ["A"]
    assert [text.split()[2] for text in host.texts("chat")] == ["B", "C"]


def test_a_critical_one_is_told_even_where_no_channel_is_set_to_take_it() -> None:
    host = Host(phone("chat", severities=("info",)))
    host.alert()
    assert len(host.texts("chat")) == 1


def test_a_failing_channel_is_stood_in_for_and_says_when_it_works_again() -> None:
    host = Host(phone(severities=("critical",)), phone("mail", severities=("warning",)))
    host.run(5 * S)
    host.answers["phone"] = lambda send: Sent(send.channel, send.note_id, "HTTP 500")
    host.alert()
    host.run(2 * S)
    failed, told = host.texts("mail")[0], host.texts("mail")[1]
    assert failed.startswith("[arbstream] CRITICAL PLAN_FAILED")
    assert "(phone does not work: HTTP 500)" in failed
    assert "NOTIFY_CHANNEL phone" in told
    host.alert("NEXT")
    assert "CRITICAL NEXT" in host.texts("mail")[2]
    host.answers["phone"] = taken
    host.run(MINUTE)
    assert "phone works again; it did not from" in host.texts()[-1]
    assert any("over: WARNING NOTIFY_CHANNEL phone" in text for text in host.texts("mail"))
    host.alert("LATER")
    assert "CRITICAL LATER" in host.texts()[-1]


def test_the_only_channel_keeps_what_it_could_not_say() -> None:
    host = Host()
    host.run(5 * S)
    host.answers["phone"] = lambda send: Sent(send.channel, send.note_id, "cannot connect")
    host.alert("A")
    host.alert("B")
    host.run(10 * MINUTE)
    host.answers["phone"] = taken
    before = len(host.texts())
    host.run(10 * MINUTE)
    later = host.texts()[before:]
    assert "phone works again" in later[0]
    assert [text.split()[2] for text in later[1:3]] == ["A", "B"]


def test_a_channel_that_hangs_holds_nothing_up() -> None:
    host = Host(phone(), phone("mail"))
    host.answers["phone"] = lambda send: None
    for number in range(5):
        host.alert(subject=f"s{number}")
    assert len(host.texts("mail")) == 5


def test_a_provider_that_asks_to_wait_is_waited_for() -> None:
    host = Host()
    host.run(5 * S)
    host.answers["phone"] = lambda send: Sent(send.channel, send.note_id, "HTTP 429", 20.0)
    host.alert()
    asked_ns = host.now_ns
    host.answers["phone"] = taken
    host.run(30 * S)
    first, again = [at for at, send in host.sent if "PLAN_FAILED" in send.text]
    assert (first, again - asked_ns) == (asked_ns, 20 * S)
    assert not [text for text in host.texts() if "works again" in text]


@pytest.mark.parametrize(
    ("kind", "in_a_second", "in_a_minute"),
    [("telegram", 1, 20), ("slack", 1, 60), ("discord", 30, 30), ("email", 1, 20)],
)
def test_no_channel_is_sent_more_than_its_provider_allows(
    kind: str, in_a_second: int, in_a_minute: int
) -> None:
    host = Host(phone(kind=kind))
    for number in range(150):
        host.alert(subject=f"s{number}")
    host.run(10 * MINUTE)
    times = [at for at, _ in host.sent]
    assert len(times) > 100
    for at in times:
        assert sum(at <= other < at + S for other in times) <= in_a_second
        assert sum(at <= other < at + MINUTE for other in times) <= in_a_minute


def test_a_long_text_is_cut_and_a_login_in_an_address_masked(host: Host) -> None:
    host.alert(text="see redis://user:secret@host/0 " + "x" * 16_000)
    (text,) = host.texts()
    assert len(host.state) < 3 * TEXT_LENGTH_MAX and b"secret" not in host.state
    assert len(text) <= TEXT_LENGTH_MAX
    assert "[cut]" in text and "secret" not in text and "redis://***@host/0" in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("lost redis://:p@ss@host/0", "lost redis://***@host/0"),
        (
            "no answer: GET https://h/v3/account?a=1&signature=s3cret x",
            "https://h/v3/account?*** x",
        ),
        ("cannot connect to wss://h/ws?listenKey=s3cret", "to wss://h/ws?***"),
        ("wss://h/ws/btcusdt@depth closed", "wss://h/ws/btcusdt@depth closed"),
        ("did it fill? see b@c", "did it fill? see b@c"),
    ],
)
def test_nothing_secret_of_an_address_is_told(host: Host, text: str, shown: str) -> None:
    host.alert(text=text)
    (told,) = host.texts()
    assert shown in told and "s3cret" not in told and "p@ss" not in told


def test_a_provider_that_asks_to_wait_for_ever_fails_and_is_stood_in_for() -> None:
    host = Host(phone(), phone("mail"), heartbeat_url="http://w/ping")
    host.run(3 * S)
    host.answers["phone"] = lambda send: Sent(send.channel, send.note_id, "HTTP 429", 30.0)
    host.alert()
    host.run(2 * MINUTE)
    assert any("(phone does not work: HTTP 429)" in text for text in host.texts("mail"))
    assert "channel phone" in host.engine.notes(host.now_ns)


def test_a_channel_that_is_new_is_tested_at_the_next_start() -> None:
    host = Host(phone("old"), heartbeat_url="http://w/ping")
    host.run(90 * S)
    section = msgspec.structs.replace(host.config.notifier, channels=[phone("new")])
    host.config = msgspec.structs.replace(host.config, notifier=section)
    host.pings.clear()
    host.restart()
    host.run(90 * S)
    tests = [send.channel for _, send in host.sent if " test:" in send.text]
    assert tests == ["old", "new"] and host.pings


def test_a_clock_that_was_ahead_makes_no_alert_too_old() -> None:
    host = Host(now_ns=NOW + 26 * HOUR)
    host.run(70 * S)
    host.now_ns = NOW
    host.restart()
    host.alert()
    assert "CRITICAL PLAN_FAILED" in host.texts()[0]
    assert host.engine.counters()["alerts_too_old"] == 0


def test_what_was_told_is_not_told_again_after_a_restart(host: Host) -> None:
    host.run(5 * S)
    host.alert(ts_ns=NOW)
    host.run(2 * S)
    before = len(host.sent)
    host.restart(30 * S)
    host.alert(ts_ns=NOW)  # the stream is read from its oldest entry on
    host.run(30 * S)
    assert len(host.sent) == before


def test_what_came_while_nobody_listened_is_told(host: Host) -> None:
    host.run(5 * S)
    missed_ns = host.now_ns + 10 * MINUTE
    host.restart(HOUR)
    host.alert("MISSED", ts_ns=missed_ns)
    assert "CRITICAL MISSED" in host.texts()[-1]


def test_history_is_not_news_at_the_very_first_start(host: Host) -> None:
    host.alert(ts_ns=NOW - HOUR)
    assert not host.texts()
    assert host.engine.counters()["alerts_too_old"] == 1


def test_what_waits_outlives_a_restart(host: Host) -> None:
    host.run(5 * S)
    host.answers["phone"] = lambda send: None
    host.alert("A")
    host.alert("B")
    host.hear(Stopping())
    host.sent.clear()
    host.answers.clear()
    host.restart(10 * S)
    host.run(5 * S)
    assert [text.split()[2] for text in host.texts()] == ["A", "B"]


@pytest.mark.parametrize("state", [b"{", b'{"seen": "abc"}', b'{"seen": ' + b"[" * 4_096])
def test_a_state_that_cannot_be_read_is_told_and_begun_anew(host: Host, state: bytes) -> None:
    host.state = state
    host.restart()
    host.run(2 * S)
    assert "NOTIFY_STATE" in host.texts()[0]


def test_a_service_that_falls_silent_is_told_within_fifteen_seconds(host: Host) -> None:
    host.run(MINUTE)
    host.beating.remove("executor")
    since_ns = host.now_ns
    host.run(15 * S)
    (text,) = host.texts()
    assert "CRITICAL ArbDown executor" in text and "arb status" in text
    assert "no process of it is heard" in text
    host.beating.append("executor")
    host.run(20 * S)
    assert "over: CRITICAL ArbDown executor" in host.texts()[-1]
    assert host.sent[0][0] - since_ns <= 15 * S


def test_a_service_that_was_never_heard_is_missed(host: Host) -> None:
    host.beating.remove("scanner")
    host.run(3 * MINUTE)
    assert "ArbDown scanner" in host.texts()[0]


def test_a_process_that_was_replaced_is_told_once(host: Host) -> None:
    host.run(MINUTE)
    host.since_ns["executor"] = host.now_ns
    host.run(MINUTE)
    (text,) = host.texts()
    assert "WARNING ArbRestarted executor" in text


def test_a_silent_bus_is_one_message(host: Host) -> None:
    host.run(MINUTE)
    host.beating.clear()
    host.run(30 * S)
    (text,) = host.texts()
    assert "CRITICAL ArbBusDown" in text
    host.beating = list(CORE)
    host.run(30 * S)
    assert [text.split()[1:4] for text in host.texts()[1:]] == [["over:", "CRITICAL", "ArbBusDown"]]


def state(host: Host, what: str, reason: str) -> Callable[[], None]:
    since_ns = host.now_ns

    def tell() -> None:
        host.hear(
            TradingStateChanged(
                ts_ns=host.now_ns, state=TradingState(what), reason=reason, ts_since_ns=since_ns
            )
        )

    return tell


def test_halted_is_told_with_its_cause_and_its_end(host: Host) -> None:
    host.run(10 * S, state(host, "ACTIVE", ""))
    host.run(10 * S, state(host, "HALTED", "DRAWDOWN: 1200 USDT below the peak"))
    (text,) = host.texts()
    assert "CRITICAL ArbHalted" in text and "DRAWDOWN: 1200 USDT below the peak" in text
    host.run(10 * S, state(host, "ACTIVE", ""))
    assert "over: CRITICAL ArbHalted" in host.texts()[-1]


def test_what_began_hours_before_is_told_once_at_the_start(host: Host) -> None:
    tell = state(host, "HALTED", "DRAWDOWN: 1200 USDT below the peak")
    host.restart(3 * HOUR)
    host.run(MINUTE, tell)
    (text,) = host.texts()
    assert text.startswith("[arbstream] CRITICAL ArbHalted")
    host.run(HOUR, tell)
    assert "still: CRITICAL ArbHalted" in host.texts()[1], "each hour"


@pytest.mark.parametrize("reason", ["OPERATOR: maintenance", "STARTING: balances"])
def test_a_halt_that_was_asked_for_or_passes_wakes_nobody(host: Host, reason: str) -> None:
    host.run(30 * S, state(host, "HALTED", reason))
    assert not host.texts()


def test_halted_is_not_told_as_over_when_risk_is_silent(host: Host) -> None:
    host.run(10 * S, state(host, "HALTED", "PLAN_FAILED"))
    host.beating.remove("risk")
    host.run(MINUTE)
    assert not [text for text in host.texts() if "over:" in text]


def report(host: Host, **changes: Any) -> Callable[[], None]:
    def tell() -> None:
        made = RiskReport(
            ts_ns=host.now_ns,
            state=TradingState.ACTIVE,
            exposure={},
            realized={},
            fees={},
            realized_today={},
            reserved=Decimal(0),
            plans_in_flight=0,
            certainty=Certainty.KNOWN,
        )
        host.hear(msgspec.structs.replace(made, **changes))

    return tell


def btc(close: str | None, entry: str = "50000") -> PositionReport:
    price = None if close is None else Decimal(close)
    return PositionReport(
        venue="", instrument="BTC/USDT", qty=Decimal("0.5"), entry=Decimal(entry), close_price=price
    )


def test_unhedged_exposure_is_told_once_no_plan_works_on_it(host: Host) -> None:
    held = {"exposure": {"BTC": Decimal("0.5")}, "positions": [btc("40000")]}
    host.run(MINUTE, report(host, **held, plans_in_flight=1))
    assert not host.texts()
    host.run(MINUTE, report(host, **held))
    assert "CRITICAL ArbUnhedged BTC" in host.texts()[0]
    assert "0.5 BTC, worth 20000.00 dollars" in host.texts()[0]


@pytest.mark.parametrize(
    ("qty", "positions", "is_told"),
    [
        ("0.001", [btc("40000")], False),
        ("0.001", [btc(None)], False),
        ("0.5", [btc(None)], True),
        ("0.5", [], True),
    ],
)
def test_dust_is_no_exposure_and_an_unknown_price_is_not_zero(
    qty: str, positions: list[PositionReport], is_told: bool
) -> None:
    host = Host()
    host.run(MINUTE, report(host, exposure={"BTC": Decimal(qty)}, positions=positions))
    assert bool(host.texts()) is is_told


@pytest.mark.parametrize(
    ("lost", "severity"), [("400", None), ("600", "WARNING"), ("900", "CRITICAL")]
)
def test_a_drawdown_is_told_by_its_share_of_the_limit(lost: str, severity: str | None) -> None:
    host = Host()
    host.run(10 * S, report(host, drawdown={"USDT": Decimal(lost)}))
    found = [text.split()[1] for text in host.texts() if "ArbDrawdown USDT" in text]
    assert found == ([] if severity is None else [severity])


def feed(host: Host, **states: BookState) -> Callable[[], None]:
    def tell() -> None:
        for venue, each in states.items():
            host.hear(
                VenueStatus(ts_ns=host.now_ns, venue=venue, instrument="", state=each, epoch=1)
            )

    return tell


def test_a_silent_feed_is_a_warning_and_two_are_critical(host: Host) -> None:
    host.run(MINUTE, feed(host, kraken=BookState.STALE, bybit=BookState.LIVE))
    assert [text.split()[1:4] for text in host.texts()] == [["WARNING", "ArbFeedSilent", "kraken"]]
    host.run(MINUTE, feed(host, kraken=BookState.STALE, bybit=BookState.STALE))
    assert any("CRITICAL ArbFeedsSilent" in text for text in host.texts())


def test_an_ingestor_that_starts_again_ends_what_the_one_before_said_last(host: Host) -> None:
    """Each start is a source of its own, and the last word of one that stops is DOWN."""

    def feeds(source: str, state: BookState) -> None:
        for venue in ("kraken", "bybit"):
            told = VenueStatus(
                ts_ns=host.now_ns, venue=venue, instrument="", state=state, epoch=1, source=source
            )
            host.hear(told)

    for number in range(130):
        host.run(12 * S, lambda: feeds(f"ingestor-1#{number}", BookState.LIVE))
        feeds(f"ingestor-1#{number}", BookState.DOWN)
    host.run(2 * MINUTE, lambda: feeds("ingestor-1#last", BookState.LIVE))
    assert not host.texts()
    host.run(MINUTE, lambda: feeds("ingestor-1#last", BookState.DOWN))
    assert any("CRITICAL ArbFeedsSilent" in text for text in host.texts())
    host.run(MINUTE, lambda: feeds("ingestor-1#another", BookState.LIVE))
    assert any("over: CRITICAL ArbFeedsSilent" in text for text in host.texts())


def test_orders_without_an_outcome_and_venues_without_orders_are_told(host: Host) -> None:
    def tell() -> None:
        host.hear(
            ExecutorReady(
                ts_ns=host.now_ns,
                ready=True,
                mode="live",
                open_plans=0,
                unknown_orders=2,
                venues_down={"kraken": "EService:Unavailable"},
            )
        )

    host.run(90 * S, tell)
    said = "\n".join(host.texts())
    assert "CRITICAL ArbOrderUnsettled" in said and "2 orders" in said
    assert "WARNING ArbVenueOrdersDown kraken" in said and "EService:Unavailable" in said


def test_every_channel_is_tested_once_a_week_also_over_restarts() -> None:
    host = Host(phone(), phone("mail", severities=("info",)))
    host.run(5 * S)
    tests = [send.channel for _, send in host.sent if " test:" in send.text]
    assert tests == ["phone", "mail"]
    host.restart(MINUTE)
    host.run(5 * S)
    assert len(host.sent) == 2
    host.restart(TEST_EVERY_NS)
    host.run(5 * S)
    assert [send.channel for _, send in host.sent if " test:" in send.text][2:] == ["phone", "mail"]


def test_the_dead_mans_switch_is_pinged_only_while_all_is_well() -> None:
    host = Host(heartbeat_url="http://peer/ping")
    host.run(5 * MINUTE)
    assert [at - NOW for at in host.pings] == [n * MINUTE for n in range(1, 6)]
    host.beating.remove("executor")
    host.run(5 * MINUTE)
    assert len(host.pings) == 5
    assert host.engine.notes(host.now_ns)["heartbeat_url"] == (
        "is not pinged: executor is not heard"
    )


def test_no_ping_where_the_test_message_did_not_get_through() -> None:
    host = Host(heartbeat_url="http://peer/ping")
    host.answers["phone"] = lambda send: Sent(send.channel, send.note_id, "HTTP 401")
    host.run(5 * MINUTE)
    assert not host.pings
    host.answers.clear()
    host.run(10 * MINUTE)
    assert host.pings


def test_a_ping_that_nobody_takes_is_told() -> None:
    host = Host(heartbeat_url="http://peer/ping")
    host.ping_problem = "cannot connect"
    host.run(2 * MINUTE)
    assert "WARNING NOTIFY_HEARTBEAT" in host.texts()[0]
    host.ping_problem = ""
    host.run(2 * MINUTE)
    assert "over: WARNING NOTIFY_HEARTBEAT" in host.texts()[-1]


def test_each_channel_tells_when_it_last_took_a_message_and_what_waits() -> None:
    host = Host(phone(), phone("mail"))
    host.answers["mail"] = lambda send: None
    host.run(5 * S)
    host.alert()
    found = host.engine.gauges()
    assert found == {
        "notify_last_ok/phone": (NOW + 5 * S) / 1e9,
        "notify_waiting/phone": 0,
        "notify_waiting/mail": 2,
    }
