"""Writes objects where replication may have written before: compares with what is there, and puts it right.

A replica is compared by its bytes and its metadata; an ETag is no digest of large or encrypted objects. What differs is
replaced by the content of the backup, because the restored database refers to that; a bucket with versions keeps the
other content as an earlier version.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass

from harness.core.node import Readable
from harness.s3.objects import META, RESTORED, Bucket, Stored

CHUNK = 1 << 20
# What a copying program notes on its copies, and what therefore is no difference of a replica.
NOTED = frozenset(META + name for name in ("mtime", "btime", "md5chksum"))


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object as the backup has it. `size` in bytes; `backup_id` becomes part of its metadata."""

    key: str
    size: int
    headers: Mapping[str, str]
    tags: Mapping[str, str]
    backup_id: str


def put(bucket: Bucket, wanted: Wanted, source: Readable) -> str:
    """Write an object; return "". Raises OSError when the store refuses it, HarnessError without an answer."""
    bucket.put(wanted.key, source, wanted.size, {**wanted.headers, META + RESTORED: wanted.backup_id}, wanted.tags)
    return ""


def put_right(bucket: Bucket, wanted: Wanted, source: Readable) -> str:
    """Write an object unless the same is there; return how what was there differed, "" without any difference.

    Raises OSError when the store refuses it, HarnessError without an answer.
    """
    try:
        with bucket.open(wanted.key) as there:
            differs = _difference(wanted, there)
            if not differs:
                same, chunk = _common(source, there)
                if chunk is None:
                    return ""
                differs = "content"
                source = _Joined(bucket, wanted.key, there.etag, same, chunk, source)
    except FileNotFoundError:
        differs = ""
    put(bucket, wanted, source)
    return differs


def _difference(wanted: Wanted, there: Stored) -> str:
    """Return how size or metadata of a replica differ, "" when its content has to be compared."""
    if there.size != wanted.size:
        return f"content: {there.size} bytes instead of {wanted.size}"
    here = {name: value for name, value in there.headers.items() if name in wanted.headers or name not in NOTED}
    names = {name for name in here.keys() | wanted.headers.keys() if here.get(name) != wanted.headers.get(name)}
    if dict(there.tags) != dict(wanted.tags):
        names.add("tags")
    return f"metadata: {', '.join(sorted(names))}" if names else ""


def _common(source: Readable, there: Stored) -> tuple[int, bytes | None]:
    """Return how many bytes at the start are equal, in whole chunks, and the first chunk that differs, None for none.

    `source` is then read up to the end of that chunk.
    """
    same = 0
    while chunk := source.read(CHUNK):
        other = io.BytesIO()
        while other.tell() < len(chunk) and (piece := there.read(len(chunk) - other.tell())):
            other.write(piece)
        if other.getvalue() != chunk:
            return same, chunk
        same += len(chunk)
    return same, None


class _Joined:
    """A member that was read in part: the start is read again from the replica, which has the same bytes there."""

    def __init__(self, bucket: Bucket, key: str, etag: str, same: int, chunk: bytes, rest: Readable) -> None:
        self._left, self._chunk, self._rest = same, chunk, rest
        self._start = bucket.ask(key, 0, etag) if same else None

    def read(self, size: int, /) -> bytes:
        if self._start is not None and self._left:
            data = self._start.read(min(size, self._left), decode_content=False)
            if not data:
                raise OSError("the replica was replaced while it was compared")
            self._left -= len(data)
            return data
        if self._start is not None:
            self._start.close()
            self._start = None
        if self._chunk:
            data, self._chunk = self._chunk[:size], self._chunk[size:]
            return data
        return self._rest.read(size)
