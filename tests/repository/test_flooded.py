"""Thousands of older versions of a COMMIT, by whoever may write to a bucket that keeps them: bounded, and named."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from harness.core.errors import Unreadable
from harness.repository.format.commit import LARGEST_COMMIT
from harness.repository.hidden import MOST
from harness.repository.store.port import StoredVersion
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients, back_up

pytestmark = pytest.mark.attacks


@dataclass(slots=True)
class KeepingStore(MemoryStore):
    """A store in memory with older versions, each the genuine bytes or made up as it is read; the newest come first."""

    older: list[tuple[str, bytes | None]] = field(default_factory=list)
    fetched: int = 0

    def versions(self, prefix: str) -> Iterator[StoredVersion]:
        """Yield the older versions, a delete marker over those of each key, and what is read."""
        hidden = {key for key, _ in self.older}
        for one in self.list(prefix):
            if one.key not in hidden:
                yield StoredVersion(one.key, "read", one.etag, one.size, marker=False, newest=True)
        for key in dict.fromkeys(key for key, _ in self.older if key.startswith(prefix)):
            yield StoredVersion(key, "marker", "", 0, marker=True, newest=True)
            for at, (name, _) in enumerate(self.older):
                if name == key:
                    yield StoredVersion(key, str(at), str(at), LARGEST_COMMIT, marker=False, newest=False)

    def get_version(self, key: str, version: str, length: int) -> bytes:
        """Return the bytes of a version."""
        self.fetched += 1
        name, text = self.older[int(version)]
        if name != key:
            raise Unreadable(key)
        return bytes(LARGEST_COMMIT) if text is None else text


@pytest.mark.night
@pytest.mark.parametrize("spread", [False, True])
def test_a_hidden_commit_is_found_below_five_thousand_versions(recipients: Recipients, spread: bool) -> None:
    store = KeepingStore()
    repository = recipients.repository(store)
    first, second = (back_up(repository, recipients) for _ in range(2))
    key = repository.layout.commit(second.backup_id)
    genuine = b"".join(store.get(key))
    store.delete(key)
    names = [repository.layout.commit(f"2020010{1 + n % 9}T00000{n % 7}.{n:06}Z-0123456789") for n in range(500)]
    flood = [(names[n % len(names)] if spread else key, None) for n in range(5_000)]
    store.older = [*flood, (key, genuine)]
    tracemalloc.start()
    try:
        found = repository.catalogue()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [entry.backup_id for entry in found.entries] == [first.backup_id]
    assert any(
        f"{second.backup_id}" in line and "is hidden: a delete marker is over" in line for line in found.findings
    )
    assert any(f"has 5001 older versions of notes, of which {MOST} were read" in line for line in found.findings)
    assert store.fetched == MOST
    assert peak < 32 << 20  # it was 314 MiB


@pytest.mark.parametrize("manifest", ["read", "deleted"])
def test_made_up_names_do_not_keep_a_hidden_commit_from_being_read(recipients: Recipients, manifest: str) -> None:
    """Names that sort before it, two versions each: within one age the order was that of the listing."""
    store = KeepingStore()
    repository = recipients.repository(store)
    genuine = back_up(repository, recipients)
    key, whole = repository.layout.commit(genuine.backup_id), repository.layout.manifest(genuine.backup_id)
    store.older = [
        (repository.layout.commit(f"20200101T000000.{n:06}Z-0123456789"), None) for n in range(1_100) for _ in range(2)
    ]
    for name in (key, *((whole,) if manifest == "deleted" else ())):
        store.older.append((name, b"".join(store.get(name))))
        store.delete(name)
    findings = repository.catalogue().findings
    assert any(genuine.backup_id in line and "is hidden: a delete marker is over" in line for line in findings)
    assert any(f"has 2201 older versions of notes, of which {MOST} were read" in line for line in findings)
    assert store.fetched == MOST
