"""What a declaration names and the primary has not ends a backup; a check asks for each part of the estate."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.backup import check as module
from harness.backup import coverage, pack
from harness.backup.plan import _trees
from harness.cli.check import report_of
from harness.core.errors import BackupFailed
from harness.core.service import Sources, Tree
from harness.estate.config import Config
from harness.estate.report import Report
from harness.restore_test import check as of_dr
from harness.substrate.existing.site import ExistingSite
from tests.memory_estate import NAME, MemoryEstate

ROOT = Path(__file__).resolve().parents[2]
NOTHING: Any = None
OFFSITE = '\n[existing.offsite]\ns3 = "127.0.0.1:9"\nsecrets = "secrets"\n'


def test_a_declared_database_that_is_not_there_fails_the_backup(memory_estate: MemoryEstate) -> None:
    memory_estate.start_primary()
    memory_estate.servers.postgres["primary"].databases.pop(NAME)
    with pytest.raises(BackupFailed, match=f"service shop: database {NAME} does not exist on .*; there are: "):
        memory_estate.orchestrator.back_up()


def test_a_bucket_that_went_since_the_plan_fails_the_backup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "Bucket", lambda *_words: SimpleNamespace(exists=lambda: False))
    place: Any = SimpleNamespace(s3=SimpleNamespace(outside="127.0.0.1:9"))
    objects: Any = SimpleNamespace(bucket="receipts")
    with pytest.raises(BackupFailed, match=r"bucket receipts: the store at 127.0.0.1:9 has none of that name"):
        pack.pack_objects(place, objects, None)


def test_a_volume_that_is_not_mounted_here_fails_the_backup(tmp_path: Path) -> None:
    def planned(**folders: Path) -> None:
        place: Any = SimpleNamespace(site=ExistingSite("primary", NOTHING, {}, folders))
        service: Any = SimpleNamespace(name="shop", sources=lambda: Sources(trees=(Tree("files", "shop", "files"),)))
        _trees(place, (service,), {})

    with pytest.raises(BackupFailed, match=r"service shop: volume shop of primary is not declared; name its folder"):
        planned()
    with pytest.raises(BackupFailed, match=f"service shop: volume shop of primary: {tmp_path}/none is no folder here"):
        planned(shop=tmp_path / "none")


@pytest.mark.parametrize("part", ["check_offsite", "check_primary", "check_coverage", "check_dr"])
def test_a_check_asks_for_each_part_of_an_existing_estate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    parts = {"check_offsite": module, "check_primary": module, "check_coverage": coverage, "check_dr": of_dr}
    # All modules are loaded before: one that is loaded now would keep what stands in for a check.
    for name, of in parts.items():
        monkeypatch.setattr(of, name, lambda *_words, **_more: None)
    monkeypatch.setattr(parts[part], part, lambda report, *_words, **_more: report.found(part, "is wrong"))
    file = Path(shutil.copy(ROOT / "estate.toml", tmp_path))
    file.write_text(file.read_text() + OFFSITE)
    assert [defect.where for defect in report_of(file).defects] == [part]


@pytest.mark.parametrize("part", ["check_databases", "check_physical"])
def test_a_check_of_the_primary_asks_its_server(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    for name in ("check_recipients", "check_writer", "check_volumes", "check_files", "check_databases"):
        monkeypatch.setattr(module, name, lambda *_words, **_more: None)
    monkeypatch.setattr(module, "check_physical", lambda *_words, **_more: None)
    monkeypatch.setattr(module, "check_server", lambda *_words, **_more: True)
    monkeypatch.setattr(module, "secrets_in", lambda *_words: {"postgres-superuser": "file:x"})
    monkeypatch.setattr(module, "sql_at", lambda *_words: None)
    monkeypatch.setattr(module, part, lambda report, *_words, **_more: report.found(part, "is wrong"))
    table = SimpleNamespace(sql=SimpleNamespace(ca=None, cert=None, key=None), s3=SimpleNamespace(ca=None), secrets="s")
    backup = SimpleNamespace(mode="physical", full_days=0)
    report, config = Report(), SimpleNamespace(existing=SimpleNamespace(primary=table), backup=backup)
    module.check_primary(report, config, ())  # type: ignore[arg-type]
    assert [defect.where for defect in report.defects] == [part]


def test_a_check_of_the_repository_asks_for_its_certificate(memory_estate: MemoryEstate, tmp_path: Path) -> None:
    s3 = {"endpoint": "https://127.0.0.1:9", "ca": str(tmp_path / "no-ca.pem")}
    offsite = {"offsite": {"s3": s3, "secrets": str(tmp_path)}}
    config = Config.model_validate({**memory_estate.config.model_dump(), "existing": offsite})
    report = Report()
    module.check_offsite(report, config, writes=False)
    assert [str(one) for one in report.defects if "no-ca.pem" in str(one)] != []
