"""Sentinel: watches the venues' own accounts and the streams, and owns the last kill switch. Pure.

It trusts no other service: working orders, balances and positions are read from the venues with
keys of its own, and compared with what risk and the executor publish (``rules.py``). A violated
rule is an alert. With ``[sentinel] act`` some rules also press the kill switch
(``kill_switch.py``): HALT is written, every order everywhere is canceled and, with ``flatten``,
positions are closed: by the executor while it lives, else here, at the venues directly. An
operator's FLATTEN that finds the executor dead is taken over the same way.

Each rule presses once, until it has held again. The effect stays until an operator runs
``arb resume``: the sentinel never starts trading. Without Redis the venues are still read, and the
switch still works; a command that could not be written is reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.sentinel.equity import Equity
from services.sentinel.facts import Facts
from services.sentinel.kill_switch import traded_of
from services.sentinel.requests import LagsRead, ReadFailed, ReadLags, ReadTruth, Say, TruthRead
from services.sentinel.rules import RULES, SELF, Look, Violation, unknown
from services.sentinel.trips import Trips
from services.sentinel.truth import Truth
from shared.accounts.gateway import OrderReport
from shared.config_sections import Config
from shared.engine import NOTHING, EngineSpec, Result, Step
from shared.messages.base import Message
from shared.messages.bounds import TEXT_LENGTH_MAX
from shared.messages.control import Alert, Command, Severity

LOOK_NS: Final = 500_000_000
"""The rules are judged this often."""
RETRY_NS: Final = 1_000_000_000
SAY_AGAIN_NS: Final = 60_000_000_000
"""A lasting violation is alerted again after this time."""
LAGS_EVERY_NS: Final = 2_000_000_000
_MS: Final = 1_000_000


class SentinelEngine:
    """Reads, judges, and presses the switch."""

    def __init__(self, config: Config) -> None:
        self._settings = config.sentinel
        self._venues = traded_of(config)
        self._facts, self._truth, self._equity = Facts(), Truth(self._venues), Equity()
        self._trips = Trips(self._facts, self._truth, self._venues, self._settings)
        self._lags_ms: Mapping[str, int] = {}
        self._lags_due_ns: int | None = 0
        self._started_ns = self._look_ns = 0
        self._since_ns: dict[tuple[str, str], int] = {}
        self._told_ns: dict[tuple[str, str], int] = {}
        self._pressed: dict[tuple[str, str], None] = {}
        self._counters = {"alerts": 0, "readings": 0, "readings_failed": 0}

    def start(self, saved: Mapping[str, bytes], now_ns: int) -> Step:
        """Begin: everything is read from the venues and streams."""
        del saved
        self._started_ns = self._look_ns = now_ns
        return self.on_timer(now_ns)

    def on_message(
        self, message: Message | Result, now_ns: int, *, redelivered: bool = False
    ) -> Step:
        """Take what the streams and the venues say."""
        del redelivered
        out = Step()
        if isinstance(message, Command):
            self._trips.on_command(message, now_ns)
        elif isinstance(message, Message):
            self._facts.on_message(message, self._settings.untrusted_book_ms_max * _MS)
        elif isinstance(message, TruthRead):
            self._on_truth(message, now_ns)
        elif isinstance(message, LagsRead):
            self._lags_ms, self._lags_due_ns = message.lags_ms, now_ns + LAGS_EVERY_NS
        elif isinstance(message, ReadFailed) and isinstance(message.action, ReadTruth | ReadLags):
            self._on_failed(message, now_ns)
        elif isinstance(message, Result):
            out.at_once += self._trips.on_result(message, now_ns)
            self._tell_ended(now_ns, out)
        return out if out.messages or out.at_once else NOTHING

    def on_timer(self, now_ns: int) -> Step:
        """Read what is due, judge, and go on with the switch."""
        out = Step()
        for venue, account in self._truth.accounts.items():
            if not account.is_asked and account.due_ns <= now_ns:
                account.is_asked, account.asking = True, self._facts.risk
                out.at_once.append(ReadTruth(venue, self._venues[venue]))
        if self._lags_due_ns is not None and self._lags_due_ns <= now_ns:
            self._lags_due_ns = None
            out.at_once.append(ReadLags())
        if self._look_ns <= now_ns:
            self._look_ns = now_ns + LOOK_NS
            self._truth.settle(self._facts.risk)
            if (left := self._trips.look(now_ns)) is not None:
                self._alert(left, Severity.CRITICAL, now_ns, out)
            self._judge(now_ns, out)
        if (command := self._trips.to_say(now_ns)) is not None:
            out.messages.append(command)
        out.at_once += self._trips.on_time(now_ns)
        self._tell_ended(now_ns, out)
        return out

    def next_deadline_ns(self) -> int | None:
        """Return when the next of all that is due."""
        due = [self._look_ns]
        due += [each.due_ns for each in self._truth.accounts.values() if not each.is_asked]
        if self._lags_due_ns is not None:
            due.append(self._lags_due_ns)
        if (at_ns := self._trips.next_deadline_ns()) is not None:
            due.append(at_ns)
        return min(due)

    def checkpoints(self) -> Mapping[str, bytes]:
        """Nothing is saved: a service that must live without Redis keeps nothing there."""
        return {}

    def counters(self) -> Mapping[str, int]:
        """Return what was counted."""
        return {**self._counters, "switch_pressed": self._trips.pressed}

    def gauges(self) -> Mapping[str, float]:
        """Return how many orders the venues show, and how many rules do not hold."""
        read = [each.truth for each in self._truth.accounts.values() if each.truth is not None]
        return {
            "acts": float(self._settings.act),
            "venues_read": len(read),
            "orders_working": sum(len(each.orders) for each in read),
            "rules_violated": len(self._told_ns),
        }

    def notes(self, now_ns: int) -> dict[str, str]:
        """Return for the operator what it may do and which rules it cannot judge."""
        acts = "acts on what it finds" if self._settings.act else "only alerts ([sentinel] act)"
        if not self._venues:
            return {"sentinel": "no venue is read: orders are on paper"}
        return {"sentinel": acts, **unknown(self._view(now_ns))}

    # What is read

    def _on_truth(self, told: TruthRead, now_ns: int) -> None:
        account = self._truth.accounts[told.venue]
        account.truth, account.read_ns, account.problem = told, now_ns, ""
        account.before = account.asking
        account.is_asked, account.due_ns = False, now_ns + self._settings.read_interval_ms * _MS
        self._counters["readings"] += 1
        if not self._view(now_ns).is_bus_heard:
            return  # orders may be on record by now, and we have not heard
        known = account.unowned
        account.unowned = {
            _id_of(order): known.get(_id_of(order), (_order_text(order), now_ns))
            for order in told.orders
            if not self._facts.orders.get((told.venue, order.client_order_id), False)
        }

    def _on_failed(self, failed: ReadFailed, now_ns: int) -> None:
        if isinstance(failed.action, ReadLags):
            self._lags_ms, self._lags_due_ns = {}, now_ns + LAGS_EVERY_NS
            return
        assert isinstance(failed.action, ReadTruth)
        account = self._truth.accounts[failed.action.venue]
        account.problem, account.is_asked, account.due_ns = failed.reason, False, now_ns + RETRY_NS
        self._counters["readings_failed"] += 1

    # Rules

    def _view(self, now_ns: int) -> Look:
        return Look(
            facts=self._facts,
            truth=self._truth,
            equity=self._equity,
            lags_ms=self._lags_ms,
            settings=self._settings,
            started_ns=self._started_ns,
            now_ns=now_ns,
        )

    def _judge(self, now_ns: int, out: Step) -> None:
        look, seen = self._view(now_ns), dict[tuple[str, str], None]()
        for rule in RULES:
            wait_ns = self._settings.delta_for_ms * _MS if rule.lasts else 0
            for each in rule.find(look):
                key = each.code, each.subject
                seen[key] = None
                if now_ns - self._since_ns.setdefault(key, now_ns) < wait_ns:
                    continue
                self._tell(key, each, now_ns, out)
                if rule.acts and self._settings.act and key not in self._pressed:
                    self._pressed[key] = None
                    reason = f"{each.code}: {each.text}"
                    self._trips.press(reason, now_ns, flatten=self._settings.flatten)
        for key in [key for key in self._since_ns if key not in seen]:
            self._over(key, now_ns, out)

    def _tell_ended(self, now_ns: int, out: Step) -> None:
        if summary := self._trips.take_ended(now_ns):
            self._alert(Violation("SENTINEL_ACTED", "", summary), Severity.CRITICAL, now_ns, out)

    def _tell(self, key: tuple[str, str], each: Violation, now_ns: int, out: Step) -> None:
        told_ns = self._told_ns.get(key)
        if told_ns is None or now_ns - told_ns >= SAY_AGAIN_NS:
            self._told_ns[key] = now_ns
            self._alert(each, Severity.CRITICAL, now_ns, out)

    def _over(self, key: tuple[str, str], now_ns: int, out: Step) -> None:
        del self._since_ns[key]
        self._pressed.pop(key, None)
        if self._told_ns.pop(key, None) is not None:
            over = Violation(*key, "it holds again")
            self._alert(over, Severity.INFO, now_ns, out, is_over=True)

    def _alert(
        self, what: Violation, severity: Severity, now_ns: int, out: Step, *, is_over: bool = False
    ) -> None:
        self._counters["alerts"] += 1
        alert = Alert(
            ts_ns=now_ns,
            service=SELF,
            severity=severity,
            code=what.code,
            text=what.text[:TEXT_LENGTH_MAX],
            subject=what.subject,
            over=is_over,
        )
        out.messages.append(alert)
        out.at_once.append(Say(what.code.lower(), f"{what.subject} {what.text}".strip(), severity))


def _id_of(order: OrderReport) -> str:
    return order.venue_order_id or order.client_order_id


def _order_text(order: OrderReport) -> str:
    terms = order.terms
    name = order.client_order_id or order.venue_order_id
    return f"{name} ({terms.side} {terms.qty:f} {terms.instrument} at {terms.price_limit:f})"


ENGINE = EngineSpec(new=lambda config, given: SentinelEngine(config))
