"""What is held against each limit on exposure, and what of it is above its soft limit. Pure.

``risk.soft_limit_share`` of a limit is its soft limit. What is held above one is worked off
(``reduce.py``) to nine tenths of it, and nothing is opened beyond these nine tenths: so only what
nobody chose is ever worked off, like prices that moved, late fills, or limits that were lowered.

Only what is held counts here, in quote units at the last fill's price or the best bid, whichever is
higher; what plans in flight may add is a matter of the rules that judge plans.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from services.risk.asset_limits import SPOT, holdings_of
from services.risk.decision_context import VenueMarket, market_of
from services.risk.exposure import ZERO, Ledger
from services.risk.quote_limits import LimitsByQuote
from services.risk.reasons import DenyReason
from services.risk.rounds import Round
from shared.config_limits import AssetLimits, QuoteLimits, RiskConfig
from shared.config_sections import StrategyConfig
from shared.domain.depth import is_size
from shared.domain.instrument import MarketKey
from shared.domain.quantities import worth_of
from shared.domain.rounding import exact
from shared.messages.market import DepthView

CALM: Final = Decimal("0.9")
"""The share of a soft limit to which exposure is worked off, and beyond which nothing is opened."""
_ON_EXPOSURE: Final = (
    "instrument_notional_max",
    "venue_notional_max",
    "total_notional_max",
    "net_notional_max",
)


class Exposure(NamedTuple):
    """What is held against one limit.

    Attributes:
        code: Of the limit, as in a denial.
        subject: Which instrument, venue, strategy or asset, or that it is all.
        unit: In which both numbers are.
        held: Of it.
        most: The limit.
        by_round: What each round would take from ``held`` if it were closed; what is none left out.
    """

    code: DenyReason
    subject: str
    unit: str
    held: Decimal
    most: Decimal
    by_round: dict[str, Decimal]

    @property
    def key(self) -> str:
        """Its name among all of them."""
        return f"{self.code}|{self.subject}|{self.unit}"

    def text(self, share: Decimal) -> str:
        """Return it in words, with the soft limit that is ``share`` of the limit."""
        of = f" of {self.subject}" if self.subject else ""
        soft = (self.most * share).normalize()
        held = self.held.quantize(Decimal("1e-8")).normalize()
        return f"{self.code}{of} {held:f} {self.unit}, soft limit {soft:f} of {self.most:f}"


def opening_limits(config: RiskConfig) -> RiskConfig:
    """Return the limits by which plans are judged that open something."""
    scale = opening_scale(config)
    if scale is None:
        return config
    return msgspec.structs.replace(
        config,
        **{name: getattr(config, name) * scale for name in _ON_EXPOSURE},
        per_quote={quote: _scaled(each, scale) for quote, each in config.per_quote.items()},
        per_asset={
            asset: AssetLimits(net_max=each.net_max * scale, gross_max=each.gross_max * scale)
            for asset, each in config.per_asset.items()
        },
    )


def opening_scale(config: RiskConfig) -> Decimal | None:
    """Return what part of a limit may be used by opening; ``None``: all of it."""
    return CALM * exact(config.soft_limit_share) if config.soft_limit_share else None


def _scaled(limits: QuoteLimits, scale: Decimal) -> QuoteLimits:
    return msgspec.structs.replace(
        limits, **{name: getattr(limits, name) * scale for name in _ON_EXPOSURE}
    )


class Holdings:
    """What is held now, for exposures to be worked out from.

    Args:
        ledger: Positions, exposure, rounds and the prices of fills.
        views: The newest of every book.
    """

    def __init__(self, ledger: Ledger, views: Mapping[MarketKey, DepthView]) -> None:
        self._ledger, self._views = ledger, views
        self._rounds = [each for each in ledger.rounds.rounds.values() if each.held]
        positions = [(market_of(key), qty) for key, qty in ledger.positions.items()]
        self._positions = {market.key: qty for market, qty in positions if not market.is_spot}
        self._markets = [market for market, _ in positions]
        self._held = [market for market, qty in positions if qty]
        self._held_at: dict[str, list[tuple[str, Decimal]]] = {}
        """Which rounds hold something in a market, and how much in its own quantity, by its key."""
        for each in self._rounds:
            for key, qty in each.books.quantities.items():
                if qty:
                    self._held_at.setdefault(key, []).append((each.key, qty))

    @property
    def is_priced(self) -> bool:
        """Whether books price all that is held."""
        return all(self._bid(market) is not None for market in self._held)

    def exposures(
        self, limits: LimitsByQuote, strategies: Iterable[StrategyConfig]
    ) -> Iterator[Exposure]:
        """Yield what is held against each limit on exposure that is set."""
        assets: dict[str, AssetLimits] = {}
        for quote in dict.fromkeys(market.quote for market in self._markets):
            known = limits.of(quote)
            if known is None:
                continue
            assets |= known.per_asset
            yield from self._in_quote(quote, known)
            for each in strategies:
                if each.notional_max:
                    yield self._of_strategy(each, quote)
        for asset, own in assets.items():
            yield from self._of_asset(asset, own)

    def worth(self, held: Round) -> Decimal:
        """Return what the dearer side of a round is worth, in quote units."""
        bought = sold = ZERO
        for key, qty in held.books.quantities.items():
            worth = self._worth(market_of(key), qty)
            if qty > 0:
                bought += worth
            else:
                sold += worth
        return max(bought, sold)

    def _in_quote(self, quote: str, limits: RiskConfig) -> Iterator[Exposure]:
        markets = [market for market in self._markets if market.quote == quote]
        derivatives = [market for market in markets if not market.is_spot]
        by_venue: dict[str, list[VenueMarket]] = {}
        for market in derivatives:
            by_venue.setdefault(market.venue, []).append(market)
            given = DenyReason.INSTRUMENT_NOTIONAL, market.text, quote
            yield self._of_markets(*given, limits.instrument_notional_max, [market])
        for venue, there in by_venue.items():
            given = DenyReason.VENUE_NOTIONAL, venue, quote
            yield self._of_markets(*given, limits.venue_notional_max, there)
        unhedged = {base: self._unhedged(base, markets) for base in {m.base: 0 for m in markets}}
        total, net = ZERO, ZERO
        in_total: dict[str, Decimal] = {}
        in_net: dict[str, Decimal] = {}
        for base, (worth, by_round) in unhedged.items():
            gross = self._of_markets(
                DenyReason.TOTAL_NOTIONAL,
                "",
                quote,
                ZERO,
                [m for m in derivatives if m.base == base],
            )
            net += worth
            for key, part in by_round.items():
                _add(in_net, key, part)
            total += max(worth, gross.held)
            for key, part in (gross.by_round if gross.held > worth else by_round).items():
                _add(in_total, key, part)
        most = limits.total_notional_max
        yield Exposure(DenyReason.TOTAL_NOTIONAL, "", quote, total, most, in_total)
        if most := limits.net_notional_max:
            yield Exposure(DenyReason.NET_NOTIONAL, "", quote, net, most, in_net)

    def _of_markets(
        self,
        code: DenyReason,
        subject: str,
        quote: str,
        most: Decimal,
        markets: Iterable[VenueMarket],
    ) -> Exposure:
        """Return what positions in derivatives are worth together, whatever their sides."""
        held, by_round = ZERO, dict[str, Decimal]()
        for market in markets:
            position = self._positions[market.key]
            held += self._worth(market, position)
            for key, qty in self._held_at.get(market.key, ()):
                _add(by_round, key, self._worth(market, _part_of(qty, position)))
        return Exposure(code, subject, quote, held, most, by_round)

    def _unhedged(
        self, base: str, markets: Iterable[VenueMarket]
    ) -> tuple[Decimal, dict[str, Decimal]]:
        """Return what is not hedged of an asset, at its highest price, and whose it is."""
        price = max((self._mark(market) for market in markets if market.base == base), default=ZERO)
        net = self._ledger.exposure.get(base, ZERO)
        return abs(net) * price, {
            each.key: abs(part) * price
            for each in self._rounds
            if each.base == base and (part := _part_of(each.net, net))
        }

    def _of_strategy(self, strategy: StrategyConfig, quote: str) -> Exposure:
        own = [x for x in self._rounds if x.strategy == strategy.id and x.quote == quote]
        worths = {each.key: worth for each in own if (worth := self.worth(each))}
        held, most = sum(worths.values(), ZERO), strategy.notional_max
        return Exposure(DenyReason.STRATEGY_NOTIONAL, strategy.id, quote, held, most, worths)

    def _of_asset(self, asset: str, limits: AssetLimits) -> Iterator[Exposure]:
        net = self._ledger.exposure.get(asset, ZERO)
        if limits.net_max:
            by_round = {
                each.key: abs(part)
                for each in self._rounds
                if each.base == asset and (part := _part_of(each.net, net))
            }
            most = limits.net_max
            yield Exposure(DenyReason.ASSET_NET, asset, asset, abs(net), most, by_round)
        if limits.gross_max:
            yield self._gross(asset, limits.gross_max)

    def _gross(self, asset: str, most: Decimal) -> Exposure:
        """Return spot and every derivative of an asset, added up whatever their sides."""
        holdings = holdings_of(self._ledger, asset)
        by_round: dict[str, Decimal] = {}
        of_spot: dict[str, Decimal] = {}
        for at, holders in self._held_at.items():
            market = market_of(at)
            if market.base != asset:
                continue
            for key, own in holders:
                if market.is_spot:
                    _add(of_spot, key, own)
                elif position := self._positions.get(at):
                    part = _part_of(own, position) / position
                    _add(by_round, key, abs(holdings[at]) * part)
        for key, own in of_spot.items():
            _add(by_round, key, abs(_part_of(own, holdings[SPOT])))
        held = sum((abs(each) for each in holdings.values()), ZERO)
        return Exposure(DenyReason.ASSET_GROSS, asset, asset, held, most, by_round)

    def _worth(self, market: VenueMarket, qty: Decimal) -> Decimal:
        return worth_of(market.book[1], abs(qty), self._mark(market))

    def _mark(self, market: VenueMarket) -> Decimal:
        """Return the dearer of two prices that somebody pays: the last fill's, and the best bid.

        The best ask, by which openings are judged, may be anything where few offers are left.
        """
        return max(self._ledger.prices.get(market.key, ZERO), self._bid(market) or ZERO)

    def _bid(self, market: VenueMarket) -> Decimal | None:
        view = self._views.get(market.book)
        if view is None or not view.bids or not is_size(view.bids[0][0]):
            return None
        return exact(view.bids[0][0])


def _part_of(own: Decimal, whole: Decimal) -> Decimal:
    """Return how much of a net whole closing its own part would take away, signed."""
    if own * whole <= 0:
        return ZERO
    return own if abs(own) < abs(whole) else whole


def _add(sums: dict[str, Decimal], key: str, amount: Decimal) -> None:
    """Add to a sum; what is nothing makes none."""
    if amount:
        sums[key] = sums.get(key, ZERO) + amount
