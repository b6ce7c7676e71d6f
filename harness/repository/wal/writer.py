"""Writer of WAL: seals segments, stores them, and lists them in signed batches that form a chain."""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.core.errors import BackupFailed, HarnessError
from harness.core.wal import Switch, segment_name
from harness.pem import fingerprint
from harness.repository.catalogue import Repository
from harness.repository.format.commit import digest_of, key_check
from harness.repository.format.layout import key_binding, new_id, object_binding
from harness.repository.format.recipients import read_recipients, wrap
from harness.repository.format.seal import KEY
from harness.repository.format.wal import MOST_ENTRIES, TimelineEnd, WalEntry, WalLink, WalList
from harness.repository.pipeline import Pipeline
from harness.repository.read_back import read_back, write_small
from harness.repository.store.expunge import discard
from harness.repository.store.port import Lockable
from harness.signing import read_signing_key

Purpose = Literal["archive", "backup"]
PARTIAL = ".partial"  # suffix of the object of a segment that is still being written


@dataclass(slots=True)
class WalWriter:
    """One run of WAL shipping, with a data key of its own. Used by one thread at a time.

    `head`: the newest batch, which the next list follows. `lock`: for how long the store keeps segments and batches.
    """

    repository: Repository
    cluster: str
    segment_size: int
    run: str
    wrapped: Mapping[str, bytes]
    head: WalLink | None
    _signing_key: Ed25519PrivateKey = field(repr=False)
    _dek: bytes = field(repr=False)
    _pipeline: Pipeline = field(repr=False)
    lock: timedelta | None = None
    purpose: Purpose = "archive"
    _begun: bool = False
    _tails: int = 0
    _old: tuple[str, ...] = ()  # keys of the tail that the next list replaces: its list, then its objects

    def put(self, timeline: int, start: int, data: bytes, *, last: bool = False) -> WalEntry:
        """Store a segment, or what there is of it so far, read both ends back, and return its entry.

        `last`: whether no more of it is written, because its timeline ends in it. Raises BackupFailed, HarnessError of
        the store.
        """
        name = segment_name(timeline, start, self.segment_size)
        path = f"wal/{name}"
        if len(data) < self.segment_size:
            path += ".last" if last else f".{start + len(data):016X}{PARTIAL}"
        return self._put(name, path, timeline, (start, start + len(data)), data)

    def put_history(self, name: str, timeline: int, text: bytes, switches: Sequence[Switch]) -> WalEntry:
        """Store a timeline history and return its entry. Raises BackupFailed, HarnessError of the store."""
        ends = tuple(TimelineEnd(timeline=one.timeline, at=one.at) for one in switches)
        return self._put(name, f"wal/{name}", timeline, (0, 0), text, ends)

    def _put(
        self,
        name: str,
        path: str,
        timeline: int,
        positions: tuple[int, int],
        data: bytes,
        switches: tuple[TimelineEnd, ...] = (),
    ) -> WalEntry:
        self._begin()
        store, key = self.repository.store, self.repository.layout.wal(self.run, path)
        bound = object_binding(self.cluster, self.run, path)
        stored = self._pipeline.put(key, (data,), self._dek, bound)
        read_back(store, key, stored.stored_size, self._dek, bound)
        return WalEntry(
            name=name,
            path=path,
            timeline=timeline,
            start=positions[0],
            end=positions[1],
            plain_size=stored.plain_size,
            stored_size=stored.stored_size,
            plain_sha256=stored.plain_sha256,
            switches=switches,
        )

    def _begin(self) -> None:
        """Store the wrapped data key before the first object that is sealed with it."""
        if not self._begun:
            for name, key in self.wrapped.items():
                write_small(self.repository.store, self.repository.layout.wal_keys(self.run, name), key)
            self._begun = True

    def commit(self, entries: Sequence[WalEntry], covered_until: datetime | None) -> WalLink:
        """Write a batch: from now on its files are in the repository. Return its place in the chain.

        Raises BackupFailed, HarnessError of the store.
        """
        self._begin()
        for first in range(0, len(entries), MOST_ENTRIES):
            key, text = self._list(entries[first : first + MOST_ENTRIES], covered_until, 0)
            write_small(self.repository.store, key, text)
            sequence = 1 if self.head is None else self.head.sequence + 1
            self.head = WalLink(sequence=sequence, run=self.run, digest=digest_of(text))
            self._keep(key, entries[first : first + MOST_ENTRIES])
        self._replace(())
        if self.head is None:
            raise BackupFailed("a batch of WAL without an entry was to be written")
        return self.head

    def show(self, entries: Sequence[WalEntry], covered_until: datetime | None) -> None:
        """Write a tail: what is listed so far of the segment that is being written, in place of the tail before.

        Raises BackupFailed, HarnessError of the store.
        """
        self._begin()
        self._tails += 1
        key, text = self._list(entries, covered_until, self._tails)
        write_small(self.repository.store, key, text)
        partial = (entry.path for entry in entries if entry.path.endswith(PARTIAL))
        self._replace((key, *(self.repository.layout.wal(self.run, path) for path in partial)))

    def _list(self, entries: Sequence[WalEntry], covered_until: datetime | None, tail: int) -> tuple[str, bytes]:
        sequence = 1 if self.head is None else self.head.sequence + 1
        listed = WalList(
            estate=self.repository.estate,
            cluster=self.cluster,
            run=self.run,
            sequence=sequence,
            purpose=self.purpose,
            follows=self.head,
            tail=tail,
            segment_size=self.segment_size,
            shipped_at=self.repository.clock.wall(),
            covered_until=covered_until,
            key_check=key_check(self._dek, self.cluster, self.run),
            recipients=tuple(self.wrapped),
            entries=tuple(entries),
        )
        return self.repository.layout.wal_list(sequence, self.run, tail), listed.signed(self._signing_key)

    def _replace(self, new: tuple[str, ...]) -> None:
        """Delete the tail before, its list first; what the store refuses is left, and is listed twice at worst."""
        old, self._old = self._old, new
        with suppress(HarnessError):
            for key in old:
                if key not in new:
                    discard(self.repository.store, key)

    def _keep(self, key: str, entries: Sequence[WalEntry]) -> None:
        """Lock a batch and what it lists."""
        store = self.repository.store
        if self.lock is None or not isinstance(store, Lockable):
            return
        until = self.repository.clock.wall() + self.lock
        keys = (self.repository.layout.wal(self.run, entry.path) for entry in entries)
        wrapped = (self.repository.layout.wal_keys(self.run, name) for name in self.wrapped)
        for one in (*keys, *wrapped, key):
            store.lock(one, until)


def begin_wal(
    repository: Repository,
    cluster: str,
    segment_size: int,
    recipients: Sequence[str | bytes],
    signing_key: str | bytes,
    head: WalLink | None,
    lock: timedelta | None = None,
    purpose: Purpose = "archive",
) -> WalWriter:
    """Return the writer of a new run; nothing is stored yet. `head`: the newest batch of the catalogue.

    Raises UsageError for bad keys.
    """
    public, private = read_recipients(tuple(recipients)), read_signing_key(signing_key)
    run, dek = new_id(repository.clock), secrets.token_bytes(KEY)
    bound = key_binding(cluster, run)
    wrapped = {fingerprint(key): wrap(dek, key, bound) for key in public}
    pipeline = Pipeline(repository.store)
    return WalWriter(repository, cluster, segment_size, run, wrapped, head, private, dek, pipeline, lock, purpose)
