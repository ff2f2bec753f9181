"""Books compared with REST books: what proves one wrong, and what proves nothing."""

from __future__ import annotations

import pytest

from services.orderbook.audits import ANSWER_NS_MAX, SETTLE_NS
from shared.messages.base import BookState
from shared.messages.book_audit import AuditVerdict, BookAudit, BookAuditAsked, BookAudited
from shared.messages.control import Alert
from tests.unit.test_orderbook_engine import MS, NOW, Feed, S, asks, views

BIDS = ((99.0, 1.0), (98.0, 2.0), (97.0, 3.0))
ASKS = ((101.0, 1.0), (102.0, 2.0), (103.0, 3.0))
TICK_NS = 100 * MS


class AuditedFeed(Feed):
    """A book that is compared."""

    def ask(self):
        return self.give(
            BookAuditAsked(
                venue="v", instrument=self.instrument, epoch=self.epoch, ts_recv_ns=self.now_ns
            )
        )

    def answer(self, bids=BIDS, asks=ASKS, *, seq=None, epoch=None, **more):
        return self.give(
            BookAudit(
                venue="v",
                instrument=self.instrument,
                epoch=epoch or self.epoch,
                bids=list(bids),
                asks=list(asks),
                ts_recv_ns=self.now_ns,
                seq=seq,
                **more,
            )
        )

    def ends(self, duration_ns=SETTLE_NS + TICK_NS) -> tuple[BookAudited, list]:
        """Wait for the one verdict; return it and all that was said."""
        out = self.wait(duration_ns, confirm=True)
        (audited,) = [message for message in out if isinstance(message, BookAudited)]
        return audited, out


@pytest.fixture
def feed() -> AuditedFeed:
    feed = AuditedFeed()
    feed.snapshot(BIDS, ASKS)
    return feed


@pytest.mark.parametrize("numbered", [True, False])
def test_equal_books_agree_and_stay_live(feed, numbered):
    feed.ask()
    feed.answer(seq=100 if numbered else None)
    audited, out = feed.ends()
    assert (audited.verdict, audited.compared, audited.changed) == (AuditVerdict.AGREES, 6, 0)
    assert not audited.differences
    assert not audited.failed
    assert not asks(out)
    assert feed.engine.counters()["audits_agree"] == 1


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        (
            ((99.0, 1.0), (97.0, 3.0)),
            "bid 98: 2 here, 0 there",
        ),  # a lost removal
        (((99.0, 1.0), (98.5, 4.0), *BIDS[1:]), "bid 98.5: 0 here, 4 there"),
        (((99.0, 1.0), (98.0, 2.5), (97.0, 3.0)), "bid 98: 2 here, 2.5 there"),
    ],
)
def test_a_numbered_answer_proves_a_wrong_level_alone(feed, theirs, said):
    feed.ask()
    feed.answer(theirs, seq=100)
    audited, out = feed.ends()
    assert (audited.verdict, audited.failed) == (AuditVerdict.DIFFERS, True)
    assert audited.differences == [said]
    view = views(out)[0]
    assert (view.state, view.bids, view.asks) == (BookState.AUDIT_FAILED, [], [])
    assert said in view.reason
    assert asks(out)[0].epoch == feed.epoch
    (alert,) = [message for message in out if isinstance(message, Alert)]
    assert (alert.code, alert.subject) == ("BOOK_AUDIT_FAILED", "v|BTC/USDT")
    assert said in alert.text
    feed.delta([(98.0, 2.5)])
    assert not any(view.bids for view in views(feed.wait(S))), "nothing heals it but a snapshot"
    assert views(feed.snapshot(BIDS, ASKS))[0].state is BookState.LIVE


def test_an_answer_without_a_number_proves_only_what_differs_twice(feed):
    wrong = ((99.0, 1.0), (97.0, 3.0))
    for theirs, failed in ((wrong, False), (BIDS, False), (wrong, False), (wrong, True)):
        feed.ask()
        feed.answer(theirs)
        audited, _ = feed.ends()
        assert audited.failed is failed, theirs
    assert feed.engine.counters()["audits_failed"] == 1
    assert feed.engine.counters()["audits_differ"] == 3


def test_different_levels_in_a_row_prove_nothing(feed):
    for theirs in (((99.0, 1.0), (97.0, 3.0)), ((99.0, 1.0), (98.0, 2.0))):
        feed.ask()
        feed.answer(theirs)
        audited, _ = feed.ends()
        assert audited.verdict is AuditVerdict.DIFFERS
        assert not audited.failed


