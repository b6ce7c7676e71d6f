"""Incremental backups of a real server: a chain is one backup, restored whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.backup.build import described_backups
from harness.backup.status import status_of
from harness.backup.verify import verify_all
from harness.core.clock import NotYet, wait_until
from harness.core.errors import NoValidBackup, Refused, Unreadable
from harness.core.journal import MemoryJournal
from harness.physical.backup import MANIFEST, take_physical
from harness.physical.choice import Wanted
from harness.physical.restore import PointInTime, restore
from harness.physical.target import read_target
from harness.repository.catalogue import CommittedBackup, Repository
from harness.repository.reader import read_own
from harness.signing import new_signing_pair, read_signing_key
from tests.physical.conftest import Archive, folder_of
from tests.physical.test_restore import copy_of, running
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients
from tests.servers import DatabaseServer

QUERIES = (
    "SELECT md5(string_agg(i || note, ',' ORDER BY i)) FROM kept",
    "SELECT count(*) || ' ' || sum(i) FROM apart",
    "SELECT seven FROM late",
    "SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database",
)


@pytest.fixture(scope="module")
def summarizing(server: DatabaseServer) -> DatabaseServer:
    summarize(server)
    return server


def summarize(server: DatabaseServer, value: str = "on") -> None:
    server.execute("postgres", f"ALTER SYSTEM SET summarize_wal = {value}", "SELECT pg_reload_conf()")

    def there() -> None:
        if server.one("postgres", "SHOW summarize_wal") != value:
            raise NotYet

    wait_until(there, patience=10)


@pytest.fixture(scope="module")
def chain(summarizing: DatabaseServer, recipients: Recipients) -> Iterator[Archive]:
    """Yield a repository with a full backup and two incremental ones, of a table that changed between them."""
    made = Archive(summarizing, recipients.repository(MemoryStore()), recipients)
    old = folder_of(summarizing).parent / "far = away"
    old.mkdir()
    summarizing.execute(
        "postgres", f"CREATE TABLESPACE far LOCATION '{old}'",
        "CREATE TABLE kept AS SELECT i, 'first' AS note FROM generate_series(1, 200000) i",
        "CREATE TABLE apart TABLESPACE far AS SELECT i FROM generate_series(1, 20000) i",
    )  # fmt: skip
    take_physical(made.source, MemoryJournal())
    summarizing.execute(
        "postgres", "UPDATE kept SET note = 'second' WHERE i <= 10", "INSERT INTO apart VALUES (20001)",
    )  # fmt: skip
    take_physical(made.source, MemoryJournal(), incremental=True)
    summarizing.execute(
        "postgres", "DELETE FROM kept WHERE i > 199990", "CREATE TABLE late AS SELECT 7 AS seven",
        "CREATE DATABASE other",
    )  # fmt: skip
    take_physical(made.source, MemoryJournal(), incremental=True)
    yield made
    summarizing.execute("postgres", "DROP TABLE kept, apart, late", "DROP DATABASE other", "DROP TABLESPACE far")


def entries(repository: Repository) -> list[CommittedBackup]:
    """Return the backups of a repository, the oldest first."""
    return list(reversed(repository.committed()))


def restored(chain: Archive, repository: Repository, folder: Path, backup_id: str = "") -> PointInTime:
    wanted = Wanted(read_target("latest"), backup_id)
    return restore(repository, chain.keys.dr[0], wanted, folder, MemoryJournal())


def test_a_chain_of_three_is_restored_and_equal(chain: Archive, tmp_path: Path) -> None:
    full, first, second = entries(chain.repository)
    assert [one.mode for one in (full, first, second)] == ["physical", "incremental", "incremental"]
    assert first.size < full.size / 3
    done = restored(chain, chain.repository, tmp_path / "data")
    assert done.backup_id == second.backup_id
    (link,) = (done.folder / "pg_tblspc").iterdir()
    assert link.resolve() == (tmp_path / "data-tablespaces" / link.name).resolve()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["data", "data-tablespaces"]
    with running(done.folder, tmp_path / "run") as session:
        for query in QUERIES:
            row = session.execute(query.encode()).fetchone()
            assert row is not None
            assert row[0] == chain.db.one("postgres", query)
    # Each older one is there by its name, with what it had.
    old = restored(chain, chain.repository, tmp_path / "old", first.backup_id)
    assert old.backup_id == first.backup_id


def test_the_chain_is_shown_and_verified(chain: Archive) -> None:
    full, first, second = entries(chain.repository)
    lines = list(verify_all(chain.repository, chain.keys.dr[0], every=True))
    assert not [line for line in lines if line.wrong]
    assert lines[0].said.endswith(f"; incremental, builds on {first.backup_id}, {full.backup_id}")
    rows, findings = described_backups(chain.repository, chain.keys.dr[0])
    assert findings == ()
    assert [(row["mode"], row["parent"]) for row in rows] == [
        ("incremental", first.backup_id), ("incremental", full.backup_id), ("physical", ""),
    ]  # fmt: skip
    assert f"what changed since backup {first.backup_id}" in str(rows[0]["inside"])
    assert second.parent is not None
    assert second.parent.digest == first.digest


@pytest.mark.parametrize("how", ["missing", "altered", "of an object", "foreign"])
def test_a_chain_without_one_of_its_parents_is_not_restored(chain: Archive, tmp_path: Path, how: str) -> None:
    repository = copy_of(chain.repository)
    full, first, second = entries(repository)
    store, layout = repository.store, repository.layout
    if how == "missing":
        store.delete(layout.commit(first.backup_id))
        reason = f"backup {first.backup_id}, which {second.backup_id} builds on, is not in the repository"
    elif how == "altered":
        store.put(layout.commit(first.backup_id), (b"nonsense",))
        reason = f"backup {first.backup_id}, which {second.backup_id} builds on, is not trusted"
    elif how == "foreign":  # of the same writer and name, but another COMMIT
        assert first.commit is not None
        other = first.commit.model_copy(update={"locked_until": first.commit.started})
        store.put(layout.commit(first.backup_id), (other.signed(read_signing_key(chain.keys.writer[0])),))
        reason = f"backup {first.backup_id}, which {second.backup_id} builds on, was replaced"
    else:
        key = layout.data(full.backup_id, "base/base.tar")
        body = bytearray(b"".join(store.get(key)))
        body[len(body) // 2] ^= 1
        store.put(key, (bytes(body),))
        reason = f"backup {full.backup_id}, object base/base.tar"
    with pytest.raises((NoValidBackup, Unreadable), match=re.escape(reason)):
        restored(chain, repository, tmp_path / "data", second.backup_id)
    assert list(tmp_path.iterdir()) == []
    wrong = [line for line in verify_all(repository, chain.keys.dr[0], every=True) if line.wrong]
    assert second.backup_id in {line.backup for line in wrong}
    broken = reason.split()[1].rstrip(",")
    assert any(line.backup == second.backup_id and broken in line.said for line in wrong)
    if how != "of an object":  # what no key is needed for
        (row,) = (one for one in described_backups(repository, chain.keys.dr[0])[0] if one["id"] == second.backup_id)
        assert reason in str(row["damaged"])
        assert any(reason in line for line in status_of(repository, lambda: "down", "0 0 3 * * *", 1.0).alarms)


def test_the_next_one_is_not_built_on_a_broken_chain(chain: Archive) -> None:
    repository = copy_of(chain.repository)
    source = replace(chain.source, repository=repository)
    full, first, _ = entries(repository)
    repository.store.delete(repository.layout.commit(first.backup_id))
    receipt = take_physical(source, MemoryJournal(), incremental=True)
    assert receipt.contents.physical is not None
    assert receipt.contents.physical.parent is not None
    assert receipt.contents.physical.parent.backup_id == full.backup_id
    repository.store.delete(repository.layout.data(full.backup_id, "base/base.tar"))
    with pytest.raises(Refused, match=r"objects of .* bytes are stored instead .* take a physical one"):
        take_physical(source, MemoryJournal(), incremental=True)


def test_what_the_writer_keeps_opens_with_its_key_alone(chain: Archive) -> None:
    repository = copy_of(chain.repository)
    *_, second = entries(repository)
    key = repository.layout.writer(second.backup_id)
    assert second.commit is not None
    kept = read_own(repository.store, repository.layout, second.commit, read_signing_key(chain.keys.writer[0]))
    backup = repository.open(second, chain.keys.dr[0])
    assert kept == b"".join(backup.read(MANIFEST))
    with pytest.raises(Unreadable, match="does not authenticate"):
        read_own(repository.store, repository.layout, second.commit, read_signing_key(new_signing_pair()[0]))
    for other in entries(repository)[:2]:  # not in the place of another one
        assert other.commit is not None
        repository.store.put(repository.layout.writer(other.backup_id), tuple(repository.store.get(key)))
        with pytest.raises(Unreadable, match="does not authenticate"):
            read_own(repository.store, repository.layout, other.commit, read_signing_key(chain.keys.writer[0]))
