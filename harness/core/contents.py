"""What is in a backup: facts taken in the snapshot, compared after the restore."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One table as the snapshot saw it. `digest` does not depend on the order of rows."""

    name: str
    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """One database. `snapshot_at`: the database server's UTC; `snapshot_mono`: our own monotonic seconds.

    `size`: bytes on the server's disk. `sequences`: name and last value.
    """

    name: str
    owner: str
    encoding: str
    collation: str
    size: int
    snapshot_at: datetime
    snapshot_mono: float
    tables: tuple[TableFacts, ...]
    sequences: tuple[tuple[str, int], ...] = ()

    @property
    def rows(self) -> int:
        """Rows in all its tables."""
        return sum(table.rows for table in self.tables)


@dataclass(frozen=True, slots=True)
class TreeFacts:
    """One folder of files: how many, bytes, and a SHA-256 over sorted `path NUL sha256 LF` lines."""

    name: str
    files: int
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class SystemFacts:
    """The server a backup came from. `identifier` is `pg_control_system()`'s, as text."""

    identifier: str
    version: str
    timeline: int


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a manifest says of what is inside. `fingerprints`: secret name -> SHA-256 of it, hex."""

    system: SystemFacts
    databases: tuple[DatabaseFacts, ...]
    trees: tuple[TreeFacts, ...]
    fingerprints: tuple[tuple[str, str], ...]

    @property
    def snapshot_at(self) -> datetime:
        """The oldest snapshot: what RPO is counted from."""
        return min(database.snapshot_at for database in self.databases)

    @property
    def rows(self) -> int:
        """Rows in all databases."""
        return sum(database.rows for database in self.databases)