def test_levels_that_changed_after_the_answer_may_differ(feed):
    feed.ask()
    feed.delta([(98.0, 5.0)])  # 101: in the answer
    feed.answer(((99.0, 1.0), (98.0, 5.0), (97.0, 3.0)), seq=101)
    feed.delta([(99.0, 7.0)])  # 102: after it
    audited, _ = feed.ends()
    assert audited.verdict is AuditVerdict.AGREES
    assert (audited.compared, audited.changed) == (5, 2)


def test_a_numbered_answer_waits_until_the_stream_is_there(feed):
    feed.ask()
    feed.answer(((99.0, 1.0), (98.0, 5.0), (97.0, 3.0)), seq=101)
    assert not [m for m in feed.wait(2 * S, confirm=True) if isinstance(m, BookAudited)]
    feed.delta([(98.0, 5.0)])
    audited, _ = feed.ends()
    assert (audited.verdict, audited.compared) == (AuditVerdict.AGREES, 6)


def test_what_changes_before_an_unnumbered_answer_has_settled_may_differ(feed):
    feed.ask()
    feed.answer(((99.0, 1.0), (98.0, 5.0), (97.0, 3.0)))
    feed.wait(SETTLE_NS // 2, confirm=True)
    feed.delta([(98.0, 5.0)])  # was in the answer, came later
    audited, _ = feed.ends()
    assert (audited.verdict, audited.compared) == (AuditVerdict.AGREES, 5)


def test_what_one_of_the_books_does_not_reach_is_not_compared():
    feed = AuditedFeed()
    feed.snapshot(BIDS, ASKS, depth_max=3)  # beyond 97 and 103 nothing is known
    feed.ask()
    feed.answer((*BIDS, (96.0, 9.0)), ((101.0, 1.0), (102.0, 2.0)), ask_ceiling=102.0)
    audited, _ = feed.ends()
    assert (audited.verdict, audited.compared) == (AuditVerdict.AGREES, 5)


def test_quantities_the_answer_rounds_are_equal(feed):
    feed.ask()
    feed.answer(((99.0, 1.0004), *BIDS[1:]), seq=100, qty_tolerance=0.0005)
    assert feed.ends()[0].verdict is AuditVerdict.AGREES


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("older", "older than the asking"),
        ("late", "no answer came"),
        ("ahead", "the stream did not reach"),
        ("epoch", "started over"),
        ("gap", "not in step"),
        ("all changed", "every level in reach changed"),
    ],
)
def test_what_cannot_be_compared_is_undecided_and_says_why(feed, what, reason):
    feed.ask()
    if what == "older":
        feed.answer(seq=99)
    elif what == "ahead":
        feed.answer(seq=500)
    elif what == "epoch":
        feed.snapshot(BIDS, ASKS)
    elif what == "gap":
        feed.answer()
        feed.delta([(98.0, 5.0)], seq_prev=105)
    elif what == "all changed":
        feed.delta(BIDS, ASKS)
        feed.answer()
    out = feed.wait(ANSWER_NS_MAX + TICK_NS, confirm=True)
    (audited,) = [message for message in out if isinstance(message, BookAudited)]
    assert (audited.verdict, audited.failed) == (AuditVerdict.UNDECIDED, False)
    assert reason in audited.reason
    assert feed.engine.counters()["audits_undecided"] == 1


def test_an_answer_to_an_earlier_epoch_is_not_used(feed):
    feed.ask()
    feed.answer((), (), seq=100, epoch=feed.epoch - 1)
    audited, _ = feed.ends(ANSWER_NS_MAX + TICK_NS)
    assert "no answer came" in audited.reason


def test_what_another_ingestor_asks_for_its_own_book_disturbs_nothing(feed):
    feed.ask()
    feed.give(
        BookAuditAsked(venue="v", instrument="BTC/USDT", epoch=feed.epoch + 7, ts_recv_ns=NOW)
    )
    feed.answer((), (), seq=100, epoch=feed.epoch + 7)
    feed.answer(seq=100)
    assert feed.ends()[0].verdict is AuditVerdict.AGREES


def test_one_comparison_costs_other_books_nothing(feed):
    other = AuditedFeed(feed.engine, "ETH/USDT")
    other.now_ns = feed.now_ns
    other.snapshot(BIDS, ASKS)
    feed.ask()
    other.delta([(98.0, 5.0)])
    feed.answer(seq=100)
    assert feed.ends()[0].changed == 0
    assert feed.engine._audits.running == {}


def test_a_shard_that_is_given_away_takes_its_comparisons_along(feed):
    feed.ask()
    feed.engine.drop_shard(0)
    assert not [m for m in feed.wait(ANSWER_NS_MAX + S) if isinstance(m, BookAudited)]
