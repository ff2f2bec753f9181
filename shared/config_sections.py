"""The sections of ``arb.toml`` as plain structs: what can be set, and its defaults. Pure.

``shared/config.py`` reads them from a file and the environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from shared.config_base import Positive, PositiveInt, Section
from shared.config_dashboard import DashboardConfig
from shared.config_limits import RiskConfig
from shared.config_notifier import NotifierConfig


class BusConfig(Section, frozen=True, kw_only=True):
    """Where Redis is. ``url`` is ``redis://``, ``rediss://`` or ``unix://``, or ``redis+sentinel://``
    and ``rediss+sentinel://`` with the addresses of Sentinels (docs/failover.md).

    Plans and commands must be signed (docs/security.md). ``accept_unsigned_until`` is for coming
    from a version that did not sign: a moment like ``2026-12-01T00:00:00Z``.
    """

    url: str = "redis://127.0.0.1:6379/0"
    shards: Annotated[int, Meta(ge=1, le=64)] = 1
    tls_ca_file: str = ""
    accept_unsigned_until: str = ""


class ObserveConfig(Section, frozen=True, kw_only=True):
    """Health and metrics server of each process; port 0 picks a free one (see sys.health)."""

    http_host: str = "127.0.0.1"
    http_port: Annotated[int, Meta(ge=0, le=65535)] = 0
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class VenueConfig(Section, frozen=True, kw_only=True):
    """One venue. Empty URLs mean the venue's own; ``taker_fee_bps`` overrides what it reports.

    ``ccxt_id`` sends orders through the generic gateway, as this exchange of ccxt; books are read
    as ``adapter`` reads them (docs/venues.md).

    ``account_ws_url`` is where accounts are followed, by default below ``ws_url`` if that is given.
    ``maintenance`` are windows of time (``shared/domain/windows.py``) in which nothing is opened.
    ``audit_every_s`` is how often each book is compared with the venue's REST book, as far as a
    tenth of its rate budget goes; 0: never.
    ``accept_unproved`` takes books for LIVE of which nothing proves that no change was lost.
    With ``two_feeds`` two ingestors follow the venue, a and b (``ARB_INGESTOR_FEED``).
    """

    instruments: list[str]
    adapter: str = ""
    rest_url: str = ""
    ws_url: str = ""
    taker_fee_bps: Decimal | None = None
    trade: bool = True
    feeds: tuple[Literal["depth", "trades", "funding"], ...] = ("depth",)
    account_ws_url: str = ""
    maintenance: tuple[str, ...] = ()
    ccxt_id: str = ""
    audit_every_s: Annotated[float, Meta(ge=0, le=86_400)] = 60.0
    accept_unproved: bool = False
    two_feeds: bool = False


def same_books(venues: Mapping[str, VenueConfig]) -> dict[str, str]:
    """Return each venue that is a further account at another -> the one configured first.

    Two of one adapter are, unless both give an address and these differ: an address left out may
    be the other's.
    """
    found: dict[str, str] = {}
    firsts: dict[str, list[str]] = {}
    for name, venue in venues.items():
        others = firsts.setdefault(venue.adapter or name, [])
        address = venue.rest_url.rstrip("/").lower()
        for other in others:
            known = venues[other].rest_url.rstrip("/").lower()
            if not address or not known or address == known:
                found[name] = other
                break
        else:
            others.append(name)
    return found


class OrderbookConfig(Section, frozen=True, kw_only=True):
    """Books: depth published, and when silence makes one stale."""

    depth_levels: Annotated[int, Meta(ge=1, le=1000)] = 20
    stale_after_ms: PositiveInt = 5_000
    refresh_ms: PositiveInt = 250
    checkpoint_interval_ms: PositiveInt = 1_000


class ScannerConfig(Section, frozen=True, kw_only=True):
    """What counts as an opportunity. Notionals are in quote units."""

    edge_bps_min: float = 2.0
    notional_max: Positive = 10_000.0
    book_age_ms_max: PositiveInt = 2_000
    cooldown_ms: Annotated[int, Meta(ge=0)] = 1_000
    opportunity_ttl_ms: PositiveInt = 500


class ExecutorConfig(Section, frozen=True, kw_only=True):
    """How plans are executed. ``mode``: paper (never sends), simulated (loopback venues), live.

    A paper account begins with ``paper_balance`` of each of ``risk.quote_assets`` and that worth of
    what is traded there; ``paper_balances`` says what it has of an asset instead.
    ``account_streams`` lets what venues push about orders and fills be followed beside REST.
    ``dead_man_s`` is how long after it was last heard of a venue cancels the open orders (all of
    the account, or of the symbols traded), where it can; told again each third of that; 0: never.
    A venue that failed more than ``venue_error_rate_max`` (a share) of its last 20 orders, or took
    longer than ``venue_latency_ms_max`` for half of them, gets no new ones for a while; 0: any.
    """

    mode: Literal["paper", "simulated", "live"] = "paper"
    hedge_deadline_ms: PositiveInt = 5_000
    request_timeout_ms: PositiveInt = 5_000
    query_attempts_max: PositiveInt = 20
    paper_latency_ms: Annotated[int, Meta(ge=0)] = 20
    paper_balance: Decimal = Decimal(1_000_000)
    paper_balances: dict[str, Decimal] = {}
    account_streams: bool = False
    dead_man_s: Annotated[int, Meta(ge=0, le=3_600)] = 60
    venue_error_rate_max: Annotated[float, Meta(ge=0, le=1)] = 0.0
    venue_latency_ms_max: Annotated[int, Meta(ge=0)] = 0


class PaperVenue(Section, frozen=True, kw_only=True):
    """``[paper.venues.NAME]``: what differs at one venue from ``[paper]``."""

    latency_ms: tuple[tuple[float, float], ...] = ()
    reject_rate: Annotated[float, Meta(ge=0, le=1)] | None = None
    outages_per_hour: Annotated[float, Meta(ge=0, le=60)] | None = None
    outage_s: Annotated[float, Meta(gt=0, le=3_600)] | None = None
    outage_unknown_rate: Annotated[float, Meta(ge=0, le=1)] | None = None


class PaperConfig(Section, frozen=True, kw_only=True):
    """How accounts on paper behave like those of venues (docs/paper.md); all by ``seed``.

    What an order took of a side of a book is there again by half after ``impact_half_life_ms`` (0:
    as soon as the venue changes a level). An order that rests has ``queue_ahead_share`` of what is
    shown at its price before it. ``latency_ms`` are pairs of a percentile and milliseconds, both
    rising, of what orders and cancels take to the venue; without any it is
    ``executor.paper_latency_ms``. ``reject_rate`` is the share of orders that the venue refuses;
    outages, in which it answers nothing, come ``outages_per_hour`` times and last ``outage_s``.
    ``outage_unknown_rate`` is the share of orders and cancels in one that may have been carried
    out: half of them were. The others were surely not sent.
    """

    seed: Annotated[int, Meta(ge=0, le=2**31)] = 7
    impact_half_life_ms: Annotated[int, Meta(ge=0, le=600_000)] = 1_000
    queue_ahead_share: Decimal = Decimal(1)
    latency_ms: tuple[tuple[float, float], ...] = ()
    reject_rate: Annotated[float, Meta(ge=0, le=1)] = 0.0
    outages_per_hour: Annotated[float, Meta(ge=0, le=60)] = 0.0
    outage_s: Annotated[float, Meta(gt=0, le=3_600)] = 30.0
    outage_unknown_rate: Annotated[float, Meta(ge=0, le=1)] = 0.5
    venues: dict[str, PaperVenue] = {}

    def at(self, venue: str) -> PaperConfig:
        """Return what holds at a venue."""
        own = self.venues.get(venue, PaperVenue())
        given = msgspec.structs.asdict(own).items()
        return msgspec.structs.replace(
            self, venues={}, **{name: value for name, value in given if value not in (None, ())}
        )


LEDGER_SCHEMES = ("postgresql://", "postgres://")


class RecorderConfig(Section, frozen=True, kw_only=True):
    """What is kept on disk: ``enabled`` lets ingestors hand over raw frames and a recorder run.

    ``ledger`` lets the recorder write the ledger, into ``ledger_file`` (in ``dir``, if its path is
    not absolute), or into the PostgreSQL database of ``ledger_url`` where that is given.
    """

    enabled: bool = False
    dir: str = "data"
    segment_bytes_max: PositiveInt = 64_000_000
    sync_interval_ms: Annotated[int, Meta(ge=10, le=900)] = 500
    ledger: bool = False
    ledger_file: str = "ledger.sqlite"
    ledger_url: str = ""


class SentinelConfig(Section, frozen=True, kw_only=True):
    """What the sentinel takes for wrong, and whether it acts (docs/sentinel.md).

    ``enabled`` lets `arb up` run it. Without ``act`` it only alerts. ``flatten``: it closes
    positions as well when it acts. Notionals and drops are in dollars, ``read_interval_ms`` is how
    often each venue's account is read, ``delta_for_ms`` how long a difference must last,
    ``kill_within_ms`` when the kill switch gives up, ``slippage_bps_max`` how far from the best
    price it closes.
    """

    enabled: bool = True
    act: bool = False
    flatten: bool = False
    read_interval_ms: PositiveInt = 10_000
    truth_age_ms_max: PositiveInt = 60_000
    delta_notional_max: Decimal = Decimal(500)
    delta_for_ms: PositiveInt = 30_000
    unowned_order_ms_max: PositiveInt = 15_000
    equity_drop_max: Decimal = Decimal(2_000)
    untrusted_book_ms_max: PositiveInt = 3_000
    stream_lag_ms_max: PositiveInt = 10_000
    heartbeat_ms_max: PositiveInt = 10_000
    kill_within_ms: PositiveInt = 30_000
    slippage_bps_max: Decimal = Decimal(100)


class ExporterConfig(Section, frozen=True, kw_only=True):
    """Where metrics are served; port 0 picks a free one. ``enabled`` lets `arb up` do it."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 9_465


