"""Contents of a backup: facts read in the snapshot and compared after the restore; what is covered and what is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from harness.core.text import visible

PREPARED = "prepared transactions of database "  # of a gap that a base backup does not have


def readable(name: str) -> str:
    """Return a name of a file as one line of text: what is not printable, and bytes that are not UTF-8, escaped."""
    return visible(name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One table in the snapshot. `digest` depends neither on the order of rows nor on the order of columns."""

    name: str
    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class SequenceFacts:
    """A sequence: `last_value`, and whether the next `nextval` moves on from it (`is_called`)."""

    name: str
    value: int
    called: bool = True


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """One database.

    `path`: its objects in the backup, without suffix: `PATH.dump` and `PATH.schema.sql` (the normalised schema,
    whose digest is `schema`: the SHA-256 over the sorted SHA-256 of its entries). `properties`: further facts that must
    be equal after the restore, each a name and a value.
    `not_compared`: what is in the dump and cannot be compared. `template`, `limit`: of pg_database.
    """

    name: str
    owner: str
    encoding: str
    collation: str
    size: int  # bytes on the server's disk
    snapshot_at: datetime  # UTC of the database server
    snapshot_mono: float  # monotonic seconds of the harness
    tables: tuple[TableFacts, ...]
    sequences: tuple[SequenceFacts, ...] = ()
    path: str = ""
    schema: str = ""
    properties: tuple[tuple[str, str], ...] = ()
    not_compared: tuple[str, ...] = ()
    template: bool = False
    limit: int = -1

    @property
    def rows(self) -> int:
        """Number of rows in all tables."""
        return sum(table.rows for table in self.tables)


@dataclass(frozen=True, slots=True)
class Missing:
    """A file or an object that could not be backed up. `raw`: the bytes of its name in hex, where `path` shows some."""

    path: str
    reason: str
    raw: str = ""

    @classmethod
    def of(cls, name: str, reason: str) -> Missing:
        """Return what is missing under a name, whose bytes that are not UTF-8 are surrogates."""
        path = readable(name)
        return cls(path, reason, name.encode("utf-8", "surrogateescape").hex() if path != name else "")

    @property
    def name(self) -> str:
        """The name, with surrogates."""
        return bytes.fromhex(self.raw).decode("utf-8", "surrogateescape") if self.raw else self.path

    @property
    def holds_data(self) -> bool:
        """Whether something may be lost with it: nothing is with a socket or a FIFO."""
        return self.reason not in ("is a socket", "is a FIFO")

    @property
    def uncounted(self) -> bool:
        """Whether any number of files may be lost with it: a link out of its volume, a folder that cannot be listed."""
        return self.reason == "is a symbolic link" or self.reason.startswith("cannot be read: ")


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """A folder of a volume. `mode`: permission bits; `mtime`: seconds since 1970."""

    path: str
    mode: int
    mtime: float


