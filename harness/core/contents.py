"""Contents of a backup: facts read in the snapshot and compared after the restore."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One table in the snapshot. `digest` does not depend on the order of rows."""

    name: str
    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """One database, with name and last value of its sequences."""

    name: str
    owner: str
    encoding: str
    collation: str
    size: int  # bytes on the server's disk
    snapshot_at: datetime  # UTC of the database server
    snapshot_mono: float  # monotonic seconds of the harness
    tables: tuple[TableFacts, ...]
    sequences: tuple[tuple[str, int], ...] = ()

    @property
    def rows(self) -> int:
        """Number of rows in all tables."""
        return sum(table.rows for table in self.tables)


@dataclass(frozen=True, slots=True)
class TreeFacts:
    """One folder of files: count, bytes, and a SHA-256 over sorted `path NUL sha256 LF` lines."""

    name: str
    files: int
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class SystemFacts:
    """The database server that was backed up. `identifier`: from `pg_control_system()`, as text."""

    identifier: str
    version: str
    timeline: int


@dataclass(frozen=True, slots=True)
class Contents:
    """Contents of a backup by its manifest. `fingerprints`: secret name -> its SHA-256, hex."""

    system: SystemFacts
    databases: tuple[DatabaseFacts, ...]
    trees: tuple[TreeFacts, ...]
    fingerprints: tuple[tuple[str, str], ...]

    @property
    def snapshot_at(self) -> datetime:
        """Time of the oldest snapshot, from which the RPO counts."""
        return min(database.snapshot_at for database in self.databases)

    @property
    def rows(self) -> int:
        """Number of rows in all databases."""
        return sum(database.rows for database in self.databases)
