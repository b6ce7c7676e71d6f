"""Conformance tests of both object stores, and failures of a real S3 store."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Iterator

import pytest

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError, Unreadable
from harness.repository.store.http.connections import patience_of
from harness.repository.store.port import ObjectStore
from harness.repository.store.s3 import S3Store
from harness.repository.store.s3_client import PART, Unfinished
from harness.repository.upkeep.reaper import reap
from tests.repository.store_servers import Launch, Recipients, connect
from tests.servers import Store


def pieces(total: int, piece: int = 1 << 20) -> Iterator[bytes]:
    for at in range(0, total, piece):
        yield bytes([at // piece % 251]) * min(piece, total - at)


@pytest.mark.parametrize("size", [0, 1, 100_000, PART - 1, PART, PART + 1, 2 * PART + 17])
def test_a_stored_object_is_read_back_unchanged(store: ObjectStore, estate: str, size: int) -> None:
    assert store.put(f"{estate}/a", pieces(size)) == size
    assert b"".join(store.get(f"{estate}/a")) == b"".join(pieces(size))
    assert [(o.key, o.size) for o in store.list(f"{estate}/")] == [(f"{estate}/a", size)]


def test_a_range_can_be_read(store: ObjectStore, estate: str) -> None:
    store.put(f"{estate}/a", [b"0123456789"])
    assert b"".join(store.get(f"{estate}/a", 3, 4)) == b"3456"
    assert b"".join(store.get(f"{estate}/a", 7)) == b"789"
    assert b"".join(store.get(f"{estate}/a", 0, 2)) == b"01"
    assert b"".join(store.get(f"{estate}/a", 8, 100)) == b"89"
    with pytest.raises(Unreadable, match=f"{estate}/a"):
        list(store.get(f"{estate}/a", 10, 1))


def test_a_put_replaces_the_object(store: ObjectStore, estate: str) -> None:
    store.put(f"{estate}/a", [b"first"])
    store.put(f"{estate}/a", [b"second"])
    assert b"".join(store.get(f"{estate}/a")) == b"second"


def test_a_listing_is_sorted_and_limited_to_its_prefix(store: ObjectStore, estate: str) -> None:
    before = SYSTEM.wall()
    for name in ("b/2", "a/1", "b/1/x", "bb", "ünï cødé/§ %+?#"):
        store.put(f"{estate}/{name}", [name.encode()])
    assert [o.key for o in store.list(f"{estate}/b/")] == [f"{estate}/b/1/x", f"{estate}/b/2"]
    assert len(list(store.list(f"{estate}/"))) == 5
    assert b"".join(store.get(f"{estate}/ünï cødé/§ %+?#")) == "ünï cødé/§ %+?#".encode()
    assert list(store.list(f"{estate}/nothing/")) == []
    ages = [(o.modified - before).total_seconds() for o in store.list(f"{estate}/")]
    assert all(-2 < age < 30 for age in ages)


def test_deleting_twice_is_no_error(store: ObjectStore, estate: str) -> None:
    store.put(f"{estate}/a", [b"x"])
    store.delete(f"{estate}/a")
    store.delete(f"{estate}/a")
    assert list(store.list(f"{estate}/")) == []
    with pytest.raises(Unreadable, match=f"{estate}/a: does not exist"):
        list(store.get(f"{estate}/a"))


@pytest.mark.parametrize("size", [100, PART + 100])
def test_an_exception_of_the_source_is_passed_on_and_nothing_is_stored(
    store: ObjectStore, estate: str, size: int
) -> None:
    def dying() -> Iterator[bytes]:
        yield from pieces(size)
        raise OSError("the dump died")

    with pytest.raises(OSError, match="the dump died"):
        store.put(f"{estate}/a", dying())
    assert list(store.list(f"{estate}/")) == []
    assert store.abandon(f"{estate}/") == 0


def test_an_object_is_listed_only_when_it_is_complete(store: ObjectStore, estate: str) -> None:
    seen = []

    def watched() -> Iterator[bytes]:
        yield from pieces(PART + 100)
        seen.append(list(store.list(f"{estate}/a")))

    store.put(f"{estate}/a", watched())
    assert seen == [[]]


def test_concurrent_puts_are_independent(store: ObjectStore, estate: str) -> None:
    data = {f"{estate}/{n}": secrets.token_bytes(700_000 + n) for n in range(6)}
    threads = [threading.Thread(target=store.put, args=(key, (value,))) for key, value in data.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {key: b"".join(store.get(key)) for key in data} == data


@pytest.mark.programs
def test_an_unfinished_upload_is_aborted(real_store: S3Store, estate: str) -> None:
    client = real_store._client
    begun = client._create_multipart_upload(real_store.bucket, f"{estate}/data/x", {})
    client._upload_part(real_store.bucket, f"{estate}/data/x", bytes(6 << 20), None, begun, 1)
    other = client._create_multipart_upload(real_store.bucket, f"{estate}-2/data/x", {})
    assert real_store.abandon(f"{estate}/data/") == 1
    assert real_store.abandon(f"{estate}/data/") == 0
    assert real_store.abandon(f"{estate}-2/") == 1
    assert other


@pytest.mark.programs
def test_an_upload_that_the_store_lists_and_has_not_keeps_no_other_from_being_aborted(
    real_store: S3Store, estate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = real_store._client
    client._create_multipart_upload(real_store.bucket, f"{estate}/data/x", {})
    there = client.unfinished(real_store.bucket, f"{estate}/")
    monkeypatch.setattr(client, "unfinished", lambda *_: (Unfinished(f"{estate}/data/gone", "0" * 32, None), *there))
    assert real_store.abandon(f"{estate}/") == 1
    monkeypatch.undo()
    assert client.unfinished(real_store.bucket, f"{estate}/") == ()


@pytest.mark.programs
def test_an_unfinished_upload_of_wal_is_reaped_when_it_is_old(
    real_store: S3Store, estate: str, recipients: Recipients
) -> None:
    """A segment larger than a part, whose shipper was killed: no object names it, and no listing shows it."""
    real_store._client._create_multipart_upload(real_store.bucket, f"{estate}/wal/x/wal/0001", {})
    repository = recipients.repository(real_store, estate)
    reap(repository)
    assert len(real_store._client.unfinished(real_store.bucket, f"{estate}/")) == 1
    reap(repository, 0)
    assert real_store._client.unfinished(real_store.bucket, f"{estate}/") == ()


@pytest.mark.programs
def test_ctrl_c_during_an_upload_leaves_no_parts(real_store: S3Store, estate: str) -> None:
    def interrupted() -> Iterator[bytes]:
        yield from pieces(PART + 100)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        real_store.put(f"{estate}/a", interrupted())
    assert real_store.abandon(f"{estate}/") == 0


@pytest.mark.programs
def test_a_wrong_key_and_a_missing_bucket_are_reported(offsite: Store, real_store: S3Store, estate: str) -> None:
    host, port = real_store.endpoint.split(":")
    stranger = S3Store.connect(host, int(port), "another-access", "another-secret", real_store.bucket)
    with pytest.raises(HarnessError, match=rf"{real_store.endpoint}, bucket backups, {estate}/a: .*access denied"):
        stranger.put(f"{estate}/a", [b"x"])
    assert "another-secret" not in repr(stranger)
    with pytest.raises(HarnessError, match="no such bucket"):
        list(connect(offsite, "no-such-bucket").list(""))


def test_a_refused_connection_is_reported_at_once(estate: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        store = S3Store.connect("127.0.0.1", port, "a", "b", "backups", patience=patience_of(short=True))
        began = SYSTEM.monotonic()
        with pytest.raises(HarnessError, match=f"127.0.0.1:{port}, bucket backups, {estate}/a: .*connection refused"):
            store.put(f"{estate}/a", [b"x"])
        assert SYSTEM.monotonic() - began < 10


def test_a_silent_store_times_out(estate: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = S3Store.connect(
            "127.0.0.1", silent.getsockname()[1], "a", "b", "backups", patience=patience_of(short=True)
        )
        began = SYSTEM.monotonic()
        with pytest.raises(HarnessError, match="no answer within 4 s"):
            store.put(f"{estate}/a", [b"x"])
        assert SYSTEM.monotonic() - began < 10


@pytest.mark.night
@pytest.mark.programs
def test_a_store_killed_during_a_put_is_reported(launch: Launch, estate: str) -> None:
    server = launch("dies")
    store = connect(server)

    def fatal() -> Iterator[bytes]:
        yield from pieces(PART)
        server.node.kill()
        yield from pieces(3 * PART)

    began = SYSTEM.monotonic()
    with pytest.raises(HarnessError, match=f"bucket backups, {estate}/a: cannot be stored: "):
        store.put(f"{estate}/a", fatal())
    assert SYSTEM.monotonic() - began < 10
    server.node.start()
    revived = connect(server)
    assert list(revived.list(f"{estate}/")) == []
    assert revived.abandon(f"{estate}/") <= 1  # the dead store could not abort the upload
    assert revived.abandon(f"{estate}/") == 0


@pytest.mark.night
@pytest.mark.programs
def test_a_full_store_is_reported_soon(launch: Launch, estate: str) -> None:
    store = connect(launch("full", limit_mb=6))
    pulled = 0

    def endless() -> Iterator[bytes]:
        nonlocal pulled
        while True:
            pulled += 1 << 20
            yield secrets.token_bytes(1 << 20)

    with pytest.raises(HarnessError, match=f"bucket backups, {estate}/a: cannot be stored: no space left"):
        store.put(f"{estate}/a", endless())
    assert pulled <= 4 * PART
    assert list(store.list(f"{estate}/a")) == []
