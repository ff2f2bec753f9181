"""What a process says of its use of the machine."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from shared.measure_names import OPEN_FILES
from shared.own_usage import own_usage


@pytest.mark.parametrize("is_old", [False, True], ids=["this kernel", "before Linux 6.2"])
def test_each_file_that_is_opened_counts_once(
    is_old: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_old:
        monkeypatch.setattr(Path, "stat", lambda _: SimpleNamespace(st_size=0))
    before = own_usage()[OPEN_FILES]
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(7)]
    try:
        assert own_usage()[OPEN_FILES] == before + 7
    finally:
        for number in opened:
            os.close(number)
