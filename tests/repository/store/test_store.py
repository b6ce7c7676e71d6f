"""One suite for both stores; then what only a real one can do wrong."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Iterator

import pytest

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError, Unreadable
from harness.repository.store.port import ObjectStore
from harness.repository.store.s3 import S3Store
from harness.repository.store.s3_client import PART
from tests.repository.local import Launch, store_at


def pieces(total: int, piece: int = 1 << 20) -> Iterator[bytes]:
    for at in range(0, total, piece):
        yield bytes([at // piece % 251]) * min(piece, total - at)


@pytest.mark.parametrize("size", [0, 1, 100_000, PART - 1, PART, PART + 1, 2 * PART + 17])
def test_what_is_put_comes_back(store: ObjectStore, estate: str, size: int) -> None:
    assert store.put(f"{estate}/a", pieces(size)) == size
    assert b"".join(store.get(f"{estate}/a")) == b"".join(pieces(size))
    assert [(o.key, o.size) for o in store.list(f"{estate}/")] == [(f"{estate}/a", size)]


def test_a_range_comes_back(store: ObjectStore, estate: str) -> None:
    store.put(f"{estate}/a", [b"0123456789"])
    assert b"".join(store.get(f"{estate}/a", 3, 4)) == b"3456"
    assert b"".join(store.get(f"{estate}/a", 7)) == b"789"
    assert b"".join(store.get(f"{estate}/a", 0, 2)) == b"01"
    assert b"".join(store.get(f"{estate}/a", 8, 100)) == b"89"
    with pytest.raises(Unreadable, match=f"{estate}/a"):
        list(store.get(f"{estate}/a", 10, 1))


def test_the_last_put_wins(store: ObjectStore, estate: str) -> None:
    store.put(f"{estate}/a", [b"first"])
    store.put(f"{estate}/a", [b"second"])
    assert b"".join(store.get(f"{estate}/a")) == b"second"


def test_a_listing_is_in_order_and_below_its_prefix(store: ObjectStore, estate: str) -> None:
    before = SYSTEM.wall()
    for name in ("b/2", "a/1", "b/1/x", "bb", "ünï cødé/§ %+?#"):
        store.put(f"{estate}/{name}", [name.encode()])
    assert [o.key for o in store.list(f"{estate}/b/")] == [f"{estate}/b/1/x", f"{estate}/b/2"]
    assert len(list(store.list(f"{estate}/"))) == 5
    assert b"".join(store.get(f"{estate}/ünï cødé/§ %+?#")) == "ünï cødé/§ %+?#".encode()
    assert list(store.list(f"{estate}/nothing/")) == []
    ages = [(o.modified - before).total_seconds() for o in store.list(f"{estate}/")]
    assert all(-2 < age < 30 for age in ages)


def test_what_is_deleted_is_gone_and_deleting_again_is_no_error(store: ObjectStore, estate: str) -> None:
    store.put(f"{estate}/a", [b"x"])
    store.delete(f"{estate}/a")
    store.delete(f"{estate}/a")
    assert list(store.list(f"{estate}/")) == []
    with pytest.raises(Unreadable, match=f"{estate}/a: not there"):
        list(store.get(f"{estate}/a"))


@pytest.mark.parametrize("size", [100, PART + 100])
def test_a_source_that_fails_leaves_nothing_and_its_own_error(store: ObjectStore, estate: str, size: int) -> None:
    def dying() -> Iterator[bytes]:
        yield from pieces(size)
        raise OSError("the dump died")

    with pytest.raises(OSError, match="the dump died"):
        store.put(f"{estate}/a", dying())
    assert list(store.list(f"{estate}/")) == []
    assert store.abandon(f"{estate}/") == 0


def test_an_object_is_there_only_when_it_is_whole(store: ObjectStore, estate: str) -> None:
    seen = []

    def watched() -> Iterator[bytes]:
        yield from pieces(PART + 100)
        seen.append(list(store.list(f"{estate}/a")))

    store.put(f"{estate}/a", watched())
    assert seen == [[]]


def test_puts_at_once_do_not_disturb_each_other(store: ObjectStore, estate: str) -> None:
    data = {f"{estate}/{n}": secrets.token_bytes(700_000 + n) for n in range(6)}
    threads = [threading.Thread(target=store.put, args=(key, (value,))) for key, value in data.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {key: b"".join(store.get(key)) for key in data} == data


@pytest.mark.programs
def test_an_upload_that_was_left_half_done_is_abandoned(real_store: S3Store, estate: str) -> None:
    client = real_store._client
    begun = client._create_multipart_upload(real_store.bucket, f"{estate}/data/x", {})
    client._upload_part(real_store.bucket, f"{estate}/data/x", bytes(6 << 20), None, begun, 1)
    other = client._create_multipart_upload(real_store.bucket, f"{estate}-2/data/x", {})
    assert real_store.abandon(f"{estate}/data/") == 1
    assert real_store.abandon(f"{estate}/data/") == 0
    assert real_store.abandon(f"{estate}-2/") == 1
    assert other


@pytest.mark.programs
def test_ctrl_c_in_an_upload_leaves_no_part_behind(real_store: S3Store, estate: str) -> None:
    def interrupted() -> Iterator[bytes]:
        yield from pieces(PART + 100)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        real_store.put(f"{estate}/a", interrupted())
    assert real_store.abandon(f"{estate}/") == 0


@pytest.mark.programs
def test_the_wrong_key_and_the_wrong_bucket_are_told(real_store: S3Store, estate: str) -> None:
    host, port = real_store.endpoint.split(":")
    stranger = S3Store.connect(host, int(port), "somebody", "else-entirely", real_store.bucket)
    with pytest.raises(HarnessError, match=rf"{real_store.endpoint}, bucket backups, {estate}/a: .*access denied"):
        stranger.put(f"{estate}/a", [b"x"])
    assert "else-entirely" not in repr(stranger)
    nowhere = S3Store.connect(host, int(port), "offsite-access", "offsite-secret", "no-such-bucket")
    with pytest.raises(HarnessError, match="no such bucket"):
        list(nowhere.list(""))


def test_a_store_that_refuses_is_told_at_once(estate: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        store = S3Store.connect("127.0.0.1", port, "a", "b", "backups")
        began = SYSTEM.monotonic()
        with pytest.raises(HarnessError, match=f"127.0.0.1:{port}, bucket backups, {estate}/a: .*connection refused"):
            store.put(f"{estate}/a", [b"x"])
        assert SYSTEM.monotonic() - began < 5


def test_a_store_that_is_silent_is_given_up(estate: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = S3Store.connect("127.0.0.1", silent.getsockname()[1], "a", "b", "backups")
        began = SYSTEM.monotonic()
        with pytest.raises(HarnessError, match="no answer within 4 s"):
            store.put(f"{estate}/a", [b"x"])
        assert SYSTEM.monotonic() - began < 10


@pytest.mark.programs
def test_a_store_killed_in_the_middle_of_a_put(launch: Launch, estate: str) -> None:
    node = launch("dies")
    store = store_at(node)

    def fatal() -> Iterator[bytes]:
        yield from pieces(PART)
        node.kill()
        yield from pieces(3 * PART)

    began = SYSTEM.monotonic()
    with pytest.raises(HarnessError, match=f"bucket backups, {estate}/a: cannot be stored: "):
        store.put(f"{estate}/a", fatal())
    assert SYSTEM.monotonic() - began < 10
    node.start()
    revived = store_at(node)
    assert list(revived.list(f"{estate}/")) == []
    assert revived.abandon(f"{estate}/") <= 1  # the dead store could not be told
    assert revived.abandon(f"{estate}/") == 0


@pytest.mark.programs
def test_a_full_store_says_so_and_soon(launch: Launch, estate: str) -> None:
    store = store_at(launch("full", limit_mb=6))
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
