"""Read-only view of an object store."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.core.errors import Refused
from harness.repository.store.port import ObjectStore, StoredObject


@dataclass(frozen=True, slots=True)
class ReadOnly:
    """A store of another owner: reads are passed on, every change raises Refused. `what`: its name in messages."""

    store: ObjectStore
    what: str

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        """Raise Refused."""
        raise self._refused(key)

    def get(self, key: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        """Yield an object's bytes. Raises Unreadable, HarnessError."""
        return self.store.get(key, offset, length)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects below `prefix`. Raises HarnessError."""
        return self.store.list(prefix)

    def delete(self, key: str) -> None:
        """Raise Refused."""
        raise self._refused(key)

    def abandon(self, prefix: str) -> int:
        """Raise Refused."""
        raise self._refused(prefix)

    def _refused(self, key: str) -> Refused:
        return Refused(f"{self.what}: read-only here; {key} is not changed")
