"""Members of a tar archive of files or objects: header, line of the digest, names of archives. docs/FORMAT.md has them.

The digest of an archive is the SHA-256 over the lines of its members, in their order.
"""

import hashlib
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.backup.tar import Header, shown
from harness.core.contents import TreeFacts
from harness.core.errors import RestoreFailed

CHUNK = 1 << 20
SMALL = 256 << 10  # bytes; a member up to this size is held in memory, any larger one is streamed
WORKERS = 8  # threads that read or write small members of one archive
KEY, HEADERS, TAGS = "BLACKSTART.key", "BLACKSTART.headers", "BLACKSTART.tags"
BUCKET, VOLUME = "bucket ", "volume "  # begin of the names of archives of buckets, and of found volumes
NOT_PLAIN = ("", ".", "..")


@dataclass(frozen=True, slots=True)
class Member:
    """A file, an empty folder or an object. `headers`, `tags`: of an object, names of headers in lower case."""

    name: str
    size: int = 0  # bytes
    mode: int = 0o600
    mtime: float = 0.0
    folder: bool = False
    object: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def header(self) -> bytes:
        """Return the header of the member, in PAX format."""
        info = tarfile.TarInfo(self.name)
        info.size, info.mode, info.mtime = self.size, self.mode, self.mtime
        if self.folder:
            info.type = tarfile.DIRTYPE
        if self.object:
            # Any name can be a key; only one that is a plain path is a name for a file as well.
            plain = not any(part in NOT_PLAIN for part in self.name.split("/")) and "\0" not in self.name
            info.name = self.name if plain else f"keys/{hashlib.sha256(encoded(self.name)).hexdigest()}"
            info.pax_headers = {KEY: self.name, HEADERS: in_json(self.headers), TAGS: in_json(self.tags)}
        return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")

    def line(self, digest: str) -> str:
        """Return the line of the member in the digest of its archive. `digest`: SHA-256 of its content, hex."""
        kept = {"headers": dict(self.headers), "tags": dict(self.tags)} if self.object else {}
        return in_json({"name": self.name, "folder": self.folder, "size": self.size, "sha256": digest, **kept}) + "\n"


def in_json(data: Mapping[str, object]) -> str:
    """Return canonical JSON in ASCII; bytes of a name that are not UTF-8 are surrogates."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def encoded(name: str) -> bytes:
    """Return the bytes of a name: UTF-8, and surrogates as the bytes that they stand for."""
    return name.encode("utf-8", "surrogateescape")


def member_of(archive: str, header: Header) -> Member:
    """Return the member of a header. Raises RestoreFailed for one that no backup writes."""
    more = header.records
    if KEY not in more:
        parts = header.name.split("/")
        if any(part in NOT_PLAIN for part in parts) or "\0" in header.name:
            raise RestoreFailed(f"{archive}: {shown(header.name)} is no path below its folder; use another backup")
        return Member(header.name, header.size, header.mode, header.mtime, folder=header.folder)
    if header.folder:
        raise RestoreFailed(f"{archive}: {shown(header.name)} is a folder and an object; use another backup")
    return Member(
        more[KEY],
        header.size,
        object=True,
        headers=_texts(archive, more.get(HEADERS, "{}")),
        tags=_texts(archive, more.get(TAGS, "{}")),
    )


def _texts(archive: str, text: str) -> dict[str, str]:
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise RestoreFailed(f"{archive}: {shown(text[:80])} is no table of texts; use another backup")
    return data


class Tally:
    """Counts members: their number, their bytes, and the digest over their lines."""

    def __init__(self, name: str) -> None:
        self._name, self._files, self._size, self._digest = name, 0, 0, hashlib.sha256()

    def add(self, member: Member, digest: str) -> None:
        """Count one member. `digest`: SHA-256 of its content, hex."""
        self._files += not member.folder
        self._size += member.size
        self._digest.update(member.line(digest).encode())

    @property
    def facts(self) -> TreeFacts:
        """The facts of the archive so far, without those that only the backup knows."""
        return TreeFacts(self._name, self._files, self._size, self._digest.hexdigest())


def bucket_name(bucket: str) -> str:
    """Return the name of a bucket's archive."""
    return BUCKET + bucket


def volume_name(volume: str) -> str:
    """Return the name of the archive of a volume that no service declares."""
    return VOLUME + volume