class ProcessConfig(Section, frozen=True, kw_only=True):
    """How services use the machine.

    ``processors`` says on which a service may run, by its name; one that is not named may use all.
    Every ``warming_ms`` scanner, risk and executor decide on what came last and drop the result; 0:
    never.
    """

    processors: dict[str, tuple[Annotated[int, Meta(ge=0)], ...]] = {}
    warming_ms: Annotated[int, Meta(ge=0, le=1_000)] = 0


class InventoryTarget(Section, frozen=True, kw_only=True):
    """What a venue should hold of an asset, and by how much it may be off in either direction.

    Either units of the asset (``target_qty``, ``band_qty``), or shares (1 is all) of what all
    venues with a target for it hold together (``target_share``, ``band_share``).
    """

    venue: str
    asset: str
    target_share: Decimal | None = None
    band_share: Decimal | None = None
    target_qty: Decimal | None = None
    band_qty: Decimal | None = None


class InventoryTransfer(Section, frozen=True, kw_only=True):
    """A network by which an asset can be moved from a venue to another; empty: any with a target.

    ``fee_qty`` is taken off what is sent, ``minutes`` is until it is credited; a row without one
    says that it is unknown. ``qty_min`` is the least withdrawal. Quantities in units of the asset.
    """

    asset: str
    from_venue: str = ""
    to_venue: str = ""
    network: str = ""
    fee_qty: Decimal | None = None
    minutes: Decimal | None = None
    qty_min: Decimal = Decimal(0)


