"""Losses beyond a limit, and when they halt trading. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from services.risk.equity import Equity
from services.risk.exposure import ZERO, Ledger
from services.risk.halt_causes import HaltCause
from shared.config_limits import RiskConfig
from shared.config_sections import Config

LASTS_NS: Final = 500_000_000
"""A loss that open positions would bring must be seen so long: books are thin for moments."""
LOSSES: Final = frozenset((HaltCause.DAILY_LOSS, HaltCause.ROLLING_LOSS, HaltCause.DRAWDOWN))
"""They leave what is held known: open rounds may be closed in spite of them."""


class Beyond(NamedTuple):
    """What is lost beyond a limit; whether all of it is realized."""

    text: str
    is_realized: bool


def equity_now(ledger: Ledger, quote: str) -> Equity:
    """Return the equity of a quote asset, and what was lost since it was last worked out.

    Closing a position moves what it lost to what is realized: until the next look such a loss
    counts twice, and no gain does.
    """
    known = ledger.equity.get(quote)
    if known is None:
        return Equity(now=min(ZERO, ledger.realized_today(quote)))
    return known.with_losses_since(ledger.books.result(quote).realized)


def losses_beyond(ledger: Ledger, limits_of: RiskConfig) -> dict[HaltCause, Beyond]:
    """Return which limits the losses exceed, all quote assets together in one text each."""
    found: dict[HaltCause, Beyond] = {}
    for quote in ledger.books.results:
        limits = limits_of.limits_in(quote)
        if limits is None:  # nothing is opened against it, whatever was lost
            continue
        equity, valued = equity_now(ledger, quote), ledger.valued.get(quote)
        is_realized = valued is None or valued.profit >= ZERO
        for cause, loss, most, what in (
            (HaltCause.DAILY_LOSS, -equity.today, limits.daily_loss_max, "lost today"),
            (HaltCause.ROLLING_LOSS, -equity.rolling, limits.rolling_loss_max, "lost in 24 hours"),
            (HaltCause.DRAWDOWN, equity.drawdown, limits.drawdown_max, "below the peak"),
        ):
            if not most or loss <= most:
                continue
            text = f"{loss} {quote} {what}, {most} allowed"
            if not is_realized and valued is not None:
                text += f" ({valued.profit} of it open)"
            before = found.get(cause)
            if before is not None:
                text, is_realized = f"{before.text}, {text}", before.is_realized or is_realized
            found[cause] = Beyond(text, is_realized)
    return found


class LossTrips:
    """Remembers since when a limit is exceeded; not saved."""

    def __init__(self, limits: RiskConfig) -> None:
        self._limits = limits
        self._since_ns: dict[HaltCause, int] = {}

    def use_limits(self, config: Config) -> None:
        """Compare with these limits from now on."""
        self._limits = config.risk

    def due(self, ledger: Ledger, now_ns: int) -> dict[HaltCause, str]:
        """Return what halts trading now: realized, or seen for a while."""
        beyond = losses_beyond(ledger, self._limits)
        self._since_ns = {cause: self._since_ns.get(cause, now_ns) for cause in beyond}
        return {
            cause: each.text
            for cause, each in beyond.items()
            if each.is_realized or now_ns - self._since_ns[cause] >= LASTS_NS
        }
