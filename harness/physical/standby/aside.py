"""Files of a data folder that PostgreSQL did not make: kept beside it while pg_rewind runs, and put back.

`pg_rewind` copies every file of the promoted server that is no relation, and removes what that one lacks: settings,
certificates and keys, included folders, logs. They are moved away for that time, so that modes, owners and links stay.
"""

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from harness.core.errors import Refused
from harness.core.wal import Switch
from harness.substrate.common.filesystem import remove_tree, write_to_disk

# What PostgreSQL makes itself. Sources: `subdirs` of `src/bin/initdb/initdb.c`; `excludeFiles` of
# `src/bin/pg_rewind/filemap.c`; `src/include/access/xlog.h` (names of signals and labels); documentation, "Database
# File Layout", from version 12 on. Logs of its collector are not in it: they are the old primary's.
MADE = frozenset({
    "PG_VERSION", "base", "global", "pg_commit_ts", "pg_dynshmem", "pg_logical", "pg_multixact", "pg_notify",
    "pg_replslot", "pg_serial", "pg_snapshots", "pg_stat", "pg_stat_tmp", "pg_subtrans", "pg_tblspc", "pg_twophase",
    "pg_wal", "pg_xact", "backup_label", "backup_label.old", "tablespace_map", "tablespace_map.old", "backup_manifest",
    "backup_manifest.tmp", "current_logfiles", "current_logfiles.tmp", "postmaster.opts", "postmaster.pid",
    "postgresql.auto.conf.tmp", "standby.signal", "recovery.signal", "promote", "logrotate", "pg_upgrade_output.d",
})  # fmt: skip
MARKER = "rewind.json"
FILES = "files"
MOVING, MOVED, CLEARED = "moving", "moved", "cleared"
MOUNTS = Path("/proc/self/mountinfo")
ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Marker:
    """Which rewind the files are of. `control`: the inode of the control file, which pg_rewind writes in place.

    `phase`: moving, while files are moved away; moved, until pg_rewind has ended; cleared, once what it brought from
    the promoted server is removed and the files are moved back.
    """

    folder: str
    control: int
    system: str
    fork: Switch
    timeline: int
    phase: str = MOVING


