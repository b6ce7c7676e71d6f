"""Hidden notes: signed ones that lie under a delete marker or a later version, in a bucket that keeps versions.

Who may delete and overwrite in such a bucket puts them out of sight without removing them.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from harness.core.errors import HarnessError, Unreadable
from harness.core.parallel import in_order
from harness.repository.chain import Head
from harness.repository.format.commit import LARGEST_COMMIT, digest_of, read_commit
from harness.repository.format.layout import Layout
from harness.repository.store.port import Historical, ObjectStore, StoredVersion

FETCHED = 16  # versions at a time
MOST = 1024  # older versions of COMMITs that are read: whoever may write to the bucket decides how many there are


@dataclass(frozen=True, slots=True)
class Version:
    """An older version of a note. `deleted`: whether a delete marker is over it; otherwise other contents are."""

    key: str
    version: str
    deleted: bool
    text: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of its bytes, hex."""
        return digest_of(self.text)

    @property
    def place(self) -> str:
        """What is over it, and how it comes back, for a finding about it."""
        over = "a delete marker is" if self.deleted else "a later version with other contents is"
        back = "remove the marker" if self.deleted else "copy this version over it"
        return f"{over} over {self.key} in the bucket, whose version {self.version} is signed and complete; {back}"


@dataclass(frozen=True, slots=True)
class Older:
    """Older versions of notes, which are read one after the other; `unread`: a finding when not all are, else ""."""

    versions: Iterator[Version]
    unread: str = ""


def hidden_versions(
    store: ObjectStore,
    prefix: str,
    largest: int,
    wanted: Callable[[str], bool] = lambda key: True,
    most: int | None = None,
    likely: Callable[[], Callable[[str], bool]] = lambda: lambda key: False,
) -> Older:
    """Return the older versions of notes below `prefix` whose contents are not those that reads find.

    Those above `largest` bytes are no notes. `most`: how many are read, all for None; the oldest of each key come
    first, as nobody can write under the name of a backup before its writer made it up. `likely`: asked where there are
    more than `most`; the keys for which what it returns is true come before all others. Raises HarnessError, also where
    the key may not list or, while they are read, read versions.
    """
    if not isinstance(store, Historical):
        return Older(iter(()))
    every = list(store.versions(prefix))
    older = _oldest_first([one for one in _older(every) if one.size <= largest and wanted(one.key)])
    if most is not None and len(older) > most:
        before = likely()
        older.sort(key=lambda one: not before(one.key))
    read = older[:most]
    unread = (
        f"{prefix} has {len(older)} older versions of notes, of which {len(read)} were read: somebody wrote there, and "
        "a signed one among the others would not be noticed; look at who may write to the bucket, and delete the "
        "versions that are not yours"
    )
    return Older(_versions(store, every, read, largest), unread if len(read) < len(older) else "")


def _versions(
    store: Historical, every: Sequence[StoredVersion], read: Sequence[StoredVersion], largest: int
) -> Iterator[Version]:
    newest = {one.key: one for one in every if one.newest}
    for one, text in in_order(lambda one: _text(store, one, largest), read, FETCHED):
        if text is not None:
            yield Version(one.key, one.version, one.key not in newest or newest[one.key].marker, text)


def _oldest_first(versions: Sequence[StoredVersion]) -> list[StoredVersion]:
    """Return the oldest version of each key, then the second oldest, and so on. Listings begin with the newest."""
    ages, counts = list[tuple[int, int]](), Counter[str]()
    for at in range(len(versions) - 1, -1, -1):
        ages.append((counts[versions[at].key], at))
        counts[versions[at].key] += 1
    return [versions[at] for _, at in sorted(ages)]


def ever_committed(store: ObjectStore, layout: Layout) -> frozenset[str]:
    """Return the names that a COMMIT was ever written for, signed or not, as far as versions are kept.

    Raises HarnessError, also where the key may not list versions.
    """
    return _names(store, layout, "commit")


def _names(store: ObjectStore, layout: Layout, kind: str) -> frozenset[str]:
    """Return the names of backups that an object of a kind was ever written for, as far as versions are kept."""
    if not isinstance(store, Historical):
        return frozenset()
    return frozenset(layout.id_in(one.key) for one in store.versions(layout.of(kind)) if not one.marker)


@dataclass(frozen=True, slots=True)
class HiddenCommits:
    """The backups whose signed COMMIT is hidden, each with the version of it. `unseen`: why none can be looked for.

    `unread`: a finding when there are too many versions to be read, "" when all were read.
    """

    versions: tuple[tuple[Head, Version], ...]
    unseen: str = ""
    unread: str = ""

    @property
    def names(self) -> frozenset[str]:
        """Names of the backups."""
        return frozenset(head.backup_id for head, _ in self.versions)

    def findings(self, oldest: int) -> tuple[str, ...]:
        """Return a line for each that is newer than the backup with the number `oldest`: others may have expired."""
        hidden = (f"{head} is hidden: {one.place}" for head, one in self.versions if head.sequence > oldest)
        return (*filter(None, (self.unread,)), *hidden)

    def without(self, digests: Sequence[str]) -> "HiddenCommits":
        """Return those whose COMMIT has none of these digests."""
        left = tuple(one for one in self.versions if one[0].digest not in digests)
        return replace(self, versions=left)


def hidden_commits(store: ObjectStore, layout: Layout, writers: Sequence[Ed25519PublicKey]) -> HiddenCommits:
    """Return the backups of an estate whose COMMIT is hidden; what no trusted writer signed is passed over."""
    found: dict[str, tuple[Head, Version]] = {}

    def likely() -> Callable[[str], bool]:
        """Names that somebody made up have, unless he made up more, no manifest; without one no backup opens."""
        whole = _names(store, layout, "manifest")
        return lambda key: layout.id_in(key) in whole

    try:
        older = hidden_versions(store, layout.of("commit"), LARGEST_COMMIT, most=MOST, likely=likely)
        for one in older.versions:
            with suppress(Unreadable):
                commit = read_commit(one.text, writers)
                if commit.estate == layout.estate and layout.commit(commit.backup_id) == one.key:
                    found[one.digest] = Head(commit.sequence, commit.backup_id, one.digest), one
    except HarnessError as error:  # what can be read without versions is read all the same
        return HiddenCommits((), f"{error}; a COMMIT that was hidden there by a delete marker would not be noticed")
    return HiddenCommits(tuple(found.values()), unread=older.unread)


def _older(every: list[StoredVersion]) -> Iterator[StoredVersion]:
    """Yield each version that reads do not find, once for equal contents."""
    found = {(one.key, one.etag) for one in every if one.newest and not one.marker}
    for one in every:
        if not one.newest and not one.marker and (one.key, one.etag) not in found:
            found |= {(one.key, one.etag)} if one.etag else set()
            yield one


def _text(store: Historical, one: StoredVersion, largest: int) -> bytes | None:
    try:
        return store.get_version(one.key, one.version, largest)
    except Unreadable:  # removed in the meantime
        return None
