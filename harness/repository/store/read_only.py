"""Read-only view of an object store."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.core.errors import Refused, Unreadable
from harness.repository.store.port import Historical, ObjectStore, StoredObject, StoredVersion


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

    def versions(self, prefix: str) -> Iterator[StoredVersion]:
        """Yield the versions below `prefix`, nothing where the store shows none. Raises HarnessError."""
        return self.store.versions(prefix) if isinstance(self.store, Historical) else iter(())

    def get_version(self, key: str, version: str, length: int) -> bytes:
        """Return the first bytes of a version. Raises Unreadable, HarnessError."""
        if not isinstance(self.store, Historical):
            raise Unreadable(f"{self.what}, {key}: this store shows no versions")
        return self.store.get_version(key, version, length)

    def delete(self, key: str) -> None:
        """Raise Refused."""
        raise self._refused(key)

    def abandon(self, prefix: str) -> int:
        """Raise Refused."""
        raise self._refused(prefix)

    def _refused(self, key: str) -> Refused:
        return Refused(f"{self.what}: read-only here; {key} is not changed")
