"""Protocol of an object store."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object in a listing: `size` in bytes, `modified` in UTC by the store's clock, `etag`: differs with content."""

    key: str
    size: int
    modified: datetime
    etag: str = ""


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version of an object. `marker`: a delete marker; `newest`: whether reads of the key find it."""

    key: str
    version: str
    etag: str
    size: int
    marker: bool
    newest: bool


@runtime_checkable
class Lockable(Protocol):
    """What a store can do that keeps objects from being deleted. Each raises HarnessError when the store fails."""

    @property
    def locks(self) -> bool:
        """Whether objects of this bucket can be locked."""

    def lock(self, key: str, until: datetime) -> None:
        """Keep the newest version of an object from being deleted by anyone until then, in UTC."""


@runtime_checkable
class Versioned(Protocol):
    """What a store can do that keeps older versions of its objects."""

    def expunge(self, key: str) -> None:
        """Delete an object with all its versions. Raises HarnessError, also for one that is locked."""


@runtime_checkable
class Historical(Protocol):
    """What a store can do that shows older versions of its objects. Each raises HarnessError when the store fails."""

    def versions(self, prefix: str) -> Iterator[StoredVersion]:
        """Yield every version below `prefix`, of deleted objects too; nothing where the store knows no versions."""

    def get_version(self, key: str, version: str, length: int) -> bytes:
        """Return at most `length` bytes of a version. Raises Unreadable when there is none."""


@runtime_checkable
class Sweepable(Protocol):
    """What a store can do whose unfinished uploads stay when their program is killed."""

    def sweep(self, prefix: str, older_than: float) -> int:
        """Remove unfinished uploads below `prefix` that were begun, or last written, that many seconds ago.

        Return how many. Raises HarnessError when the store fails.
        """


@runtime_checkable
class Closable(Protocol):
    """What a store can do whose listings pass over what its user may not read."""

    def require_open(self, prefix: str) -> None:
        """Raise HarnessError for a part below `prefix` that listings pass over."""


@runtime_checkable
class Probed(Protocol):
    """What a store says about itself when it is probed."""

    def abilities(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield name and value of each; objects below `prefix` may be written. Raises HarnessError."""


class ObjectStore(Protocol):
    """An object store for a repository. Each method raises HarnessError when the store fails, with its address."""

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store one object and return its size in bytes. If `chunks` raises, no object is stored."""

    def get(self, key: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        """Yield at most `length` bytes (0: all) from `offset`. Raises Unreadable when there is none."""

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield every object whose key starts with `prefix`, sorted by key."""

    def delete(self, key: str) -> None:
        """Delete one object; does nothing if it does not exist."""

    def abandon(self, prefix: str) -> int:
        """Abort every unfinished multipart upload below `prefix`; return how many there were."""
