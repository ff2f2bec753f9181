"""THE TABLE OF ALERTS: what of the metrics is wrong, for how long, and what to do about it. Pure.

``python -m deploy.alert_rules`` writes ``deploy/prometheus/rules.yml`` and ``docs/alerts.md``. Each
row carries a case in which it fires and one in which it is quiet; the tests let promtool judge.
"""

from __future__ import annotations

from typing import Final

from shared.alerting.host import HOST
from shared.alerting.market_data import MARKET_DATA
from shared.alerting.money import MONEY
from shared.alerting.path import P99, PATH, SLOW_QUANTILE, SLOW_WINDOW
from shared.alerting.processes import PROCESSES
from shared.alerting.rule import AlertRule, RecordingRule
from shared.alerting.trading import TRADING
from shared.alerting.venues import ANSWERED, ERROR_RATIO, ERRORS_WINDOW, VENUES

_FAILED: Final = f'{{result!~"{"|".join(ANSWERED)}"}}'
_REQUESTS: Final = f"sum by (venue) (rate(arb_venue_requests_total%s[{ERRORS_WINDOW}]))"

RECORDING_RULES: Final = (
    RecordingRule("proc:arb_feed_frames:rate1m", "sum by (proc) (rate(arb_feed_frames_total[1m]))"),
    RecordingRule(
        P99,
        f"histogram_quantile({SLOW_QUANTILE}, sum by (service, le) "
        f"(rate(arb_tick_to_order_seconds_bucket[{SLOW_WINDOW}])))",
    ),
    RecordingRule(
        ERROR_RATIO,
        # Where nothing has failed yet there is no series of failures: then it is 0.
        f"({_REQUESTS % _FAILED} or 0 * {_REQUESTS % ''}) / {_REQUESTS % ''}",
    ),
)

ALERT_RULES: Final = (*PROCESSES, *TRADING, *MONEY, *MARKET_DATA, *VENUES, *PATH, *HOST)
RULE_OF: Final[dict[str, AlertRule]] = {rule.name: rule for rule in ALERT_RULES}
