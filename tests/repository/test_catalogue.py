"""A repository in each store: backups are written, listed, selected, opened and reaped."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterator

import pytest

from harness.core.errors import BackupFailed, HarnessError, NoValidBackup, Unreadable, UsageError
from harness.pem import fingerprint
from harness.repository.catalogue import Repository
from harness.repository.format.layout import bind, object_binding
from harness.repository.format.recipients import new_pair, read_private
from harness.repository.store.port import ObjectStore
from harness.repository.upkeep.reaper import Reaped, reap
from tests.repository.store_servers import Recipients, back_up, contents, keys_of

LARGE = secrets.token_bytes(9_000_000)


def test_a_backup_opens_with_either_recipient(
    repository: Repository, store: ObjectStore, estate: str, recipients: Recipients
) -> None:
    receipt = back_up(repository, recipients, globals=b"CREATE ROLE odoo;", trees__files=LARGE, empty=b"")
    (entry,) = repository.committed()
    commit = entry.commit
    assert commit is not None
    assert (entry.backup_id, commit.finished, commit.stored_size) == (
        receipt.backup_id,
        receipt.committed_at,
        receipt.size,
    )
    assert entry.damaged is None
    assert repository.open(entry, recipients.dr[0]).manifest.contents == contents()
    assert receipt.path == f"{estate}/commit/{receipt.backup_id}.json"
    assert receipt.digest == hashlib.sha256(b"".join(store.get(receipt.path))).hexdigest()
    assert receipt.plain_size == 17 + len(LARGE)
    assert receipt.size == sum(o.size for o in store.list(f"{estate}/data/"))
    for private, _ in (recipients.dr, recipients.escrow):
        backup = repository.open(entry, private)
        assert b"".join(backup.read("trees/files")) == LARGE
        assert b"".join(backup.read("empty")) == b""
        told: list[int] = []
        assert backup.verify(told.append) == sum(told) == receipt.size
    kinds = [key.split("/")[1] for key in keys_of(store, estate)]
    assert kinds == ["commit", "data", "data", "data", "keys", "keys", "manifest"]


def test_the_store_contains_no_plaintext_and_no_private_key(
    repository: Repository, store: ObjectStore, estate: str, recipients: Recipients
) -> None:
    back_up(repository, recipients, globals=b"ALTER ROLE odoo PASSWORD 'perfectly-plain';" * 20)
    everything = b"".join(b"".join(store.get(key)) for key in keys_of(store, estate))
    assert b"perfectly-plain" not in everything
    for private, _ in (recipients.dr, recipients.escrow):
        assert read_private(private).private_bytes_raw() not in everything
    assert repr(repository.open(repository.committed()[0], recipients.dr[0])).count("dek") == 0


def test_a_key_that_is_not_a_recipient_is_named(repository: Repository, recipients: Recipients) -> None:
    back_up(repository, recipients)
    stranger = new_pair()[0]
    mine = fingerprint(read_private(stranger).public_key())
    theirs = fingerprint(read_private(recipients.dr[0]).public_key())
    (entry,) = repository.committed()
    with pytest.raises(Unreadable, match=f"key {mine} does not open it; it is sealed to .*{theirs}"):
        repository.open(entry, stranger)
    with pytest.raises(NoValidBackup, match=mine):
        repository.latest_valid(stranger)


def test_an_empty_repository_has_no_valid_backup(repository: Repository, estate: str, recipients: Recipients) -> None:
    with pytest.raises(NoValidBackup, match=f"estate {estate}: no valid backup: none is committed"):
        repository.latest_valid(recipients.dr[0])
    assert repository.committed() == ()


def test_the_newest_is_listed_first_and_estates_are_separate(
    repository: Repository, store: ObjectStore, estate: str, recipients: Recipients
) -> None:
    first, second = back_up(repository, recipients), back_up(repository, recipients)
    back_up(recipients.repository(store, f"{estate}-2"), recipients)
    assert [entry.backup_id for entry in repository.committed()] == [second.backup_id, first.backup_id]
    chosen = repository.latest_valid(recipients.dr[0])
    assert (chosen.backup.backup_id, chosen.passed_over) == (second.backup_id, ())


def test_a_malformed_private_key_ends_the_search_at_once(repository: Repository, recipients: Recipients) -> None:
    back_up(repository, recipients)
    with pytest.raises(UsageError, match="private key: not an unencrypted"):
        repository.latest_valid("nonsense")


def test_an_uncommitted_backup_is_not_listed_and_reaped_only_when_old(
    repository: Repository, store: ObjectStore, estate: str, recipients: Recipients
) -> None:
    writer = recipients.begin(repository)
    writer.add("globals", (b"x",))
    store.put(f"{estate}/data/an object of another program", (b"x",))
    assert repository.committed() == ()
    assert reap(repository).removed == ()
    assert reap(repository, 0) == Reaped(removed=(writer.backup_id,))
    assert keys_of(store, estate) == [f"{estate}/data/an object of another program"]
    with pytest.raises(BackupFailed, match="the store has none; does another program delete objects"):
        writer.commit(contents())


def test_an_empty_backup_and_a_repeated_path_are_refused(repository: Repository, recipients: Recipients) -> None:
    writer = recipients.begin(repository)
    with pytest.raises(BackupFailed, match="incomplete: no objects"):
        writer.commit(contents())
    writer.add("globals", (b"x",))
    with pytest.raises(BackupFailed, match="globals was already added"):
        writer.add("globals", (b"y",))
    for path in ("../x", "/x", "a//b", "", "a\nb", "x" * 701):
        with pytest.raises(UsageError, match="object path"):
            writer.add(path, (b"y",))
    writer.commit(contents())
    with pytest.raises(BackupFailed, match="is committed; start another"):
        writer.add("late", (b"y",))
    writer.abort()
    assert len(repository.committed()) == 1


def test_a_failing_source_leaves_no_backup(
    repository: Repository, store: ObjectStore, estate: str, recipients: Recipients
) -> None:
    def dying() -> Iterator[bytes]:
        yield bytes(5_000_000)
        raise OSError("the dump died")

    writer = recipients.begin(repository)
    with pytest.raises(OSError, match="the dump died"):
        writer.add("databases/shop", dying())
    with pytest.raises(BackupFailed, match="incomplete: databases/shop"):
        writer.commit(contents())
    writer.abort()
    assert keys_of(store, estate) == []


def test_an_abort_ends_concurrent_streams(
    repository: Repository, store: ObjectStore, estate: str, recipients: Recipients
) -> None:
    writer = recipients.begin(repository)
    started, failures = threading.Barrier(3), list[str]()

    def endless() -> Iterator[bytes]:
        started.wait(10)
        while True:
            yield bytes(1 << 20)

    def add(name: str) -> None:
        try:
            writer.add(name, endless())
        except (BackupFailed, HarnessError) as error:
            failures.append(str(error))

    threads = [threading.Thread(target=add, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    started.wait(10)
    writer.abort()
    for thread in threads:
        thread.join(20)
    assert len(failures) == 2
    assert all("is aborted" in failure for failure in failures)
    assert keys_of(store, estate) == []


def test_an_object_moved_to_another_path_does_not_authenticate(
    repository: Repository, store: ObjectStore, estate: str, recipients: Recipients
) -> None:
    """All objects of a backup have the same data key; only the associated data differs."""
    receipt = back_up(repository, recipients, a=b"first", b=b"other")
    place = f"{estate}/data/{receipt.backup_id}"
    store.put(f"{place}/a", store.get(f"{place}/b"))
    backup = repository.open(repository.committed()[0], recipients.dr[0])
    with pytest.raises(Unreadable, match=rf"backup {receipt.backup_id}, object a: segment 0: does not authenticate"):
        list(backup.read("a"))


def test_associated_data_is_encoded_unambiguously() -> None:
    assert bind("ab", "c") != bind("a", "bc")
    assert bind("blackstart-backup/2", "ü") == b"\0\0\0\x13blackstart-backup/2\0\0\0\x02\xc3\xbc"
    assert object_binding("7", "id", "x") == (
        b"\0\0\0\x13blackstart-backup/2\0\0\0\x06object\0\0\0\x017\0\0\0\x02id\0\0\0\x01x"
    )
