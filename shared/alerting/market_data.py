"""Whether venues' market data arrives and is trusted. Pure."""

from __future__ import annotations

from typing import Final

from shared.alerting.rule import AlertRule, AlertSeverity

_CRITICAL, _WARNING = AlertSeverity.CRITICAL, AlertSeverity.WARNING

UNTRUSTED_MAX: Final = 0.2
"""Part of a venue's books that may be other than LIVE, or UNPROVED, which they always are."""

MARKET_DATA: Final = (
    AlertRule(
        name="ArbFeedSilent",
        severity=_WARNING,
        expression="arb_feed_up == 0",
        lasts="30s",
        summary="A venue's market data is down",
        first="arb books",
        causes="The venue's outage or maintenance, the network, a block of our address.",
        remedy="It reconnects by itself. Books of the venue price nothing meanwhile.",
        fires={'arb_feed_up{venue="venue-a"}': "0x60"},
        labels={"venue": "venue-a"},
        quiet={'arb_feed_up{venue="venue-a"}': "1x60"},
    ),
    AlertRule(
        name="ArbFeedOfTwoLost",
        severity=_WARNING,
        expression="arb_feed_of_two_up == 0",
        lasts="30s",
        summary="One of the two ingestors that follow a venue is lost",
        first="arb books",
        causes="Its process ended, or its connection to the venue or to Redis did.",
        remedy="Start it again: the other feed goes on alone, and nothing stops.",
        fires={'arb_feed_of_two_up{venue="venue-a",feed="b"}': "0x60"},
        labels={"venue": "venue-a", "feed": "b"},
        quiet={'arb_feed_of_two_up{venue="venue-a",feed="b"}': "1x60"},
    ),
    AlertRule(
        name="ArbFeedsSilent",
        severity=_CRITICAL,
        expression="count(arb_feed_up == 0) >= 2",
        lasts="30s",
        summary="Market data of two or more venues is down",
        first="arb books",
        causes="Our network, name service or clock rather than the venues.",
        remedy="Look at the machine's network first.",
        halt="If orders are open: nothing is known of the prices.",
        fires={'arb_feed_up{venue="venue-a"}': "0x60", 'arb_feed_up{venue="venue-b"}': "0x60"},
        quiet={'arb_feed_up{venue="venue-a"}': "0x60", 'arb_feed_up{venue="venue-b"}': "1x60"},
    ),
    AlertRule(
        name="ArbBooksUntrusted",
        severity=_WARNING,
        expression='sum by (venue) (arb_books{state!~"LIVE|UNPROVED"})'
        f" / sum by (venue) (arb_books) > {UNTRUSTED_MAX}",
        lasts="2m",
        summary="More than a fifth of a venue's books are not trusted",
        first="arb books",
        causes="Gaps that do not heal, instruments that are not traded, a slow snapshot.",
        remedy="`arb books` has each book's reason.",
        fires={
            'arb_books{venue="venue-a",state="LIVE"}': "3x60",
            'arb_books{venue="venue-a",state="SILENT"}': "1x60",
        },
        labels={"venue": "venue-a"},
        quiet={
            'arb_books{venue="venue-a",state="LIVE"}': "3x60",
            'arb_books{venue="venue-a",state="UNPROVED"}': "1x60",
            'arb_books{venue="venue-a",state="GAP"}': "1x60",
        },
    ),
)
