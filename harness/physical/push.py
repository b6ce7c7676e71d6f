"""Push of one WAL file, for PostgreSQL's `archive_command`: it returns only when the file is in the repository."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.core.errors import BackupFailed, HarnessError, Unreadable, UsageError
from harness.core.wal import HISTORY, SEGMENT, place_of_segment, read_header, read_history, show_lsn
from harness.physical.continuity import resized
from harness.physical.receive import Keys
from harness.physical.source import served_since, system_beside
from harness.repository.catalogue import Repository
from harness.repository.wal.catalogue import Shipped, WalCatalogue, read_wal
from harness.repository.wal.heads import remember_wal
from harness.repository.wal.reader import digest_of_plain
from harness.repository.wal.writer import begin_wal


def push(path: Path, repository: Repository, keys: Keys, system: str = "", lock: timedelta | None = None) -> str:
    """Ship one segment or timeline history; return what was done, as one line.

    `system`: identifier of the database system, by default of the control file beside the file; `lock`: for how long
    the store keeps what is shipped, None: it is not locked. Raises UsageError for a file that is none of these,
    BackupFailed for one of another system or timeline, or with other contents than the one that is there; HarnessError
    of the store.
    """
    name = path.name
    if SEGMENT.fullmatch(name) is None and HISTORY.fullmatch(name) is None:
        if name.endswith((".backup", ".partial")):
            return f"{name}: not needed for a restore; nothing was stored"
        raise UsageError(f"{name}: neither a WAL segment nor a timeline history; write archive_command with %p")
    covered = covered_until(path) if SEGMENT.fullmatch(name) else None  # before it is read, for it may still be written
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    catalogue = read_wal(repository, system or system_beside(path))
    if HISTORY.fullmatch(name) is not None:
        return _push_history(name, data, repository, keys, catalogue, lock)
    return _push_segment(path, data, covered, repository, keys, catalogue, lock)


def _push_segment(
    path: Path,
    data: bytes,
    covered: datetime | None,
    repository: Repository,
    keys: Keys,
    catalogue: WalCatalogue,
    lock: timedelta | None,
) -> str:
    name = path.name
    try:
        header = read_header(data)
        timeline, start = place_of_segment(name, header.size)
    except Unreadable as error:
        raise BackupFailed(f"{name}: {error}") from None
    if header.system != catalogue.cluster:
        raise BackupFailed(f"{name}: of database system {header.system}, the server's is {catalogue.cluster}")
    if header.start != start or len(data) != header.size:
        raise BackupFailed(f"{name}: {len(data)} bytes from {show_lsn(header.start)}: not the segment of this name")
    if header.timeline != timeline and not _forked_within(path, header.timeline, start, header.size):
        raise BackupFailed(f"{name}: contains WAL of timeline {header.timeline}")
    if line := resized(catalogue, header.size):
        raise BackupFailed(f"{name}: {line}")
    if _there(catalogue.segments.get((timeline, start), ()), data, name):
        return f"{name}: is in the repository"
    writer = begin_wal(
        repository, catalogue.cluster, header.size, keys.recipients, keys.signing_key, catalogue.head, lock
    )
    writer.commit([writer.put(timeline, start, data)], covered)
    remember_wal(repository, read_wal(repository, catalogue.cluster))
    return f"{name}: stored"


def _forked_within(path: Path, older: int, start: int, size: int) -> bool:
    """Return whether the timeline of a segment began inside it, so that it begins with WAL of an older one."""
    try:
        switches = read_history(path.with_name(f"{path.name[:8]}.history").read_bytes())
    except (OSError, Unreadable):
        return False
    return any(one.timeline >= older and start <= one.at < start + size for one in switches)


def covered_until(path: Path) -> datetime | None:
    """Return before when every acknowledged write is in the WAL up to the end of a file of `pg_wal`, None: not known.

    A primary writes its WAL in order: what was acknowledged before the last write into a segment is in it or before it.
    Of a file that a standby received, that was copied, or that is of an earlier timeline, the time of its last write
    says nothing.
    """
    try:
        written = path.stat().st_mtime
        later = any(one.stem > path.name[:8] for one in path.parent.glob("*.history") if HISTORY.fullmatch(one.name))
    except OSError:
        return None
    since = served_since(path)
    return None if later or since is None or written < since else datetime.fromtimestamp(written, UTC)


def _push_history(
    name: str, text: bytes, repository: Repository, keys: Keys, catalogue: WalCatalogue, lock: timedelta | None
) -> str:
    timeline = int(name[:8], 16)
    try:
        switches = read_history(text)
    except Unreadable as error:
        raise BackupFailed(f"{name}: {error}") from None
    known = catalogue.histories.get(timeline)
    if _there((known,) if known is not None else (), text, name):
        return f"{name}: is in the repository"
    size = catalogue.segment_size
    if not size:
        raise HarnessError(f"{name}: no segment is in the repository yet; the first one is stored before it")
    writer = begin_wal(repository, catalogue.cluster, size, keys.recipients, keys.signing_key, catalogue.head, lock)
    writer.commit([writer.put_history(name, timeline, text, switches)], None)
    return f"{name}: stored"


def _there(found: tuple[Shipped, ...], data: bytes, name: str) -> bool:
    """Return whether the same file is in the repository. Raises BackupFailed for one with other contents."""
    whole = [one for one in found if one.entry.plain_size == len(data)]
    if whole and all(one.entry.plain_sha256 != digest_of_plain(data) for one in whole):
        raise BackupFailed(
            f"{name}: is in the repository with other contents: two servers write the same timeline, this one was put "
            "back to an earlier state, or another estate's repository is declared; nothing was overwritten"
        )
    return bool(whole)
