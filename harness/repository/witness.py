"""Witness: what was seen of a repository, kept outside it, so that a rollback or a deletion is noticed.

It holds the newest backup that was seen of each estate, the newest batch of WAL of each of its database systems, and
when each backup was last opened completely, and last restored without a finding.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from harness.core.errors import HarnessError
from harness.regular_file import read_regular, replace_file
from harness.repository.chain import Head
from harness.repository.format.manifest import canonical, explained
from harness.repository.store.port import ObjectStore

LARGEST = 1 << 20  # bytes
MOST_OPENED = 2000  # notes of opened backups, and of restored ones; the oldest are dropped


@dataclass(frozen=True, slots=True)
class Seen:
    """What a witness knows of one estate. `opened`: digest of a COMMIT -> when the backup was opened completely.

    `wal`: database system -> its newest batch of WAL. `restored`: like `opened`, when it was restored and passed.
    """

    head: Head | None = None
    opened: Mapping[str, datetime] = field(default_factory=dict)
    wal: Mapping[str, Head] = field(default_factory=dict)
    restored: Mapping[str, datetime] = field(default_factory=dict)

    def __or__(self, later: "Seen") -> "Seen":
        """Return what both know. The later note of a time stands: the clock of the earlier one may have been ahead."""
        both = self.wal.keys() & later.wal.keys()
        return Seen(
            _newer(self.head, later.head) if self.head and later.head else self.head or later.head,
            {**self.opened, **later.opened},
            {**self.wal, **later.wal, **{one: _newer(self.wal[one], later.wal[one]) for one in both}},
            {**self.restored, **later.restored},
        )


def _newer(one: Head, other: Head) -> Head:
    return one if one.sequence > other.sequence else other


class Witness(Protocol):
    """Place outside the repository at which the state of it is kept."""

    def read(self, estate: str) -> Seen:
        """Return what is known; raises HarnessError when it cannot be read."""

    def write(self, estate: str, seen: Seen) -> None:
        """Keep what was seen now, with what is known already, which `seen` need not repeat; raises HarnessError."""


@dataclass(slots=True)
class MemoryWitness:
    """A witness that lasts as long as this process."""

    known: dict[str, Seen] = field(default_factory=dict)

    def read(self, estate: str) -> Seen:
        """Return what is known."""
        return self.known.get(estate, Seen())

    def write(self, estate: str, seen: Seen) -> None:
        """Keep what was seen."""
        self.known[estate] = self.read(estate) | seen


@dataclass(frozen=True, slots=True)
class FileWitness:
    """A witness in a file of JSON, written anew and renamed."""

    path: Path

    def read(self, estate: str) -> Seen:
        """Return what is known, nothing when there is no file. Raises HarnessError for a file that is no witness.

        A link that leads nowhere is an error: the disk of the witness may not be mounted. The folder that the link
        names tells nothing of that, because the place of a disk is there without the disk.
        """
        return self._all().get(estate, Seen())

    def write(self, estate: str, seen: Seen) -> None:
        """Keep what was seen; raises HarnessError."""
        try:
            self._require_link()
            path = Path(os.path.realpath(self.path))  # the file that a link leads to is read, so it is written
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _alone(path.parent):
                known = self._all()
                text = canonical(_plain({**known, estate: _bounded(known.get(estate, Seen()) | seen)}))
                replace_file(path, text)
        except OSError as error:
            raise HarnessError(
                f"witness {self.path}: cannot be written ({error.strerror}); a rollback of the repository would not be "
                "noticed; make its folder writable, or name another file"
            ) from None

    def _all(self) -> dict[str, Seen]:
        try:
            text = read_regular(self.path, LARGEST + 1, links=True)
        except FileNotFoundError:
            self._require_link()
            return {}
        except OSError as error:
            raise HarnessError(f"witness {self.path}: cannot be read ({error.strerror}); check its mode") from None
        try:
            return READER.validate_json(text, strict=True)
        except ValidationError as error:
            raise HarnessError(
                f"witness {self.path}: not readable ({explained(error)}); restore the file from a copy; if it is "
                "deleted, a rollback of the repository until now goes unnoticed"
            ) from None

    def _require_link(self) -> None:
        """Raise HarnessError for a link that leads nowhere, of the file or of a folder above it."""
        for path in (self.path, *self.path.parents):
            if path.is_symlink() and not path.exists():
                there = os.path.realpath(path)
                new = "create the file, with {} in it" if path == self.path else "create the folder"
                raise HarnessError(
                    f"witness {self.path}: {path} is a link to {there}, which is not there; mount its disk; where no "
                    f"witness was kept there yet, {new}"
                )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from writing a witness there: a receiver of WAL and a backup share one file."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


@dataclass(frozen=True, slots=True)
class StoreWitness:
    """A witness in another object store than the repository. `prefix`: of its key, with its slash."""

    store: ObjectStore
    prefix: str = ""

    def read(self, estate: str) -> Seen:
        """Return what is known, nothing when there is no such object. Raises HarnessError for anything else."""
        key = self._key(estate)
        if not any(entry.key == key for entry in self.store.list(key)):
            return Seen()
        text = b"".join(self.store.get(key, 0, LARGEST))
        try:
            return READER.validate_json(text, strict=True).get(estate, Seen())
        except ValidationError as error:
            raise HarnessError(f"witness {key} in its own store: not readable ({explained(error)})") from None

    def write(self, estate: str, seen: Seen) -> None:
        """Keep what was seen; raises HarnessError."""
        self.store.put(self._key(estate), (canonical(_plain({estate: _bounded(self.read(estate) | seen)})),))

    def _key(self, estate: str) -> str:
        return f"{self.prefix}{estate}/witness.json"


READER = TypeAdapter(dict[str, Seen])


def _bounded(seen: Seen) -> Seen:
    def newest(times: Mapping[str, datetime]) -> Mapping[str, datetime]:
        return dict(sorted(times.items(), key=lambda one: one[1])[-MOST_OPENED:])

    return replace(seen, opened=newest(seen.opened), restored=newest(seen.restored))


def _plain(known: Mapping[str, Seen]) -> dict[str, object]:
    data: dict[str, object] = json.loads(READER.dump_json(dict(known)))
    return data
