"""What `arb tail` is asked to narrow a stream by must be possible on it."""

from __future__ import annotations

import re

import pytest

from services.cli.tail import check_filters
from shared.errors import ConfigError
from shared.streams import ARB_OPPORTUNITY, EXEC_EVENT, MD_INSTRUMENT, SYS_HEALTH


def test_what_a_stream_can_be_narrowed_by_is_allowed() -> None:
    check_filters(ARB_OPPORTUNITY, "pairs", "BTC/USDT")
    check_filters(EXEC_EVENT, "pairs", "BTC/USDT")
    check_filters(MD_INSTRUMENT, None, "BTC/USDT")
    check_filters(SYS_HEALTH, None, None)


@pytest.mark.parametrize(
    ("spec", "strategy", "instrument", "told"),
    [
        (ARB_OPPORTUNITY, "a b", None, "--strategy 'a b' is no strategy's id"),
        (ARB_OPPORTUNITY, "", None, "--strategy '' is no strategy's id"),
        (SYS_HEALTH, "pairs", None, "--strategy: nothing on sys.health is of a strategy"),
        (SYS_HEALTH, None, "BTC/USDT", "--instrument: nothing on sys.health is of one"),
    ],
)
def test_what_nothing_on_it_ever_is_is_an_error(spec, strategy, instrument, told) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        check_filters(spec, strategy, instrument)