@dataclass(frozen=True, slots=True)
class Aside:
    """The folder beside a data folder in which its files are during a rewind, which is there or not."""

    folder: Path

    @property
    def place(self) -> Path:
        """Where the files are meanwhile."""
        return self.folder.with_name(f"{self.folder.name}-settings")

    def marker(self, system: str, fork: Switch, timeline: int) -> Marker:
        """Return the marker of a rewind of the data folder as it is now, to a timeline that left it at `fork`."""
        control = (self.folder / "global/pg_control").stat().st_ino
        return Marker(str(self.folder.resolve()), control, system, fork, timeline)

    def noted(self) -> Marker | None:
        """Return the marker that is there, None where none is or it cannot be read."""
        try:
            return TypeAdapter(Marker).validate_json((self.place / MARKER).read_bytes())
        except (OSError, ValidationError):
            return None

    def refusal(self, expected: Marker) -> str:
        """Return why what is at the place is not of the expected rewind, "" where it is, or nothing is there."""
        if not os.path.lexists(self.place):
            return ""
        found = self.noted()
        back = f"move what you need of its folder {FILES} into {self.folder}, and the rest of it elsewhere"
        if found is None:
            return f"{self.place}: is in the way, and was not made by a rewind; move it elsewhere"
        if replace(found, phase=expected.phase) != expected:
            return f"{self.place}: is of another rewind, to timeline {found.timeline}; {back}"
        try:
            started = (self.folder / "postmaster.opts").stat().st_mtime_ns
        except FileNotFoundError:  # pg_rewind has removed it
            return ""
        if started > (self.place / MARKER).stat().st_mtime_ns:
            return f"{self.place}: is of a rewind that was killed, and a server was started since; {back}"
        return ""

    def move_away(self, marker: Marker) -> bool:
        """Move the files away; return whether none were before. What a killed rewind had moved stays as it is.

        Raises Refused, with the folder as it was, where one cannot be moved.
        """
        fresh = not os.path.lexists(self.place)
        noted = None if fresh else self.noted()
        if noted is not None and noted.phase != MOVING:
            return False
        try:
            if fresh:
                self.place.mkdir(mode=0o700)
                self._note(marker)
            (self.place / FILES).mkdir(mode=0o700, exist_ok=True)
            for path in _foreign(self.folder):
                _move(path, self.place / FILES / path.name)
            write_to_disk(self.place)
            self._note(replace(marker, phase=MOVED))
        except OSError as error:
            if self.noted() is not None:
                self.undo()
            raise Refused(
                f"{error.filename}: {error.strerror}: the files of {self.folder} cannot be moved to {self.place} "
                "for the time of the rewind; nothing was changed"
            ) from None
        return fresh

    def put_back(self) -> None:
        """Move the files back, after what pg_rewind brought of such files is removed. Raises OSError, HarnessError."""
        noted = self.noted()
        if noted is None:
            return
        if noted.phase == MOVED:
            for path in _foreign(self.folder):
                _remove(path)
            self._note(replace(noted, phase=CLEARED))
        self._back()

    def undo(self) -> None:
        """Move the files back into a folder that was not rewound. Raises OSError, HarnessError."""
        self._back()
        self.remove()

    def remove(self) -> None:
        """Remove the place, where a rewind made it. Raises HarnessError."""
        if self.noted() is not None:
            remove_tree(self.place)

    def _back(self) -> None:
        if (self.place / FILES).is_dir():
            for path in sorted((self.place / FILES).iterdir()):
                _move(path, self.folder / path.name)

    def _note(self, marker: Marker) -> None:
        half = self.place / f"{MARKER}.half"
        half.write_bytes(TypeAdapter(Marker).dump_json(marker))
        with half.open("rb") as file:
            os.fsync(file.fileno())
        half.replace(self.place / MARKER)


def mounted_in(folder: Path) -> list[str]:
    """Return the files and folders of a data folder that are mounted into it, and that PostgreSQL did not make."""
    inside, found = f"{folder.resolve()}/", list[str]()
    for line in MOUNTS.read_text().splitlines():
        path = ESCAPED.sub(lambda one: chr(int(one[1], 8)), line.split()[4])
        if path.startswith(inside) and path.removeprefix(inside).split("/")[0] not in MADE:
            found.append(path)
    return found


def _foreign(folder: Path) -> Iterator[Path]:
    """Yield files, folders and links right in a data folder that PostgreSQL did not make; sockets are left."""
    for path in sorted(folder.iterdir()):
        mode = path.lstat().st_mode
        kinds = stat.S_ISREG(mode), stat.S_ISDIR(mode), stat.S_ISLNK(mode)
        if any(kinds) and path.name not in MADE and not path.name.startswith(".s.PGSQL."):
            yield path


def _move(path: Path, into: Path) -> None:
    """Move a file, folder or link, to another file system as well. What is there already was moved before a kill."""
    if os.path.lexists(into):
        _remove(path)
        return
    try:
        path.rename(into)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        half = into.with_name(f".{into.name}.half")
        _remove(half)
        _copy(path, half)
        half.rename(into)
        _remove(path)


def _copy(path: Path, into: Path) -> None:
    """Copy a file, folder or link with its mode, times and owner."""
    if path.is_dir() and not path.is_symlink():
        into.mkdir(mode=0o700)
        for one in path.iterdir():
            _copy(one, into / one.name)
        shutil.copystat(path, into)
    else:
        shutil.copy2(path, into, follow_symlinks=False)
    was, now = path.lstat(), into.lstat()
    if (was.st_uid, was.st_gid) != (now.st_uid, now.st_gid):
        os.chown(into, was.st_uid, was.st_gid, follow_symlinks=False)
        if not into.is_symlink():
            into.chmod(stat.S_IMODE(was.st_mode))  # a change of the owner may have reset some


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)
