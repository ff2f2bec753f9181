"""The gates an opportunity must pass, by constant code, and what each says of itself. Pure."""

from __future__ import annotations

from enum import StrEnum

from shared.domain.depth import Obstacle


class Gate(StrEnum):
    """Why a comparison of two books was not an opportunity."""

    QUOTE_MISMATCH = "QUOTE_MISMATCH"  # prices in different assets do not compare
    INVERSE = "INVERSE"  # settled in the base asset: another profit formula
    NO_RULES = "NO_RULES"  # tick, lot, minimum or fee of an instrument is not known yet
    INACTIVE = "INACTIVE"  # the venue does not trade the instrument now
    BOOK_NOT_LIVE = "BOOK_NOT_LIVE"
    BOOK_AGE = "BOOK_AGE"
    NOT_CROSSED = Obstacle.NOT_CROSSED.value
    FEES = Obstacle.FEES.value
    EDGE_MIN = Obstacle.EDGE_MIN.value
    OPENS_POSITION = "OPENS_POSITION"  # it pays, but would leave a derivative open
    COOLDOWN = "COOLDOWN"  # this pair was offered a moment ago
    PRICES_TAKEN = "PRICES_TAKEN"  # an opportunity of a moment ago takes a side of a book
    INVENTORY_EDGE = "INVENTORY_EDGE"  # it empties a venue, and pays too little for that
    INVENTORY_BAND = "INVENTORY_BAND"  # it would leave a venue below its band
    LOT = "LOT"  # less than one lot that both venues accept
    NOTIONAL_MIN = "NOTIONAL_MIN"  # less than a venue's least order


OF_OBSTACLE: dict[Obstacle, Gate] = {obstacle: Gate(obstacle.value) for obstacle in Obstacle}

QUIET: frozenset[str] = frozenset({Gate.QUOTE_MISMATCH, Gate.INVERSE, Gate.NOT_CROSSED})
"""The normal case: counted at every comparison, published less often than the rest."""

CONTEXT: dict[str, tuple[str, ...]] = {
    Gate.QUOTE_MISMATCH: ("buy_quote", "sell_quote"),
    Gate.INVERSE: (),
    Gate.NO_RULES: ("buy_known", "sell_known"),
    Gate.INACTIVE: ("buy_active", "sell_active"),
    Gate.BOOK_NOT_LIVE: ("buy_state", "sell_state"),
    Gate.BOOK_AGE: ("buy_age_ms", "sell_age_ms"),
    Gate.NOT_CROSSED: ("bid", "ask"),
    Gate.FEES: ("bid", "ask"),
    Gate.EDGE_MIN: ("bid", "ask"),
    Gate.OPENS_POSITION: ("bid", "ask"),
    Gate.COOLDOWN: ("remaining_ms",),
    Gate.PRICES_TAKEN: ("venue", "instrument", "side", "taken_by", "remaining_ms"),
    Gate.INVENTORY_EDGE: ("needs_bps", "charge_bps", "reward_bps"),
    Gate.INVENTORY_BAND: ("venue", "asset", "held", "low"),
    Gate.LOT: ("qty", "lot"),
    Gate.NOTIONAL_MIN: ("qty", "price"),
}
"""What the numbers of a near miss mean, gate by gate."""
