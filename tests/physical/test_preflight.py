"""Preflight of a restore: every obstacle is named at once, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.core.journal import MemoryJournal
from harness.physical.backup import take_physical
from harness.physical.choice import Wanted, Way
from harness.physical.restore import restore
from harness.physical.target import read_target
from tests.physical.conftest import Archive


def test_every_obstacle_is_named_at_once(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take_physical(archive.source, MemoryJournal())
    monkeypatch.setattr("harness.physical.programs.client_programs", lambda: ())
    monkeypatch.setattr(Way, "size", lambda _: 1 << 60)
    for name in ("data", "data-tablespaces"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kept").touch()
    read: list[int] = []
    wanted = Wanted(read_target("latest"))
    with pytest.raises(UsageError) as refused:
        restore(archive.repository, archive.keys.dr[0], wanted, tmp_path / "data", MemoryJournal(), read.append)
    said = str(refused.value)
    assert f"--into {tmp_path / 'data'}: is not empty" in said
    assert f"--into {tmp_path / 'data-tablespaces'}: is not empty" in said
    assert "MiB are free, 1099511627776 MiB are needed" in said
    assert "postgres of PostgreSQL 18 is missing" in said
    assert "\n" not in said
    assert read == []
    assert sorted(str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*")) == [
        "data", "data-tablespaces", "data-tablespaces/kept", "data/kept",
    ]  # fmt: skip


def test_what_is_read_is_told_with_how_much_there_is(archive: Archive, tmp_path: Path) -> None:
    take_physical(archive.source, MemoryJournal())
    read: list[int] = []
    journal, wanted = MemoryJournal(), Wanted(read_target("latest"))
    restore(archive.repository, archive.keys.dr[0], wanted, tmp_path / "data", journal, read.append)
    (selected,) = (event for event in journal.events if event.kind == "selected")
    assert sum(read) == selected.facts["bytes"]
