"""What the simulated Bybit tells of the account: balances, positions, its key. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from shared.exchange.accounts import Position
from shared.exchange.exchange import Exchange
from shared.exchange.funding import Funding
from shared.exchange.listing import Listing
from shared.venues.bybit.simulated.market_data import listing_of
from shared.venues.bybit.simulated.orders import rest_position
from shared.venues.bybit.symbols import category_of

UNIFIED = 6
"""``unifiedMarginStatus`` of a unified account 2.0 pro."""


class AccountData:
    """Answers about one unified account in one-way mode, unless an injected state says else."""

    def __init__(self, exchange: Exchange, funding: Funding) -> None:
        self.exchange, self.funding = exchange, funding

    def wallet(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Answer balances; ``coin`` may name some."""
        wanted = {name for name in str(parameters.get("coin") or "").split(",") if name}
        coins = [
            self._coin(asset)
            for asset in self.exchange.ledger.balances
            if not wanted or asset in wanted
        ]
        row = {
            "accountType": "UNIFIED",
            "accountIMRate": "0",
            "accountMMRate": "0",
            "totalEquity": "0",
            "totalWalletBalance": "0",
            "totalMarginBalance": "0",
            "totalAvailableBalance": "0",
            "totalPerpUPL": "0",
            "totalInitialMargin": "0",
            "totalMaintenanceMargin": "0",
            "coin": coins,
        }
        return {"list": [row]}

    def _coin(self, asset: str) -> dict[str, Any]:
        ledger = self.exchange.ledger
        balance, unrealized = ledger.balance(asset), self._unrealized(asset)
        wallet = balance.free + balance.used
        return {
            "coin": asset,
            "equity": f"{wallet + unrealized:.8f}",
            "usdValue": "0",
            "walletBalance": f"{wallet:.8f}",
            "locked": "0",
            "spotHedgingQty": "0",
            "borrowAmount": "0",
            "accruedInterest": "0",
            "totalOrderIM": f"{balance.used:.8f}",
            "totalPositionIM": f"{ledger.position_margin(asset):.8f}",
            "totalPositionMM": "0",
            "unrealisedPnl": f"{unrealized:.8f}",
            "cumRealisedPnl": "0",
            "marginCollateral": True,
            "collateralSwitch": True,
        }

    def _unrealized(self, asset: str) -> Decimal:
        held = (
            (self.exchange.by_instrument[instrument], position)
            for instrument, position in self.exchange.ledger.positions.items()
            if position.asset == asset
        )
        return sum((p.profit_at(self.funding.mark(x)) for x, p in held if p.qty), start=Decimal(0))

    def positions(self, parameters: Mapping[str, Any], *, is_hedged: bool) -> dict[str, Any]:
        """Answer positions: all that are open, or those of a symbol whether open or not.

        In hedge mode a symbol has a position for each side.
        """
        exchange, leverage = self.exchange, self.exchange.ledger.leverage
        if parameters.get("symbol"):
            chosen = [listing_of(exchange, parameters)]
        else:
            chosen = [
                x
                for x in exchange.by_symbol.values()
                if parameters.get("category") == category_of(x.instrument)
                and x.settle == parameters.get("settleCoin", x.settle)
                and self._held(x).qty
            ]
        found = [
            rest_position(x, self._held(x), self.funding.mark(x), leverage, index)
            for x in chosen
            for index in ((1, 2) if is_hedged else (0,))
        ]
        return {"category": parameters.get("category"), "nextPageCursor": "", "list": found}

    def _held(self, listing: Listing) -> Position:
        held = self.exchange.ledger.positions.get(listing.instrument)
        return held or Position(listing.settle, inverse=listing.inverse)

    def info(self) -> dict[str, Any]:
        """Answer what kind of account it is."""
        return {
            "unifiedMarginStatus": UNIFIED,
            "marginMode": "REGULAR_MARGIN",
            "isMasterTrader": False,
            "spotHedgingStatus": "OFF",
            "updatedTime": "0",
        }

    def key(self, state: str) -> dict[str, Any]:
        """Answer what the key may do."""
        is_read_only = state == "read_only"
        permissions = {
            "ContractTrade": [] if is_read_only else ["Order", "Position"],
            "Wallet": ["Withdraw"] if state == "may_withdraw" else [],
        }
        return {
            "id": "1",
            "readOnly": int(is_read_only),
            "permissions": permissions,
            "ips": ["*"],
            "unified": 0,
            "uta": 1,
            "userID": 1,
            "isMaster": True,
        }

    def fees(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Answer fees of the account."""
        symbol = parameters.get("symbol")
        return {
            "list": [
                {
                    "symbol": x.symbol,
                    "takerFeeRate": f"{x.taker_bps / 10_000:f}",
                    "makerFeeRate": f"{x.maker_bps / 10_000:f}",
                }
                for x in self.exchange.by_symbol.values()
                if not symbol or x.symbol == symbol
            ]
        }
