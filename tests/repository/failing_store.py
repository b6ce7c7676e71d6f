"""An object store in memory that fails at a given call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from harness.core.errors import HarnessError
from harness.repository.store.port import StoredObject
from tests.repository.memory_store import MemoryStore


@dataclass(slots=True)
class FailingStore:
    """Fails at call number `at`, counted from 0; with `dead` at every later call as well.

    `after`: the call is carried out and only its answer is lost.
    """

    at: int
    after: bool = False
    dead: bool = False
    inner: MemoryStore = field(default_factory=MemoryStore)
    calls: list[str] = field(default_factory=list)

    def _fails(self, what: str) -> bool:
        self.calls.append(what)
        number = len(self.calls) - 1
        return number == self.at or (self.dead and number > self.at)

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        fails = self._fails(f"put {key}")
        size = self.inner.put(key, chunks) if self.after or not fails else 0
        self._raise(fails, key)
        return size

    def get(self, key: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        self._raise(self._fails(f"get {key}"), key)
        yield from self.inner.get(key, offset, length)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        self._raise(self._fails(f"list {prefix}"), prefix)
        yield from self.inner.list(prefix)

    def delete(self, key: str) -> None:
        fails = self._fails(f"delete {key}")
        if self.after or not fails:
            self.inner.delete(key)
        self._raise(fails, key)

    def abandon(self, prefix: str) -> int:
        self._raise(self._fails(f"abandon {prefix}"), prefix)
        return 0

    def _raise(self, fails: bool, key: str) -> None:
        if fails:
            raise HarnessError(f"failing store, {key}: call {len(self.calls) - 1} fails")
