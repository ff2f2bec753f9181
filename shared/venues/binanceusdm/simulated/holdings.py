"""Balances and positions as USDT-M answers them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from shared.exchange.accounts import Position
from shared.exchange.exchange import Exchange
from shared.exchange.listing import Listing


class Holdings:
    """The account, valued at mark prices; an open loss lowers what is available."""

    def __init__(self, exchange: Exchange, mark: Callable[[Listing], Decimal]) -> None:
        self.exchange, self.mark = exchange, mark

    def account(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Answer balances and positions."""
        assets = [self._asset(asset, now_ms) for asset in self.exchange.ledger.balances]
        positions = [self._position(listing, now_ms) for listing, _ in self._held()]
        total = assets[0] if assets else {}
        names = (
            "totalInitialMargin",
            "totalMaintMargin",
            "totalWalletBalance",
            "totalUnrealizedProfit",
            "totalMarginBalance",
            "totalPositionInitialMargin",
            "totalOpenOrderInitialMargin",
            "totalCrossWalletBalance",
            "totalCrossUnPnl",
        )
        totals = {name: total.get(_small(name.removeprefix("total")), "0") for name in names}
        return {
            "feeTier": 0,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": False,
            "updateTime": now_ms,
            "multiAssetsMargin": False,
            **totals,
            "availableBalance": total.get("availableBalance", "0"),
            "maxWithdrawAmount": "0",
            "assets": assets,
            "positions": positions,
        }

    def balance(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Answer balances."""
        rows = []
        for asset in self.exchange.ledger.balances:
            row = self._asset(asset, now_ms)
            rows.append(
                {
                    "accountAlias": "SimAccount",
                    "asset": asset,
                    "balance": row["walletBalance"],
                    "crossWalletBalance": row["walletBalance"],
                    "crossUnPnl": row["unrealizedProfit"],
                    "availableBalance": row["availableBalance"],
                    "maxWithdrawAmount": "0",
                    "marginAvailable": True,
                    "updateTime": now_ms,
                }
            )
        return rows

    def position_risk(self, parameters: Mapping[str, Any], now_ms: int) -> Any:
        """Answer positions that are open."""
        wanted = parameters.get("symbol")
        return [
            self._position(listing, now_ms)
            for listing, _ in self._held()
            if not wanted or listing.symbol == wanted
        ]

    def _held(self) -> list[tuple[Listing, Position]]:
        exchange = self.exchange
        return [
            (exchange.by_instrument[instrument], position)
            for instrument, position in exchange.ledger.positions.items()
            if position.qty
        ]

    def _unrealized(self) -> Decimal:
        return sum(
            ((self.mark(x) - p.entry_price) * p.qty for x, p in self._held()), start=Decimal(0)
        )

    def _asset(self, asset: str, now_ms: int) -> dict[str, Any]:
        ledger = self.exchange.ledger
        balance = ledger.balance(asset)
        unrealized = self._unrealized() if asset == "USDT" else Decimal(0)
        held = ledger.position_margin(asset)
        wallet = balance.free + balance.used
        available = balance.free - held + min(Decimal(0), unrealized)
        return {
            "asset": asset,
            "walletBalance": f"{wallet:.8f}",
            "unrealizedProfit": f"{unrealized:.8f}",
            "marginBalance": f"{wallet + unrealized:.8f}",
            "maintMargin": "0.00000000",
            "initialMargin": f"{held + balance.used:.8f}",
            "positionInitialMargin": f"{held:.8f}",
            "openOrderInitialMargin": f"{balance.used:.8f}",
            "crossWalletBalance": f"{wallet:.8f}",
            "crossUnPnl": f"{unrealized:.8f}",
            "availableBalance": f"{max(Decimal(0), available):.8f}",
            "maxWithdrawAmount": "0.00000000",
            "marginAvailable": True,
            "updateTime": now_ms,
        }

    def _position(self, listing: Listing, now_ms: int) -> dict[str, Any]:
        ledger = self.exchange.ledger
        position, mark = ledger.positions[listing.instrument], self.mark(listing)
        notional = position.qty * mark
        margin = abs(position.qty) * position.entry_price / ledger.leverage
        return {
            "symbol": listing.symbol,
            "positionSide": "BOTH",
            "positionAmt": f"{position.qty:f}",
            "entryPrice": f"{position.entry_price:.5f}",
            "breakEvenPrice": f"{position.entry_price:.5f}",
            "markPrice": f"{mark:.8f}",
            "unRealizedProfit": f"{(mark - position.entry_price) * position.qty:.8f}",
            "unrealizedProfit": f"{(mark - position.entry_price) * position.qty:.8f}",
            "liquidationPrice": "0",
            "isolatedMargin": "0",
            "isolatedWallet": "0",
            "notional": f"{notional:.8f}",
            "marginAsset": listing.quote,
            "initialMargin": f"{margin:.8f}",
            "maintMargin": f"{abs(notional) * Decimal('0.004'):.8f}",
            "positionInitialMargin": f"{margin:.8f}",
            "openOrderInitialMargin": "0",
            "leverage": str(ledger.leverage),
            "marginType": "cross",
            "adl": 1,
            "bidNotional": "0",
            "askNotional": "0",
            "updateTime": now_ms,
        }


def _small(name: str) -> str:
    return name[0].lower() + name[1:]
