"""CoinGecko's reference prices (``GET /api/v3/simple/price``) as a polled source. Pure."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from shared.errors import ConfigError, NotServed, ParseError
from shared.sources.polling import ReferencePrice, checked_base
from shared.venues.decoding import decoded

NAME = "coingecko"
REST_URL = "https://api.coingecko.com"
EVERY_S = 60.0
"""Its prices are renewed every minute, and who has no key may ask a few times in one."""

IDS = {
    "ADA": "cardano",
    "AVAX": "avalanche-2",
    "BCH": "bitcoin-cash",
    "BNB": "binancecoin",  # tidy-ok: what CoinGecko calls the coin
    "BTC": "bitcoin",
    "DOGE": "dogecoin",
    "DOT": "polkadot",
    "ETH": "ethereum",
    "LINK": "chainlink",
    "LTC": "litecoin",
    "SOL": "solana",
    "TRX": "tron",
    "USDC": "usd-coin",
    "USDT": "tether",
    "XRP": "ripple",
}
"""Symbols are not unique there, so only these are known; any other coin is named by its id."""

_Price = Annotated[float, Meta(gt=0, le=1e15)]
_Second = Annotated[int, Meta(ge=0, le=253_402_300_799)]
_ANSWER = msgspec.json.Decoder(dict[str, dict[str, float | int | None]])
LIKE = "like BTC/USD, or by its id there, like bitcoin/usd"


class CoinGeckoPrice:
    """The price of one coin in one currency.

    Raises:
        ConfigError: A coin that is known by no symbol here, or no name of an instrument.
    """

    source, every_s = NAME, EVERY_S

    def __init__(self, instrument: str, rest_url: str = "") -> None:
        base, slash, quote = instrument.partition("/")
        plain = base.replace("-", "").replace("_", "").replace(".", "") + quote
        if not (slash and base and quote and plain.isascii() and plain.isalnum()):
            raise ConfigError(f"{NAME} has no {instrument!r}; name a coin and a currency, {LIKE}")
        if base == base.upper() and base not in IDS:
            raise ConfigError(
                f"{NAME}: which coin is {base}? Symbols are not unique there; name it by its id, "
                "like bitcoin/usd"
            )
        self.instrument = instrument
        self._coin, self._currency = IDS.get(base, base), quote.lower()
        self.url = (
            f"{checked_base(rest_url or REST_URL)}/api/v3/simple/price?ids={self._coin}"
            f"&vs_currencies={self._currency}&include_last_updated_at=true&precision=full"
        )

    def read(self, body: bytes, now_ns: int) -> ReferencePrice:
        """Read ``{"bitcoin":{"usd":67187.3358936566,"last_updated_at":1711356300}}``.

        A coin that it does not have is left out, and so is a currency.
        """
        found = decoded(_ANSWER, body, "simple/price")
        if self._coin not in found:
            raise NotServed(f"{NAME} has no coin {self._coin!r}; its list has the ids of all")
        prices = found[self._coin]
        if self._currency not in prices:
            raise NotServed(
                f"{NAME} gives no prices in {self._currency.upper()}; give another currency, "
                "like USD"
            )
        updated_s = prices.get("last_updated_at")
        try:
            price = msgspec.convert(prices[self._currency], _Price)
            ts_venue_ns = (
                None if updated_s is None else msgspec.convert(updated_s, _Second) * 1_000_000_000
            )
        except msgspec.ValidationError as error:
            raise ParseError(f"simple/price of {self.instrument}: {error}") from error
        return ReferencePrice(
            venue=NAME,
            instrument=self.instrument,
            price=price,
            ts_recv_ns=now_ns,
            ts_venue_ns=ts_venue_ns,
        )
