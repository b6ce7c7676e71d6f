"""Unpacking of a base backup and its WAL into an empty data folder, and the settings in it."""

import ctypes
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from ctypes import c_int64
from pathlib import Path, PurePosixPath

from harness.core.errors import RestoreFailed, Unreadable, UsageError
from harness.core.parallel import in_order
from harness.physical.archive import Member, members
from harness.physical.backup import FOLDER, MANIFEST
from harness.physical.choice import Way
from harness.physical.incremental.checkpoints import WHOLE, Checkpoints
from harness.physical.owner import hand_over, identity_of, take_over
from harness.repository.catalogue import OpenBackup
from harness.repository.format.frames import FRAME
from harness.repository.pipeline import without
from harness.repository.wal.catalogue import Shipped
from harness.repository.wal.reader import WalReader
from harness.substrate.common.filesystem import remove_tree

VERSION = "PG_VERSION"
SPACES = "pg_tblspc"
MAIN = "base"  # the archive of the data folder
MAP = "tablespace_map"  # by it PostgreSQL makes links to anywhere when it starts; no base backup that we take has it
STEP = 4 << 20  # bytes of a file from which on their storing is begun
FETCHED = 3  # segments at a time
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
AUTO = "postgresql.auto.conf"  # of ALTER SYSTEM; PostgreSQL reads it in the data folder, whatever config_file says
# Written last, where they override what the primary had.
QUIET = b"""
# By `blackstart restore`: a copy must not archive into the primary's repository, follow it, receive its
# subscriptions, or run its jobs of pg_cron. Remove these lines when this server takes its place.
archive_mode = 'off'
primary_conninfo = ''
primary_slot_name = ''
max_logical_replication_workers = '0'
cron.launch_active_jobs = 'off'
cron.use_background_workers = 'off'
cron.host = '/blackstart holds the jobs'
"""  # pg_cron has the first of its three since 1.6; by the others a job of an older one finds no server and fails
# Left on the primary, which passes them over while it runs. By the first, which comes before recovery.signal, a
# replay waits at the end of the WAL for more; with the second no server of PostgreSQL 12 or newer starts.
LEFT = ("standby.signal", "recovery.conf")
# A leftover of an earlier recovery: two targets refuse every start, and a command is run by the next recovery.
LEFT_OVER = re.compile(rb"[ \t\r]*(recovery_\w+|archive_cleanup_command|restore_command|primary_conninfo)\b", re.I)


SYNC_FILE_RANGE_WRITE = 2
_SYNC_FILE_RANGE = getattr(ctypes.CDLL(None), "sync_file_range", None)  # of Linux


def require_empty(folder: Path) -> None:
    """Raise UsageError unless a folder can be restored into: it is missing or empty, and in no data directory."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"--into {folder}: is no folder; name a new one")
    if folder.is_mount():  # what is fetched is beside it first, and then takes its place
        raise UsageError(f"--into {folder}: is a mount point, which cannot be replaced; name a new folder in it")
    if folder.is_dir() and any(folder.iterdir()):
        what = "has a database server's data" if (folder / VERSION).exists() else "is not empty"
        raise UsageError(f"--into {folder}: {what}, and nothing is restored over it; name a new folder")
    for parent in folder.absolute().parents:
        if (parent / VERSION).exists():
            raise UsageError(f"--into {folder}: is inside the data directory {parent}; name a folder elsewhere")
    parent = folder.absolute().parent
    if not parent.is_dir():
        raise UsageError(f"--into {folder}: its parent folder does not exist; make it")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(f"--into {folder}: {parent} may not be written to, where what is fetched is meanwhile")


def spaces_of(folder: Path) -> Path:
    """Return the folder in which the tablespaces of a restored data folder are."""
    return folder.with_name(f"{folder.name}-tablespaces")


def require_room(folder: Path, needed: int) -> None:
    """Raise UsageError when the disk of a folder has less than `needed` bytes."""
    disk = os.statvfs(folder.absolute().parent)
    free = disk.f_bavail * disk.f_frsize
    if free < needed:
        raise UsageError(
            f"--into {folder}: {free >> 20} MiB are free, {needed >> 20} MiB are needed; name another disk"
        )


@contextmanager
def made(folder: Path) -> Iterator[os.stat_result | None]:
    """Make the data folder and that of its tablespaces; after an error both are as they were before.

    Yield owner and mode of the empty folder that was there, None where none was. Raises UsageError where it cannot be
    root's meanwhile.
    """
    spaces = spaces_of(folder)
    require_empty(spaces)
    was = take_over(folder)
    try:
        yield was
    except BaseException:
        remove_tree(folder)
        remove_tree(spaces)
        if was is not None:
            with suppress(OSError, RestoreFailed):  # what is raised is why the restore failed
                folder.mkdir(mode=0o700)
                hand_over(was, {folder: identity_of(folder)}, was.st_mode)
        raise


def unpack(
    backup: OpenBackup, folder: Path, checkpoints: Checkpoints, progress: Callable[[int], None] | None = None
) -> None:
    """Write a base backup into a folder, from its checkpoints on: into an empty one, where there are none.

    Raises Unreadable if it is not authentic, RestoreFailed, OSError.
    """
    apart = tablespaces_of(backup)
    links = {f"{SPACES}/{oid}": spaces_of(folder).absolute() / oid for oid in apart}
    places = {oid: spaces_of(folder) / oid if oid in apart else folder / SPACES / oid for oid in _tablespaces(backup)}
    for oid, into in (*places.items(), (MAIN, folder)):
        into.mkdir(mode=0o700, parents=True, exist_ok=True)
        _unpack(backup, f"{FOLDER}/{oid}.tar", into, links if oid == MAIN else {}, checkpoints, progress)
    (folder / "backup_manifest").unlink(missing_ok=True)
    _write(folder / "backup_manifest", backup.read(MANIFEST, progress))


def _unpack(
    backup: OpenBackup,
    name: str,
    folder: Path,
    links: dict[str, Path],
    checkpoints: Checkpoints,
    progress: Callable[[int], None] | None,
) -> None:
    """Write one archive, from its checkpoint on."""
    reached = checkpoints.reached(name)
    before = backup.manifest.entry(name).plain_size if reached.offset == WHOLE else reached.start.frame * FRAME
    if progress is not None and before:
        progress(before)
    if reached.offset == WHOLE:
        return
    chunks = backup.read(name, progress, reached.start, checkpoints.begin(reached))
    rest = members(name, without(chunks, reached.offset - before))
    for end in _extract(rest, folder, links, again=any(folder.iterdir())):
        checkpoints.note(name, reached.offset + end)
    checkpoints.whole(name)


def tablespaces_of(backup: OpenBackup) -> tuple[str, ...]:
    """Return the OIDs of a base backup's tablespaces that are beside its data folder. Raises Unreadable.

    One that is in place (`allow_in_place_tablespaces`) is a folder of the data folder, and its location relative.
    """
    return tuple(oid for oid, location in _tablespaces(backup).items() if location.startswith("/"))


def _tablespaces(backup: OpenBackup) -> dict[str, str]:
    """Return OID and location of a base backup's tablespaces. Raises Unreadable for a logical backup."""
    facts = backup.manifest.contents.physical
    if facts is None:
        raise Unreadable(f"backup {backup.backup_id}: its manifest is of a logical backup")
    return dict(facts.tablespaces)


