"""Opens the bus over Redis, waiting until it is there."""

from __future__ import annotations

import asyncio
import logging

from shared.backoff import Backoff
from shared.bus.keys import load_keys
from shared.bus.redis_streams import RedisBus
from shared.config_sections import BusConfig
from shared.errors import BusUnavailable
from shared.logs import Throttle

log = logging.getLogger(__name__)

_SAY_EVERY_S = 3.0


async def open_bus(config: BusConfig, *, service: str, instance: str) -> RedisBus:
    """Connect to Redis; while it is not there, wait and log that every few seconds.

    The service signs and verifies with the keys it is to hold.

    Raises:
        ConfigError: The URL is wrong, Redis refuses the login, or a key is wrong.
    """
    keys = load_keys(service, config)
    bus = RedisBus(config, service=service, instance=instance, keys=keys)
    backoff, throttle = Backoff(0.1, 2.0), Throttle(_SAY_EVERY_S)
    while True:
        try:
            await bus.connect()
        except BusUnavailable as error:
            if throttle.passes(asyncio.get_running_loop().time()):
                log.warning("bus_waiting", extra={"url": bus.where, "reason": str(error)})
            await asyncio.sleep(backoff.next_s())
        else:
            return bus
