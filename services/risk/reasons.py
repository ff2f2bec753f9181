"""The codes of risk's denials, each explained once. Pure.

``docs/denials.md`` is generated from the texts here; a test keeps the two equal.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Context, Decimal
from typing import Final, NamedTuple

from services.risk.explained_code import ExplainedCode
from services.risk.halt_causes import HaltCause


class DenyReason(ExplainedCode):  # tidy-ok: a table, one row a code
    """Why an opportunity did not become a plan."""

    MALFORMED = (
        "MALFORMED",
        "The legs are not purchases and then sales, each in a book of its own, of the "
        "opportunity's base asset against its quote asset, or an inverse contract is traded for "
        "instant profit or opened alone. Only a plan that closes a round, or opens one by a single "
        "leg, may have one side alone; it names its round and strategy, and no other plan names a "
        "round.",
    )
    SEVERAL_ASSETS = (
        "SEVERAL_ASSETS",
        "The legs have more than one base or quote asset and do not lead, each beginning with the "
        "asset that the one before ends with, from the quote asset through others back to it; or "
        "they are not spot, open or close a round, or do not say what these assets are worth.",
    )
    ORDER_KIND = (
        "ORDER_KIND",
        "A leg is not a LIMIT order with time in force IOC. One of two spot legs may be post-only "
        "and rest, where the opportunity says how long, the other one hedges it at another venue "
        'and its strategy has `legs = "maker-taker"`.',
    )
    QUOTE_LIMITS = (
        "QUOTE_LIMITS",
        "Risk has no limits in units of the plan's quote asset: it is none of `risk.quote_assets`, "
        "and there is no `[risk.per_quote.ASSET]` of it. What closes a round is let through.",
    )
    HALTED = ("HALTED", "The trading state is HALTED; `arb status` shows why.")
    REDUCING = (
        "REDUCING",
        "The trading state is REDUCING and the plan neither closes a round nor reduces a perpetual "
        "position that no round holds, or would open one.",
    )
    EXECUTOR_NOT_READY = (
        "EXECUTOR_NOT_READY",
        "The executor has not reported within the last seconds that it is ready.",
    )
    VENUE_NOT_TRADED = (
        "VENUE_NOT_TRADED",
        "A leg is on a venue that is not configured or has `trade = false`.",
    )
    VENUE_DOWN = (
        "VENUE_DOWN",
        "The executor sends no new orders to a leg's venue, or in a leg's instrument: it was "
        "refused, or its account cannot be read. `arb status` shows why.",
    )
    VENUE_MAINTENANCE = (
        "VENUE_MAINTENANCE",
        "A leg's venue is in a window of its `maintenance`. Rounds are closed all the same.",
    )
    DUPLICATE = (
        "DUPLICATE",
        "The same opportunity (the same states of the books) was approved already.",
    )
    EXPIRED = ("EXPIRED", "The opportunity's own time to live is over.")
    OPPORTUNITY_AGE = (
        "OPPORTUNITY_AGE",
        "The opportunity is older than `risk.opportunity_age_ms_max`.",
    )
    ARITHMETIC = (
        "ARITHMETIC",
        "Gross, fees, net or edge do not follow from the legs: the producer is wrong.",
    )
    EDGE_MAX = (
        "EDGE_MAX",
        "The edge is above `risk.edge_bps_max`: too good to be true, so some price is wrong.",
    )
    BOOK_UNKNOWN = ("BOOK_UNKNOWN", "Risk itself has not seen a view of a leg's book yet.")
    BOOK_NOT_LIVE = ("BOOK_NOT_LIVE", "A leg's book is not LIVE now.")
    BOOK_AGE = ("BOOK_AGE", "The newest view of a leg's book is older than `risk.book_age_ms_max`.")
    CLOCK_SKEW = (
        "CLOCK_SKEW",
        "A leg's venue has a clock that differs from ours by more than `risk.clock_skew_ms_max`, "
        "or what it sends takes so long: it would refuse orders for their time. Not asked where "
        "orders are executed on paper; rounds are closed all the same.",
    )
    PRICE_BAND = (
        "PRICE_BAND",
        "A leg's price is further than `risk.price_band_bps_max` from the median of the middles of "
        "the other books of its base and quote asset. That is unknown, and denied too, where fewer "
        "than `risk.price_band_books_min` of these are LIVE and fresh; with 0, the default, where "
        "some are followed and none is, and a pair that no other book prices passes. Rounds are "
        "closed all the same.",
    )
    DEPEG = (
        "DEPEG",
        "A dollar that a leg trades or is paid in (USDT, USDC, USD and others) trades further than "
        "`risk.depeg_bps_max` from 1 against another one, by the median of the books of both, or "
        "these are followed and none is LIVE and fresh. Rounds are closed all the same.",
    )
    NO_RULES = (
        "NO_RULES",
        "The venue's tick, lot and least order are not known, or it is inactive.",
    )
    LOT = (
        "LOT",
        "A leg's quantity is not a multiple of the lot, or below the venue's least quantity, or "
        "above its largest.",
    )
    TICK = ("TICK", "A leg's limit price is not on the venue's price grid.")
    NOTIONAL_MIN = ("NOTIONAL_MIN", "A leg is worth less than the venue's least order.")
    ASSET_VALUE = (
        "ASSET_VALUE",
        "What an asset of a plan of several is worth in its quote asset is not said, is of a book "
        "that is not traded, not LIVE or older than `risk.book_age_ms_max`, or is more than 1 % "
        "away from the middle of that book as risk sees it.",
    )
    UNHEDGED = (
        "UNHEDGED",
        "The legs together buy more of the base asset than they sell, by one lot of the coarsest "
        "instrument or more; or they sell more than they buy (to open or close a round: by such a "
        "lot or more). Of several assets: a leg uses more of one than the leg before brings in, or "
        "more is left of it than lots explain.",
    )
    ORDER_NOTIONAL = ("ORDER_NOTIONAL", "A leg is worth more than `risk.order_notional_max`.")
    PORTFOLIO_SHARE = (
        "PORTFOLIO_SHARE",
        "The dearer side of the plan is more than `risk.plan_portfolio_bps_max` of what is free "
        "and has a price in the accounts, in its quote asset. Rounds are closed all the same.",
    )
    INSTRUMENT_NOTIONAL = (
        "INSTRUMENT_NOTIONAL",
        "Position and reservations in a leg's instrument would exceed "
        "`risk.instrument_notional_max`.",
    )
    VENUE_NOTIONAL = (
        "VENUE_NOTIONAL",
        "Positions and reservations on a leg's venue would exceed `risk.venue_notional_max`.",
    )
    TOTAL_NOTIONAL = (
        "TOTAL_NOTIONAL",
        "Open exposure and all reservations in the quote asset would exceed "
        "`risk.total_notional_max`.",
    )
    NET_NOTIONAL = (
        "NET_NOTIONAL",
        "The unhedged exposure of all assets, long and short added up, with one side of all plans "
        "in flight and of this one, would exceed `risk.net_notional_max`. Rounds are closed all "
        "the same.",
    )
    STRATEGY_NOTIONAL = (
        "STRATEGY_NOTIONAL",
        "What the strategy holds in rounds and has in flight, with this plan, would exceed its "
        "`notional_max` in `[[strategies]]`. Rounds are closed all the same.",
    )
    ORDER_RATE = (
        "ORDER_RATE",
        "More than `risk.orders_per_minute_max` orders would go to a leg's venue within a minute: "
        "those put on record, those of plans that are about to start, and this plan's. Rounds are "
        "closed and plans evened out all the same, and those orders count.",
    )
    OPEN_ORDERS = (
        "OPEN_ORDERS",
        "The legs of plans in flight at a leg's venue, with this plan's, could have more orders "
        "open there than `risk.open_orders_max`. Rounds are closed all the same.",
    )
    ASSET_NET = (
        "ASSET_NET",
        "What is not hedged of an asset, over all venues, would exceed `net_max` of its "
        "`[risk.per_asset.ASSET]` if of the plans in flight and this one only the purchases or "
        "only the sales filled. Rounds are closed all the same.",
    )
    ASSET_GROSS = (
        "ASSET_GROSS",
        "Spot over all venues and the position in each derivative of an asset, added up, would "
        "exceed `gross_max` of its `[risk.per_asset.ASSET]`; counted as for ASSET_NET.",
    )
    PLANS_IN_FLIGHT = (
        "PLANS_IN_FLIGHT",
        "As many plans as `risk.plans_in_flight_max` allows are being executed.",
    )
    PAIR_IN_FLIGHT = (
        "PAIR_IN_FLIGHT",
        "A plan that trades the same sides of the same books, or of two or more of them, is being "
        "executed; or of one of them, where one of both is of several assets.",
    )
    RESTING_ORDERS = (
        "RESTING_ORDERS",
        "As many orders rest as `risk.resting_orders_max` allows, or one on the same side of the "
        "same book: its plan ends when its cancel is settled and its fills are hedged.",
    )
    SELF_TRADE = (
        "SELF_TRADE",
        "A leg would trade with an order of our own: one of both rests in that book, and their "
        "prices cross.",
    )
    EQUITY_UNKNOWN = (
        "EQUITY_UNKNOWN",
        "What a position in the plan's quote asset is worth has not been known for a minute: no "
        "LIVE book of its assets prices it, so no limit on losses can be kept. Rounds are closed "
        "all the same.",
    )
    DAILY_LOSS = (
        "DAILY_LOSS",
        "Today's loss, open positions at executable prices included, and what the plans in flight "
        "and this one may lose at worst, would exceed `risk.daily_loss_max`.",
    )
    ROLLING_LOSS = (
        "ROLLING_LOSS",
        "The same of the last 24 hours would exceed `risk.rolling_loss_max`.",
    )
    DRAWDOWN = (
        "DRAWDOWN",
        "Equity, less what the plans in flight and this one may lose at worst, would be further "
        "below its peak than `risk.drawdown_max`.",
    )
    LOSING_STREAK = (
        "LOSING_STREAK",
        "The strategy lost `risk.losses_in_row_max` times in a row and opens nothing until "
        "`risk.loss_pause_minutes` have passed, or an operator's RESUME.",
    )
    BALANCE_UNKNOWN = (
        "BALANCE_UNKNOWN",
        "The balances of a leg's venue are not known; unknown is not zero, and not enough either.",
    )
    BALANCE = (
        "BALANCE",
        "The asset that a leg spends is not sufficient after what is reserved already.",
    )
    LEVERAGE = (
        "LEVERAGE",
        "The derivatives of a leg's venue that settle in one asset would be worth more than "
        "`risk.leverage_max` times the account's balance of that asset there, or that balance, or "
        "the price of the coin, is not known. Rounds are closed all the same.",
    )
    LIQUIDATION = (
        "LIQUIDATION",
        "If prices moved against all derivatives that LEVERAGE counts, the venue would liquidate "
        "them after a move of less than `risk.liquidation_bps_min`, at a maintenance margin of "
        "`risk.maintenance_margin_bps`; unknown as for LEVERAGE. Rounds are closed all the same.",
    )
    INVENTORY_UNKNOWN = (
        "INVENTORY_UNKNOWN",
        "A leg takes from a venue and asset with a target (`[inventory]`), and what is held there, "
        "or at a venue that shares the target, was not reported in the last "
        "`inventory.balance_age_ms_max`.",
    )
    INVENTORY_BAND = (
        "INVENTORY_BAND",
        "The plan would take from a venue and leave it below the lower edge of its band of the "
        "asset (`[inventory]`). Rounds are opened and closed all the same.",
    )
    INVENTORY_EDGE = (
        "INVENTORY_EDGE",
        "The edge is below what is asked of a plan that takes a venue further below its target "
        "(`inventory.skew_bps_max`): its strategy's `edge_bps_min` and the charge, less the "
        "reward for what it brings back.",
    )
    OPENS_POSITION = (
        "OPENS_POSITION",
        "A leg of a plan for instant profit would open a position in a derivative, or take it from "
        "a round; only a round's plan may (intent OPEN).",
    )
    LOSS_CAP = (
        "LOSS_CAP",
        "The plan's loss cap (`risk.loss_cap_bps`, `risk.plan_loss_max`) does not pay the fees of "
        "trading one side and trading it back at its own venues, so one missed side would fail the "
        "plan and halt trading. Of several assets: what trading away all that some of the legs "
        "leave costs.",
    )
    ROUND_UNKNOWN = (
        "ROUND_UNKNOWN",
        "The plan would close a round that is not known, or not this strategy's.",
    )
    ROUND_STATE = (
        "ROUND_STATE",
        "The round is not in a state for this: another plan of it is in flight, it is closed or "
        "halted, a fill came late less than 10 s ago, or it trades other assets or is of the other "
        "kind (hedged, directional).",
    )
    ROUNDS_OPEN = ("ROUNDS_OPEN", "As many rounds are open as there may be.")
    DIRECTIONAL_BUDGET = (
        "DIRECTIONAL_BUDGET",
        "A single leg is directional: with what the strategy holds so already it would exceed its "
        "`directional_notional_max` (0 unless configured).",
    )
    DIRECTIONAL_SIZE = (
        "DIRECTIONAL_SIZE",
        "No quantity that the venue takes loses so little at the signal's stop as the strategy "
        "may (`directional_equity`, `directional_risk_bps`, less what its open rounds may lose), "
        "within its budget and the depth near the best price.",
    )
    DIRECTIONAL_STOP = (
        "DIRECTIONAL_STOP",
        "A single leg, or a signal, would open a position without a stop (`stop_bps`), or with one "
        "as far away as its price: nothing would end what it may lose.",
    )
    OPENING_COST = (
        "OPENING_COST",
        "Opening the round would cost more cash, fees included, than its loss cap "
        "(`risk.loss_cap_bps`, `risk.plan_loss_max`) allows.",
    )
    REDUCE_ONLY = (
        "REDUCE_ONLY",
        "A plan that closes a round would trade more than the round holds, or on the other side.",
    )


SHRINKING: Final = (
    DenyReason.ORDER_NOTIONAL,
    DenyReason.PORTFOLIO_SHARE,
    DenyReason.INSTRUMENT_NOTIONAL,
    DenyReason.VENUE_NOTIONAL,
    DenyReason.TOTAL_NOTIONAL,
    DenyReason.NET_NOTIONAL,
    DenyReason.STRATEGY_NOTIONAL,
    DenyReason.ASSET_NET,
    DenyReason.ASSET_GROSS,
    DenyReason.DIRECTIONAL_BUDGET,
    DenyReason.BALANCE,
)
"""The limits on size: a plan beyond one is made smaller where that helps (``shrink.py``)."""


_UP: Final = Context(rounding=ROUND_CEILING)
"""A share that has no end is rounded up: what it is of comes out in whole lots, rounded down."""


class Denial(NamedTuple):
    """What a rule denies a plan for, with the numbers behind it.

    ``share`` is the part of the plan, above 0 and below 1, that the same rule surely lets pass;
    ``None`` where a smaller plan would not help.
    """

    reason: DenyReason
    context: dict[str, str]
    share: Decimal | None = None

    def with_room(self, room: Decimal, needs: Decimal) -> Denial:
        """Return the same where ``room`` is left of the ``needs`` that all of the plan has.

        What a plan needs must grow at most in proportion to its size: twice of it at most twice.
        """
        assert self.reason in SHRINKING
        return self._replace(share=_UP.divide(room, needs)) if 0 < room < needs else self


def deny(reason: DenyReason, **context: object) -> Denial:
    """Return a denial; the numbers are written as text."""
    return Denial(reason, {name: str(value) for name, value in context.items()})


def render_markdown() -> str:
    """Return ``docs/denials.md``."""
    lines = [
        "# Why risk says no",
        "",
        "Generated from `services/risk/reasons.py` and `halt_causes.py`; do not edit.",
        "",
        "## Denied",
        "",
        "Reasons of `Denied` on `risk.event`, in the order in which a plan is checked; the first",
        "that applies is given, with its numbers in `context`.",
        "",
        "| reason | meaning |",
        "|---|---|",
        *(f"| `{reason}` | {reason.explanation} |" for reason in DenyReason),
        "",
        "## Made smaller",
        "",
        "A plan beyond one of these limits, of one base asset and with no order that rests, is",
        "made smaller where that fits (`risk.shrink_share_min`); `shrunk` of it says what it was.",
        "It is denied where less than that share would fit, a leg would be below its venue's least",
        "order, or another rule denies the smaller plan:",
        "",
        ", ".join(f"`{reason}`" for reason in SHRINKING) + ".",
        "",
        "## Halted",
        "",
        "Causes at the start of `reason` in `TradingStateChanged` while the state is HALTED.",
        "",
        "| cause | meaning |",
        "|---|---|",
        *(f"| `{cause}` | {cause.explanation} |" for cause in HaltCause),
        "",
    ]
    return "\n".join(lines)