def place_wal(way: Way, reader: WalReader, folder: Path) -> Way:
    """Write the WAL that the recovery reads into pg_wal, each file as long as the server expects it.

    Return the way that is left: it ends before the first segment that is gone or not authentic. Raises Unreadable where
    nothing can be restored without that one.
    """
    for shipped, data in in_order(reader.read, way.histories, FETCHED):
        _place(folder, shipped.entry.name, data, 0)
    placed: list[Shipped] = []
    try:
        for shipped, data in in_order(reader.read, way.files, FETCHED):
            _place(folder, shipped.entry.name, data, way.facts.segment_size - len(data))
            placed.append(shipped)
    except Unreadable as error:
        return way.until(placed, str(error))
    return way


def _place(folder: Path, name: str, data: bytes, lacking: int) -> None:
    path = folder / "pg_wal" / name
    if not path.exists():
        _write(path, (data, bytes(lacking)))


def set_aside(folder: Path) -> bytes:
    """Take out of a data folder what says how the primary starts, and return its settings. Raises Unreadable."""
    path = folder / AUTO
    try:
        kept = path.read_bytes() if path.exists() else b""
        path.write_bytes(QUIET)
        for name in LEFT:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise Unreadable(f"{error.filename}: cannot be changed ({error.strerror})") from None
    return kept


def put_back(folder: Path, kept: bytes) -> None:
    """Write the primary's settings, those that must not apply to a copy removed or overridden. Raises Unreadable."""
    path = folder / AUTO
    lines = [line for line in kept.split(b"\n") if LEFT_OVER.match(line) is None]
    try:
        path.write_bytes(b"\n".join(lines) + QUIET)
    except OSError as error:
        raise Unreadable(f"{path}: cannot be changed ({error.strerror})") from None


def _extract(found: Iterable[Member], folder: Path, links: dict[str, Path], *, again: bool) -> Iterator[int]:
    """Write the members of an archive: folders, files, and the links of tablespaces to where they are now.

    Yield how many bytes of the archive are written, after each file. `again`: some may be there, whole or not.
    """
    for member in found:
        info, name = member.info, PurePosixPath(member.info.name)
        if name.is_absolute() or ".." in name.parts:
            raise RestoreFailed(f"{info.name}: a path that leads out of the data folder")
        if str(name) == MAP:
            raise RestoreFailed(f"{info.name}: would lead tablespaces out of the data folder; use another backup")
        path = folder / name
        if again and not info.isdir():
            path.unlink(missing_ok=True)
        if info.isdir():
            path.mkdir(mode=0o700, exist_ok=True)
        elif info.isreg():
            _write(path, member.content)
            yield member.end
        elif info.issym() and str(name) in links:
            path.symlink_to(links[str(name)])
        else:
            raise RestoreFailed(f"{info.name}: neither a folder nor a file nor the link of a tablespace")


def _write(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Write a new file, without a buffer: chunks are large, or the only one."""
    with os.fdopen(os.open(path, NEW, 0o600), "wb", buffering=0) as file:
        begun = written = 0
        for chunk in chunks:
            rest = memoryview(chunk)
            while rest:
                count = file.write(rest)
                rest, written = rest[count:], written + count
            if written - begun >= STEP:
                _begin_to_store(file.fileno(), begun, written - begun)
                begun = written


def _begin_to_store(file: int, offset: int, count: int) -> None:
    """Have the kernel begin to write some bytes of a file to the disk, so that the flush at the end waits less."""
    if _SYNC_FILE_RANGE is not None:
        _SYNC_FILE_RANGE(file, c_int64(offset), c_int64(count), SYNC_FILE_RANGE_WRITE)
