"""What a substrate needs is asked for before anything is started: room, and a strategy that it can show."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import HarnessError, UsageError
from harness.drill import up
from harness.estate.config import load_config
from harness.estate.substrates import SUBSTRATES
from harness.estate.variants import with_mode
from harness.images import engine

ROOT = Path(__file__).resolve().parents[2]
EVERYTHING = 10**9  # MB of data, which no disk has room for


def test_a_disk_without_room_for_the_data_is_named(tmp_path: Path) -> None:
    SUBSTRATES["embedded"].require_room(tmp_path, 0)
    with pytest.raises(HarnessError, match=f"{tmp_path}.*make room, or name another disk with BLACKSTART_RUNS"):
        SUBSTRATES["embedded"].require_room(tmp_path, EVERYTHING)


def test_data_of_a_container_need_room_on_the_disk_of_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(size: int) -> None:
        raise HarnessError(f"the engine has no room for {size} bytes")

    monkeypatch.setattr(engine, "require_room", full)
    with pytest.raises(HarnessError, match=r"the engine has no room for [0-9]{16} bytes"):
        SUBSTRATES["docker"].require_room(tmp_path, EVERYTHING)


def test_an_estate_with_a_standby_is_not_begun_without_wal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(*_words: object) -> None:
        raise AssertionError("begun")

    monkeypatch.setattr(up, "prepare", prepare)
    config = with_mode(load_config(ROOT / "estate.toml"), "logical")
    dr = config.sites.dr.model_copy(update={"strategy": "warm"})
    warm = config.model_copy(update={"sites": config.sites.model_copy(update={"dr": dr})})
    with pytest.raises(UsageError, match="a standby follows WAL, and"):
        up.run_until_stopped(warm, tmp_path / "runs", tmp_path / "state", lambda _line: None)
