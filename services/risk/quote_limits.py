"""Which limits hold for what is traded against a quote asset. Pure.

Amounts in different assets are never compared: limits are in units of a quote asset, those of
``[risk]`` in dollars and the coins that stand for them, any other's in ``[risk.per_quote.ASSET]``.
"""

from __future__ import annotations

from services.risk.decision_context import DecisionContext
from services.risk.reasons import Denial, DenyReason, deny
from shared.config_limits import RiskConfig
from shared.messages.rounds import Intent


class LimitsByQuote:
    """The limits by quote asset, each worked out once."""

    def __init__(self, config: RiskConfig) -> None:
        quotes = (*config.quote_assets, *config.per_quote)
        self._own = frozenset(config.per_quote)
        self._limits = {quote: limits for quote in quotes if (limits := config.limits_in(quote))}

    def all(self) -> list[RiskConfig]:
        """Return the limits of every asset that has some."""
        return list(self._limits.values())

    def of(self, quote: str) -> RiskConfig | None:
        """Return the limits in an asset; ``None`` where there are none."""
        return self._limits.get(quote)

    def has_own(self, quote: str) -> bool:
        """Tell whether an asset has limits of its own; a strategy's budget is in no such asset."""
        return quote in self._own


def limits_known(context: DecisionContext) -> Denial | None:
    """There are limits in units of the quote asset; nothing keeps a round from being closed."""
    found = context.opportunity
    if context.has_limits or found.intent is Intent.CLOSE:
        return None
    return deny(DenyReason.QUOTE_LIMITS, quote=found.quote)
