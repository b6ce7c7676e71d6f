"""Objects larger than one upload may be: divided, read back as one, and each lost or changed piece is found."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from harness.backup.quick import verify_quick
from harness.core.errors import Denied, HarnessError, Lost, Unreadable
from harness.repository.catalogue import Repository
from harness.repository.pipeline import Pipeline
from harness.repository.store import pieces
from harness.repository.store.pieces import PIECE, Pieces
from harness.repository.store.port import ObjectStore
from harness.repository.store.s3_client import MOST_PARTS, PART
from tests.repository.failing_store import FailingStore
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients, back_up

SMALL = 100


def test_a_terabyte_needs_no_more_parts_than_stores_take() -> None:
    assert PIECE % PART == 0
    assert PIECE // PART <= MOST_PARTS


@pytest.mark.parametrize("size", [0, 1, SMALL - 1, SMALL, SMALL + 1, 2 * SMALL, 5 * SMALL + 7])
@pytest.mark.parametrize("chunk", [1, 7, SMALL, 1000])
def test_any_size_comes_back_as_it_was(size: int, chunk: int) -> None:
    _comes_back(MemoryStore(), "a", size, chunk)


def test_every_store_keeps_pieces(store: ObjectStore, estate: str) -> None:
    _comes_back(store, f"{estate}/a", 2 * SMALL + 7, 64)


def _comes_back(store: ObjectStore, key: str, size: int, chunk: int) -> None:
    whole, data = Pieces(store, SMALL), secrets.token_bytes(size)
    chunks = [data[at : at + chunk] for at in range(0, size, chunk)]
    assert whole.put(key, [b"", *chunks, b""]) == size
    assert b"".join(whole.get(key)) == data
    assert [(one.key, one.size) for one in whole.list(key)] == [(key, size)]
    assert len(list(store.list(key))) == max(1, -(-size // SMALL))


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 1), (99, 2), (100, 100), (150, 300), (507, 0), (0, 508), (250, 1000), (506, 1)]
)
def test_a_range_may_cross_pieces(offset: int, length: int) -> None:
    whole, data = Pieces(MemoryStore(), SMALL), secrets.token_bytes(508)
    whole.put("a", (data,))
    assert b"".join(whole.get("a", offset, length)) == (data[offset : offset + length] if length else data[offset:])


@pytest.mark.parametrize("offset", [200, 300, 1000])
def test_nothing_is_behind_the_last_piece(offset: int) -> None:
    whole = Pieces(MemoryStore(), SMALL)
    whole.put("a", (bytes(200),))
    with pytest.raises(Unreadable):
        list(whole.get("a", offset, 1))


@pytest.mark.parametrize("error", [Denied, Lost])
def test_a_later_piece_that_is_not_shown_is_not_the_end(monkeypatch: pytest.MonkeyPatch, error: type[Denied]) -> None:
    """The object was called cut off, as if somebody had changed it."""
    store = MemoryStore()
    Pieces(store, SMALL).put("a", (bytes(250),))
    get = MemoryStore.get

    def refused(self: MemoryStore, key: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        if key == "a+1":
            raise error("a+1: the disk does not read it")
        yield from get(self, key, offset, length)

    monkeypatch.setattr(MemoryStore, "get", refused)
    with pytest.raises(error, match="the disk does not read it"):
        list(Pieces(store, SMALL).get("a"))


def test_a_piece_without_its_object_is_listed_as_itself() -> None:
    store = MemoryStore()
    for key in ("a+1", "b", "b+1", "b+1+2", "b+0", "b+x"):
        store.put(key, (b"x",))
    assert [(one.key, one.size) for one in Pieces(store).list("")] == [("a+1", 1), ("b", 2), ("b+0", 1), ("b+1+2", 1),
                                                                       ("b+x", 1)]  # fmt: skip


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    real = pieces.Pieces
    for module in ("pipeline", "read_back", "writer", "catalogue"):
        monkeypatch.setattr(f"harness.repository.{module}.Pieces", lambda store: real(store, 1 << 20))
    monkeypatch.setattr("harness.backup.quick.Pieces", lambda store: real(store, 1 << 20))


@pytest.mark.usefixtures("small_pieces")
def test_a_backup_of_a_large_object_is_verified_opened_and_removed(recipients: Recipients) -> None:
    store, data = MemoryStore(), secrets.token_bytes(9 << 20)
    repository: Repository = recipients.repository(store)
    back_up(repository, recipients, base=data, globals=b"x")
    keys = [one.key.rpartition("/")[2] for one in store.list("shop/data/")]
    assert keys == ["base", *(f"base+{n}" for n in range(1, 10)), "globals"]
    assert not [one for one in verify_quick(repository) if one.wrong]
    entry = repository.committed()[0]
    repository.require_stored(entry)
    reader = repository.open(entry, recipients.dr[0])
    assert b"".join(reader.read("base")) == data
    lost = next(one.key for one in store.list("shop/data/") if one.key.endswith("+4"))
    body = b"".join(store.get(lost))
    for change in (lambda: store.delete(lost), lambda: store.put(lost, (body[:-1] + b"?",))):
        change()
        with pytest.raises(Unreadable):
            list(repository.open(entry, recipients.dr[0]).read("base"))
        store.put(lost, (body,))
    store.delete(lost)
    assert next(one.said for one in verify_quick(repository) if one.wrong).startswith("NOT VALID: 2 objects of ")


@pytest.mark.usefixtures("small_pieces")
def test_an_aborted_backup_leaves_no_piece(recipients: Recipients) -> None:
    store = FailingStore(at=4)
    repository = recipients.repository(store)
    writer = recipients.begin(repository)
    with pytest.raises(HarnessError, match="call 4 fails"):
        writer.add("base", (secrets.token_bytes(9 << 20),))
    assert any(one.key.endswith("+1") for one in store.inner.list(""))
    writer.abort()
    assert [one.key for one in store.inner.list("shop/")] == []


def test_pieces_are_read_by_several_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    real = pieces.Pieces
    monkeypatch.setattr("harness.repository.pipeline.Pieces", lambda store: real(store, 3 << 20))
    pipeline, data = Pipeline(MemoryStore()), secrets.token_bytes(20 << 20)
    stored = pipeline.put("a", (data,), b"k" * 32, b"bound")
    assert b"".join(pipeline.get("a", b"k" * 32, b"bound", stored.stored_size)) == data
