"""The codes of what halts trading, each explained once; docs/denials.md has them too. Pure."""

from __future__ import annotations

from services.risk.explained_code import ExplainedCode


class HaltCause(ExplainedCode):
    """Why the trading state is HALTED."""

    STARTING = (
        "STARTING",
        "Recovery is not finished: the executor is not ready or balances are unknown. Ends by "
        "itself.",
    )
    WAITING = (
        "WAITING",
        "The executor, ready before, is silent or not ready. Ends by itself.",
    )
    OPERATOR = ("OPERATOR", "HALT or FLATTEN of an operator. Ends by RESUME.")
    NOT_STARTED = (
        "NOT_STARTED",
        "`risk.start_active` is false: each start needs a RESUME.",
    )
    DAILY_LOSS = (
        "DAILY_LOSS",
        "Today's loss, fees, funding and open positions at executable prices included, exceeds "
        "`risk.daily_loss_max`. RESUME is refused until the next UTC day, a higher limit or better "
        "prices. While rounds are open the state is REDUCING instead, so that they can be closed.",
    )
    ROLLING_LOSS = (
        "ROLLING_LOSS",
        "The loss of the last 24 hours exceeds `risk.rolling_loss_max`; else as DAILY_LOSS.",
    )
    DRAWDOWN = (
        "DRAWDOWN",
        "Equity is further below its peak than `risk.drawdown_max`. Ends by RESUME, from which the "
        "peak is counted anew. While rounds are open the state is REDUCING instead.",
    )
    SOFT_LIMIT = (
        "SOFT_LIMIT",
        "An exposure is above `risk.soft_limit_share` of its limit, which is named. The state is "
        "REDUCING, and plans that only reduce close parts of the rounds that hold it. Ends by "
        "itself at nine tenths of the soft limit.",
    )
    PLAN_FAILED = (
        "PLAN_FAILED",
        "A plan left exposure that could be neither hedged nor unwound. Ends by RESUME: the "
        "operator confirms that it was dealt with.",
    )
    DATA_LOST = (
        "DATA_LOST",
        "Redis lost data (emptied, an older copy, a checkpoint gone): halts, positions, results or "
        "limits may be missing. Ends by RESUME: the operator has compared with the venues.",
    )
    FILL_UNOWNED = (
        "FILL_UNOWNED",
        "A fill was reported that belongs to no announced order, disagrees with it, or is more "
        "than it has left. It is not booked, so exposure may be wrong. Ends by RESUME: the "
        "operator has compared with the venues.",
    )
    POSITION_UNOWNED = (
        "POSITION_UNOWNED",
        "A plan that was adopted after a loss of records, or a venue that closed what was closed "
        "already, left a position in a derivative that no round holds: no strategy will close it, "
        "FLATTEN does. Ends by RESUME.",
    )
    BALANCE_LOSS = (
        "BALANCE_LOSS",
        "A venue reports less of an asset than our fills, fees and funding explain, in two reports "
        "while nothing was in flight there: worth more than `risk.unexplained_loss_max` since the "
        "UTC day began or an operator resumed, or without a price for 60 s, or reserved by plans. "
        "Ends by RESUME: the operator knows where it went.",
    )
    PLAN_OVERDUE = (
        "PLAN_OVERDUE",
        "A plan never ended, and does not wait for a venue that stands down (`PLAN_WAITS`, which "
        "halts nothing). RESUME is refused while the executor is not ready or still has open "
        "plans; once it has none, RESUME releases the reservation and says so.",
    )