@dataclass(frozen=True, slots=True)
class TreeFacts:
    """A folder of files or a bucket: count, bytes, SHA-256 over the sorted lines of its files.

    `path`: its object in the backup. `missing`: what is referenced and is not in it. `found`: no service declares it.
    `folders`: the folder itself and those above it, from the top of its volume; none in a backup of before.
    """

    name: str
    files: int
    size: int
    digest: str
    path: str = ""
    missing: tuple[Missing, ...] = ()
    found: bool = False
    folders: tuple[FolderFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that is in no backup, and why. `excluded`: the reason given in [backup.exclude], "" without one."""

    what: str
    why: str
    excluded: str = ""

    @property
    def only_of_dumps(self) -> bool:
        """Whether a base backup has what a dump lacks."""
        return self.what.startswith(PREPARED)

    def __str__(self) -> str:
        return f"{self.what}: {self.why}" + (f"; excluded: {self.excluded}" if self.excluded else "")


@dataclass(frozen=True, slots=True)
class SystemFacts:
    """The database server that was backed up. `identifier`: from `pg_control_system()`, as text."""

    identifier: str
    version: str
    timeline: int

    @property
    def major(self) -> int:
        """Major version of PostgreSQL."""
        return int(re.split(r"\D", self.version, maxsplit=1)[0])  # of 19beta1 as well


@dataclass(frozen=True, slots=True)
class Parent:
    """The backup that an incremental one builds on: its number, its name, and the SHA-256 of its COMMIT in hex."""

    sequence: int
    backup_id: str
    digest: str


@dataclass(frozen=True, slots=True)
class DatabaseNeeds:
    """What a database that can be connected to needs of its server's installation.

    `provider` of its collation: c the C library, i ICU, b built in; `collate`, `ctype`: locales of the C library, which
    any provider needs. `libraries`: of its functions, each with its extension or ""; `collations`: those in use, each
    with the version by which it sorted. `unread`: why the last two are not known, "" where they are.
    """

    name: str
    provider: str
    collate: str
    ctype: str
    libraries: tuple[tuple[str, str], ...] = ()
    collations: tuple[tuple[str, str], ...] = ()
    unread: str = ""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a server needs of its installation. `library_path`: its dynamic_library_path, "" where it is not known.

    `preloaded`: the settings that load a library at a start or at a connection, each with the library. `untold`: those
    that the role of the backup was not told.
    """

    library_path: str = ""
    preloaded: tuple[tuple[str, str], ...] = ()
    databases: tuple[DatabaseNeeds, ...] = ()
    untold: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PhysicalFacts:
    """A base backup. It is consistent once the WAL of `timeline` from `start` to `stop` was replayed.

    `started_at`, `stopped_at`: by the server's clock, before its begin and after its end. `segment_size` in bytes.
    `tablespaces`: OID and folder of each; `checksums`: whether the server verified pages; `superuser`: the role that
    initdb made. `parent`: of an incremental backup, which has only what changed since that one; None of a full one.
    `needs`: of the installation; of a backup that was taken before they were asked it says nothing.
    """

    timeline: int
    start: int
    stop: int
    segment_size: int
    started_at: datetime
    stopped_at: datetime
    superuser: str
    checksums: bool
    tablespaces: tuple[tuple[str, str], ...] = ()
    parent: Parent | None = None
    needs: Needs = field(default_factory=Needs)


@dataclass(frozen=True, slots=True)
class Contents:
    """Contents of a backup by its manifest. `fingerprints`: secret name -> its SHA-256, hex.

    `physical`: of a base backup, which has no databases and no trees; None of a logical backup.
    """

    system: SystemFacts
    databases: tuple[DatabaseFacts, ...]
    trees: tuple[TreeFacts, ...]
    fingerprints: tuple[tuple[str, str], ...]
    gaps: tuple[Gap, ...] = ()
    physical: PhysicalFacts | None = None

    @property
    def snapshot_at(self) -> datetime:
        """Time of the oldest snapshot, from which the RPO counts."""
        if self.physical is not None:
            return self.physical.started_at
        return min(database.snapshot_at for database in self.databases)

    @property
    def rows(self) -> int:
        """Number of rows in all databases."""
        return sum(database.rows for database in self.databases)

    @property
    def covered(self) -> tuple[str, ...]:
        """One line for each database and each tree in the backup."""
        databases = [f"database {d.name}: {len(d.tables)} tables, {d.rows} rows" for d in self.databases]
        server = f"all databases of system {self.system.identifier}, timeline {self.system.timeline}"
        if self.physical is not None and self.physical.parent is not None:
            server += f", what changed since backup {self.physical.parent.backup_id}"
        return (*((server,) if self.physical is not None else databases), *map(_tree_line, self.trees))

    @property
    def uncovered(self) -> tuple[str, ...]:
        """One line for each thing that is in no backup and is not excluded: a verdict over it is UNKNOWN."""
        return self.lacking()

    def lacking(self, *, base: bool = False) -> tuple[str, ...]:
        """Return `uncovered`; `base`: of the dumps and a base backup together."""
        return tuple(str(gap) for gap in self.gaps if not gap.excluded and not (base and gap.only_of_dumps))

    @property
    def excluded(self) -> tuple[str, ...]:
        """One line for each thing that is excluded from backups, with the reason."""
        return tuple(str(gap) for gap in self.gaps if gap.excluded)

    @property
    def missing(self) -> tuple[str, ...]:
        """One line for each file and object that belongs into the backup and is not in it."""
        lost = [(tree.name, one) for tree in self.trees for one in tree.missing if one.holds_data]
        return tuple(f"{name}: {one.path}: {one.reason}" for name, one in lost)

    @property
    def not_compared(self) -> tuple[str, ...]:
        """One line for each thing that is in the backup and cannot be compared after the restore."""
        return tuple(_not_compared(self.databases))


def _tree_line(tree: TreeFacts) -> str:
    found = "; found on the primary, declared by no service" if tree.found else ""
    return f"{tree.name}: {tree.files} files, {tree.size} bytes{found}"


def _not_compared(databases: tuple[DatabaseFacts, ...]) -> Iterator[str]:
    for database in databases:
        yield from (f"database {database.name}: {line}" for line in database.not_compared)
