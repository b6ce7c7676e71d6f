"""Two drills at one target: the second is refused, and is told which the first is. A killed one holds nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.errors import HarnessError, Refused
from harness.estate.target_lock import alone_at

pytestmark = pytest.mark.attacks
HOLD = """
import sys, time
from harness.estate.target_lock import alone_at
with alone_at(sys.argv[1], "restore test of tonight"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BLACKSTART_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def holder(target: str) -> subprocess.Popen[str]:
    started = subprocess.Popen(
        [sys.executable, "-c", HOLD, target], env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert started.stdout is not None
    assert started.stdout.readline() == "held\n"
    return started


@pytest.mark.night
def test_the_second_is_refused_by_name_and_a_killed_one_is_taken_over() -> None:
    with holder("the DR site with db:5432") as first:
        said = f"the DR site with db:5432 is in use by restore test of tonight, process {first.pid}, since 20"
        with pytest.raises(Refused, match=said), alone_at("the DR site with db:5432", "mine"):
            pytest.fail("both hold it")
        with alone_at("the DR site with other:5432", "mine"):
            pass
        first.send_signal(signal.SIGKILL)
        first.wait()
        with alone_at("the DR site with db:5432", "mine"):
            pass


def test_it_is_free_after_an_error() -> None:
    with pytest.raises(KeyError), alone_at("site", "mine"):
        raise KeyError
    with alone_at("site", "mine"):
        pass


def test_a_cache_that_cannot_be_written_is_one_line(cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(HarnessError, match="cannot be written"), alone_at("site", "mine"):
        pytest.fail("it was held")
