"""The inventory of a configuration: what is wrong with it, and its targets and transfers. Pure.

Each mistake is named by its place and with what would be right.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from shared.config_sections import (
    Config,
    InventoryConfig,
    InventoryTarget,
    InventoryTransfer,
)
from shared.domain.inventory import Target
from shared.domain.rebalance_steps import TransferWay
from shared.errors import ConfigError
from shared.messages.bounds import ASSET
from shared.messages.inventory import PLACES_MAX

_ZERO = Decimal(0)
_ONE = Decimal(1)
SKEW_BPS_MAX = Decimal(1_000)


def targets_of(inventory: InventoryConfig) -> list[Target]:
    """Return the configured targets."""
    return [
        Target(each.venue, each.asset, each.target_qty, each.band_qty or _ZERO, False)
        if each.target_qty is not None
        else Target(
            each.venue, each.asset, each.target_share or _ZERO, each.band_share or _ZERO, True
        )
        for each in inventory.targets
    ]


def transfer_ways(inventory: InventoryConfig, targets: Sequence[Target]) -> list[TransferWay]:
    """Return the configured transfers, one for each pair of venues with a target."""
    ways = []
    for row in inventory.transfers:
        venues = [target.venue for target in targets if target.asset == row.asset]
        for giver in venues:
            for taker in venues:
                if giver != taker and _is_for(row, giver, taker):
                    ways.append(
                        TransferWay(
                            asset=row.asset,
                            giver=giver,
                            taker=taker,
                            network=row.network,
                            fee=row.fee_qty,
                            minutes=row.minutes,
                            least=row.qty_min,
                        )
                    )
    return ways


def _is_for(row: InventoryTransfer, giver: str, taker: str) -> bool:
    return row.from_venue in {"", giver} and row.to_venue in {"", taker}


def check_inventory(config: Config, where: str) -> None:
    """Check that inventory has one possible target a venue and asset, and transfers of venues.

    Raises:
        ConfigError: With the place and what would be right.
    """
    inventory = config.inventory
    _check_asset(inventory.quote, f"{where}: inventory.quote")
    for name in ("skew_bps_max", "reward_bps_max", "cost_estimate_bps"):
        bps = getattr(inventory, name)
        if not (bps.is_finite() and 0 <= bps <= SKEW_BPS_MAX):
            raise ConfigError(
                f"{where}: inventory.{name} = {bps}; give a number from 0 to {SKEW_BPS_MAX}"
            )
    if inventory.skew_bps_max and not inventory.targets:
        raise ConfigError(
            f"{where}: inventory.skew_bps_max = {inventory.skew_bps_max}, but there are no "
            "[[inventory.targets]] to keep to; add one, or leave it out"
        )
    if inventory.reward_bps_max > inventory.skew_bps_max:
        raise ConfigError(
            f"{where}: inventory.reward_bps_max = {inventory.reward_bps_max}; give no more than "
            f"skew_bps_max, {inventory.skew_bps_max}"
        )
    seen: set[tuple[str, str]] = set()
    for number, target in enumerate(inventory.targets, start=1):
        place = f"{where}: inventory.targets, number {number}"
        _check_venue(config, target.venue, f"{place}: venue")
        _check_asset(target.asset, f"{place}: asset")
        _check_target(target, place)
        if (target.venue, target.asset) in seen:
            raise ConfigError(
                f"{place}: {target.asset} at {target.venue} has a target already; give it one"
            )
        seen.add((target.venue, target.asset))
    if len(inventory.targets) > PLACES_MAX:
        raise ConfigError(
            f"{where}: inventory.targets: there are {len(inventory.targets)}; give {PLACES_MAX} at "
            "most"
        )
    for asset in sorted({target.asset for target in inventory.targets}):
        _check_shares([each for each in inventory.targets if each.asset == asset], where)
    for number, transfer in enumerate(inventory.transfers, start=1):
        _check_transfer(config, transfer, f"{where}: inventory.transfers, number {number}")


def _check_target(target: InventoryTarget, place: str) -> None:
    share, qty = (target.target_share, target.band_share), (target.target_qty, target.band_qty)
    given = [each is not None for each in (*share, *qty)]
    if given not in ([True, True, False, False], [False, False, True, True]):
        raise ConfigError(
            f"{place}: give target_share and band_share, or target_qty and band_qty, each with its "
            "band"
        )
    for name in ("target_share", "band_share", "target_qty", "band_qty"):
        _check_amount(getattr(target, name), f"{place}: {name}", is_share="share" in name)


def _check_shares(targets: list[InventoryTarget], where: str) -> None:
    """Check that what venues should hold of an asset can add up to what there is."""
    asset, shares = targets[0].asset, [each for each in targets if each.target_share is not None]
    if not shares:
        return
    if len(shares) < len(targets):
        raise ConfigError(
            f"{where}: inventory.targets: {asset} has targets by share and by quantity; give all "
            "of one asset in one way"
        )
    middle = sum((each.target_share or _ZERO for each in shares), _ZERO)
    off = sum((each.band_share or _ZERO for each in shares), _ZERO)
    low = sum(
        (max(_ZERO, (each.target_share or _ZERO) - (each.band_share or _ZERO)) for each in shares),
        _ZERO,
    )
    if not low <= _ONE <= middle + off:
        raise ConfigError(
            f"{where}: inventory.targets: the shares of {asset} sum up to {middle}, and their "
            "bands do not make up for it; give shares that sum up to 1"
        )


def _check_transfer(config: Config, transfer: InventoryTransfer, place: str) -> None:
    _check_asset(transfer.asset, f"{place}: asset")
    for name in ("from_venue", "to_venue"):
        if venue := getattr(transfer, name):
            _check_venue(config, venue, f"{place}: {name}")
    if transfer.from_venue and transfer.from_venue == transfer.to_venue:
        raise ConfigError(f"{place}: from_venue and to_venue are the same; give two venues")
    if transfer.asset not in {target.asset for target in config.inventory.targets}:
        raise ConfigError(
            f"{place}: {transfer.asset} has no target; add one in inventory.targets, or leave it "
            "out"
        )
    for name in ("fee_qty", "minutes", "qty_min"):
        _check_amount(getattr(transfer, name), f"{place}: {name}")


def _check_amount(value: Decimal | None, named: str, *, is_share: bool = False) -> None:
    if value is None:
        return
    most = _ONE if is_share else Decimal("1e15")
    if not (value.is_finite() and 0 <= value <= most):
        right = "from 0 to 1" if is_share else "of 0 or more"
        raise ConfigError(f"{named} = {value}; give a number {right}")


def _check_venue(config: Config, venue: str, named: str) -> None:
    there = config.venues.get(venue)
    if there is None:
        known = ", ".join(config.venues) or "none"
        raise ConfigError(f"{named} {venue!r} is not configured; venues are: {known}")
    if not there.trade:
        raise ConfigError(
            f"{named} {venue!r} has trade = false, so that its balances are never read; set it to "
            "true, or leave it out"
        )


def _check_asset(asset: str, named: str) -> None:
    if not ASSET.pattern.fullmatch(asset):
        raise ConfigError(f"{named} {asset!r} is no name of an asset; give one, like BTC")
