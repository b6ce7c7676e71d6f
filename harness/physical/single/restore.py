"""Restore of one database: the server aside in a scratch folder, then the database into its target."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.journal import Journal
from harness.core.node import Address
from harness.core.service import Sql
from harness.physical.choice import Wanted, Way
from harness.physical.place import private_place
from harness.physical.private_server import PORT, connect
from harness.physical.programs import programs_of
from harness.physical.restore import PointInTime, restore
from harness.physical.server import serving
from harness.physical.single.aside import roll_back_prepared
from harness.physical.single.into import Into
from harness.physical.single.jobs import Jobs
from harness.physical.single.left import clear
from harness.physical.single.properties import properties_of
from harness.physical.single.transfer import transfer
from harness.postgres.identity import ask
from harness.postgres.restoring import quiet
from harness.postgres.roles.data import Database, ServerData, inspect
from harness.repository.catalogue import Repository

# Roles that owners, privileges (o, a) and policies (r) of the database name; initdb's superuser is in none of these.
ROLES = """
SELECT DISTINCT r.rolname::text FROM pg_catalog.pg_shdepend s JOIN pg_catalog.pg_roles r ON r.oid = s.refobjid
JOIN pg_catalog.pg_database d ON d.oid = s.dbid AND d.datname = pg_catalog.current_database()
WHERE s.refclassid = 'pg_catalog.pg_authid'::regclass AND (s.deptype = 'r' OR %s) AND r.rolname !~ '^pg_'
"""
EXTENSIONS = "SELECT extname::text FROM pg_catalog.pg_extension WHERE extname <> 'plpgsql'"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was loaded. `tables`, `rows`: their number, compared with the backup; `server`: what was restored aside.

    `uncommitted`: transactions that were prepared and open, whose changes were not loaded, a line each; `lost`:
    likewise, properties of the database that it does not have, and jobs that are held.
    """

    tables: int
    rows: int
    server: PointInTime
    uncommitted: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class One:
    """Which database, and where to. `scratch`: the server is in a new folder there meanwhile.

    `owners`: with owners and privileges.
    """

    database: str
    into: Into
    scratch: Path
    owners: bool = True


def restore_one(
    repository: Repository,
    private_pem: bytes,
    wanted: Wanted,
    one: One,
    journal: Journal,
    progress: Callable[[int], None] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Loaded:
    """Load one database of the state at a target into another one. The scratch folder is removed in any case.

    After an error the database that it was to go to is as it was before. `tags`: variables by which a sweep finds what
    a killed restore leaves on this machine. Raises UsageError that names every obstacle, otherwise as
    `harness.physical.restore.restore`.
    """

    def admit(way: Way) -> None:
        system = way.backup.manifest.contents.system
        _refuse(one.into.obstacles(one.database, system.identifier, system.major), one.into)

    with _scratch(one.scratch, tags or {}) as folder:
        done = restore(repository, private_pem, wanted, folder, journal, progress, admit, tags, database=one.database)
        programs = programs_of(done.major, tags)
        with serving(programs, folder, done.superuser) as place:
            source = sql_at(place, done.superuser)
            data = inspect(source)
            found = _database(data, one.database)
            uncommitted = roll_back_prepared(source, one.database)
            roles = {str(name) for (name,) in ask(source, ROLES, one.database, (one.owners,))}
            if one.owners and one.into.new:
                roles |= {found.owner}
            extensions = {str(name) for (name,) in ask(source, EXTENSIONS, one.database)}
            _refuse(one.into.lacking(roles, extensions), one.into)
            properties = properties_of(data, one.database, one.into, owners=one.owners)
            lost, jobs = [*properties.lost], Jobs(one.into, quiet.SCHEDULER in extensions)
            with _made(one, found), jobs.holding():
                lost += properties.begin()
                tables = transfer(programs, source, one.database, one.into, owners=one.owners, loaded=jobs.hold)
            lost += (*properties.end(), *jobs.lines)
    rows = sum(table.rows for table in tables)
    journal.mark("loaded", one.into.name, tables=len(tables), rows=rows)
    return Loaded(len(tables), rows, done, uncommitted, tuple(dict.fromkeys(lost)))


def _refuse(lines: tuple[str, ...], into: Into) -> None:
    if lines:
        raise UsageError(f"{into.where}: {'; '.join(lines)}")


@contextmanager
def _scratch(home: Path, tags: Mapping[str, str]) -> Iterator[Path]:
    """Yield the name of a new data folder in `home`; all of it is removed at the end. Raises UsageError."""
    if not home.is_dir():
        raise UsageError(f"--scratch {home}: is no folder; name one on a disk with enough space")
    with private_place(tags, home) as made:
        yield made / "data"


def sql_at(place: Path, superuser: str) -> Sql:
    """Return the connection to a server that `serving` runs. It asks for no password. Raises psycopg.Error."""
    with connect(place, superuser) as connection:  # to one of those that initdb makes
        database = connection.info.dbname
    password = place / "password"
    password.touch(mode=0o600)
    address = Address(str(place), PORT)
    return Sql(address, address, superuser, f"file:{password}", database)


def _database(data: ServerData, name: str) -> Database:
    databases = data.databases
    for one in databases:
        if one.name == name and one.connectable:
            return one
    if any(one.name == name for one in databases):
        raise UsageError(
            f"--database {name}: it allowed no connections then; restore the server with --into, and allow them there"
        )
    there = ", ".join(one.name for one in databases if one.connectable)
    raise UsageError(f"--database {name}: the server had no such database then; it had {there}")


@contextmanager
def _made(one: One, like: Database) -> Iterator[None]:
    """Make the database where it is new, and drop it after an error in the block; else clear it.

    What is cleared is what a killed restore left there.
    """
    if not one.into.new:
        clear(one.into.sql, one.into.name)
        yield
        return
    one.into.make(like, owner=one.owners)
    try:
        one.into.begin()
        yield
    except BaseException as error:
        if left := one.into.drop():
            error.add_note(left)
        raise
    one.into.finish()
