"""What an opening for funding is expected to earn and to cost, in quote units. Pure."""

from __future__ import annotations

from decimal import Decimal

from shared.domain.carry import Apr, CarryCost
from shared.domain.fees import BPS, MONEY_STEP
from shared.domain.funding import Predicted
from shared.messages.offer_terms import CarryTerms


def settlements_until(predicted: Predicted, until_ns: int) -> int:
    """Return how many settlements come up to an instant, the predicted one first."""
    left_ns = until_ns - predicted.ts_funding_ns
    return 0 if left_ns < 0 else 1 + left_ns // predicted.interval_ns


def carry_terms(
    predicted: Predicted,
    cost: CarryCost,
    *,
    notional: Decimal,
    until_ns: int,
    settlements_to_earn: int,
    apr: Apr,
    liquidation_bps: Decimal,
) -> CarryTerms:
    """Return the terms of a round.

    Args:
        predicted: The rate of its coming settlement, as it counts for us.
        cost: Of opening and closing.
        notional: What it holds, in quote units.
        until_ns: How long it may be held.
        settlements_to_earn: Of that rate, which earn the cost.
        apr: From the rates that settled last.
        liquidation_bps: Distance when it is opened.
    """
    count = settlements_until(predicted, until_ns)
    return CarryTerms(
        rate=predicted.rate,
        interval_ns=predicted.interval_ns,
        ts_funding_ns=predicted.ts_funding_ns,
        settlements=count,
        settlements_to_earn=settlements_to_earn,
        funding_next=_money(predicted.rate * notional),
        funding=_money(count * predicted.rate * notional),
        fees=_share(cost.fees_bps, notional),
        spreads=_share(cost.spreads_bps, notional),
        basis=_share(cost.close_basis_bps - cost.open_basis_bps, notional),
        apr_gross=_money(apr.gross),
        apr_net=_money(apr.net),
        liquidation_bps=liquidation_bps.quantize(Decimal("0.01")),
    )


def _share(bps: Decimal, notional: Decimal) -> Decimal:
    return _money(bps / BPS * notional)


def _money(amount: Decimal) -> Decimal:
    return amount.quantize(MONEY_STEP)
