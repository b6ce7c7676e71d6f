"""A writer stops at once where it must: after an abort, and at a store that loses what it was given. In memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from harness.core.clock import NotYet, wait_until
from harness.core.errors import BackupFailed
from harness.repository import writer as writing
from harness.repository.read_back import write_small
from harness.repository.store.port import StoredObject
from harness.repository.wal.writer import begin_wal
from harness.repository.writer import Writer
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients, contents


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def writer(store: MemoryStore, recipients: Recipients) -> Writer:
    return recipients.begin(recipients.repository(store))


def test_after_an_abort_nothing_is_read_any_more(writer: Writer) -> None:
    read: list[int] = []

    def chunks() -> Iterator[bytes]:
        for one in range(2):
            read.append(one)
            yield b"x"

    writer.abort()
    with pytest.raises(BackupFailed, match="is aborted; start another"):
        writer.add("globals", chunks())
    assert read == []
    assert writer._entries == {}


def require_aborted(writer: Writer) -> None:
    if writer._state != "aborted":
        raise NotYet("not aborted")


def aborting(writer: Writer, then: int, read: list[int]) -> Iterator[bytes]:
    """Yield one chunk, abort in another thread as soon as that is read, and yield `then` more."""
    yield b"x"
    thread = threading.Thread(target=writer.abort)
    thread.start()
    wait_until(lambda: require_aborted(writer), patience=10.0, what="the abort")
    for one in range(then):
        read.append(one)
        yield b"x"


@pytest.mark.parametrize("then", [0, 5], ids=["at the last chunk", "in the middle"])
def test_an_abort_in_another_thread_ends_the_stream(writer: Writer, then: int) -> None:
    read: list[int] = []
    with pytest.raises(BackupFailed, match="is aborted; start another"):
        writer.add("globals", aborting(writer, then, read))
    assert read == [0][:then]


def test_a_writer_commits_once(writer: Writer) -> None:
    writer.add("globals", (b"x",))
    writer.commit(contents())
    with pytest.raises(BackupFailed, match="is committed; start another"):
        writer.commit(contents())


def test_a_lock_needs_a_store_that_has_one(writer: Writer) -> None:
    writer.add("globals", (b"x",))
    with pytest.raises(BackupFailed, match=r"no object lock; set backup\.lock_days to 0"):
        writer.commit(contents(), timedelta(days=1))


def test_a_manifest_that_no_reader_would_take_is_not_committed(
    writer: Writer, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "LARGEST_MANIFEST", 100)
    writer.add("globals", (b"x",))
    with pytest.raises(BackupFailed, match=r"its manifest of \d+ bytes is too large to be read"):
        writer.commit(contents())
    assert list(store.list("shop/commit/")) == []


class Shortening(MemoryStore):
    """A store that lists every object with a byte less than it has."""

    def list(self, prefix: str) -> Iterator[StoredObject]:
        for entry in super().list(prefix):
            yield StoredObject(entry.key, entry.size - 1, entry.modified)


class Changing(MemoryStore):
    """A store that stores other bytes than it was given."""

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        return super().put(key, (b"".join(chunks)[:-1] + b"?",))


def test_what_the_store_lists_with_another_size_fails_the_backup(recipients: Recipients) -> None:
    writer = recipients.begin(recipients.repository(Shortening()))
    with pytest.raises(BackupFailed, match=r"globals: \d+ bytes were stored; the store lists \[\d+\]"):
        writer.add("globals", (b"x",))


def test_other_bytes_than_were_written_fail_the_backup() -> None:
    with pytest.raises(BackupFailed, match="key: the store returned other bytes than were written"):
        write_small(Changing(), "key", b"text")


def test_a_first_batch_of_wal_without_an_entry_is_refused(recipients: Recipients, store: MemoryStore) -> None:
    made = begin_wal(recipients.repository(store), "7391", 1 << 20, recipients.public, recipients.writer[0], None)
    with pytest.raises(BackupFailed, match="without an entry"):
        made.commit((), datetime(2026, 3, 1, tzinfo=UTC))
