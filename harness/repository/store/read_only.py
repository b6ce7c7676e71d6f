"""A repository that belongs to somebody else: every change is refused before it is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.core.errors import Refused
from harness.repository.store.port import ObjectStore, StoredObject


@dataclass(frozen=True, slots=True)
class ReadOnly:
    """A store that belongs to somebody else: it is read, and every change of it is refused before it is sent."""

    store: ObjectStore
    what: str

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        """Refuse."""
        raise self._refused(key)

    def get(self, key: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        """Yield an object's bytes. Raises Unreadable, HarnessError."""
        return self.store.get(key, offset, length)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects below `prefix`. Raises HarnessError."""
        return self.store.list(prefix)

    def delete(self, key: str) -> None:
        """Refuse."""
        raise self._refused(key)

    def abandon(self, prefix: str) -> int:
        """Refuse."""
        raise self._refused(prefix)

    def _refused(self, key: str) -> Refused:
        return Refused(f"{self.what}: read-only here; {key} is not touched")