class InventoryConfig(Section, frozen=True, kw_only=True):
    """What each venue should hold: `arb rebalance` proposes how to get there, risk keeps to it.

    Costs are stated in ``quote``. What a venue reported longer ago than ``balance_age_ms_max`` is
    unknown. A trade must earn up to ``skew_bps_max`` more for each place that it takes below its
    target, and none may leave a place that it takes from below its band (0: risk asks for nothing);
    what brings places back towards their targets makes up for up to ``reward_bps_max`` of it. With
    ``cost_in_edge`` a trade must also earn what bringing back will cost; where that is unknown,
    ``cost_unknown`` says whether ``cost_estimate_bps`` of it count, or it is denied.
    """

    quote: str = "USDT"
    balance_age_ms_max: PositiveInt = 60_000
    skew_bps_max: Decimal = Decimal(0)
    reward_bps_max: Decimal = Decimal(0)
    cost_in_edge: bool = True
    cost_unknown: Literal["estimate", "deny"] = "estimate"
    cost_estimate_bps: Decimal = Decimal(5)
    targets: list[InventoryTarget] = []
    transfers: list[InventoryTransfer] = []


class StrategyConfig(Section, frozen=True, kw_only=True, rename={"class_": "class"}):
    """One strategy: ``class`` is a built-in's name, or ``FILE.py`` or ``FILE.py:CLASS``.

    A file is looked for beside the configuration. ``id`` is part of all that it finds.
    ``notional_max`` (quote units) is what it may hold in rounds and have in flight (0: no limit of
    its own), ``directional_notional_max`` what it may hold by single legs, unhedged. All its
    signals together may lose ``directional_risk_bps`` of ``directional_equity`` (quote units) at
    their stops, ``directional_slippage_bps`` beyond those included.
    ``on_disable`` says what becomes of its rounds when it is disabled: they are closed, or kept for
    the operator. ``legs`` says whether both legs of a plan go at once, or that of the thinner book
    first and the other for what it filled; plans of other than two legs of one asset send all at
    once. ``maker-taker`` lets a leg rest where the strategy asks for it. What fills leave uneven is
    given up after ``hedge_deadline_ms`` (0: that of ``executor``, which is the longest there is).
    """

    id: str
    class_: str
    params: dict[str, Any] = {}
    notional_max: Decimal = Decimal(0)
    directional_notional_max: Decimal = Decimal(0)
    directional_equity: Decimal = Decimal(0)
    directional_risk_bps: Decimal = Decimal(50)
    directional_slippage_bps: Decimal = Decimal(5)
    on_disable: Literal["close", "keep"] = "close"
    legs: Literal["concurrent", "sequential", "maker-taker"] = "concurrent"
    hedge_deadline_ms: Annotated[int, Meta(ge=0)] = 0


class Config(Section, frozen=True, kw_only=True):
    """The whole of ``arb.toml``."""

    bus: BusConfig = BusConfig()
    observe: ObserveConfig = ObserveConfig()
    venues: dict[str, VenueConfig] = {}
    orderbook: OrderbookConfig = OrderbookConfig()
    scanner: ScannerConfig = ScannerConfig()
    risk: RiskConfig = RiskConfig()
    executor: ExecutorConfig = ExecutorConfig()
    strategies: list[StrategyConfig] = []
    recorder: RecorderConfig = RecorderConfig()
    sentinel: SentinelConfig = SentinelConfig()
    exporter: ExporterConfig = ExporterConfig()
    dashboard: DashboardConfig = DashboardConfig()
    process: ProcessConfig = ProcessConfig()
    inventory: InventoryConfig = InventoryConfig()
    paper: PaperConfig = PaperConfig()
    notifier: NotifierConfig = NotifierConfig()


SECTIONS: dict[str, type[Section]] = {
    each.name: each.type
    for each in msgspec.structs.fields(Config)
    if isinstance(each.type, type) and issubclass(each.type, Section)
}
"""Every section but those of the venues and the strategies, which have one each."""
