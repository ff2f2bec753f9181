"""Binance USDT-M's REST book, to compare books with. Pure."""

from __future__ import annotations

from shared.venues.binance.book_audit import BinanceAudit
from shared.venues.binanceusdm.symbols import to_symbol


class LinearAudit(BinanceAudit):
    """``GET /fapi/v1/depth``, of the same shape; 100 levels cost 5 as well."""

    def path(self, instrument: str) -> str:
        """Return the path of a book."""
        return f"/fapi/v1/depth?symbol={to_symbol(instrument)}&limit={self.levels}"


AUDIT = LinearAudit()
