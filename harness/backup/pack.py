"""Packing: members and objects as a stream of tar. What cannot be read is named, and fails nothing.

Small files are read ahead by a few threads; a larger one is streamed, exactly as long as it was when it was opened.
"""

import hashlib
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from harness.backup.archive import CHUNK, SMALL, WORKERS, Member, Tally, bucket_name
from harness.core.contents import FolderFacts, Missing, TreeFacts
from harness.core.errors import BackupFailed
from harness.core.node import Readable
from harness.core.parallel import in_order
from harness.core.service import Objects, Place
from harness.on_disk import names_of
from harness.s3.objects import Bucket

SHORTER = "became shorter while it was read"
MISMATCH = "checksum mismatch: its name is the SHA-1 of other content"


class Unavailable(Exception):
    """A file or an object cannot be read; the message is the reason."""


class Passed(Unavailable):
    """Nothing is lost with it: the folder is gone, or what is in it is named by itself."""


Opened = AbstractContextManager[tuple[Member, Readable]]


@dataclass(frozen=True, slots=True)
class Small:
    """A small member that was read ahead; `data` is as long as the member says, unless it became shorter."""

    member: Member
    data: bytes


@dataclass(slots=True)
class Archive:
    """An archive that is being packed; `facts` are complete once `chunks` is exhausted.

    `names`: of its files or objects. `open`: opens one of them; raises Unavailable. `lost`: what is known to be
    missing without being opened. `folders`: those that lead to its files, from the top of the volume.
    """

    name: str
    names: Callable[[], Iterable[str]]
    open: Callable[[str], Opened]
    found: bool = False
    sha1_named: bool = False  # the last part of a name is the SHA-1 of its content
    lost: list[Missing] = field(default_factory=list)
    folders: tuple[FolderFacts, ...] = ()
    _tally: Tally = field(init=False)

    def __post_init__(self) -> None:
        self._tally = Tally(self.name)

    @property
    def facts(self) -> TreeFacts:
        """Return count, size and digest of the packed files, and what is missing."""
        return replace(self._tally.facts, missing=tuple(self.lost), found=self.found, folders=self.folders)

    def chunks(self) -> Iterator[bytes]:
        """Yield a POSIX tar stream. Raises HarnessError when the store or the volume does not answer at all."""
        for name, ahead in in_order(self._ahead, self.names(), WORKERS):
            try:
                if isinstance(ahead, Unavailable):
                    raise ahead
                yield from self._large(name) if ahead is None else self._small(name, ahead)
            except Passed:
                continue
            except Unavailable as error:
                self.lost.append(Missing.of(name, str(error)))
        yield bytes(2 * tarfile.BLOCKSIZE)

    def _ahead(self, name: str) -> Small | Unavailable | None:
        """Return a small member, None for a larger one, and why there is none as a value."""
        try:
            with self.open(name) as (member, source):
                return None if member.size > SMALL else Small(member, b"".join(exactly(source, member.size)))
        except Unavailable as error:
            return error
        except OSError as error:
            return Unavailable(reason_of(error))

    def _small(self, name: str, done: Small) -> Iterator[bytes]:
        if len(done.data) < done.member.size:
            raise Unavailable(SHORTER)
        if not done.member.folder:
            self._require_named(name, sha1_of([done.data]))
        self._tally.add(done.member, hashlib.sha256(done.data).hexdigest())
        yield done.member.header() + done.data + padding(done.member.size)

    def _large(self, name: str) -> Iterator[bytes]:
        """Yield a member of the size that its header says, whatever happens to the file: the archive stays whole."""
        with self.open(name) as (member, source):
            yield member.header()
            digest, sha1, done = hashlib.sha256(), hashlib.sha1(usedforsecurity=False), 0
            reason = SHORTER
            try:
                for chunk in exactly(source, member.size):
                    digest.update(chunk)
                    if self.sha1_named:
                        sha1.update(chunk)
                    done += len(chunk)
                    yield chunk
            except (OSError, Unavailable) as error:
                reason = reason_of(error)
            if done == member.size:
                yield padding(member.size)
                self._require_named(name, sha1.hexdigest())
                self._tally.add(member, digest.hexdigest())
                return
            while done < member.size:
                count = min(CHUNK, member.size - done)
                yield bytes(count)
                done += count
            yield padding(member.size)
            raise Unavailable(reason)

    def _require_named(self, name: str, sha1: str) -> None:
        if self.sha1_named and sha1 != name.rsplit("/", 1)[-1]:
            raise Unavailable(MISMATCH)


def sha1_of(chunks: Iterable[bytes]) -> str:
    """Return the SHA-1 of chunks, hex: Odoo names files by it; it is no security feature."""
    digest = hashlib.sha1(usedforsecurity=False)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def sha256_of(chunks: Iterable[bytes]) -> str:
    """Return the SHA-256 of chunks, hex."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def exactly(source: Readable, size: int) -> Iterator[bytes]:
    """Yield at most `size` bytes of a source in chunks, less only when it ends before; raises OSError."""
    while size and (chunk := source.read(min(size, CHUNK))):
        size -= len(chunk)
        yield chunk


def padding(size: int) -> bytes:
    """Return the zeros that follow a member of that size."""
    return bytes(-size % tarfile.BLOCKSIZE)


def reason_of(error: Exception) -> str:
    """Return the reason of an error in plain words, without the path that is named beside it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    return str(error)


def pack_objects(place: Place, objects: Objects, referenced: Iterable[str] | None) -> Archive:
    """Return the archive of the `referenced` objects of a bucket, of every object for None.

    Raises BackupFailed for a bucket that does not exist, HarnessError for a store without an answer.
    """
    bucket, names = Bucket(place.s3, objects.bucket), names_of(referenced or ())
    if not bucket.exists():
        raise BackupFailed(
            f"bucket {objects.bucket}: the store at {place.s3.outside} has none of that name; create it, or correct "
            "its declaration"
        )
    return Archive(
        bucket_name(objects.bucket),
        bucket.keys if referenced is None else lambda: names,
        partial(open_object, bucket),
        objects.found,
    )


@contextmanager
def open_object(bucket: Bucket, key: str) -> Iterator[tuple[Member, Readable]]:
    """Yield an object of a bucket. Raises Unavailable, HarnessError without an answer of the store."""
    try:
        with bucket.open(key) as found:
            yield Member(key, found.size, object=True, headers=found.headers, tags=found.tags), found
    except FileNotFoundError:
        raise Unavailable("no such object") from None
    except OSError as error:
        raise Unavailable(reason_of(error)) from None
