"""``python -m services.venuesim``: serve the simulated venues, print one JSON line when ready."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from typing import NoReturn

import msgspec
import uvloop

from services.venuesim.app import Options, serve
from services.venuesim.store import StateLostError
from shared.errors import ConfigError

RATE_MAX = 1e6
FUNDING_INTERVAL_S_MAX = 86_400
PREMIUM_BPS_MAX = 500.0
DEPEG_BPS_MAX = 5_000.0


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line, as every command here does."""

    def error(self, message: str) -> NoReturn:
        """Exit with 2."""
        self.exit(2, f"venuesim: {message}; see python -m services.venuesim --help\n")


def parse_arguments(arguments: list[str]) -> Options:
    """Return the options of a command line."""
    parser = _Parser(prog="venuesim", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--rate", type=float, default=1.0, help="market (or recorded) time per wall time"
    )
    parser.add_argument(
        "--funding-interval-s", type=int, default=8 * 3_600, help="between settlements"
    )
    parser.add_argument(
        "--funding-rate-interval-s", type=int, help="what rates are for; default: the interval"
    )
    parser.add_argument(
        "--premium-bps", type=float, default=0.0, help="how far perpetuals jump away from spot"
    )
    _add_markets(parser)
    parser.add_argument("--capture", nargs="+", default=[], help="recordings to play instead")
    parser.add_argument("--lockstep", action="store_true", help="play only as far as told to")
    parser.add_argument(
        "--state", default="", metavar="FOLDER", help="keep accounts there, over kill -9 too"
    )
    parser.add_argument("--json", action="store_true", help="the ready line is JSON in any case")
    given = parser.parse_args(arguments)
    if not 0 < given.rate <= RATE_MAX:
        parser.error(f"--rate {given.rate}: a number above 0, at most {RATE_MAX:g}")
    if not 1 <= given.funding_interval_s <= FUNDING_INTERVAL_S_MAX:
        parser.error(
            f"--funding-interval-s {given.funding_interval_s}: 1 to {FUNDING_INTERVAL_S_MAX}"
        )
    rate_interval_s = given.funding_rate_interval_s
    if rate_interval_s is not None and not 1 <= rate_interval_s <= FUNDING_INTERVAL_S_MAX:
        parser.error(f"--funding-rate-interval-s {rate_interval_s}: 1 to {FUNDING_INTERVAL_S_MAX}")
    if not 0 <= given.premium_bps <= PREMIUM_BPS_MAX:
        parser.error(f"--premium-bps {given.premium_bps}: 0 to {PREMIUM_BPS_MAX:g}")
    if not 0 <= given.depeg_bps <= DEPEG_BPS_MAX:
        parser.error(f"--depeg-bps {given.depeg_bps}: 0 to {DEPEG_BPS_MAX:g}")
    _check_replay(parser, given)
    if not given.host.strip():  # a server would take it for every address
        parser.error("--host is empty; give an address, like 127.0.0.1")
    if not 0 <= given.port <= 65_535:
        parser.error(f"--port {given.port}: 0 to 65535")
    return Options(
        seed=given.seed,
        host=given.host,
        port=given.port,
        rate=given.rate,
        capture=tuple(given.capture),
        lockstep=given.lockstep,
        funding_interval_s=given.funding_interval_s,
        premium_bps=given.premium_bps,
        more_markets=given.more_markets,
        depeg_bps=given.depeg_bps,
        funding_rate_interval_s=rate_interval_s,
        more_venues=given.more_venues,
        trading_venues=given.trading_venues,
        state=given.state,
    )


def _add_markets(parser: _Parser) -> None:
    """Add what a generated market may have beside the usual one."""
    parser.add_argument(
        "--more-markets", action="store_true", help="list markets between assets too (ETH/BTC, ...)"
    )
    parser.add_argument(
        "--more-venues", action="store_true", help="open the venues beside the usual ones too"
    )
    parser.add_argument(
        "--trading-venues",
        action="store_true",
        help="open those of them only that orders can be sent to",
    )
    parser.add_argument(
        "--depeg-bps",
        type=float,
        default=0.0,
        help="how far the stable coin falls now and then, of the markets between assets",
    )


def _check_replay(parser: _Parser, given: argparse.Namespace) -> None:
    if given.lockstep and not given.capture:
        parser.error("--lockstep needs --capture PATH")
    if given.capture and given.more_markets:
        parser.error("--more-markets is for a generated market: a recording lists what it has")
    for option in ("more_venues", "trading_venues"):
        if given.capture and getattr(given, option):
            name = f"--{option.replace('_', '-')}"
            parser.error(f"{name} is for a generated market: a recording has its own venues")
    if given.capture and given.state:
        parser.error("--state is for a generated market: a recording begins with new accounts")


async def run(options: Options) -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serve(options) as server:
        sys.stdout.write(msgspec.json.encode(server.description).decode() + "\n")
        sys.stdout.flush()
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({server.clock, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if server.clock.done():
            server.clock.result()  # the market stands still: say why, and end


def main() -> None:
    """Run from the command line."""
    options = parse_arguments(sys.argv[1:])
    try:
        uvloop.run(run(options))
    except ConfigError as error:
        sys.stderr.write(f"venuesim: {error}\n")
        raise SystemExit(2) from error
    except StateLostError as error:
        sys.stderr.write(f"venuesim: {error}\n")
        raise SystemExit(1) from error
    except OSError as error:
        sys.stderr.write(f"venuesim: cannot listen on {options.host}:{options.port}: {error}\n")
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
