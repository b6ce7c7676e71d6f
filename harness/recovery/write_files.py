"""Writers of single restored files and objects, into a volume and into a bucket."""

import errno
import os
from collections.abc import Callable, Collection
from typing import IO

from harness.backup.archive import CHUNK, Member
from harness.backup.pack import reason_of
from harness.backup.tar import shown
from harness.backup.unpack import Write
from harness.core.errors import HarnessError, Refused, RestoreFailed
from harness.core.node import FILE, Entry, Readable
from harness.core.service import Objects, Place, Tree
from harness.s3.client import ensure_bucket
from harness.s3.objects import Bucket
from harness.s3.replica import Wanted, put, put_right

ZEROS, LEAST_HOLE = bytes(CHUNK), 64 << 10  # bytes


def into_volume(place: Place, tree: Tree, kept: Collection[str] = ()) -> Write:
    """Return a function that writes one file of a tree into its volume; it raises RestoreFailed, UsageError.

    `kept`: paths of files that are there and stay as they are: it raises Refused for one of other content.
    """
    volume = place.site.volume(tree.volume)

    def write(member: Member, source: Readable) -> None:
        path = f"{tree.folder}/{member.name}" if tree.folder else member.name
        try:
            if path in kept:
                _require_same(place, tree, path, source)
                return
            with volume.open(path, "wb") as target:
                copy_sparse(source, target)
            volume.adjust(Entry(path, FILE, member.size, member.mode, member.mtime))
        except OSError as error:
            where = f"volume {tree.volume} of {place.site.name}"
            raise RestoreFailed(f"{where}: {shown(member.name)} cannot be restored: {reason_of(error)}") from error

    return write


def _require_same(place: Place, tree: Tree, path: str, source: Readable) -> None:
    """Raise Refused unless a file of a volume has the content of the backup's, OSError when it cannot be read."""
    with place.site.volume(tree.volume).open(path, "rb") as here:
        while data := source.read(CHUNK):
            if here.read(len(data)) != data:
                break
        else:
            if not here.read(1):
                return
    raise Refused(
        f"volume {tree.volume} of {place.site.name}: {shown(path)} was there before, with other content than in the "
        "backup, and a test does not replace it; restore-test on a new site (--substrate), or where the volume is empty"
    )


def copy_sparse(source: Readable, target: IO[bytes]) -> None:
    """Copy all of a source into a new file; where it has nothing but zeros, the file gets a hole. Raises OSError."""
    holes, end = target.seekable(), False
    while data := source.read(CHUNK):
        if holes and len(data) >= LEAST_HOLE and data == ZEROS[: len(data)]:
            target.seek(len(data), os.SEEK_CUR)
            end = True
        else:
            target.write(data)
            end = False
    if end:
        target.truncate()


def into_bucket(
    place: Place,
    objects: Objects,
    backup_id: str,
    note: Callable[[str, str, str], None],
    refuse: Callable[[str, str, str], None],
) -> Write:
    """Return a function that writes one object, tagged with the backup, unless replication has brought the same.

    `note` is called with bucket, key and difference of a replica that was put right, `refuse` with bucket, key and
    reason for an object that the store does not take, which keeps no other from being restored. The function raises
    RestoreFailed, HarnessError.
    """
    ensure_bucket(place.s3, objects.bucket)
    bucket = Bucket(place.s3, objects.bucket)
    empty = next(bucket.keys(), None) is None

    def write(member: Member, source: Readable) -> None:
        wanted = Wanted(member.name, member.size, member.headers, member.tags, backup_id)
        try:
            differed = put(bucket, wanted, source) if empty else put_right(bucket, wanted, source)
        except (OSError, HarnessError) as error:
            # All else may be about the store, or about how what is there was read.
            if not isinstance(error, OSError) or error.errno != errno.EINVAL:
                raise RestoreFailed(f"bucket {objects.bucket}: {member.name} cannot be restored: {error}") from error
            while source.read(CHUNK):  # what follows it in the archive is read from there on
                pass
            refuse(objects.bucket, member.name, reason_of(error))
            return
        if differed:
            note(objects.bucket, member.name, differed)

    return write
