"""Works equity out from the ledger and risk's books, and counts losses in a row. Pure."""

from __future__ import annotations

from services.risk.checkpoint import CheckpointWriter
from services.risk.coin_results import coins_in_quote
from services.risk.equity import Marks, Valued, last_worked_out, move_equity
from services.risk.exposure import ZERO, Ledger
from services.risk.market import LatestBooks
from services.risk.trading import alert
from shared.config_limits import RiskConfig
from shared.config_sections import Config
from shared.domain.accounting import Position, holding_place
from shared.messages.base import Message
from shared.messages.control import Severity
from shared.messages.execution import PlanDone
from shared.messages.rounds import RoundState


class LossWatch:
    """Values the ledger with risk's own books.

    Args:
        limits: Of ``[risk]``.
        market: Views and rules.
        save: Where the ledger, or only what the books say it is worth, is to be saved.
    """

    def __init__(self, limits: RiskConfig, market: LatestBooks, save: CheckpointWriter) -> None:
        self._limits, self._market, self._save, self._marks = limits, market, save, Marks()

    def use_limits(self, config: Config) -> None:
        """Pause strategies by these limits from now on."""
        self._limits = config.risk

    def look(self, ledger: Ledger, now_ns: int) -> None:
        """Work out what each quote asset has come to."""
        views = self._market.views.values()
        positions = ledger.books.positions(self._market.closing_price())
        is_small = self._market.is_dust(ledger.prices)

        def is_dust(position: Position) -> bool:
            places = [holding_place(key) for key in ledger.books.quantities]
            held = [p for p in places if p[1] == position.instrument]
            here = [p for p in held if position.venue in ("", p[0])]
            return all(is_small(*place, abs(position.qty)) for place in here)

        found = self._marks.value(ledger.books, positions, views, is_dust, now_ns)
        for quote, coins in coins_in_quote(ledger.books, positions, ledger.prices).items():
            found.setdefault(quote, Valued()).profit += coins
        ledger.valued.clear()
        ledger.valued.update(found)
        results, before = ledger.books.results, ledger.realized_at_midnight
        worth = last_worked_out(ledger.equity)
        if move_equity(ledger.equity, results, before, ledger.valued, now_ns):
            self._save.touch_ledger()
        elif last_worked_out(ledger.equity) != worth:
            self._save.touch_decided()

    def count(self, ledger: Ledger, done: PlanDone, now_ns: int) -> list[Message]:
        """Count the result of a plan, or of the round that it closed; pause who lost too often."""
        streak = None
        found = ledger.rounds.of_plan(done.plan_id)
        if found is None:
            if done.is_approved and done.strategy:
                streak = ledger.streaks.count(done.strategy, done.realized, done.certainty)
        elif found.was_traded and found.state(None) is RoundState.CLOSED:
            result = found.books.result(found.quote)
            coins = coins_in_quote(found.books, (), ledger.prices).get(found.quote, ZERO)
            earned = result.realized + coins
            streak = ledger.streaks.count(found.strategy, earned, result.certainty)
        most = self._limits.losses_in_row_max
        if streak is None or not most or streak.losses < most:
            return []
        name = done.strategy if found is None else found.strategy
        minutes = self._limits.loss_pause_minutes
        text = f"{name} lost {streak.losses} times in a row and opens nothing for {minutes} minutes"
        ledger.streaks.pause(streak, minutes, now_ns)
        return [alert(now_ns, Severity.WARNING, "LOSING_STREAK", text, name)]
