"""Tables that nobody can read: a transaction that is prepared for a two-phase commit has them locked exclusively."""

from collections.abc import Iterable
from dataclasses import dataclass

from harness.postgres.contents.rows import qualified
from harness.postgres.session import Connection

# An index too: whoever reads its table locks it. The lock on the transaction itself names it.
LOCKS = """
SELECT DISTINCT t.oid, n.nspname::text, t.relname::text, p.gid, p.owner::text, p.prepared::text
FROM pg_catalog.pg_prepared_xacts p
JOIN pg_catalog.pg_locks x ON x.locktype = 'transactionid' AND x.transactionid = p.transaction AND x.pid IS NULL
JOIN pg_catalog.pg_locks l ON l.virtualtransaction = x.virtualtransaction AND l.pid IS NULL
JOIN pg_catalog.pg_class c ON c.oid = l.relation
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
JOIN pg_catalog.pg_class t ON t.oid = coalesce(i.indrelid, c.oid)
JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
WHERE p.database = pg_catalog.current_database() AND l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND n.nspname !~ '^pg_' ORDER BY 2, 3, 4
"""


@dataclass(frozen=True, slots=True)
class PreparedLock:
    """A table, or sequence, and the transaction that has it locked. `at`: when that was prepared."""

    oid: int
    table: str
    gid: str
    owner: str
    at: str

    def __str__(self) -> str:
        """The line for an operator."""
        return (
            f"table {self.table} cannot be read: the prepared transaction {self.gid!r} of {self.at} by role "
            f"{self.owner} has it locked; COMMIT PREPARED or ROLLBACK PREPARED it there"
        )


def prepared_locks(connection: Connection) -> tuple[PreparedLock, ...]:
    """Return what nobody can read of the database that `connection` is connected to. Raises psycopg.Error."""
    rows = connection.execute(LOCKS.encode()).fetchall()
    return tuple(PreparedLock(oid, qualified(schema, name), *others) for oid, schema, name, *others in rows)


def oids(locks: Iterable[PreparedLock]) -> frozenset[int]:
    """Return the OIDs of the tables, as the functions that read a database leave them out."""
    return frozenset(one.oid for one in locks)
