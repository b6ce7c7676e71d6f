"""The port to an object store, and a store in memory for pure logic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object as a listing shows it: `size` in bytes, `modified` UTC by the store's clock."""

    key: str
    size: int
    modified: datetime


class ObjectStore(Protocol):
    """Where a repository lies. Each method raises HarnessError when the store fails, in one line that says where."""

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store one object and return its size in bytes. It is there whole or not at all, whatever `chunks` raises."""
        ...

    def get(self, key: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        """Yield an object's bytes from `offset`, at most `length` of them if given.

        Raises Unreadable when there is no such object, or no byte at `offset`.
        """
        ...

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield every object whose key begins with `prefix`, in the order of keys."""
        ...

    def delete(self, key: str) -> None:
        """Delete one object; one that is not there is left alone."""
        ...

    def abandon(self, prefix: str) -> int:
        """End every upload below `prefix` that somebody began and did not finish; return how many there were."""
        ...
