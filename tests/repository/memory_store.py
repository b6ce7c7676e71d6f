"""An object store in memory, which passes the same conformance tests as the real one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

from harness.core.clock import SYSTEM, Clock
from harness.core.errors import Unreadable
from harness.repository.store.port import StoredObject


@dataclass(slots=True)
class MemoryStore:
    """A store in memory."""

    clock: Clock = SYSTEM
    _objects: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        """Store one object and return its size in bytes."""
        body = b"".join(chunks)
        with self._lock:
            self._objects[key] = (body, self.clock.wall())
        return len(body)

    def get(self, key: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        """Yield an object's bytes; raises Unreadable when it does not exist or ends before `offset`."""
        with self._lock:
            if key not in self._objects:
                raise Unreadable(f"store in memory, {key}: does not exist")
            body = self._objects[key][0]
        if offset and offset >= len(body):
            raise Unreadable(f"store in memory, {key}: has {len(body)} bytes, none at {offset}")
        yield body[offset : offset + length] if length else body[offset:]

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects below `prefix`, sorted by key."""
        with self._lock:
            found = sorted((k, v) for k, v in self._objects.items() if k.startswith(prefix))
        yield from (StoredObject(key, len(body), modified) for key, (body, modified) in found)

    def delete(self, key: str) -> None:
        """Delete one object."""
        with self._lock:
            self._objects.pop(key, None)

    def abandon(self, prefix: str) -> int:
        """Return 0: there are no unfinished uploads in memory."""
        return 0
