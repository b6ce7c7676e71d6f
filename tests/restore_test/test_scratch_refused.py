"""What `verify --restore` refuses, or finds, before it restores anything; and a file that is no list of targets."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import HarnessError, Refused, UsageError
from harness.estate.report import Report
from harness.estate.site import DATABASE
from harness.postgres.server import SUPERUSER_PASSWORD
from harness.repository.catalogue import Repository
from harness.restore_test import check as checking
from harness.restore_test.scratch import verify as module
from harness.restore_test.scratch.logical import check_logical
from harness.restore_test.scratch.verify import verify_restored
from harness.restore_test.targets import MOST_BYTES, _read
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients, back_up


@pytest.fixture
def repository() -> Repository:
    keys = Recipients()
    made = keys.repository(MemoryStore())
    back_up(made, keys)
    return made


def scratch(repository: Repository, runs: Path) -> Any:
    return SimpleNamespace(repository=repository, private_pem=b"", runs=runs)


def test_a_backup_that_is_not_there_is_a_mistake(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--backup another: there is no such backup; `blackstart backups` lists them"):
        list(verify_restored(scratch(repository, tmp_path), every=False, only="another"))


def test_a_backup_that_was_restored_and_lost_an_object_since_is_a_finding(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (entry,) = repository.committed()
    monkeypatch.setattr(module, "last_restored", lambda _repository: {entry.digest: repository.clock.wall()})
    said = [str(one) for one in verify_restored(scratch(repository, tmp_path), every=False, only="")]
    assert "its objects are there" in said[0]
    repository.store.delete(next(one.key for one in repository.store.list("shop/data/")))
    found = [one for one in verify_restored(scratch(repository, tmp_path), every=False, only="") if one.wrong]
    assert found
    assert entry.backup_id in str(found[0])


def test_a_disk_without_room_for_a_restore_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=1))
    monkeypatch.setattr("harness.restore_test.scratch.logical.ensure", lambda _part: pytest.fail("begun"))
    manifest = SimpleNamespace(contents=SimpleNamespace(databases=()), plain_size=1)
    verified = SimpleNamespace(verified=lambda *_words: SimpleNamespace(manifest=manifest))
    with pytest.raises(HarnessError, match="name another disk with --scratch"):
        check_logical(scratch(verified, tmp_path), None, newest=True)  # type: ignore[arg-type]


def test_a_large_file_is_no_list_of_targets(tmp_path: Path) -> None:
    file = tmp_path / "targets.toml"
    file.write_bytes(bytes(MOST_BYTES))
    assert len(_read(file)) == MOST_BYTES
    file.write_bytes(bytes(MOST_BYTES + 1))
    with pytest.raises(Refused, match=f"{file}: larger than {MOST_BYTES} bytes; it is no file of drill targets"):
        _read(file)


def test_the_primary_s_own_server_is_found_where_dr_s_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    system = SimpleNamespace(identifier="7391", major=18)
    monkeypatch.setattr(checking, "check_server", lambda *_words, **_more: True)
    monkeypatch.setattr(checking, "system_facts", lambda _sql: system)
    for name in ("sql_at", "references"):
        monkeypatch.setattr(checking, name, lambda *_words: {})
    report, config = Report(), SimpleNamespace(existing=SimpleNamespace(primary=SimpleNamespace(secrets=None)))
    table = SimpleNamespace(cluster=None)
    secrets = {SUPERUSER_PASSWORD: "file:x"}
    answering = checking._check_servers(report, config, table, secrets)  # type: ignore[arg-type]
    assert answering == {DATABASE}
    assert "is the primary's own server (system 7391); name DR's" in str(report.defects[0])
