"""Reading of a restored server, but for what nobody can read there: the server came back with its locks."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import psycopg

from harness.core.contents import Contents, DatabaseFacts
from harness.core.errors import Finding, HarnessError, RestoreFailed
from harness.core.service import Sql
from harness.postgres import dump
from harness.postgres.contents.prepared_locks import PreparedLock, oids, prepared_locks
from harness.postgres.contents.undumped import unlogged
from harness.postgres.server import connect, one_line


@dataclass(frozen=True, slots=True)
class Read:
    """A restored database. `locks`: what a prepared transaction keeps from being read; `unlogged`: empty tables."""

    facts: DatabaseFacts
    locks: tuple[PreparedLock, ...]
    unlogged: tuple[str, ...]


def read_database(sql: Sql, name: str) -> Read:
    """Read a restored database whole; what is locked is in `not_compared` of its facts too. Raises RestoreFailed."""
    try:
        with connect(sql, name) as connection:
            locks, empty = prepared_locks(connection), unlogged(connection)
        with dump.open_snapshot(sql, name, without=oids(locks)) as snapshot:
            facts = dump.facts(snapshot, "")
    except (Finding, HarnessError) as error:
        raise RestoreFailed(f"database {name} of the restored server cannot be read: {error}") from error
    except psycopg.Error as error:
        raise RestoreFailed(f"database {name} of the restored server cannot be read: {one_line(error)}") from error
    return Read(replace(facts, not_compared=(*facts.not_compared, *map(str, locks))), locks, empty)


def compared(read: Collection[Read], dumps: Contents) -> Iterator[str]:
    """Yield in lines how a restored server differs from the dumps, which are older, and what could not be read."""
    now = {(one.facts.name, table.name): table for one in read for table in one.facts.tables}
    locked = {(one.facts.name, lock.table) for one in read for lock in one.locks}
    then = {(one.name, table.name): table for one in dumps.databases for table in one.tables}
    empty = [(one.facts.name, table) for one in read for table in one.unlogged]
    for name in empty:
        then.pop(name, None)
    same = sum(now.get(name) == table for name, table in then.items())
    yield f"{same} of {len(then)} tables are as in the dumps of before, the others were written to since"
    gone = [f"table {table} of {name}" for name, table in then if (name, table) not in {*now, *locked}]
    if gone:
        yield f"in the dumps, and dropped before the end of the WAL: {', '.join(gone)}"
    if empty:
        names = ", ".join(f"table {table} of {database}" for database, table in empty)
        yield f"unlogged, so that a base backup has none of their rows: {names}"
    for one in read:
        yield from (f"database {one.facts.name}: {lock}" for lock in one.locks)
