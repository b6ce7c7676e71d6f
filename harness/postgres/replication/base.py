"""Base backup as a stream: one tar archive for the data directory and one for each tablespace, then its manifest.

The server verifies the checksum of every page that it reads. Source: PostgreSQL documentation, `BASE_BACKUP`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from psycopg import pq

from harness.core.errors import BackupFailed, HarnessError
from harness.core.wal import read_lsn
from harness.postgres.replication.connection import Replication, rows_of

COMMAND = (
    "BASE_BACKUP (LABEL '{label}', PROGRESS false, CHECKPOINT 'fast', WAIT false, MANIFEST 'yes', "
    # The repository authenticates every byte; this finds what a disk loses after a restore, and costs far less.
    "MANIFEST_CHECKSUMS 'CRC32C', VERIFY_CHECKSUMS true{more})"
)
INCREMENTAL = 17  # first major that takes incremental backups
PIECE = 1 << 20  # bytes of a manifest in one message
MAIN = "base.tar"
RESULTS = 2  # before the stream: the first position, the tablespaces


@dataclass(frozen=True, slots=True)
class Archive:
    """One archive of the stream. `location`: folder of the tablespace on the server, "" for the data directory."""

    name: str
    location: str
    chunks: Iterator[bytes] = field(repr=False)


@dataclass(slots=True)
class BaseBackup:
    """A base backup under way. `stop` and `manifest` are known once all archives were read.

    `tablespaces`: OID and folder of each.
    """

    connection: Replication = field(repr=False)
    timeline: int
    start: int
    tablespaces: tuple[tuple[str, str], ...]
    stop: int = 0
    manifest: bytes = field(default=b"", repr=False)
    _ahead: bytes | None = field(default=b"", repr=False)

    def archives(self) -> Iterator[Archive]:
        """Yield each archive; its chunks must be read before the next. Raises BackupFailed for a damaged page too."""
        self._ahead = self._next()
        while self._ahead is not None and self._ahead[:1] == b"n":
            name, location = (part.decode() for part in self._ahead[1:].split(b"\0")[:2])
            yield Archive(name, location, self._chunks())
        if self._ahead is None or self._ahead[:1] != b"m":
            raise BackupFailed(f"{self.connection.where}: the base backup ended without a manifest")
        self.manifest = b"".join(self._chunks())
        self._finish()

    def _chunks(self) -> Iterator[bytes]:
        while (message := self._next()) is not None and message[:1] == b"d":
            yield message[1:]
        self._ahead = message

    def _next(self) -> bytes | None:
        """Return the next message that is no note of progress, None at the end."""
        while (message := next(self.connection.messages(), None)) is not None:
            if message[:1] != b"p":
                return message
        return None

    def _finish(self) -> None:
        rows: list[tuple[str, ...]] = []
        try:
            while (result := self.connection.result()) is not None:
                rows += rows_of(result)
        except HarnessError as error:
            raise BackupFailed(f"base backup: {error}") from error
        if not rows:
            raise BackupFailed(f"{self.connection.where}: the base backup ended without its last position")
        position, timeline = rows[-1][:2]
        if int(timeline) != self.timeline:
            raise BackupFailed(f"{self.connection.where}: went over to timeline {timeline} during the base backup")
        self.stop = read_lsn(position)


def begin_base(connection: Replication, label: str, parent: bytes = b"") -> BaseBackup:
    """Begin a base backup. `label`: letters, digits and `-`. Raises HarnessError when the server refuses.

    `parent`: the backup_manifest of the backup that an incremental one builds on, b"" for a full one.
    """
    if parent:
        _upload(connection, parent)
    connection.send(COMMAND.format(label=label, more=", INCREMENTAL" if parent else ""))
    found: list[tuple[tuple[str, ...], ...]] = []
    while (result := connection.result()) is not None and result.status != pq.ExecStatus.COPY_OUT:
        found.append(rows_of(result))
    if len(found) != RESULTS or not found[0]:
        raise HarnessError(f"{connection.where}: the answer to BASE_BACKUP is none of PostgreSQL 15 or newer")
    position, timeline = found[0][0][:2]
    spaces = tuple((oid, location) for oid, location, *_ in found[1] if oid)
    return BaseBackup(connection, int(timeline), read_lsn(position), spaces)


def _upload(connection: Replication, manifest: bytes) -> None:
    """Send the manifest that the next base backup of this connection compares with. Raises HarnessError."""
    connection.send("UPLOAD_MANIFEST")
    result = connection.result()
    if result is None or result.status != pq.ExecStatus.COPY_IN:
        raise HarnessError(f"{connection.where}: the answer to UPLOAD_MANIFEST is none of PostgreSQL 17 or newer")
    for at in range(0, len(manifest), PIECE):
        connection.reply(manifest[at : at + PIECE])
    connection.end_copy()
    while connection.result() is not None:
        pass
