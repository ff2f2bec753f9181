"""When executions of an account are read again: after each plan, and once more after a start."""

from __future__ import annotations

from services.executor import actions as act
from services.executor.reconcile import START_SWEEP_AFTER_NS
from services.executor.venue_account import SWEEP_AFTER_NS, VenueAccount

BEGAN_NS = 1_700_000_000_000_000_000
MS = 1_000_000


def asked_at(account: VenueAccount, until_ns: int) -> list[int]:
    """When executions are asked for, each time answered at once."""
    times = []
    while (now_ns := account.next_deadline_ns()) is not None and now_ns <= until_ns:
        for action in account.ask_due(0, now_ns):
            assert isinstance(action, act.FetchFills)
            account.answered("fills")
            times.append(now_ns)
    return times


def test_a_plan_that_ends_soon_after_a_start_does_not_wait_for_the_later_reading() -> None:
    account = VenueAccount("gamma", ("BTC/USDT",))
    account.sweep(BEGAN_NS + START_SWEEP_AFTER_NS)
    account.sweep_later(BEGAN_NS, BEGAN_NS + 20 * MS)
    soon_ns, late_ns = BEGAN_NS + 20 * MS + SWEEP_AFTER_NS, BEGAN_NS + START_SWEEP_AFTER_NS
    assert asked_at(account, BEGAN_NS + 60_000 * MS) == [soon_ns, late_ns]


def test_plans_that_end_one_after_the_other_share_readings() -> None:
    account, ends = VenueAccount("gamma", ("BTC/USDT",)), range(0, 3_000, 100)
    times: list[int] = []
    for end_ms in ends:
        account.sweep_later(BEGAN_NS, BEGAN_NS + end_ms * MS)
        times += asked_at(account, BEGAN_NS + (end_ms + 99) * MS)
    times += asked_at(account, BEGAN_NS + 60_000 * MS)
    assert times == [BEGAN_NS + ms * MS for ms in (1_500, 3_000, 4_400)]
