"""What comes back of an old primary is looked at only after a recovery that kept its promise."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from harness.core.errors import Finding
from harness.scenario import returning
from tests.memory_drill import PROMISE, drill_of, header, start
from tests.memory_estate import MemoryEstate


@pytest.mark.parametrize("budget", [PROMISE.rto, timedelta(0)], ids=["kept", "broken"])
def test_a_way_back_begins_at_a_recovery_that_kept_its_promise(
    memory_estate: MemoryEstate, tmp_path: Path, budget: timedelta
) -> None:
    drill = drill_of(memory_estate, tmp_path, replace(header(), promise=replace(PROMISE, rto=budget)))
    start(drill)
    if budget:
        assert returning.recovered_behind_a_fence(drill) is drill
        return
    with pytest.raises(Finding, match="BROKEN"):
        returning.recovered_behind_a_fence(drill)
