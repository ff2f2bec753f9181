"""Rows of the screens books, spreads and funding of `arb top`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import permutations
from typing import Final

from rich.text import Text

from services.cli.look import price_text, spread_bps
from services.cli.screen import STATE_STYLE, short_name
from services.cli.top.cells import SILENT, UNKNOWN, Row, age, duration, number
from services.cli.top.watched import Place, Watched, is_silent
from shared.domain.instrument import split_instrument
from shared.messages.base import BookState
from shared.messages.market import DepthView
from shared.messages.rules import InstrumentRules

YEAR_NS: Final = 365 * 86_400 * 1_000_000_000


def _best(view: DepthView) -> tuple[float | None, float | None]:
    bid = view.bids[0][0] if view.bids else None
    return bid, view.asks[0][0] if view.asks else None


def books(watched: Watched, now_ns: int) -> Iterator[Row]:
    for (venue, instrument), view in sorted(watched.views.items()):
        bid, ask = _best(view)
        spread = spread_bps(bid, ask)
        state = Text(view.state, STATE_STYLE[view.state])
        if is_silent(view.ts_ns, now_ns):
            state = Text(SILENT, "bold red")
        yield Row(
            f"{venue}|{instrument}",
            (
                venue,
                short_name(instrument),
                state,
                number(UNKNOWN if bid is None else price_text(bid)),
                number(UNKNOWN if ask is None else price_text(ask)),
                number(UNKNOWN if spread is None else f"{spread:.1f}"),
                age(view.ts_ns, now_ns),
            ),
            view,
        )


def net_bps(
    rules: Mapping[Place, InstrumentRules], buy: Place, sell: Place, ask: float, bid: float
) -> float | None:
    """Return the edge of buying at one and selling at the other after taker fees.

    ``None`` while a fee is not known.
    """
    bought, sold = rules.get(buy), rules.get(sell)
    if bought is None or sold is None:
        return None
    pays = ask * (1 + float(bought.taker_fee_bps) / 1e4)
    gets = bid * (1 - float(sold.taker_fee_bps) / 1e4)
    return (gets / pays - 1) * 1e4


def spreads(watched: Watched, now_ns: int) -> Iterator[Row]:
    by_pair: dict[tuple[str, str], list[tuple[Place, DepthView]]] = {}
    for place, view in sorted(watched.views.items()):
        is_good = view.state is BookState.LIVE and not is_silent(view.ts_ns, now_ns)
        if is_good and view.bids and view.asks:
            name = split_instrument(view.instrument)
            by_pair.setdefault((name.base, name.quote), []).append((place, view))
    found = []
    for (base, _), listed in by_pair.items():
        for (buy, bought), (sell, sold) in permutations(listed, 2):
            ask, bid = bought.asks[0][0], sold.bids[0][0]
            gross, net = (bid / ask - 1) * 1e4, net_bps(watched.rules, buy, sell, ask, bid)
            found.append((gross if net is None else net, base, buy, sell, ask, bid, gross, net))
    found.sort(key=lambda each: -each[0])
    for _, base, buy, sell, ask, bid, gross, net in found:
        net_text = UNKNOWN if net is None else f"{net:+.1f}"
        is_profit = net is not None and net > 0
        yield Row(
            "|".join((*buy, *sell)),
            (
                base,
                _where(buy),
                _where(sell),
                number(net_text, "bold green" if is_profit else ""),
                number(f"{gross:+.1f}"),
                number(price_text(ask)),
                number(price_text(bid)),
            ),
            {"buy": watched.views[buy], "sell": watched.views[sell]},
        )


def _where(place: Place) -> str:
    venue, instrument = place
    return f"{venue} perp" if split_instrument(instrument).settle else venue


def funding(watched: Watched, now_ns: int) -> Iterator[Row]:
    for (venue, instrument), told in sorted(watched.funding.items()):
        yearly = None if not told.interval_ns else told.rate * YEAR_NS / told.interval_ns
        basis = None if not told.index_price else (told.mark_price / told.index_price - 1) * 1e4
        left_s = (told.ts_funding_ns - now_ns) / 1e9
        yield Row(
            f"{venue}|{instrument}",
            (
                venue,
                short_name(instrument),
                number(f"{told.rate * 1e4:+.3f}"),
                number(UNKNOWN if yearly is None else f"{yearly * 100:+.1f} %"),
                number(duration(left_s) if left_s > 0 else "due"),
                number(price_text(told.mark_price)),
                number(UNKNOWN if basis is None else f"{basis:+.1f}"),
                age(told.ts_recv_ns, now_ns),
            ),
            told,
        )
