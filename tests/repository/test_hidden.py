"""A delete marker or a later version over a signed note, in a bucket that keeps versions, hides nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from harness.backup.build import described_backups
from harness.backup.status import status_of
from harness.backup.verify import verify_all
from harness.core.errors import HarnessError, NoValidBackup
from harness.repository.catalogue import Repository
from harness.repository.store.expunge import remove
from harness.repository.store.port import ObjectStore, StoredVersion
from harness.repository.store.read_only import ReadOnly
from harness.repository.store.s3 import S3Store
from harness.repository.upkeep.reaper import reap
from harness.repository.upkeep.rewrap import out_of_reach
from harness.repository.upkeep.wal import reap_wal
from harness.repository.wal.catalogue import read_wal
from harness.repository.wal.findings import wal_findings
from harness.repository.wal.writer import WalWriter, begin_wal
from harness.s3.client import ensure_bucket
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Launch, Recipients, back_up, connect
from tests.servers import Store

pytestmark = [pytest.mark.attacks, pytest.mark.programs]
SIZE = 1 << 20
SEEN = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAILY = "0 0 3 * * *"


@pytest.fixture(scope="module")
def server(launch: Launch) -> Store:
    return launch("hidden")


@pytest.fixture
def repository(server: Store, recipients: Recipients, estate: str) -> Repository:
    """Return one in a bucket that keeps versions, with a witness that has seen nothing."""
    ensure_bucket(server.s3, estate)
    return recipients.repository(connect(server, estate), estate)


def reader(repository: Repository, keys: Recipients) -> Repository:
    """Return the repository as somebody reads it who has seen nothing of it before."""
    return keys.repository(ReadOnly(repository.store, "the repository"), repository.estate)


def delete(repository: Repository, newer: str, older: str) -> str:
    repository.store.delete(repository.layout.commit(newer))
    return f"a delete marker is over {repository.layout.commit(newer)}"


def overwrite(repository: Repository, newer: str, older: str) -> str:
    """Replace the COMMIT by another one that the writer signed."""
    text = b"".join(repository.store.get(repository.layout.commit(older)))
    repository.store.put(repository.layout.commit(newer), (text,))
    return f"a later version with other contents is over {repository.layout.commit(newer)}"


@pytest.mark.parametrize("hide", [delete, overwrite])
def test_a_hidden_newest_backup_is_named_by_all_that_chooses_one(
    repository: Repository, recipients: Recipients, hide: Callable[[Repository, str, str], str]
) -> None:
    older, newer = back_up(repository, recipients), back_up(repository, recipients)
    assert reader(repository, recipients).catalogue().findings == ()
    over = hide(repository, newer.backup_id, older.backup_id)
    fresh = reader(repository, recipients)
    chosen = fresh.latest_valid(recipients.dr[0])
    assert chosen.backup.backup_id == older.backup_id
    (finding,) = chosen.findings
    assert finding.startswith(f"backup {newer.backup_id} (number 2) is hidden: {over} in the bucket, whose version ")
    assert described_backups(fresh, recipients.dr[0])[1] == (finding,)
    assert [one.said for one in verify_all(fresh, recipients.dr[0], every=False) if one.backup == "chain"] == [finding]
    assert finding in status_of(fresh, lambda: "not asked", DAILY, 30.0).alarms


@pytest.mark.parametrize("hide", [delete, overwrite])
def test_what_follows_a_hidden_backup_names_it_and_the_remedy_brings_it_back(
    repository: Repository, recipients: Recipients, hide: Callable[[Repository, str, str], str]
) -> None:
    older, newer = back_up(repository, recipients), back_up(repository, recipients)
    hide(repository, newer.backup_id, older.backup_id)
    third = back_up(repository, recipients)
    assert third.sequence == 3
    assert len(reader(repository, recipients).catalogue().findings) == 1
    store = repository.store
    assert isinstance(store, S3Store)
    ((_, hidden),) = repository.hidden().versions
    store.put(hidden.key, (store.get_version(hidden.key, hidden.version, 1 << 20),))
    found = reader(repository, recipients).catalogue()
    assert [entry.backup_id for entry in found.entries] == [third.backup_id, newer.backup_id, older.backup_id]
    assert found.findings == ()


def test_a_hidden_backup_is_named_as_one_whose_recipients_are_as_they_were(
    repository: Repository, recipients: Recipients
) -> None:
    older, newer = back_up(repository, recipients), back_up(repository, recipients)
    assert out_of_reach(repository, repository.committed()) == ()
    delete(repository, newer.backup_id, older.backup_id)
    ((name, why),) = out_of_reach(repository, repository.committed())
    assert name == newer.backup_id
    assert "remove the marker, then repeat" in why


def test_with_every_backup_hidden_none_is_said_to_be_committed(repository: Repository, recipients: Recipients) -> None:
    only = back_up(repository, recipients)
    delete(repository, only.backup_id, "")
    with pytest.raises(NoValidBackup, match=f"{only.backup_id} .number 1. is hidden: a delete marker is over"):
        reader(repository, recipients).latest_valid(recipients.dr[0])


def test_a_backup_that_is_hidden_whole_is_not_reaped(repository: Repository, recipients: Recipients) -> None:
    back_up(repository, recipients)
    newer = back_up(repository, recipients)
    delete(repository, newer.backup_id, "")
    for entry in list(repository.store.list(repository.layout.manifest(newer.backup_id))):
        repository.store.delete(entry.key)
    left = [entry.key for entry in repository.store.list(repository.layout.data(newer.backup_id))]
    assert reap(repository, -5.0).removed == ()
    assert [entry.key for entry in repository.store.list(repository.layout.data(newer.backup_id))] == left


def test_what_nobody_trusted_signed_and_what_expired_is_not_hidden(
    repository: Repository, recipients: Recipients
) -> None:
    first = back_up(repository, recipients)
    back_up(repository, recipients)
    repository.store.delete(repository.layout.commit(first.backup_id))  # a lifecycle rule at the old end
    remove(repository.store, repository.layout, first.backup_id)
    forged = f"{repository.layout.of('commit')}20990101T000000.000000Z-0123456789.json"
    repository.store.put(forged, (b'{"payload": "", "payloadType": "", "signatures": []}',))
    repository.store.delete(forged)
    assert reader(repository, recipients).catalogue().findings == ()


def shipped(repository: Repository, keys: Recipients, batches: int) -> WalWriter:
    made = begin_wal(repository, "7391", SIZE, keys.public, keys.writer[0], None)
    for number in range(batches):
        made.show([made.put(1, number * SIZE, b"begun")], SEEN)
        made.commit([made.put(1, number * SIZE, bytes(SIZE))], SEEN)
    return made


def batches(repository: Repository, kind: str = "wal-batch") -> list[str]:
    return [entry.key for entry in repository.store.list(repository.layout.of(kind))]


def found_by(repository: Repository, keys: Recipients) -> tuple[str, ...]:
    fresh = reader(repository, keys)
    return wal_findings(fresh, read_wal(fresh))


@pytest.mark.parametrize("by", ["marker", "version"])
def test_a_hidden_newest_batch_of_wal_is_named_and_its_files_are_kept(
    repository: Repository, recipients: Recipients, by: str
) -> None:
    shipped(repository, recipients, 3)
    assert found_by(repository, recipients) == ()
    older, newest = batches(repository)[-2:]
    if by == "marker":
        repository.store.delete(newest)
    else:
        repository.store.put(newest, (b"".join(repository.store.get(older)),))
    assert any(
        line.startswith("batch 3 of WAL") and "is hidden" in line and newest in line
        for line in found_by(repository, recipients)
    )
    assert reap_wal(repository, -5.0) == ()


def test_batches_that_are_all_hidden_are_one_line(repository: Repository, recipients: Recipients) -> None:
    shipped(repository, recipients, 3)
    for key in batches(repository):
        repository.store.delete(key)
    (line,) = found_by(repository, recipients)
    assert "batch 3 of WAL" in line
    assert "and 2 before it are hidden" in line
    assert reap_wal(repository, -5.0) == ()


def test_a_tail_is_hidden_only_when_nothing_took_its_place(repository: Repository, recipients: Recipients) -> None:
    plain = replace(repository, store=_Plain(repository.store))
    made = shipped(plain, recipients, 2)
    for size in (10, 20):
        made.show([made.put(1, 2 * SIZE, bytes(size))], SEEN)
    assert found_by(repository, recipients) == ()
    (tail,) = batches(repository, "wal-tail")
    repository.store.delete(tail)
    (line,) = found_by(repository, recipients)
    assert line.startswith("tail of batch 3 of WAL")
    assert tail in line


class _Plain:
    """A store whose client may delete objects and no versions."""

    def __init__(self, store: ObjectStore) -> None:
        self.put, self.get, self.list, self.delete = store.put, store.get, store.list, store.delete
        self.abandon = store.abandon


class _Denied(MemoryStore):
    """A store whose client may not list versions."""

    def versions(self, prefix: str) -> tuple[StoredVersion, ...]:
        raise HarnessError(f"{prefix}: its versions cannot be listed: access denied")

    def get_version(self, key: str, version: str, length: int) -> bytes:
        raise HarnessError(f"{key}: access denied")


def test_a_key_that_may_not_list_versions_still_reads_and_verify_says_so(recipients: Recipients) -> None:
    repository = recipients.repository(_Denied())
    back_up(repository, recipients)
    assert repository.latest_valid(recipients.dr[0]).findings == ()
    said = [one for one in verify_all(repository, recipients.dr[0], every=False) if one.backup == "chain"]
    assert [one.wrong for one in said] == [False]
    assert "its versions cannot be listed: access denied; a COMMIT that was hidden there" in said[0].said
