"""The policies of `docs/policies` on a MinIO: what each allows is enough and needed, and the rest is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from harness.core.clock import SYSTEM
from harness.core.errors import BackupFailed, HarnessError
from harness.pem import fingerprint
from harness.repository.catalogue import Repository
from harness.repository.format.recipients import new_pair, read_public
from harness.repository.store.probe import known, probe
from harness.repository.store.s3 import S3Store
from harness.repository.upkeep.reaper import reap
from harness.repository.upkeep.rewrap import Rewrap, rewrap
from harness.repository.upkeep.wal import reap_wal
from harness.repository.wal.catalogue import read_wal
from harness.repository.wal.findings import wal_findings
from harness.repository.wal.reader import WalReader
from harness.repository.wal.writer import begin_wal
from tests.repository.store.policy_server import (
    BESIDE,
    DAYS,
    ESTATE,
    PREFIX,
    Bucket,
    MinioServer,
    Policy,
    minio_server,
    policy,
    without,
)
from tests.repository.store.refused import LOCKED, beside, removals, require_denied, settings, unlocks, writes
from tests.repository.store_servers import Recipients, back_up, contents
from tests.repository.test_retention import Past, nights

pytestmark = pytest.mark.engine

SIZE = 1 << 20
LOCK = timedelta(days=DAYS)
KINDS = ("commit", "data", "keys", "manifest", "wal", "wal-batch")
SEEN = datetime(2026, 3, 1, 12, tzinfo=UTC)
DENIED = r"access denied \(AccessDenied\); check the store's keys and their permissions \(docs/STORES.md\)"


@pytest.fixture(scope="module")
def server() -> Iterator[MinioServer]:
    with minio_server() as started:
        yield started


@pytest.fixture
def bucket(server: MinioServer) -> Bucket:
    return server.bucket()


@dataclass(frozen=True)
class Work:
    """What blackstart does with a repository, with the keys of one user."""

    store: S3Store
    recipients: Recipients

    @property
    def repository(self) -> Repository:
        return self.recipients.repository(self.store, ESTATE)

    def backup(self) -> None:
        """Take a backup that is locked."""
        writer = self.recipients.begin(self.repository)
        writer.add("globals", (b"CREATE ROLE odoo;",))
        writer.commit(contents(), LOCK)

    def wal(self) -> None:
        """Ship WAL: each tail takes the place of the one before, and a batch that of the last; it is locked."""
        keys = self.recipients
        head = read_wal(self.repository).head
        made = begin_wal(self.repository, "7391", SIZE, keys.public, keys.writer[0], head, LOCK)
        start = SIZE * (head.sequence if head else 0)
        for size in (10, 20):
            made.show([made.put(1, start, bytes(size))], SEEN)
        made.commit([made.put(1, start, bytes(SIZE))], SEEN)
        left = [one.key for one in self.store.list(f"{ESTATE}/") if "wal-tail" in one.key or "partial" in one.key]
        if left:
            raise HarnessError(f"{left[0]}: a tail that was replaced is left")

    def reap(self) -> None:
        """Remove what was killed: a backup and a run of WAL."""
        killed = self.recipients.begin(self.repository)
        killed.add("globals", (b"x",))
        shipper = begin_wal(self.repository, "7391", SIZE, self.recipients.public, self.recipients.writer[0], None)
        shipper.put(1, 0, b"begun")
        found = reap(self.repository, -5.0)
        if found.refused:
            raise HarnessError("; ".join(found.refused))
        assert killed.backup_id in found.removed
        assert reap_wal(self.repository, -5.0)
        assert not [one.key for one in self.store.list(f"{ESTATE}/") if killed.backup_id in one.key]

    def uploads(self) -> None:
        """Abort an upload that nobody finishes."""
        key = f"{PREFIX}/{ESTATE}/data/killed"
        self.store._client._create_multipart_upload(self.store.bucket, key, {})
        assert self.store.abandon(f"{ESTATE}/data/killed")

    def probe(self) -> None:
        """Find out what the store can do."""
        found = probe(self.store, ESTATE)
        assert (found.lacking, found.found["versions"], found.found["object lock"]) == ((), "yes", "yes")
        assert found.found["unfinished uploads"].startswith("not listed below a folder")  # MinIO: of one key only

    def versions(self) -> None:
        """Look for what a delete marker hides, and read a version."""
        one = next(one for one in self.store.versions(f"{ESTATE}/commit/") if not one.marker)
        assert self.store.get_version(one.key, one.version, 1) == b"{"

    def read(self) -> None:
        """Open every object of the newest backup, and every segment of WAL; nothing contradicts the chain."""
        (newest, *_), findings = self.repository.committed(), self.repository.catalogue().findings
        assert (findings, self.repository.catalogue().unseen) == ((), "")
        self.repository.verified(newest, self.recipients.dr[0])
        self.repository.require_stored(newest)
        wal = read_wal(self.repository)
        assert wal_findings(self.repository, wal) == ()
        reader = WalReader(self.repository, self.recipients.dr[0])
        segments = [one for found in wal.segments.values() for one in found]
        assert segments
        assert {len(reader.read(one)) for one in segments} == {SIZE}


NEEDS: dict[str, tuple[tuple[str, Callable[[Work], None]], ...]] = {
    "writer": (
        ("s3:ListBucket", Work.backup),
        ("s3:ListBucketMultipartUploads", Work.uploads),
        ("s3:GetBucketVersioning", Work.probe),
        ("s3:GetBucketObjectLockConfiguration", Work.probe),
        ("s3:GetObject s3:GetObjectVersion", Work.backup),
        ("s3:PutObject", Work.backup),
        ("s3:PutObjectRetention", Work.backup),
        ("s3:AbortMultipartUpload", Work.uploads),
        ("s3:DeleteObject", Work.reap),
    ),
    "reader": (
        ("s3:ListBucket", Work.read),
        ("s3:ListBucket s3:ListBucketVersions", Work.versions),
        ("s3:GetObject s3:GetObjectVersion", Work.read),
    ),
}
# What AWS asks for, and this MinIO does not: who may list or read objects may list or read versions.
NOT_ASKED = ("s3:ListBucketVersions", "s3:GetObjectVersion")


@pytest.mark.parametrize("name", ["writer", "writer-retention"])
def test_a_writer_writes_lists_verifies_reaps_and_ships_wal(name: str, bucket: Bucket, recipients: Recipients) -> None:
    work = Work(bucket.store(bucket.user(policy(name, bucket.name))), recipients)
    for one in (work.probe, work.backup, work.wal, work.wal, work.reap, work.uploads, work.read):
        one()
    assert len(work.repository.committed()) == 1
    assert work.repository.hidden().versions == ()


@pytest.mark.parametrize("name", ["writer", "reader"])
def test_each_action_is_needed(name: str, bucket: Bucket, recipients: Recipients) -> None:
    whole = policy(name, bucket.name)
    writer = Work(bucket.store(bucket.user(policy("writer", bucket.name))), recipients)
    writer.backup()
    writer.wal()
    user = bucket.user(whole)
    work = Work(bucket.store(user), recipients)
    for actions, fails in NEEDS[name]:
        bucket.allow(user, without(whole, *actions.split()))
        with pytest.raises((HarnessError, BackupFailed), match=DENIED):
            fails(work)
        bucket.allow(user, whole)
    allowed = allowed_by(whole)
    tried = {action for actions, _ in NEEDS[name] for action in actions.split()}
    assert allowed - tried <= set(NOT_ASKED)
    for action in allowed - tried:
        bucket.allow(user, without(whole, action))
        work.versions()


def test_retention_needs_one_action_more() -> None:
    assert allowed_by(policy("writer-retention", "x")) == allowed_by(policy("writer", "x")) | {"s3:DeleteObjectVersion"}


def test_a_reader_reads_all_and_changes_nothing(bucket: Bucket, recipients: Recipients) -> None:
    writer = Work(bucket.store(bucket.user(policy("writer", bucket.name))), recipients)
    writer.backup()
    writer.wal()
    writer.probe()
    user = bucket.user(policy("reader", bucket.name))
    reader, before = Work(bucket.store(user), recipients), bucket.versions()
    reader.read()
    assert known(reader.store, ESTATE) == known(writer.store, ESTATE) is not None
    for kind in KINDS:
        one = first(before, kind)
        require_denied({**removals(bucket, user, *one), **writes(bucket, user, *one)})
        require_denied(unlocks(bucket, user, *one), *LOCKED)
    require_denied({**settings(bucket, user), **beside(bucket, user)})
    assert bucket.versions() == before
    bucket.owner.remove_object(bucket.name, first(before, "commit")[0])
    assert "remove the marker" in reader.repository.catalogue().findings[0]


def test_a_writer_deletes_no_version_and_nothing_signed_and_lifts_no_lock(
    bucket: Bucket, recipients: Recipients
) -> None:
    user = bucket.user(policy("writer", bucket.name))
    work = Work(bucket.store(user), recipients)
    work.backup()
    work.wal()
    back_up(recipients.repository(work.store, ESTATE), recipients)  # which nothing locks
    before = bucket.versions()
    for one in before:
        if one[0] != BESIDE:
            require_denied(removals(bucket, user, *one))
    for kind in KINDS:
        require_denied(unlocks(bucket, user, *first(before, kind)), *LOCKED)
    client = bucket.server.client(user)
    for kind in ("commit", "wal-batch"):
        key = first(before, kind)[0]
        require_denied({f"delete marker over {key}": partial(client.remove_object, bucket.name, key)})
    long = SYSTEM.wall() + timedelta(days=DAYS + 2)
    with pytest.raises(HarnessError, match=DENIED):  # for a hundred years, nobody could remove it
        work.store.lock(first(before, "data")[0].removeprefix(f"{PREFIX}/"), long)
    require_denied({"note": lambda: bucket.put(user, f"{PREFIX}/{ESTATE}/expired/x.json")})
    require_denied({**settings(bucket, user), **beside(bucket, user)})
    assert bucket.versions() == before


def test_the_denial_alone_keeps_a_version_from_a_writer(bucket: Bucket) -> None:
    """This MinIO lets those delete versions who may delete objects."""
    whole, key = policy("writer", bucket.name), f"{PREFIX}/{ESTATE}/data/x"
    user = bucket.user(whole)
    version = bucket.put(user, key)
    gone = partial(bucket.server.client(user).remove_object, bucket.name, key, version)
    require_denied({"deletion of a version": gone})
    bucket.allow(user, without(whole, "s3:DeleteObjectVersion", effect="Deny"))
    gone()
    assert (key, version) not in bucket.versions()


@pytest.mark.parametrize(("action", "kind"), [("s3:DeleteObject", "commit"), ("s3:PutObject", "expired")])
def test_each_other_denial_is_needed(action: str, kind: str, bucket: Bucket) -> None:
    whole, key = policy("writer", bucket.name), f"{PREFIX}/{ESTATE}/{kind}/x.json"
    bucket.put(bucket.server.owner, key)
    user = bucket.user(without(whole, action, effect="Deny"))
    if action == "s3:PutObject":
        bucket.put(user, key)
    else:
        bucket.server.client(user).remove_object(bucket.name, key)


def test_retention_and_rewrap_remove_all_versions_that_are_not_locked(bucket: Bucket, recipients: Recipients) -> None:
    user = bucket.user(policy("writer-retention", bucket.name))
    past = Past(bucket.store(user), recipients)
    names = nights(past, 5)
    past.verify()
    plain = replace(past, store=bucket.store(bucket.user(policy("writer", bucket.name))))
    with pytest.raises(HarnessError, match=DENIED):
        plain.expire()
    assert past.left() == names
    assert list(past.expire().values()) == [""] * 2
    assert past.left() == names[2:]
    assert not [key for key, _ in bucket.versions() if any(name in key for name in names[:2])]
    newest, older, *_ = past.repository.committed()
    gone = fingerprint(read_public(recipients.escrow[1]))
    change = Rewrap((new_pair()[1],), (gone,))
    assert rewrap(past.repository, newest, recipients.dr[0], change).staying == ()
    assert not bucket.versions(past.repository.layout.keys(newest.backup_id, gone))
    assert len(rewrap(plain.repository, older, recipients.dr[0], change).staying) == 1


def test_retention_removes_nothing_that_is_locked(bucket: Bucket, recipients: Recipients) -> None:
    user = bucket.user(policy("writer-retention", bucket.name))
    work = Work(bucket.store(user), recipients)
    work.backup()
    work.wal()
    before = bucket.versions()
    for kind in KINDS:
        one = first(before, kind)
        require_denied({**removals(bucket, user, *one), **unlocks(bucket, user, *one)}, *LOCKED)
    require_denied({**settings(bucket, user), **beside(bucket, user)})
    assert bucket.versions() == before


def allowed_by(whole: Policy) -> set[str]:
    """Return the actions that a policy allows."""
    return {action for one in whole["Statement"] if one["Effect"] == "Allow" for action in one["Action"]}


def first(versions: Iterable[tuple[str, str]], kind: str) -> tuple[str, str]:
    """Return the first version of a kind of object of the estate."""
    return next(one for one in sorted(versions) if one[0].startswith(f"{PREFIX}/{ESTATE}/{kind}/"))
